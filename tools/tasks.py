"""The steps of `make test`, `test-all`, `test-real`, `test-online`, `execute` and `tidy`.

Each step prints a line before it starts and one when it is done. Everything runs with a COURSE_HOME
of its own, so that neither the reader's Hub nor their cache takes part.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SLACK = 2.0  # a shared or slow machine may take this many times a notebook's budget
PYTHON = sys.executable


def main() -> int:
    """Run the named task; 0 if every step passed."""
    tasks: dict[str, Callable[[argparse.Namespace], int]] = {
        "test": lambda args: run_tests("not long"),
        "test-all": lambda args: run_tests("long or not long"),
        "test-real": lambda args: run_real(),
        "test-online": lambda args: run_online(),
        "execute": lambda args: execute(args.notebooks),
        "tidy": lambda args: tidy(args.notebooks),
    }
    parser = argparse.ArgumentParser(prog="tools/tasks.py", description=__doc__)
    parser.add_argument("task", choices=tasks)
    parser.add_argument("notebooks", nargs="*", default=[])
    args = parser.parse_args()
    os.chdir(ROOT)
    try:
        with own_home():
            return tasks[args.task](args)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


@contextmanager
def own_home() -> Iterator[None]:
    """A COURSE_HOME that is empty at first and gone at the end, with the Hub that ran in it."""
    # Not below the working tree, and short: sockets and Hubs keep files in it.
    with tempfile.TemporaryDirectory(prefix="course-home-", ignore_cleanup_errors=True) as home:
        os.environ["COURSE_HOME"] = home
        for name in ("COURSE_HUB", "HF_ENDPOINT", "HF_HOME", "HF_TOKEN"):
            os.environ.pop(name, None)
        try:
            yield
        finally:
            from course_lib.hub import client

            client.stop()


class Steps:
    """Numbered progress lines, and what went wrong."""

    def __init__(self, total: int) -> None:
        self.total, self.number = total, 0
        self.failed: list[str] = []

    def run(self, name: str, command: list[str], todo: str) -> bool:
        """One step; whether it passed."""
        self.number += 1
        print(f"\n[{self.number}/{self.total}] {name}", flush=True)
        began = time.monotonic()
        status = subprocess.run(command, cwd=ROOT).returncode
        if status == 0:
            print(f"      passed in {time.monotonic() - began:.0f} s", flush=True)
        else:
            self.fail(name, todo)
        return status == 0

    def fail(self, name: str, todo: str) -> None:
        self.failed.append(name)
        print(f"      FAILED: {name}\n      What to do: {todo}", flush=True)


def run_tests(selection: str) -> int:
    """Export, style, notebooks, pytest. The last line is pytest's own, unless a step failed."""
    steps = Steps(4)
    python = [PYTHON]
    ready = steps.run(
        "nbdev_export leaves no difference",
        [*python, "tools/export_check.py"],
        "run `.venv/bin/nbdev_export` and commit the notebook and its module together",
    )
    ready &= steps.run(
        "ruff check",
        [*python, "-m", "ruff", "check", "."],
        "`.venv/bin/ruff check --fix` mends most of it, the rest is by hand",
    )
    if not ready:
        return 1  # minutes of notebooks would not change that
    run_notebooks(steps)
    steps.number += 1
    print(f"\n[{steps.number}/{steps.total}] pytest, two at a time", flush=True)
    command = [*python, "-m", "pytest", "-n", "2", "-m", selection, "tests"]
    status = subprocess.run(command, cwd=ROOT).returncode
    if steps.failed:
        print(f"\nmake test failed: {', '.join(steps.failed)} (see above)", file=sys.stderr)
    return 1 if steps.failed or status else 0


def run_notebooks(steps: Steps) -> None:
    """Every notebook, two at a time, each in a process of its own and within its budget."""
    with tempfile.TemporaryDirectory(prefix="course-timings-") as folder:
        timings = Path(folder) / "timings.json"
        steps.run(
            "every notebook's cells, two notebooks at a time",
            [PYTHON, "-m", "course_lib.cli", "run", "nbs", "--jobs", "2", "--timings",
             "--timings-file", str(timings)],
            "`.venv/bin/course run NOTEBOOK` runs one of them, with a line for each cell",
        )  # fmt: skip
        seconds = json.loads(timings.read_text())["seconds"] if timings.exists() else {}
    slow = over_budget(seconds)
    if slow:
        steps.fail("notebooks within their budget", f"make these quicker: {'; '.join(slow)}")


def over_budget(seconds: dict[str, float]) -> list[str]:
    """Notebooks that took more than their budget with slack, as `name: 250 s of 120 s`."""
    from course_lib.commands.notebooks import budget_seconds

    slow = []
    for name, took in seconds.items():
        budget = budget_seconds(ROOT / "nbs" / name)
        if took > budget * SLACK:
            slow.append(f"{name} took {took:.0f} s, its budget is {budget} s")
    return slow


def run_real() -> int:
    """The tests that measure on real data; without the data they fail instead of being skipped."""
    os.environ["COURSE_DATA_REQUIRED"] = "1"
    return subprocess.run([PYTHON, "-m", "pytest", "-m", "real", "tests"], cwd=ROOT).returncode


def run_online() -> int:
    """The cells that need the real Hub, with the notebooks around them."""
    steps = Steps(1)
    steps.run(
        "the notebooks and their online cells, on the real Hub",
        [PYTHON, "-m", "course_lib.cli", "run", "nbs", "--hub", "online", "--with", "online"],
        "check the network and HF_TOKEN, then run the notebook alone with `course run`",
    )
    return 1 if steps.failed else 0


def execute(names: list[str]) -> int:
    """Run notebooks one at a time, store their tidied outputs and their seconds."""
    steps = Steps(2)
    command = ["run", *(names or ["nbs"]), "--save", "--timings-file", "nbs/timings.json"]
    steps.run(
        "run the notebooks and store their outputs",
        [PYTHON, "-m", "course_lib.cli", *command],
        "mend the cell above; the notebooks that passed are stored",
    )
    steps.run("README.md from nbs/index.ipynb", [PYTHON, "tools/readme.py"], "see above")
    return 1 if steps.failed else 0


def tidy(names: list[str]) -> int:
    """Store notebooks without what only their last run left behind; nothing is run."""
    from course_lib.commands.cleaning import clean, dumps
    from course_lib.commands.notebooks import resolve, title
    from course_lib.commands.runner import read_notebook

    for path in resolve(names or ["nbs"]):
        text = dumps(clean(read_notebook(path)))
        if text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")
            print(f"tidied {title(path)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
