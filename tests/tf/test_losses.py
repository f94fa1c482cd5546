"""Every loss against torch.nn.functional, on shapes, labels and weights that hypothesis draws."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from course_lib.tf.losses import (
    causal_loss,
    choice_loss,
    cross_entropy,
    mean_over,
    multi_label_loss,
    problem_type,
    regression_loss,
    sequence_loss,
    span_labels,
    span_loss,
    token_loss,
    weigh,
)

SIZES = {"rows": st.integers(1, 4), "length": st.integers(2, 6), "classes": st.integers(2, 5)}
SEEDS = st.integers(0, 2**32 - 1)
KEPT = st.floats(0, 1)  # the share of labels that count


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape, scale=3).astype("float32")


def tokens(seed, rows, length, classes, kept):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (rows, length))
    return np.where(rng.random((rows, length)) < kept, labels, -100)


def torch_entropy(labels, logits, **options):
    """PyTorch's cross-entropy over all leading axes; 0 instead of its NaN."""
    loss = functional.cross_entropy(
        torch.tensor(np.asarray(logits)).reshape(-1, logits.shape[-1]),
        torch.tensor(np.asarray(labels)).reshape(-1).long(),
        **options,
    )
    return float(torch.nan_to_num(loss))


def close(ours, theirs):
    np.testing.assert_allclose(float(ours), theirs, rtol=1e-5, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, kept=KEPT, **SIZES)
def test_token_loss(seed, kept, rows, length, classes):
    logits, labels = drawn(seed, rows, length, classes), tokens(seed, rows, length, classes, kept)
    close(token_loss(labels, logits), torch_entropy(labels, logits))


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, kept=KEPT, **SIZES)
def test_causal_loss_is_shifted(seed, kept, rows, length, classes):
    logits, labels = drawn(seed, rows, length, classes), tokens(seed, rows, length, classes, kept)
    close(causal_loss(labels, logits), torch_entropy(labels[:, 1:], logits[:, :-1]))


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, kept=KEPT, column=st.booleans(), rows=SIZES["rows"], classes=SIZES["classes"])
def test_choice_loss(seed, kept, column, rows, classes):
    logits, labels = drawn(seed, rows, classes), tokens(seed, rows, 1, classes, kept)
    close(choice_loss(labels if column else labels[:, 0], logits), torch_entropy(labels, logits))


@settings(max_examples=30, deadline=None)
@given(
    seed=SEEDS,
    spans=st.lists(st.tuples(st.integers(-3, 9), st.integers(-3, 9)), min_size=1, max_size=4),
    length=SIZES["length"],
)
def test_span_loss_is_that_of_transformers(seed, spans, length):
    starts, ends = np.array(spans).T
    start_logits, end_logits = drawn(seed, 2, len(spans), length)
    parts = [
        torch_entropy(np.clip(labels, 0, length), logits, ignore_index=length)
        for labels, logits in ((starts, start_logits), (ends, end_logits))
    ]
    close(span_loss(starts, ends, start_logits, end_logits), sum(parts) / 2)


def test_span_labels_leave_out_what_lies_behind_the_text():
    assert np.asarray(span_labels(np.array([[0], [4], [5], [99], [-7]]), 5)).tolist() == [
        0, 4, -100, -100, 0,
    ]  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, flat=st.booleans(), rows=SIZES["rows"], classes=st.integers(1, 4))
def test_regression_loss(seed, flat, rows, classes):
    labels, logits = drawn(seed, 2, rows, classes)
    theirs = float(functional.mse_loss(torch.tensor(logits), torch.tensor(labels)))
    flat = flat and classes == 1
    close(regression_loss(labels[:, 0] if flat else labels, logits), theirs)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, rows=SIZES["rows"], classes=SIZES["classes"])
def test_multi_label_loss(seed, rows, classes):
    logits = drawn(seed, rows, classes)
    labels = (drawn(seed + 1, rows, classes) > 0).astype("float32")
    theirs = functional.binary_cross_entropy_with_logits(torch.tensor(logits), torch.tensor(labels))
    close(multi_label_loss(labels, logits), float(theirs))


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, kept=KEPT, per_row=st.booleans(), **SIZES)
def test_weights_multiply_losses_and_not_the_count(seed, kept, per_row, rows, length, classes):
    logits, labels = drawn(seed, rows, length, classes), tokens(seed, rows, length, classes, kept)
    weights = np.abs(drawn(seed + 1, rows, 1 if per_row else length))
    wide = np.broadcast_to(weights, labels.shape)
    for loss, asked, answered, weighed in (
        (token_loss, labels, logits, wide),
        (causal_loss, labels[:, 1:], logits[:, :-1], wide[:, 1:]),
    ):
        every = functional.cross_entropy(
            torch.tensor(answered).mT, torch.tensor(asked).long(), reduction="none"
        )
        expected = (every.numpy() * weighed).sum() / max((asked != -100).sum(), 1)
        close(loss(labels, logits, weights[:, 0] if per_row else weights), expected)


@pytest.mark.parametrize(
    "loss",
    [
        lambda logits: token_loss(np.full((2, 4), -100), logits),
        lambda logits: causal_loss(np.full((2, 4), -100), logits),
        lambda logits: choice_loss(np.full(2, -100), logits[:, 0]),
        lambda logits: span_loss(np.full(2, 9), np.full(2, 9), logits[..., 0], logits[..., 1]),
    ],
    ids=["token", "causal", "choice", "span"],
)
def test_nothing_to_learn_is_0_with_gradients_of_0(loss):
    logits = tf.Variable(drawn(0, 2, 4, 3))
    with tf.GradientTape() as tape:
        value = loss(logits)
    gradient = tf.convert_to_tensor(tape.gradient(value, logits))
    assert float(value) == 0.0 and not gradient.numpy().any()


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, kept=st.floats(0.2, 1), **SIZES)
def test_gradients(seed, kept, rows, length, classes):
    logits, labels = drawn(seed, rows, length, classes), tokens(seed, rows, length, classes, kept)
    labels[0, -1] = 0  # one that counts
    ours, theirs = tf.Variable(logits), torch.tensor(logits, requires_grad=True)
    with tf.GradientTape() as tape:
        value = causal_loss(labels, ours)
    shifted = theirs[:, :-1].reshape(-1, classes)
    functional.cross_entropy(shifted, torch.tensor(labels[:, 1:]).reshape(-1).long()).backward()
    np.testing.assert_allclose(tape.gradient(value, ours), theirs.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_logits_are_summed_in_float32(dtype):
    logits = tf.cast(drawn(0, 4, 8, 50_000), dtype)
    labels = np.random.default_rng(0).integers(0, 50_000, (4, 8))
    loss = token_loss(labels, logits)
    assert loss.dtype == tf.float32
    close(loss, torch_entropy(labels, tf.cast(logits, "float32").numpy()))


def test_problem_type_by_the_rule_of_transformers():
    config = SimpleNamespace(problem_type=None, num_labels=3)
    assert problem_type(config, np.array([1])) == "single_label_classification"
    assert problem_type(config, np.array([[1.0, 0.0, 1.0]])) == "multi_label_classification"
    number = SimpleNamespace(problem_type=None, num_labels=1)
    assert problem_type(number, np.array([1])) == "regression"
    config.problem_type = "regression"
    assert problem_type(config, np.array([1])) == "regression"
    logits = drawn(0, 2, 3)
    close(sequence_loss(logits + 2, logits, config), 4.0)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: token_loss(np.zeros((2, 5)), np.zeros((2, 4, 3))), "(2, 5), the logits ask for"),
        (lambda: causal_loss(np.zeros((2, 3)), np.zeros((2, 4, 3))), "shifted here"),
        (lambda: choice_loss(np.eye(3), np.zeros((3, 3))), "multi_label_classification"),
        (lambda: multi_label_loss(np.zeros(2), np.zeros((2, 3))), "a 0 or 1 for each class"),
        (lambda: regression_loss(np.zeros((2, 3)), np.zeros((2, 1))), "one number for each output"),
        (lambda: weigh(np.zeros((2, 3)), np.zeros(3)), "one per row, or one per label"),
        (lambda: weigh(np.zeros(2), np.zeros((2, 2))), "one per row, or one per label"),
    ],
)
def test_shapes_that_do_not_fit_are_named(call, text):
    with pytest.raises(ValueError) as caught:
        call()
    assert text in str(caught.value)


def test_weights_may_come_as_a_column():
    losses = np.array([1.0, 2.0], "float32")
    assert np.asarray(weigh(losses, np.array([[3.0], [4.0]]))).tolist() == [3.0, 8.0]


def test_losses_compile_with_unknown_shapes():
    signature = [tf.TensorSpec((None, None)), tf.TensorSpec((None, None, 3))]
    compiled = tf.function(causal_loss, input_signature=signature, jit_compile=True)
    labels, logits = tokens(0, 3, 5, 3, 0.5), drawn(0, 3, 5, 3)
    close(compiled(labels.astype("float32"), logits), torch_entropy(labels[:, 1:], logits[:, :-1]))


def test_losses_and_counts_stand_apart():
    losses, counts = cross_entropy(np.array([1, -100]), np.zeros((2, 4)))
    np.testing.assert_allclose(losses, [np.log(4), 0], rtol=1e-6)
    assert keras.ops.convert_to_numpy(counts).tolist() == [1.0, 0.0]
    close(mean_over(losses, counts), np.log(4))
