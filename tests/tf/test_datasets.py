"""Pipelines for Keras: every row once an epoch, fixed types, bounded memory, clear errors."""

import re
import time
import warnings
from pathlib import Path

import datasets
import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from course_lib.tf.collators import (
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    DefaultDataCollator,
)
from course_lib.tf.datasets import prepare_tf_dataset, usable_columns

ROWS = 23


class Names:
    """What a model tells about itself."""

    def __init__(self, *inputs, labels=("labels",)):
        self.input_names, self.label_names = inputs, labels


BERT = Names("input_ids", "attention_mask", "token_type_ids")


@pytest.fixture(scope="module")
def tokenizer():
    words = {"[PAD]": 0, "[MASK]": 1, "[UNK]": 2} | {f"w{i}": i for i in range(3, 60)}
    core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", mask_token="[MASK]", unk_token="[UNK]",
        model_input_names=["input_ids", "attention_mask"],
    )


@pytest.fixture(scope="module")
def dataset():
    """The first id is the row's number, so that a batch says which rows it has."""
    ids = [[number + 3] * (1 + number % 5) for number in range(ROWS)]
    return datasets.Dataset.from_dict({
        "text": [f"row {number}" for number in range(ROWS)],
        "input_ids": ids,
        "attention_mask": [[1] * len(row) for row in ids],
        "idx": list(range(ROWS)),
        "label": [number % 2 for number in range(ROWS)],
    })


def numbers(stream):
    """The rows' numbers, batch by batch."""
    return [(batch[0] if isinstance(batch, tuple) else batch)["input_ids"][:, 0].numpy() - 3
            for batch in stream]


@settings(max_examples=15, deadline=None)
@given(
    batch_size=st.integers(1, ROWS),
    shuffle=st.booleans(),
    drop=st.none() | st.booleans(),
    prefetch=st.booleans(),
    seed=st.none() | st.integers(0, 9),
)
def test_every_row_once_an_epoch(dataset, tokenizer, batch_size, shuffle, drop, prefetch, seed):
    stream = prepare_tf_dataset(dataset, BERT, batch_size, shuffle, tokenizer, prefetch=prefetch,
                                drop_remainder=drop, seed=seed)
    drops = shuffle if drop is None else drop
    count = ROWS // batch_size if drops else -(-ROWS // batch_size)
    assert int(stream.cardinality()) == count
    epochs = [numbers(stream) for _ in range(2)]
    for epoch in epochs:
        assert len(epoch) == count and all(len(batch) == batch_size for batch in epoch[:-1])
        seen = np.concatenate(epoch)
        assert len(set(seen)) == len(seen) == (count * batch_size if drops else ROWS)
        if not shuffle:
            assert seen.tolist() == list(range(len(seen)))
    x_spec, y_spec = stream.element_spec
    assert x_spec["input_ids"] == tf.TensorSpec((batch_size if drops else None, None), tf.int64)
    assert y_spec == tf.TensorSpec((batch_size if drops else None,), tf.int64)
    assert set(x_spec) == {"input_ids", "attention_mask"}


def test_each_row_keeps_its_columns(dataset, tokenizer):
    stream = prepare_tf_dataset(dataset, BERT, 5, tokenizer=tokenizer, drop_remainder=False)
    for x, y in stream:
        for ids, mask, label in zip(x["input_ids"], x["attention_mask"], y, strict=True):
            number = int(ids[0]) - 3
            assert ids.numpy().tolist()[:1 + number % 5] == dataset[number]["input_ids"]
            assert mask.numpy().sum() == 1 + number % 5 and int(label) == number % 2


def test_a_seed_repeats_the_epochs_which_differ(dataset, tokenizer):
    def epochs(seed, count=3):
        stream = prepare_tf_dataset(dataset, BERT, 4, tokenizer=tokenizer, seed=seed)
        return [np.concatenate(numbers(stream)).tolist() for _ in range(count)]

    first = epochs(1)
    assert first == epochs(1) and first != epochs(2)
    assert len({tuple(epoch) for epoch in first}) == 3
    keras.utils.set_random_seed(7)
    third = epochs(None)
    assert third != epochs(None)
    keras.utils.set_random_seed(7)
    assert third == epochs(None)


def test_two_loops_do_not_disturb_each_other(dataset, tokenizer):
    stream = prepare_tf_dataset(dataset, BERT, 4, tokenizer=tokenizer, drop_remainder=False)
    one, two = iter(stream), iter(stream)
    pairs = list(zip(one, two, strict=True))
    for side in (0, 1):
        seen = np.concatenate([pair[side][0]["input_ids"][:, 0].numpy() for pair in pairs]) - 3
        assert sorted(seen.tolist()) == list(range(ROWS))


def test_the_selection_of_a_dataset_is_kept(dataset, tokenizer):
    chosen = dataset.filter(lambda row: row["idx"] % 3 == 0).shuffle(seed=1)
    stream = prepare_tf_dataset(chosen, BERT, 3, shuffle=False, tokenizer=tokenizer)
    assert np.concatenate(numbers(stream)).tolist() == chosen["idx"][:]


def test_prefetch_false_makes_no_batch_ahead(dataset):
    calls = []

    def collate(examples):
        calls.append(len(examples))
        return {"input_ids": np.zeros((len(examples), 1))}

    stream = prepare_tf_dataset(dataset, BERT, 4, collate_fn=collate, prefetch=False)
    before, batches = len(calls), iter(stream)
    for number in range(1, 4):
        next(batches)
        time.sleep(0.05)
        assert len(calls) == before + number


def test_columns_without_a_model(dataset, tokenizer):
    with pytest.warns(UserWarning, match="not numbers, left out: 'text'.*remove_columns") as caught:
        stream = prepare_tf_dataset(dataset, tokenizer=tokenizer)
    assert Path(caught[0].filename).name == "test_datasets.py"
    x, y = stream.element_spec
    assert set(x) == {"input_ids", "attention_mask", "idx"} and y.shape == (8,)


def test_columns_with_a_model(dataset):
    assert usable_columns(dataset, BERT) == ["input_ids", "attention_mask", "label"]
    assert usable_columns(dataset, Names("idx", labels=())) == ["idx"]
    assert usable_columns(dataset, Names("text")) == ["text", "label"]  # the collator will object
    with pytest.raises(ValueError, match=r"no column is of use: .*text.* and Names takes pixels"):
        usable_columns(dataset, Names("pixels"))
    with pytest.raises(TypeError, match="object has no input_names"):
        prepare_tf_dataset(dataset, object())


def test_several_labels_make_a_dictionary():
    spans = datasets.Dataset.from_dict({"input_ids": [[1, 2], [3, 4]], "start_positions": [0, 1],
                                        "end_positions": [1, 1], "other": [0, 0]})
    labels = ("start_positions", "end_positions")
    for model in (Names("input_ids", labels=labels), None):
        x, y = next(iter(prepare_tf_dataset(spans, model, 2, shuffle=False)))
        assert set(x) == ({"input_ids"} if model else {"input_ids", "other"})
        assert {name: tensor.numpy().tolist() for name, tensor in y.items()} == {
            "start_positions": [0, 1], "end_positions": [1, 1]}


def test_without_labels_there_are_only_inputs(dataset, tokenizer):
    stream = prepare_tf_dataset(dataset.remove_columns("label"), BERT, tokenizer=tokenizer)
    assert set(stream.element_spec) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("name", ["label", "label_ids", "labels"])
def test_the_names_of_labels(name):
    rows = datasets.Dataset.from_dict({"x": [1, 2], name: [0.5, 1.5]})

    def stack(examples):
        return {key: np.array([row[key] for row in examples]) for key in examples[0]}

    # The default collator of transformers wants lists in `label_ids`.
    for collate in (stack,) if name == "label_ids" else (None, stack):
        _, y = next(iter(prepare_tf_dataset(rows, Names("x"), 2, False, collate_fn=collate)))
        assert y.dtype == tf.float32 and y.numpy().tolist() == [0.5, 1.5]


def test_types_and_fixed_shapes():
    features = datasets.Features({
        "small": datasets.Value("int8"), "flag": datasets.Value("bool"),
        "vector": datasets.List(datasets.Value("float64"), length=4),
        "image": datasets.Array2D((2, 3), "uint8"), "nested": [[datasets.Value("float32")]],
        "label": datasets.ClassLabel(names=["a", "b"]),
    })
    one = {"small": 3, "flag": True, "vector": [0.1] * 4, "image": [[1, 2, 3]] * 2,
           "nested": [[1.0, 2.0]], "label": 1}
    rows = datasets.Dataset.from_list([one] * 6, features=features)
    x, y = prepare_tf_dataset(rows, batch_size=4, shuffle=False).element_spec
    assert x == {
        "small": tf.TensorSpec((None,), tf.int64),
        "flag": tf.TensorSpec((None,), tf.bool),
        "vector": tf.TensorSpec((None, 4), tf.float32),
        "image": tf.TensorSpec((None, 2, 3), tf.int64),
        "nested": tf.TensorSpec((None, 1, 2), tf.float32),
    }
    assert y == tf.TensorSpec((None,), tf.int64)


def test_rows_alike_by_chance_do_not_fix_a_width(tokenizer):
    """Only row 777 is longer than the others: a sample would hardly see it."""
    ids = [[5, 6]] * 777 + [[5, 6, 7]] + [[5, 6]] * 222
    rows = datasets.Dataset.from_dict({"input_ids": ids})
    stream = prepare_tf_dataset(rows, batch_size=10, tokenizer=tokenizer, shuffle=False)
    assert stream.element_spec["input_ids"].shape == (None, None)
    assert {batch["input_ids"].shape[1] for batch in stream} == {2, 3}
    alike = prepare_tf_dataset(rows.select(range(777)).flatten_indices(), tokenizer=tokenizer)
    assert alike.element_spec["input_ids"].shape == (8, 2)


def test_collators_for_every_task(dataset, tokenizer):
    tagged = dataset.map(lambda row: {"labels": [1] * len(row["input_ids"])})
    tagged = tagged.remove_columns("label")
    for collator in (DataCollatorForTokenClassification, DataCollatorForSeq2Seq):
        x, y = next(iter(prepare_tf_dataset(tagged, BERT, collate_fn=collator(tokenizer))))
        assert y.shape == x["input_ids"].shape
        assert ((y == -100).numpy() == (x["attention_mask"] == 0).numpy()).all()

    for kind in ("np", "pt"):
        theirs = transformers.DataCollatorWithPadding(tokenizer, return_tensors=kind)
        stream = prepare_tf_dataset(dataset, BERT, 4, shuffle=False, collate_fn=theirs)
        assert np.concatenate(numbers(stream)).tolist() == list(range(ROWS))
        assert stream.element_spec[1] == tf.TensorSpec((None,), tf.int64)

    class Shift:
        input_names = "input_ids", "attention_mask", "decoder_input_ids"
        label_names = ("labels",)

        def prepare_decoder_input_ids_from_labels(self, labels):
            return tf.roll(labels, 1, 1)

    collator = DataCollatorForSeq2Seq(tokenizer, model=Shift())
    x, y = next(iter(prepare_tf_dataset(tagged, Shift(), collate_fn=collator)))
    assert (tf.roll(y, 1, 1).numpy() == x["decoder_input_ids"].numpy()).all()


def test_masks_are_those_of_a_plain_loop_and_change_with_the_epoch(dataset, tokenizer):
    """Trying the collator out has drawn no random number from it, nor from NumPy."""
    def masker():
        return DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.5, seed=3)

    np.random.seed(0)
    before = np.random.get_state()[1].tolist()
    stream = prepare_tf_dataset(dataset, BERT, 5, shuffle=False, collate_fn=masker())
    assert np.random.get_state()[1].tolist() == before
    plain = masker()
    rows = dataset.select_columns(["input_ids", "attention_mask"]).to_list()
    for number, (x, y) in enumerate(stream):
        expected = plain(rows[5 * number:5 * number + 5])
        np.testing.assert_array_equal(x["input_ids"], expected["input_ids"])
        np.testing.assert_array_equal(y, expected["labels"])
    one, two = ([y.numpy().tolist() for _, y in stream] for _ in range(2))
    assert one != two


def test_the_special_tokens_mask_reaches_the_collator(dataset, tokenizer):
    special = dataset.map(lambda row: {"special_tokens_mask": [1] * len(row["input_ids"])})
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=1.0)
    x, y = next(iter(prepare_tf_dataset(special, BERT, collate_fn=collator)))
    assert (y == -100).numpy().all() and set(x) == {"input_ids", "attention_mask"}


def test_a_transform_on_the_fly(tokenizer):
    texts = datasets.Dataset.from_dict({"text": ["w3 w4", "w5", "w6 w7 w8"], "label": [0, 1, 0]})

    def encode(rows):
        ids = [[int(word[1:]) for word in text.split()] for text in rows["text"]]
        return {"input_ids": ids, "label": rows["label"], "text": rows["text"]}

    texts.set_transform(encode)
    x, y = next(iter(prepare_tf_dataset(texts, BERT, 3, shuffle=False, tokenizer=tokenizer)))
    assert x["input_ids"].numpy().tolist() == [[3, 4, 0], [5, 0, 0], [6, 7, 8]]
    assert y.numpy().tolist() == [0, 1, 0]


def test_the_format_that_a_collator_gets(dataset):
    seen = []

    def collate(examples, extra=0):
        seen.append(type(examples[0]["input_ids"]))
        return {"input_ids": np.full((len(examples), 1), extra)}

    for kind in (None, "torch", "numpy"):
        stream = prepare_tf_dataset(dataset.with_format(kind), BERT, collate_fn=collate,
                                    collate_fn_args={"extra": 9})
        assert next(iter(stream))["input_ids"].numpy().tolist() == [[9]] * 8
    assert set(seen) == {list, np.ndarray} and seen[0] is list and seen[-1] is np.ndarray


def test_wrong_arguments(dataset, tokenizer):
    for wrong in (0, -1, 2.5, True, "8"):
        with pytest.raises(ValueError, match="batch_size is a whole number, 1 or more; got"):
            prepare_tf_dataset(dataset, BERT, wrong)
    with pytest.raises(TypeError, match="IterableDataset.*no row numbers"):
        prepare_tf_dataset(dataset.to_iterable_dataset(), BERT)
    with pytest.raises(TypeError, match="several splits; give one of them: a, b"):
        prepare_tf_dataset(datasets.DatasetDict(a=dataset, b=dataset), BERT)
    with pytest.raises(TypeError, match=r"expected a datasets.Dataset; got list"):
        prepare_tf_dataset([{"input_ids": [1]}], BERT)
    with pytest.raises(ValueError, match="has no rows"):
        prepare_tf_dataset(dataset.select([]), BERT)
    with pytest.raises(ValueError, match="23 rows make no full batch of 24"):
        prepare_tf_dataset(dataset, BERT, 24, tokenizer=tokenizer)
    with pytest.raises(ValueError, match="no column is of use: there are text"):
        with pytest.warns(UserWarning, match="left out: 'text'"):
            prepare_tf_dataset(dataset.select_columns(["text"]))
    with pytest.raises(ValueError, match="the collator gives x, labels, and no input"):
        prepare_tf_dataset(dataset, BERT, collate_fn=lambda rows: {"x": [0], "labels": [0]})
    with pytest.raises(TypeError, match="collate_fn gives a dictionary"):
        prepare_tf_dataset(dataset, BERT, collate_fn=len)


def test_a_collate_error_is_raised_at_once_as_itself(dataset, tokenizer):
    with pytest.raises(ValueError, match="^column 'input_ids' makes no rectangle"):
        prepare_tf_dataset(dataset, BERT)  # no tokenizer
    with pytest.raises(ValueError, match="^column 'text' holds text"):
        prepare_tf_dataset(dataset, Names("input_ids", "text"), tokenizer=tokenizer)


def test_a_late_collate_error_says_which_rows_first(dataset):
    calls = []

    def fails_late(examples):
        calls.append(len(examples))
        if len(calls) > 20:
            raise ValueError("something is odd")
        return {"input_ids": np.zeros((len(examples), 1))}

    stream = prepare_tf_dataset(dataset, BERT, 4, shuffle=False, collate_fn=fails_late)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        list(stream)
    sentence = "ValueError: the batch of the rows [0-9, ]+ cannot be made: something is odd"
    assert re.search(sentence, str(caught.value)[:200])


class Small(keras.Model):
    input_names = "input_ids", "attention_mask"
    label_names = ("labels",)

    def __init__(self):
        super().__init__()
        self.embed, self.out = keras.layers.Embedding(60, 8), keras.layers.Dense(2)

    def call(self, inputs):
        real = keras.ops.cast(inputs["attention_mask"], "float32")[..., None]
        return self.out(keras.ops.sum(self.embed(inputs["input_ids"]) * real, 1))


def test_fit_evaluate_predict(dataset, tokenizer):
    keras.utils.set_random_seed(0)
    model = Small()
    model.compile(keras.optimizers.Adam(0.1), metrics=["accuracy"],
                  loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    train = prepare_tf_dataset(dataset, model, 4, tokenizer=tokenizer)
    held = prepare_tf_dataset(dataset, model, 4, shuffle=False, tokenizer=tokenizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = model.fit(train, epochs=12, validation_data=held, shuffle=False, verbose=0)
    assert history.params["steps"] == ROWS // 4
    assert history.history["val_accuracy"][-1] == 1.0
    assert model.evaluate(held, verbose=0)[1] == 1.0
    assert model.predict(held, verbose=0).shape == (ROWS, 2)


@pytest.mark.parametrize("collator", [DataCollatorWithPadding, DataCollatorForLanguageModeling])
def test_to_tf_dataset_takes_our_collators(dataset, tokenizer, collator):
    # More test batches than the usual 20: datasets guesses which widths vary.
    stream = dataset.to_tf_dataset(
        columns=["input_ids", "attention_mask"], label_cols="label", batch_size=4,
        collate_fn=collator(tokenizer), num_test_batches=60)
    masked = collator is DataCollatorForLanguageModeling
    seen = 0
    for x, y in stream:
        assert x["input_ids"].shape == x["attention_mask"].shape and y.dtype == tf.int64
        assert y.shape == (x["input_ids"].shape if masked else x["input_ids"].shape[:1])
        seen += len(y)
    assert seen == ROWS


def test_to_tf_dataset_with_the_default_collator():
    rows = datasets.Dataset.from_dict({"x": [[1.0, 2.0]] * 3, "label": [0, 1, 0]})
    stream = rows.to_tf_dataset(columns="x", label_cols="labels", batch_size=3,
                                collate_fn=DefaultDataCollator())
    x, y = next(iter(stream))
    assert x.numpy().tolist() == [[1.0, 2.0]] * 3 and y.numpy().tolist() == [0, 1, 0]


def private_memory():
    """MB of this process that are no mapped file."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) / 1024


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux' /proc")
@pytest.mark.parametrize("shuffle", [False, True])
def test_memory_stays_bounded(tmp_path, tokenizer, shuffle):
    """300 MB on disk pass through; the process grows by far less."""
    rows, length = 36_000, 512
    flat = pa.array(np.random.default_rng(0).integers(3, 60, rows * length), pa.int64())
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * length)
    ids = pa.ListArray.from_arrays(offsets, flat)
    table = pa.table({"input_ids": ids, "attention_mask": ids})
    datasets.Dataset(datasets.table.InMemoryTable(table)).save_to_disk(tmp_path / "big")
    del table, ids, flat, offsets
    big = datasets.load_from_disk(tmp_path / "big")
    assert sum(file.stat().st_size for file in (tmp_path / "big").glob("*.arrow")) > 290e6
    stream = prepare_tf_dataset(big, BERT, 16, shuffle, tokenizer)
    for number, _ in enumerate(stream):
        if number == 200:
            start = private_memory()
    assert private_memory() - start < 40
    assert number == rows // 16 - 1
