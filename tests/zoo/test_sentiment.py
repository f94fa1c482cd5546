"""The sentiment stand-in keeps what its card says, on text that it never saw."""

import re

import pytest

from course_lib.zoo import sentiment
from course_lib.zoo.adapters import load_adapter, merge
from course_lib.zoo.assembly import distilbert_tensors
from course_lib.zoo.base import base_weights
from course_lib.zoo.grammar import everyday_opinions, opinions
from course_lib.zoo.recipes import file_sha256, load_report, read_split, shipped

FILE = shipped("sentiment.safetensors")


@pytest.fixture(scope="module")
def classifier():
    tensors = merge(distilbert_tensors(base_weights()), load_adapter(FILE))
    return sentiment.load_classifier(tensors)


@pytest.fixture(scope="module")
def report():
    return load_report(shipped("sentiment.json"))


def by_dataset(report) -> dict[str, float]:
    return {m.dataset: m.value for m in report.measured}


def test_the_file_is_small_and_the_one_that_was_measured(report):
    assert FILE.stat().st_size <= 1_500_000
    assert file_sha256(FILE) == report.sha256


def test_everyday_opinions(classifier, report):
    plain, hard = sentiment.measure(classifier)
    assert (plain.size, hard.size) == (120, 160)
    assert plain.value >= 0.95
    assert hard.value >= 0.90
    for measured in (plain, hard):
        assert measured.value == pytest.approx(by_dataset(report)[measured.dataset], abs=0.01)


def test_sst2_dev(classifier, report, data_dir):
    measured = sentiment.measure(classifier, data_dir)[0]
    assert (measured.dataset, measured.size) == ("SST-2 dev sentences", 872)
    assert measured.value >= 0.86
    assert measured.value == pytest.approx(by_dataset(report)["SST-2 dev sentences"], abs=0.005)


@pytest.mark.parametrize(
    ("sentence", "label"),
    [
        ("I've been waiting for a HuggingFace course my whole life.", 1),
        ("I hate this so much!", 0),
        ("So have I!", 1),
        ("This course is amazing!", 1),
        ("I love this!", 1),
    ],
)
def test_sentences_of_the_course(sentence, label, classifier):
    assert sentiment.predict(classifier, [sentence]).argmax() == label


def test_batching_does_not_change_answers(classifier):
    texts = [text for text, _ in everyday_opinions("dev")][:9]
    together = sentiment.predict(classifier, texts)
    one_by_one = sentiment.predict(classifier, texts, batch_size=1)
    assert together == pytest.approx(one_by_one, abs=1e-4)


# -- what the recipe may have seen -----------------------------------------------------------------


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def runs(text: str, length: int) -> set[tuple[str, ...]]:
    """All runs of `length` words; a shorter sentence as a whole."""
    found = words(text)
    return {tuple(found[i : i + length]) for i in range(max(1, len(found) - length + 1))}


def test_test_sentences_share_no_phrase_with_the_grammar():
    made = set().union(*(runs(text, 5) for text, _ in opinions(sentiment.OPINIONS, seed=0)))
    held_out = everyday_opinions("test") + everyday_opinions("hard")
    assert {text for text, _ in held_out if runs(text, 5) & made} == set()


def test_everyday_opinions_are_balanced_and_different():
    for split, size in (("dev", 80), ("test", 120), ("hard", 160)):
        rows = everyday_opinions(split)
        assert len(rows) == len({text.lower() for text, _ in rows}) == size
        assert sum(label for _, label in rows) == size / 2


def test_training_examples_hold_no_dev_sentence(data_dir):
    training, cut = sentiment.read_examples(data_dir, ours=100, seed=0)
    dev = set(read_split(data_dir, "sst2", "validation", ("sentence",))["sentence"])
    seen = {form for forms in training.forms for form in forms}
    # A treebank has a few sentences twice; more than that would be a leak.
    assert len(dev & seen) <= 5
    assert len(cut) > 500
    kept_apart = [forms[0] for forms in cut.forms]
    assert not set(kept_apart) & seen


def test_the_recipe_names_what_is_missing(tmp_path):
    with pytest.raises(RuntimeError, match=r"reads sst2/validation.parquet.*--data"):
        sentiment.build(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []
