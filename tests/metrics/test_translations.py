"""BLEU and SacreBLEU: the numbers of sacrebleu, of NLTK and of a slow formula, on odd texts too."""

import math
from fractions import Fraction

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import corpus_bleu as nltk_bleu

from tests.metrics.odd_texts import texts

EXACT = {"rel": 1e-9, "abs": 1e-9}
KEYS = ["score", "counts", "totals", "precisions", "bp", "sys_len", "ref_len"]
PREDICTIONS = [
    "The cat sat on the mat.",
    "There is a dog in the garden",
    "Good morning to you all!",
]
REFERENCES = [
    ["The cat is sitting on the mat.", "A cat sat on the mat."],
    ["A dog is in the garden", "There is a dog in the garden now"],
    ["Good morning to all of you!", "Good morning, everybody!"],
]


@st.composite
def corpora(draw, same_number=True):
    """Predictions and lists of references: as many for each, or not."""
    count = draw(st.integers(1, 3))
    size = draw(st.integers(1, 4))
    predictions = draw(st.lists(texts(), min_size=size, max_size=size))
    least = count if same_number else 1
    references = [draw(st.lists(texts(), min_size=least, max_size=count)) for _ in range(size)]
    return predictions, references


def library(predictions, references, **options):
    """sacrebleu itself, as a dictionary."""
    found = sacrebleu.corpus_bleu(predictions, list(zip(*references, strict=True)), **options)
    return {key: getattr(found, key) for key in KEYS}


def slow_bleu(predictions, references, max_order=4, smooth=False):
    """BLEU of tokens, one n-gram at a time, in fractions: (bleu, precisions, penalty)."""
    precisions = []
    for n in range(1, max_order + 1):
        hits = possible = int(smooth)
        for prediction, truths in zip(predictions, references, strict=True):
            runs = [prediction[i : i + n] for i in range(len(prediction) - n + 1)]
            most = {}
            for truth in truths:
                there = [truth[i : i + n] for i in range(len(truth) - n + 1)]
                for run in there:
                    most[tuple(run)] = max(most.get(tuple(run), 0), there.count(run))
            possible += len(runs)
            for run in {tuple(run) for run in runs}:
                hits += min(runs.count(list(run)), most.get(run, 0))
        precisions.append(Fraction(hits, possible) if possible else Fraction(0))
    said = sum(map(len, predictions))
    wanted = sum(min(len(truth) for truth in truths) for truths in references)
    if not said or not wanted:
        return 0.0, precisions, 0.0
    penalty = 1.0 if said > wanted else math.exp(1 - wanted / said)
    product = math.prod(precisions)
    return float(product) ** (1 / max_order) * penalty, precisions, penalty


@settings(max_examples=40, deadline=None)
@given(corpora(), st.sampled_from(["exp", "floor", "add-k", "none"]), st.booleans(), st.booleans())
def test_sacrebleu(load, corpus, smooth_method, lowercase, effective):
    predictions, references = corpus
    options = {"smooth_method": smooth_method, "lowercase": lowercase}
    options["use_effective_order"] = effective
    found = load("sacrebleu").compute(predictions=predictions, references=references, **options)
    assert list(found) == KEYS
    expected = library(predictions, references, **options)
    for key in KEYS:
        assert found[key] == pytest.approx(expected[key], **EXACT)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tokenize": "char"},
        {"tokenize": "intl", "force": True},
        {"tokenize": "zh"},
        {"tokenize": "none", "smooth_method": "floor", "smooth_value": 0.3},
        {"smooth_method": "add-k", "smooth_value": 2},
    ],
)
def test_sacrebleu_options(options, load):
    found = load("sacrebleu").compute(predictions=PREDICTIONS, references=REFERENCES, **options)
    assert found == library(PREDICTIONS, REFERENCES, **options)


def test_sacrebleu_takes_one_reference_as_a_string(load):
    truths = [several[0] for several in REFERENCES]
    found = load("sacrebleu").compute(predictions=PREDICTIONS, references=truths)
    assert found == library(PREDICTIONS, [[truth] for truth in truths])


def test_sacrebleu_in_batches(load):
    metric = load("sacrebleu")
    for prediction, several in zip(PREDICTIONS, REFERENCES, strict=True):
        metric.add(prediction=prediction, reference=several)
    assert metric.compute() == library(PREDICTIONS, REFERENCES)


@pytest.mark.parametrize("references", [[["a"], ["a", "b"]], [[], []], [["a"], []]])
def test_sacrebleu_with_uneven_references(references, load):
    with pytest.raises(ValueError, match="the same number of references for each prediction"):
        load("sacrebleu").compute(predictions=["a", "b"], references=references)


@settings(max_examples=50, deadline=None)
@given(corpora(same_number=False), st.integers(1, 5), st.booleans())
def test_bleu(load, corpus, max_order, smooth):
    predictions, references = corpus
    found = load("bleu").compute(
        predictions=predictions, references=references, max_order=max_order, smooth=smooth
    )

    def tokens(text):
        return sacrebleu.tokenizers.tokenizer_13a.Tokenizer13a()(text).split()

    said = [tokens(text) for text in predictions]
    wanted = [[tokens(text) for text in several] for several in references]
    bleu, precisions, penalty = slow_bleu(said, wanted, max_order, smooth)
    assert found["bleu"] == pytest.approx(bleu, **EXACT)
    assert found["precisions"] == pytest.approx([float(share) for share in precisions], **EXACT)
    assert found["brevity_penalty"] == pytest.approx(penalty, **EXACT)
    assert found["translation_length"] == sum(map(len, said))
    assert 0 <= found["bleu"] <= 1 + 1e-12


@settings(max_examples=40, deadline=None)
@given(corpora())
def test_bleu_is_sacrebleu_without_smoothing(load, corpus):
    predictions, references = corpus
    # sacrebleu drops space at the end first; of several references it takes the closest length.
    predictions = [text.rstrip() for text in predictions]
    truths = [several[0].rstrip() for several in references]
    found = load("bleu").compute(predictions=predictions, references=truths)
    expected = library(predictions, [[truth] for truth in truths], smooth_method="none")
    assert found["bleu"] == pytest.approx(expected["score"] / 100, **EXACT)
    assert found["precisions"] == pytest.approx([p / 100 for p in expected["precisions"]], **EXACT)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_bleu_is_that_of_nltk(order, load):
    truths = [several[:1] for several in REFERENCES]
    expected = nltk_bleu(
        [[text.split() for text in several] for several in truths],
        [text.split() for text in PREDICTIONS],
        weights=[1 / order] * order,
    )
    found = load("bleu").compute(
        predictions=PREDICTIONS, references=truths, max_order=order, tokenizer=str.split
    )
    assert found["bleu"] == pytest.approx(expected, **EXACT)


def test_bleu_takes_the_shortest_reference(load):
    found = load("bleu").compute(
        predictions=["one two three four five"],
        references=[["one two three four five six seven", "one two three"]],
    )
    assert found["reference_length"] == 3 and found["brevity_penalty"] == 1.0


@pytest.mark.parametrize("predictions", [[""], ["", ""], ["   "]])
def test_bleu_of_nothing_said(predictions, load):
    references = [["a b c d e"]] * len(predictions)
    found = load("bleu").compute(predictions=predictions, references=references)
    assert found["bleu"] == found["length_ratio"] == found["brevity_penalty"] == 0.0
    assert load("sacrebleu").compute(predictions=predictions, references=references)["score"] == 0.0


@pytest.mark.parametrize("name", ["bleu", "sacrebleu"])
def test_no_predictions_at_all(name, load):
    with pytest.raises(ValueError, match=f"{name} needs at least one prediction"):
        load(name).compute(predictions=[], references=[])


def test_bleu_without_a_reference(load):
    with pytest.raises(ValueError, match="prediction 1 has no reference"):
        load("bleu").compute(predictions=["a", "b"], references=[["a"], []])
