"""What importing the Keras side loads: neither PyTorch nor transformers."""

import json
import pkgutil
import subprocess
import sys

import course_lib.tf

MODULES = sorted(m.name for m in pkgutil.iter_modules(course_lib.tf.__path__, "course_lib.tf."))
CODE = """
import importlib, json, sys
for name in {modules}:
    importlib.import_module(name)
print(json.dumps(sorted({{"torch", "transformers", "datasets"}} & set(sys.modules))))
"""


def test_no_module_loads_pytorch_or_transformers():
    command = [sys.executable, "-c", CODE.format(modules=MODULES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(MODULES) > 20 and json.loads(done.stdout.splitlines()[-1]) == []
