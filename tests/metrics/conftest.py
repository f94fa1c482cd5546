"""Metrics as `evaluate` loads them from their scripts, each once for all tests."""

import evaluate
import pytest
from evaluate.loading import init_dynamic_modules

from course_lib.metrics import metric_script


@pytest.fixture(scope="package", autouse=True)
def modules(tmp_path_factory):
    """`evaluate` copies scripts before it runs them: into a folder of these tests."""
    folder = tmp_path_factory.mktemp("hf")

    def own_folder(name="evaluate_modules", hf_modules_cache=None):
        return init_dynamic_modules(name, hf_modules_cache or folder)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evaluate.loading, "init_dynamic_modules", own_folder)
        yield


@pytest.fixture(scope="package")
def load(tmp_path_factory):
    """`load(name)`: the metric; `load(name, config)`, where it has configurations."""
    loaded = {}
    cache = str(tmp_path_factory.mktemp("cache"))

    def get(name, config=None):
        if (name, config) not in loaded:
            loaded[name, config] = evaluate.load(
                metric_script(name), config, cache_dir=cache, keep_in_memory=True
            )
        return loaded[name, config]

    return get
