"""course_lib.pt.inference and course_lib.tf.inference: the same names, arguments and numbers."""

import inspect

import numpy as np
import pytest

from course_lib.pt import inference as pt
from course_lib.tf import inference as tf

CHECKPOINT = "distilbert-base-uncased-finetuned-sst-2-english"
TEXTS = [
    "I've been waiting for a HuggingFace course my whole life.",
    "I hate this so much!",
    "It was fine, more or less.",
    "Not the worst film that I have seen this year, and not the best either.",
    "Great.",
]


def parameters(function):
    """What a caller sees of a signature; the types differ by framework."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def test_both_have_the_same_names_in_the_same_order():
    assert pt.__all__ == tf.__all__
    assert len(pt.__all__) == 5


@pytest.mark.parametrize("name", pt.__all__)
def test_both_take_the_same_arguments(name):
    assert parameters(getattr(pt, name)) == parameters(getattr(tf, name))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The stand-in in PyTorch and in Keras, and its tokenizer."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from course_lib.tf.models import TFAutoModelForSequenceClassification
    from course_lib.zoo.assembly import write_files
    from course_lib.zoo.catalogue import ENTRIES

    folder = tmp_path_factory.mktemp("stand-in")
    entry = next(entry for entry in ENTRIES if entry.repo_id.name == CHECKPOINT)
    write_files(entry.files(), folder)
    return (AutoModelForSequenceClassification.from_pretrained(folder),
            TFAutoModelForSequenceClassification.from_pretrained(folder),
            AutoTokenizer.from_pretrained(folder))


def test_preprocess_gives_the_same_numbers(loaded):
    tokenizer = loaded[2]
    for options in ({}, {"max_length": 6}, {"text_pairs": TEXTS[::-1]}):
        torchs, ours = (track.preprocess(TEXTS, tokenizer, **options) for track in (pt, tf))
        assert list(torchs) == list(ours)
        for name in torchs:
            assert torchs[name].tolist() == ours[name].tolist()


def test_forward_gives_the_same_numbers(loaded):
    torchs, ours, tokenizer = loaded
    expected = pt.forward(pt.preprocess(TEXTS, tokenizer), torchs).logits
    logits = tf.forward(tf.preprocess(TEXTS, tokenizer), ours).logits
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    crossed = tf.forward(pt.preprocess(TEXTS, tokenizer), ours).logits  # PyTorch's tensors, too
    np.testing.assert_allclose(crossed, expected, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"problem_type": "single_label_classification"},
        {"problem_type": "multi_label_classification"},
        {"problem_type": "regression"},
        {"num_labels": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("top_k", [None, 1, 5])
def test_scores_and_records_are_the_same(settings, top_k):
    import torch
    from transformers import BertConfig

    config = BertConfig(**{"num_labels": 3, **settings})
    logits = np.random.default_rng(0).normal(size=(4, config.num_labels)).astype("float32") * 5
    expected = pt.label_scores(torch.from_numpy(logits), config)
    np.testing.assert_allclose(tf.label_scores(logits, config), expected, atol=1e-6)
    torchs = pt.postprocess(torch.from_numpy(logits), config, top_k=top_k)
    ours = tf.postprocess(logits, config, top_k=top_k)
    assert labels(ours) == labels(torchs)
    assert scores(ours) == pytest.approx(scores(torchs), abs=1e-6)


def flat(records):
    """Records and lists of records as one list."""
    return [one for entry in records for one in (entry if isinstance(entry, list) else [entry])]


def labels(records):
    return [record["label"] for record in flat(records)]


def scores(records):
    return [record["score"] for record in flat(records)]


@pytest.mark.parametrize("options", [{}, {"batch_size": 2}, {"top_k": 2}, {"max_length": 5},
                                     {"text_pairs": TEXTS[::-1]}], ids=str)
def test_classify_gives_the_same_answers(loaded, options):
    torchs, ours, tokenizer = loaded
    expected = pt.classify(TEXTS, torchs, tokenizer, **options)
    records = tf.classify(TEXTS, ours, tokenizer, **options)
    assert labels(records) == labels(expected)
    assert scores(records) == pytest.approx(scores(expected), abs=1e-4)


@pytest.mark.parametrize("texts", ["one text", [], ["a", None], [["a"]]], ids=str)
def test_both_refuse_the_same_in_the_same_words(loaded, texts):
    said = []
    for track, model in zip((pt, tf), loaded, strict=False):
        with pytest.raises((TypeError, ValueError)) as caught:
            track.classify(texts, model, loaded[2])
        said.append((caught.type, str(caught.value)))
    assert said[0] == said[1]
