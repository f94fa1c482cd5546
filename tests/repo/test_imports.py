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

CODE = """
import json, sys, time
began = time.process_time()  # other work on the machine must not count
import {module}
took = time.process_time() - began
print(json.dumps([took, [name for name in {heavy} if name in sys.modules]]))
"""


@pytest.mark.parametrize("module", MODULES)
def test_import_is_light(module):
    assert importlib.util.find_spec(module), f"{module} does not exist"
    code = CODE.format(module=module, heavy=HEAVY)
    best = float("inf")
    for _ in range(6):  # the best of a few
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        seconds, loaded = json.loads(out)
        assert loaded == []
        best = min(best, seconds)
        if best < SECONDS / 2:
            break
    assert best < SECONDS


def test_start_is_found_on_first_use():
    code = "import course_lib, sys; print('course_lib.session' in sys.modules, course_lib.start)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False <function start")
    import course_lib

    assert "start" in dir(course_lib)
    with pytest.raises(AttributeError, match="has no attribute 'strat'"):
        _ = course_lib.strat
