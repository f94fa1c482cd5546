"""Evaluation data of any form: each row once, labels found, or missed with a reason."""

import datasets
import numpy as np
import pytest
import tensorflow as tf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.utils import PyDataset
from numpy.testing import assert_array_equal

from course_lib.keras_callbacks.evaluation import (
    IGNORED,
    alone,
    as_batches,
    as_numpy,
    from_tf_data,
    gives_rows,
    join,
    join_arrays,
    label_columns,
    pick_labels,
)

ROWS = 11
X = np.arange(2 * ROWS, dtype="float32").reshape(ROWS, 2)
Y = np.arange(ROWS)
WEIGHTS = np.linspace(0, 1, ROWS)


class Sequence(PyDataset):
    """Batches of 4 rows; it counts what Keras tells it."""

    def __init__(self, weights=False):
        super().__init__()
        self.weights, self.told = weights, []

    def __len__(self):
        return 3

    def __getitem__(self, number):
        rows = slice(4 * number, 4 * number + 4)
        return (X[rows], Y[rows], WEIGHTS[rows]) if self.weights else (X[rows], Y[rows])

    def on_epoch_begin(self):
        self.told.append("begin")

    def on_epoch_end(self):
        self.told.append("end")


class Endless(PyDataset):
    def __getitem__(self, number):
        return X, Y

    @property
    def num_batches(self):
        return None


def torch_loader():
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(data, batch_size=4)


FORMS = {
    "arrays": lambda: ((X, Y), 4),
    "lists": lambda: ((X.tolist(), Y.tolist()), 4),
    "dictionary beside labels": lambda: (({"x": X, "z": X[:, :1]}, Y), 4),
    "several inputs": lambda: (([X, X[:, :1]], Y), 4),
    "tensors": lambda: ((tf.constant(X), torch.tensor(Y)), 4),
    "tf.data of rows": lambda: (tf.data.Dataset.from_tensor_slices((X, Y)), 4),
    "tf.data of batches": lambda: (tf.data.Dataset.from_tensor_slices((X, Y)).batch(4), None),
    "batches and a batch_size": lambda: (
        tf.data.Dataset.from_tensor_slices((X, Y)).batch(4), 3),
    "tf.data, length unknown": lambda: (
        tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).filter(lambda x, y: True), None),
    "PyDataset": lambda: (Sequence(), None),
    "DataLoader": lambda: (torch_loader(), None),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_row_comes_once_in_every_pass(form):
    data, size = FORMS[form]()
    batches = as_batches(data, size)
    for _ in range(2):
        found = [(x, as_numpy(y), w) for x, y, w in batches]
        assert [len(y) for _, y, _ in found] == [4, 4, 3]
        assert_array_equal(np.concatenate([y for _, y, _ in found]), Y)
        assert all(w is None for *_, w in found)
    assert batches.count == (None if "unknown" in form else 3)


@pytest.mark.parametrize("data", [(X, Y, WEIGHTS), Sequence(weights=True),
                                  tf.data.Dataset.from_tensor_slices((X, Y, WEIGHTS)).batch(5)],
                         ids=["arrays", "PyDataset", "tf.data"])
def test_weights_come_third(data):
    found = np.concatenate([as_numpy(w) for *_, w in as_batches(data, 4)])
    assert_array_equal(found, WEIGHTS)


def test_a_dataset_of_hugging_face_goes_through_prepare_tf_dataset():
    data = datasets.Dataset.from_dict({"x": X.tolist(), "labels": Y.tolist()})
    found = list(as_batches(data, 4))
    assert [len(y) for _, y, _ in found] == [4, 4, 3]
    assert_array_equal(np.concatenate([as_numpy(x["x"]) for x, *_ in found]), X)
    assert_array_equal(np.concatenate([as_numpy(y) for _, y, _ in found]), Y)
    with pytest.raises(TypeError, match="several splits; give one of them: train, test"):
        as_batches(datasets.DatasetDict(train=data, test=data))


def test_a_py_dataset_is_told_of_epochs():
    data = Sequence()
    list(as_batches(data))
    assert data.told == ["begin", "end"]


def test_arrays_have_32_rows_a_batch_unless_told():
    assert [len(x) for x, *_ in as_batches(np.zeros((40, 2)))] == [32, 8]


@pytest.mark.parametrize("spec, rows", [
    ((tf.TensorSpec((5,)), tf.TensorSpec(())), True),
    ((tf.TensorSpec((5,)), tf.TensorSpec((3,))), True),
    ((tf.TensorSpec((None, 5)), tf.TensorSpec((None,))), False),
    ((tf.TensorSpec((8, 5)), tf.TensorSpec((8,))), False),
    ({"ids": tf.TensorSpec((None,)), "labels": tf.TensorSpec(())}, True),
    (tf.TensorSpec(None), False),
])
def test_single_rows_are_told_from_batches(spec, rows):
    assert gives_rows(spec) is rows


@pytest.mark.parametrize("data, size, kind, text", [
    ((x for x in range(3)), None, TypeError, "got generator"),
    (42, None, TypeError, "got int"),
    ("texts", None, TypeError, "got str"),
    ((X, Y[:5]), 4, ValueError, "arrays of 5 and 11 rows"),
    ((X[:0], Y[:0]), 4, ValueError, "arrays of 0 rows"),
    ({}, 4, ValueError, "arrays of no rows"),
    (([[1, 2], [3]], [0, 1]), 4, ValueError, "pad them"),
    ((X, Y), 0, ValueError, "batch_size is a whole number, 1 or more, or None; got 0"),
    ((X, Y), True, ValueError, "batch_size"),
    (Endless(), None, ValueError, "never ends"),
    (tf.data.Dataset.from_tensor_slices(X).batch(2).repeat(), None, ValueError, "never ends"),
    (tf.data.Dataset.from_tensor_slices((X, Y)), None, ValueError, "single rows"),
])
def test_what_cannot_be_read_is_said_at_once(data, size, kind, text):
    with pytest.raises(kind, match=text):
        as_batches(data, size)


def test_a_batch_of_four_parts_is_no_batch():
    with pytest.raises(ValueError, match="got 4 parts"):
        list(as_batches((X, Y, WEIGHTS, Y), 4))


SPAN = {"ids": X, "start_positions": Y, "end_positions": Y + 1}


@pytest.mark.parametrize("x, y, wanted, columns", [
    ({"ids": X, "labels": Y}, None, None, ("labels",)),
    (SPAN, None, None, ("start_positions", "end_positions")),
    ({"ids": X, "labels": Y}, Y, None, ()),
    (X, Y, None, ()),
    (X, {"a": Y}, ["a"], ("a",)),
    ({"ids": X, "labels": Y}, Y, ["ids"], ("ids",)),
    ({"ids": X}, None, "ids", ("ids",)),
])
def test_labels_are_found(x, y, wanted, columns):
    assert label_columns(x, y, wanted) == columns


@pytest.mark.parametrize("x, y, wanted, text", [
    ({"ids": X, "mask": X}, None, None, "has the inputs ids, mask, and nothing beside them"),
    (X, None, None, "has inputs without names, and nothing beside them"),
    ({"ids": X, "start_positions": Y}, None, None, "the inputs ids, start_positions"),
    ({"ids": X}, Y, ["labels"], "names labels, and eval_dataset has the inputs ids, and labels"),
    ({"ids": X}, None, [], "label_cols names nothing"),
])
def test_missing_labels_are_an_error_that_says_what_there_is(x, y, wanted, text):
    with pytest.raises(ValueError, match=text):
        label_columns(x, y, wanted)


def test_labels_are_handed_on_as_they_are():
    ignored = np.array([[1, -100], [-100, 2]])
    assert_array_equal(pick_labels({}, tf.constant(ignored), ()), ignored)
    assert list(pick_labels(SPAN, None, ("start_positions", "end_positions"))) == [
        "start_positions", "end_positions"]


def test_numpy_of_every_framework():
    assert as_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype == "float32"
    assert as_numpy(tf.ones(2, "bfloat16")).dtype == "float32"
    assert as_numpy(torch.ones(2, requires_grad=True)).tolist() == [1, 1]
    assert as_numpy(tf.ragged.constant([[1, 2], [3]])).tolist() == [[1, 2], [3, -100]]
    assert as_numpy(tf.ragged.constant([["a", "b"], ["c"]])).tolist() == [[b"a", b"b"], [b"c", b""]]


shapes = st.integers(0, 2).flatmap(lambda axes: st.lists(
    st.tuples(st.integers(1, 3), *[st.integers(0, 4)] * axes), min_size=1, max_size=5))
kinds = st.sampled_from(["float32", "float16", "int64", "int8", "bool", "uint8"])


@settings(max_examples=60, deadline=None)
@given(shapes, kinds)
def test_joined_batches_hold_every_row_and_minus_100(shapes, kind):
    batches = [np.ones(shape, kind) for shape in shapes]
    joined = join_arrays(batches)
    longest = tuple(map(max, zip(*(shape[1:] for shape in shapes), strict=True)))
    assert joined.shape == (sum(shape[0] for shape in shapes), *longest)
    start = 0
    for batch in batches:
        block = joined[start:start + len(batch)]
        inside = np.zeros(block.shape, bool)
        inside[(slice(None), *(slice(size) for size in batch.shape[1:]))] = True
        assert (block[inside] == 1).all() and (block[~inside] == IGNORED).all()
        start += len(batch)


def test_join_of_texts_scalars_and_structures():
    texts = [np.array([["a", "bcd"]]), np.array([["e"]])]
    assert join_arrays(texts).tolist() == [["a", "bcd"], ["e", ""]]
    assert join_arrays([np.float32(1), np.float32(2)]).tolist() == [1, 2]
    batch = {"a": (np.ones((1, 2)), None)}
    assert join([batch, batch])["a"][0].shape == (2, 2) and join([batch])["a"][1] is None
    assert alone({"a": 1}) == 1 and alone((1,)) == 1 and alone({"a": 1, "b": 2}) == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="different numbers of axes"):
        join_arrays([np.ones(2), np.ones((2, 1))])
    with pytest.raises(ValueError, match="different parts: a; b"):
        join([{"a": np.ones(1)}, {"b": np.ones(1)}])


def test_rows_of_tf_data_are_batched_without_loss():
    rows = tf.data.Dataset.from_tensor_slices({"x": X, "labels": Y})
    assert [len(x["x"]) for x, *_ in map(lambda b: (b[0],), from_tf_data(rows, 5))] == [5, 5, 1]
