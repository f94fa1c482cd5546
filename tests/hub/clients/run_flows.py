"""Runs every `flow_…` of the modules named on the command line; a line of JSON tells of each.

This is the client's process: it knows of the Hub what its environment says, and nothing else.
"""

import importlib.util
import json
import sys
import time
import traceback
from pathlib import Path


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    report = Path(sys.argv[1]).open("w", encoding="utf-8")
    for name in sys.argv[2:]:
        path = Path(name)
        module = load(path)
        for flow in [name for name in vars(module) if name.startswith("flow_")]:
            began, problem = time.perf_counter(), None
            try:
                getattr(module, flow)()
            except Exception:
                problem = traceback.format_exc()
            seconds = round(time.perf_counter() - began, 2)
            line = {"module": path.stem, "flow": flow, "seconds": seconds, "problem": problem}
            print(json.dumps(line), file=report, flush=True)


if __name__ == "__main__":
    main()
