"""The answers of transformers 4.57.6, which `cases.py` wrote down in `reference.json`."""

import json
from pathlib import Path

import pytest

from course_lib.pipelines import pipeline
from tests.pipelines import cases

REFERENCE = json.loads(Path(__file__).with_name("reference.json").read_text(encoding="utf-8"))


def approximately(value):
    """The same answer with scores to 1e-6; all else exactly."""
    if isinstance(value, dict):
        return {key: approximately(part) for key, part in value.items()}
    if isinstance(value, list):
        return [approximately(part) for part in value]
    return pytest.approx(value, abs=1e-6) if isinstance(value, float) else value


@pytest.fixture(scope="module")
def ours(folders):
    return cases.answers(pipeline, folders)


def test_which_release_it_was():
    assert REFERENCE["transformers"] == "4.57.6"


@pytest.mark.parametrize("case", range(len(cases.QUESTIONS)))
@pytest.mark.parametrize("name", cases.READERS)
def test_questions(name, case, ours):
    assert ours["questions"][name][case] == approximately(REFERENCE["questions"][name][case])


@pytest.mark.parametrize("case", range(len(cases.TEXTS)))
def test_texts(case, ours):
    assert ours["texts"][case] == REFERENCE["texts"][case]
