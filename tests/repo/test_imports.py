"""What is quick to import stays quick, and loads no framework."""

import importlib.util
import json
import subprocess
import sys

import pytest

MODULES = (
    "course_lib",
    "course_lib.checks",
    "course_lib.cli",
    "course_lib.session",
    "course_lib.hub.client",
    "course_lib.zoo.catalogue",
    "course_lib.data.batching",
    "course_lib.metrics",
    "course_lib.pipelines",
    "course_lib.pipelines.tasks",
)
HEAVY = ("torch", "tensorflow", "keras", "transformers", "datasets", "huggingface_hub", "evaluate")
SECONDS = 0.3
NUMPYS = 2   # or as long as this many imports of numpy, where the machine is slow

CODE = """
import json, sys, time
began = time.process_time()  # other work on the machine must not count
import {module}
took = time.process_time() - began
print(json.dumps([took, [name for name in {heavy} if name in sys.modules]]))
"""


def timed_import(module: str) -> tuple[float, list[str]]:
    """Seconds of CPU for an import in a new process, and what heavy modules it brought."""
    code = CODE.format(module=module, heavy=HEAVY)
    command = [sys.executable, "-c", code]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("module", MODULES)
def test_import_is_light(module):
    assert importlib.util.find_spec(module), f"{module} does not exist"
    best = numpy = float("inf")
    for _ in range(6):  # the best of a few
        seconds, loaded = timed_import(module)
        assert loaded == []
        best, numpy = min(best, seconds), min(numpy, timed_import("numpy")[0])
        if best < SECONDS / 2:
            break
    assert best < max(SECONDS, NUMPYS * numpy)


def test_start_is_found_on_first_use():
    code = "import course_lib, sys; print('course_lib.session' in sys.modules, course_lib.start)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False <function start")
    import course_lib

    assert "start" in dir(course_lib)
    with pytest.raises(AttributeError, match="has no attribute 'strat'"):
        _ = course_lib.strat
