"""ROUGE: the numbers of rouge_score and of a slow formula, without any download."""

import re
from functools import cache

import nltk
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer, scoring

from tests.metrics.odd_texts import texts

EXACT = {"rel": 1e-9, "abs": 1e-9}
TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
PREDICTIONS = ["The cats were sitting\non the mats.", "It rained all day long", "no", ""]
REFERENCES = ["A cat sat\non the mat today.", "All day it rained", "yes", "something"]


def f1(shared, said, wanted):
    return 2 * shared / (said + wanted) if shared else 0.0


def slow_rouge(prediction, reference):
    """rouge1 and rougeL of words of ASCII letters and digits."""
    said = re.findall("[a-z0-9]+", prediction.lower())
    wanted = re.findall("[a-z0-9]+", reference.lower())
    shared = sum(min(said.count(word), wanted.count(word)) for word in set(said))

    @cache
    def longest(i, j):
        if i == len(said) or j == len(wanted):
            return 0
        if said[i] == wanted[j]:
            return 1 + longest(i + 1, j + 1)
        return max(longest(i + 1, j), longest(i, j + 1))

    sizes = len(said), len(wanted)
    return f1(shared, *sizes), f1(longest(0, 0), *sizes)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(texts(), texts()), min_size=1, max_size=4), st.booleans())
def test_each_text(load, pairs, use_stemmer):
    predictions, references = map(list, zip(*pairs, strict=True))
    found = load("rouge").compute(
        predictions=predictions,
        references=references,
        use_aggregator=False,
        use_stemmer=use_stemmer,
    )
    scorer = rouge_scorer.RougeScorer(TYPES, use_stemmer=use_stemmer)
    expected = [scorer.score(truth, text) for text, truth in pairs]
    assert list(found) == TYPES
    for name in TYPES:
        assert found[name] == pytest.approx([one[name].fmeasure for one in expected], **EXACT)


@settings(max_examples=40, deadline=None)
@given(*[st.text("ab cB1.-\n", max_size=15)] * 2)
def test_the_formula(load, prediction, reference):
    found = load("rouge").compute(
        predictions=[prediction], references=[reference], use_aggregator=False
    )
    words, order = slow_rouge(prediction, reference)
    assert found["rouge1"] == pytest.approx([words], **EXACT)
    assert found["rougeL"] == pytest.approx([order], **EXACT)


@pytest.mark.parametrize("use_stemmer", [False, True])
def test_all_texts_as_rouge_score_adds_them_up(use_stemmer, load):
    metric = load("rouge")
    found = metric.compute(predictions=PREDICTIONS, references=REFERENCES, use_stemmer=use_stemmer)
    scorer, aggregator = rouge_scorer.RougeScorer(TYPES, use_stemmer), scoring.BootstrapAggregator()
    for text, truth in zip(PREDICTIONS, REFERENCES, strict=True):
        aggregator.add_scores(scorer.score(truth, text))
    state = np.random.get_state()
    np.random.seed(metric.seed)  # evaluate seeds every computation with it
    expected = aggregator.aggregate()
    np.random.set_state(state)
    assert found == pytest.approx({name: expected[name].mid.fmeasure for name in TYPES}, **EXACT)


def test_the_same_number_twice(load):
    one, two = (load("rouge").compute(predictions=PREDICTIONS, references=REFERENCES)
                for _ in range(2))  # fmt: skip
    assert one == two


@settings(max_examples=30, deadline=None)
@given(texts(), st.lists(texts(), min_size=1, max_size=3))
def test_the_best_of_several_references(load, prediction, references):
    found = load("rouge").compute(
        predictions=[prediction], references=[references], use_aggregator=False
    )
    scorer = rouge_scorer.RougeScorer(TYPES)
    for name in TYPES:
        each = [scorer.score(truth, prediction)[name].fmeasure for truth in references]
        assert found[name] == pytest.approx([max(each)], **EXACT)


def test_references_of_several_numbers(load):
    found = load("rouge").compute(
        predictions=["a b", "c"], references=[["x", "a b"], ["c"]], use_aggregator=False
    )
    assert found["rouge1"] == [1.0, 1.0]
    with pytest.raises(ValueError, match="prediction 1 has no reference"):
        load("rouge").compute(predictions=["a", "b"], references=[["a"], []])


def test_types_and_tokenizer(load):
    greek = {"predictions": ["καλή μέρα"], "references": ["μέρα καλή"]}
    found = load("rouge").compute(**greek, rouge_types=["rouge1", "rouge3"], tokenizer=str.split)
    assert found == {"rouge1": 1.0, "rouge3": 0.0}
    with pytest.raises(ValueError, match="rougeX"):
        load("rouge").compute(**greek, rouge_types=["rougeX"])


def test_no_predictions_at_all(load):
    with pytest.raises(ValueError, match="rouge needs at least one prediction"):
        load("rouge").compute(predictions=[], references=[])


def test_nothing_is_downloaded(load, monkeypatch):
    def refuse(*arguments, **options):
        pytest.fail(f"NLTK wanted data: {arguments}")

    for name in ("download", "sent_tokenize", "word_tokenize"):
        monkeypatch.setattr(nltk, name, refuse)
    monkeypatch.setattr(nltk.data, "find", refuse)
    found = load("rouge").compute(
        predictions=["It rained. We ran."], references=["We ran. It rained."], use_stemmer=True
    )
    assert found["rouge1"] == 1.0 and found["rougeLsum"] == pytest.approx(0.5)
