"""The three steps of inference in Keras against the pipeline of transformers, on a tiny model."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from course_lib.tf.inference import classify, forward, label_scores, postprocess, preprocess

TEXTS = ["yes", "not at all good", "a good film", "no", "good good good good no film at all"]
WORDS = "[PAD] [UNK] [CLS] [SEP] yes no not at all good bad a film".split()


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import BertTokenizer

    return BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)}, model_max_length=16)


@pytest.fixture(scope="module")
def make_models(tmp_path_factory):
    from transformers import BertConfig, BertForSequenceClassification

    from course_lib.tf.models import TFBertForSequenceClassification

    def make(**settings):
        """PyTorch's model, and ours with the same weights."""
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=16,
            initializer_range=0.5,  # so that texts differ clearly
            **settings,
        )
        theirs = BertForSequenceClassification(config).eval()
        folder = tmp_path_factory.mktemp("model")
        theirs.save_pretrained(folder)
        return theirs, TFBertForSequenceClassification.from_pretrained(folder)

    return make


@pytest.fixture(scope="module")
def models(make_models):
    return make_models(id2label={0: "BAD", 1: "GOOD", 2: "MIXED"})


@pytest.fixture(scope="module")
def model(models):
    return models[1]


@pytest.fixture(scope="module")
def pipeline(models, tokenizer):
    return pipeline_of(models[0], tokenizer)


def pipeline_of(model, tokenizer):
    from transformers import TextClassificationPipeline

    return TextClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")


def assert_same(mine, theirs):
    """Records, or lists of records, with the same labels and nearly the same scores."""
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        if isinstance(a, list):
            assert_same(a, b)
        else:
            assert a["label"] == b["label"]
            assert a["score"] == pytest.approx(b["score"], abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_classify_equals_the_pipeline_whatever_the_batches(model, tokenizer, pipeline, batch_size):
    theirs = pipeline(TEXTS)
    assert len({record["label"] for record in theirs}) > 1  # else order would not show
    assert_same(classify(TEXTS, model, tokenizer, batch_size=batch_size), theirs)


@pytest.mark.parametrize("top_k", [1, 2, 3, 9])
def test_the_best_labels_equal_the_pipelines(model, tokenizer, pipeline, top_k):
    assert_same(classify(TEXTS, model, tokenizer, top_k=top_k, batch_size=2),
                pipeline(TEXTS, top_k=top_k))


@pytest.mark.parametrize(
    "settings",
    [
        {"problem_type": "multi_label_classification", "num_labels": 4},
        {"problem_type": "single_label_classification", "num_labels": 4},
        {"problem_type": "regression", "num_labels": 1},
        {"problem_type": "regression", "num_labels": 2},
        {"num_labels": 1},
    ],
    ids=str,
)
def test_every_kind_of_problem_equals_the_pipeline(make_models, tokenizer, settings):
    reference, model = make_models(**settings)
    theirs = pipeline_of(reference, tokenizer)(TEXTS, top_k=4)
    assert_same(classify(TEXTS, model, tokenizer, top_k=4), theirs)


def test_pairs_equal_the_pipelines(model, tokenizer, pipeline):
    pairs = [{"text": text, "text_pair": TEXTS[-i]} for i, text in enumerate(TEXTS)]
    second = [pair["text_pair"] for pair in pairs]
    assert_same(classify(TEXTS, model, tokenizer, text_pairs=second, batch_size=2),
                [pipeline(pair) for pair in pairs])


def test_preprocess_pads_to_the_longest_and_cuts_at_the_limit(tokenizer):
    batch = preprocess(["yes", "good " * 40], tokenizer)
    assert all(isinstance(array, np.ndarray) for array in batch.values())
    assert batch["input_ids"].shape == (2, tokenizer.model_max_length)
    assert batch["attention_mask"].sum(-1).tolist() == [3, 16]
    assert preprocess(TEXTS, tokenizer, max_length=4)["input_ids"].shape == (5, 4)


def test_forward_has_no_dropout_even_inside_a_training_step(model, tokenizer):
    batch = preprocess(TEXTS, tokenizer)
    expected = forward(batch, model).logits.numpy()

    class Teacher(keras.layers.Layer):
        """Asks the model from within a layer that is called in training."""

        def call(self, inputs, training=False):
            return forward(inputs, model).logits

    taught = Teacher()({k: keras.ops.cast(v, "int32") for k, v in batch.items()}, training=True)
    np.testing.assert_allclose(taught, expected, atol=1e-6)
    dropped = model(batch, training=True).logits
    assert np.abs(dropped - expected).max() > 1e-3  # there is dropout to be turned off


def test_forward_lets_gradients_through(model, tokenizer):
    """Whoever opens a tape wants them: explanations of an answer need gradients without dropout."""
    with tf.GradientTape() as tape:
        best = keras.ops.max(forward(preprocess(TEXTS, tokenizer), model).logits)
    assert any(grad is not None for grad in tape.gradient(best, model.trainable_variables))


def test_forward_runs_inside_a_compiled_function(model, tokenizer):
    batch = dict(preprocess(TEXTS, tokenizer))
    compiled = tf.function(lambda inputs: forward(inputs, model).logits)
    np.testing.assert_allclose(compiled(batch), forward(batch, model).logits, atol=1e-5)


@pytest.mark.parametrize("kind", ["tensorflow", "torch", "numpy", "list"])
def test_logits_of_any_kind_get_names(model, kind):
    values = [[1.0, 2.0, 3.0], [3.0, 2.0, 0.0]]
    given = {"tensorflow": tf.constant, "torch": torch.tensor, "numpy": np.array, "list": list}
    records = postprocess(given[kind](values), model.config)
    assert [record["label"] for record in records] == ["MIXED", "BAD"]
    assert records[0]["score"] == pytest.approx(np.exp(3) / np.exp([1, 2, 3]).sum())


def test_half_precision_logits_become_float32(model):
    scores = label_scores(tf.constant([[1.0, 2.0, 3.0]], tf.bfloat16), model.config)
    assert scores.dtype == tf.float32
    assert float(tf.reduce_sum(scores)) == pytest.approx(1.0)


def test_a_model_in_half_precision_answers(models, tokenizer, tmp_path):
    from course_lib.tf.models import TFBertForSequenceClassification

    models[0].save_pretrained(tmp_path)
    half = TFBertForSequenceClassification.from_pretrained(tmp_path, dtype="bfloat16")
    records = classify(TEXTS, half, tokenizer)
    for record, exact in zip(records, classify(TEXTS, models[1], tokenizer), strict=True):
        assert record["score"] == pytest.approx(exact["score"], abs=0.05)


def test_equal_scores_keep_the_order_of_the_labels(model):
    records = postprocess(np.zeros((1, 3)), model.config, top_k=3)
    assert [record["label"] for record in records[0]] == ["BAD", "GOOD", "MIXED"]


@pytest.mark.parametrize(
    ("texts", "pairs", "says"),
    [
        ("yes", None, "expected a list of texts; got str"),
        (None, None, "expected a list of texts; got NoneType"),
        ([], None, "there are no texts"),
        (["yes", None], None, "text 1 is no string but NoneType: None"),
        ([["yes"]], None, "text 0 is no string but list: ['yes']"),
        (["yes", "no"], ["yes"], "every text needs a second one; got 2 texts and 1 second texts"),
    ],
)
def test_wrong_texts_are_named_before_the_model_runs(model, tokenizer, texts, pairs, says):
    for call in (
        lambda: preprocess(texts, tokenizer, text_pairs=pairs),
        lambda: classify(texts, model, tokenizer, text_pairs=pairs),
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            call()
        assert says in str(caught.value)


WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = classmethod(  # as if it were not installed
    lambda cls, name, *args: None if name == "torch" else find(name, *args))
from course_lib.tf.inference import classify

print(sorted({"transformers", "huggingface_hub.constants", "datasets"} & set(sys.modules)))
from transformers import AutoTokenizer

from course_lib.tf.models import TFAutoModelForSequenceClassification

folder, *texts = sys.argv[1:]
model = TFAutoModelForSequenceClassification.from_pretrained(folder)
answers = classify(texts, model, AutoTokenizer.from_pretrained(folder))
print([answer["label"] for answer in answers], "torch" in sys.modules)
"""


def test_without_torch_it_works_and_the_import_leaves_transformers_alone(
    model, tokenizer, tmp_path
):
    """Or start() could no longer choose where models come from."""
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    command = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path), *TEXTS]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = [record["label"] for record in classify(TEXTS, model, tokenizer)]
    assert done.stdout.splitlines() == ["[]", f"{expected} False"]
