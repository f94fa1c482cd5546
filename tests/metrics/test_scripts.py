"""Every metric's Space: its card, its examples, its arguments, and the libraries it imports."""

import ast
import doctest
import inspect
import re
import sys
from types import SimpleNamespace

import evaluate
import pytest
import yaml

from course_lib.metrics import METRICS, metric_files, metric_script

LIBRARIES = {"sacrebleu": "sacrebleu", "bleu": "sacrebleu", "rouge": "rouge_score",
             "seqeval": "seqeval"}  # fmt: skip
ARGUMENTS = {  # as in the Spaces of evaluate 0.4.6, with their defaults
    "accuracy": {"normalize": True, "sample_weight": None},
    "f1": {
        "labels": None,
        "pos_label": 1,
        "average": "binary",
        "sample_weight": None,
    },
    "glue": {},
    "sacrebleu": {
        "smooth_method": "exp",
        "smooth_value": None,
        "force": False,
        "lowercase": False,
        "tokenize": None,
        "use_effective_order": False,
    },
    "bleu": {"tokenizer": ..., "max_order": 4, "smooth": False},
    "rouge": {
        "rouge_types": None,
        "use_aggregator": True,
        "use_stemmer": False,
        "tokenizer": None,
    },
    "seqeval": {
        "suffix": False,
        "scheme": None,
        "mode": None,
        "sample_weight": None,
        "zero_division": "warn",
    },
    "squad": {},
    "exact_match": {
        "regexes_to_ignore": None,
        "ignore_case": False,
        "ignore_punctuation": False,
        "ignore_numbers": False,
    },
    "perplexity": {
        "model_id": inspect.Parameter.empty,
        "batch_size": 16,
        "add_start_token": True,
        "device": None,
        "max_length": None,
    },
}
NEED_A_MODEL = {"perplexity"}  # their examples name one of the Hub


@pytest.fixture
def by_name(load):
    """What `import evaluate` gives the examples: `evaluate.load(name)` without a Hub."""
    return SimpleNamespace(load=lambda name, config=None, module_type=None: load(name, config))


@pytest.mark.parametrize("name", METRICS)
def test_scripts_import_one_name_a_line(name):
    """`evaluate` reads imports with a regular expression: `import a, b` asks for a package `a,`."""
    source = metric_files(name)[f"{name}.py"].read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert len(node.names) == 1, ast.unparse(node)


@pytest.mark.parametrize("name", METRICS)
def test_arguments_and_defaults(name, load):
    config = "mrpc" if name == "glue" else None
    found = inspect.signature(load(name, config)._compute).parameters
    found = {key: value.default for key, value in found.items()}
    found = {key: value for key, value in found.items() if key not in ("predictions", "references")}
    expected = ARGUMENTS[name]
    assert list(found) == list(expected)
    assert all(expected[key] is ... or found[key] == expected[key] for key in found)


@pytest.mark.parametrize("name", [name for name in METRICS if name not in NEED_A_MODEL])
def test_examples_of_the_script(name, by_name):
    module = ast.parse(metric_files(name)[f"{name}.py"].read_text(encoding="utf-8"))
    (text,) = [
        node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "_INPUTS"
    ]
    examples = doctest.DocTestParser().get_doctest(text, {"evaluate": by_name}, name, None, 0)
    runner = doctest.DocTestRunner()
    runner.run(examples)
    assert runner.tries >= 2 and not runner.failures


@pytest.mark.parametrize("name", [name for name in METRICS if name not in NEED_A_MODEL])
def test_numbers_of_the_card(name, by_name):
    """`metric.compute(...)   # {"score": 84.1, ...}`: the first number of the comment is right."""
    card = metric_files(name)["README.md"].read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    space = {}
    code = block.replace("import evaluate\n", "").replace(
        "metric.compute(", "found = metric.compute("
    )
    exec(code, {"evaluate": by_name}, space)
    promised = re.search(r"# \{(.*)", block, flags=re.DOTALL)[1]
    checked = 0
    for key, number in re.findall(r'"(\w+)": (\d+\.\d+)', promised):
        if key in space["found"]:
            digits = len(number.split(".")[1])
            assert round(space["found"][key], digits) == float(number), key
            checked += 1
    assert checked


@pytest.mark.parametrize("name", METRICS)
def test_cards(name):
    card = metric_files(name)["README.md"].read_text(encoding="utf-8")
    _, front, body = card.split("---\n", 2)
    front = yaml.safe_load(front)
    assert {"evaluate", "metric", "stand-in"} == set(front["tags"]) and front["description"]
    assert body.startswith("**This is the course's own ") and f"evaluate-metric/{name}" in body
    assert "## Limits" in body


@pytest.mark.parametrize(("name", "library"), LIBRARIES.items())
def test_a_library_that_is_not_there(name, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=f"pip install {library}"):
        evaluate.load(metric_script(name))


@pytest.mark.parametrize(("name", "library"), LIBRARIES.items())
def test_the_requirements_name_the_library(name, library):
    assert library in metric_files(name)["requirements.txt"].read_text()
