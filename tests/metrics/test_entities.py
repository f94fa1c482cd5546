"""seqeval: the library's numbers, and those of a count of entities by hand."""

import warnings

import pytest
import seqeval.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.scheme import IOB2, IOBES

EXACT = {"rel": 1e-9, "abs": 1e-9}
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-Ö"]


@st.composite
def taggings(draw, well_formed=False):
    """Predicted and true tags of a few sentences, as long as each other."""

    def sentence(length):
        tags = draw(st.lists(st.sampled_from(TAGS), min_size=length, max_size=length))
        if well_formed:  # an I- goes on with what is before it
            for i, tag in enumerate(tags):
                if tag[:2] == "I-" and (i == 0 or tags[i - 1][2:] != tag[2:]):
                    tags[i] = "B-" + tag[2:]
        return tags

    lengths = draw(st.lists(st.integers(0, 6), min_size=1, max_size=4).filter(any))
    return tuple([sentence(length) for length in lengths] for _ in range(2))


def entities(sentences):
    """(sentence, start, end, type) of well-formed IOB2 tags."""
    found = set()
    for number, tags in enumerate(sentences):
        for start, tag in enumerate(tags):
            if tag.startswith("B-"):
                end = start + 1
                while end < len(tags) and tags[end] == "I-" + tag[2:]:
                    end += 1
                found.add((number, start, end, tag[2:]))
    return found


def compute(metric, predictions, references, **options):
    """Without the warning about names that do not occur."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric.compute(predictions=predictions, references=references, **options)


@settings(max_examples=40, deadline=None)
@given(taggings())
def test_the_numbers_of_the_library(load, tagging):
    predictions, references = tagging
    if not entities(predictions) | entities(references):
        return  # the next test
    found = compute(load("seqeval"), predictions, references)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("precision", "recall", "f1", "accuracy"):
            expected = getattr(seqeval.metrics, f"{name}_score")(references, predictions)
            assert found[f"overall_{name}"] == pytest.approx(expected, **EXACT)
        each = seqeval.metrics.f1_score(references, predictions, average=None)
    types = sorted(name for name in found if not name.startswith("overall_"))
    assert [found[name]["f1"] for name in types] == pytest.approx(list(each), **EXACT)


def test_no_entity_anywhere(load):
    found = compute(load("seqeval"), [["O", "O"]], [["O", "O"]])
    assert found == {
        "overall_precision": 0.0,
        "overall_recall": 0.0,
        "overall_f1": 0.0,
        "overall_accuracy": 1.0,
    }


@settings(max_examples=40, deadline=None)
@given(taggings(well_formed=True))
def test_counted_by_hand(load, tagging):
    predictions, references = map(entities, tagging)
    found = compute(load("seqeval"), *tagging)
    right = len(predictions & references)
    assert found["overall_precision"] == pytest.approx(right / max(len(predictions), 1), **EXACT)
    assert found["overall_recall"] == pytest.approx(right / max(len(references), 1), **EXACT)
    for kind in {kind for *_, kind in predictions | references}:
        truths = [entity for entity in references if entity[3] == kind]
        assert found[kind]["number"] == len(truths)
        caught = len(predictions.intersection(truths))
        assert found[kind]["recall"] == pytest.approx(caught / max(len(truths), 1), **EXACT)


STRICT = {
    IOB2: ([["B-PER", "I-PER", "O", "I-LOC"]], [["B-PER", "I-PER", "O", "B-LOC"]]),
    IOBES: ([["S-LOC", "O", "B-PER", "I-PER"]], [["S-LOC", "O", "B-PER", "E-PER"]]),
}


@pytest.mark.parametrize("scheme", STRICT, ids=lambda scheme: scheme.__name__)
def test_strict(scheme, load):
    predictions, references = STRICT[scheme]
    name = scheme.__name__
    found = compute(load("seqeval"), predictions, references, mode="strict", scheme=name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = seqeval.metrics.classification_report(
            references, predictions, mode="strict", scheme=scheme, output_dict=True
        )
    assert found["overall_f1"] == pytest.approx(expected["micro avg"]["f1-score"], **EXACT)
    assert found["LOC" if scheme is IOB2 else "PER"]["f1"] == 0.0  # its tags break the scheme


def test_options(load):
    tags = [["PER-B", "PER-I", "O"]]
    assert compute(load("seqeval"), tags, tags, suffix=True)["PER"]["f1"] == 1.0
    found = compute(load("seqeval"), [["O"]], [["B-PER"]], zero_division=1)
    assert found["overall_precision"] == 1.0 and found["overall_recall"] == 0.0


@pytest.mark.parametrize(
    ("predictions", "options", "message"),
    [
        ([["O"]], {}, "sentence 0 has 1 and 2"),
        ([["O", "O"]], {"scheme": "BIO"}, "scheme is one of IOB1, IOB2"),
    ],
)
def test_what_it_refuses(predictions, options, message, load):
    with pytest.raises(ValueError, match=message):
        load("seqeval").compute(predictions=predictions, references=[["O", "B-PER"]], **options)
    with pytest.raises(ValueError, match="at least one sentence"):
        load("seqeval").compute(predictions=[], references=[])
