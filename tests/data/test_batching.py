"""Batching against the tokenizer's own padding and windows, and against its own promises."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data.batching import (
    attention_mask,
    batch_by_length,
    batch_by_tokens,
    pad_batch,
    pad_sequences,
    padding_share,
    position_ids,
    split_windows,
    truncate,
    unpad,
    window_spans,
)

PAD, CLS, SEP = 3, 1, 2  # not 0, so that a forgotten padding id shows
SIDES = st.sampled_from(["left", "right"])
IDS = st.lists(st.integers(4, 60), max_size=30)
LENGTHS = st.lists(st.integers(0, 80), max_size=60)


@pytest.fixture(scope="module")
def tokenizer():
    """A word-level tokenizer of transformers, with BERT's special tokens under other ids."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {"[UNK]": 0, "[CLS]": CLS, "[SEP]": SEP, "[PAD]": PAD}
    words |= {f"w{i}": i for i in range(4, 61)}
    core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def text_of(ids):
    return " ".join(f"w{i}" for i in ids)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(IDS.filter(bool), min_size=1, max_size=6),
    side=SIDES,
    length=st.none() | st.integers(30, 50),
    multiple_of=st.none() | st.integers(1, 16),
    as_columns=st.booleans(),
)
def test_pad_batch_equals_tokenizer_pad(tokenizer, rows, side, length, multiple_of, as_columns):
    features = [
        {
            "input_ids": row,
            "token_type_ids": [i % 2] * len(row),
            "special_tokens_mask": [0] * len(row),
        }
        for i, row in enumerate(rows)
    ]
    theirs = tokenizer.pad(
        [dict(feature) for feature in features],
        padding="longest" if length is None else "max_length",
        max_length=length,
        pad_to_multiple_of=multiple_of,
        padding_side=side,
        return_tensors="np",
    )
    given_as = {key: [f[key] for f in features] for key in features[0]} if as_columns else features
    ours = pad_batch(
        given_as, pad_token_id=PAD, length=length, multiple_of=multiple_of, side=side
    )
    assert ours.keys() == theirs.keys()
    for key, array in ours.items():
        assert array.dtype == theirs[key].dtype
        np.testing.assert_array_equal(array, theirs[key], err_msg=key)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(IDS, min_size=1, max_size=5), side=SIDES)
def test_a_call_of_the_tokenizer_equals_encoding_then_pad_batch(tokenizer, rows, side):
    texts = [text_of(row) for row in rows]
    theirs = tokenizer(texts, padding=True, padding_side=side, return_tensors="np")
    ours = pad_batch(tokenizer(texts), pad_token_id=PAD, side=side)
    assert ours.keys() == theirs.keys()
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)


@settings(max_examples=120, deadline=None)
@given(ids=IDS.filter(bool), max_length=st.integers(4, 20), data=st.data())
def test_windows_equal_the_tokenizers_overflowing_tokens(tokenizer, ids, max_length, data):
    overlap = data.draw(st.integers(0, max_length - 3))
    theirs = tokenizer(
        text_of(ids),
        truncation=True,
        max_length=max_length,
        stride=overlap,
        return_overflowing_tokens=True,
    )["input_ids"]
    ours = split_windows(ids, max_length, overlap=overlap, prefix=[CLS], suffix=[SEP])
    assert ours == theirs


@settings(max_examples=60, deadline=None)
@given(ids=IDS, max_length=st.integers(2, 20), side=SIDES)
def test_truncate_equals_the_tokenizers(tokenizer, ids, max_length, side):
    tokenizer.truncation_side = side
    theirs = tokenizer(text_of(ids), truncation=True, max_length=max_length)["input_ids"]
    assert [CLS, *truncate(ids, max_length - 2, side=side), SEP] == theirs


@given(rows=st.lists(IDS, min_size=1, max_size=6), side=SIDES, extra=st.integers(0, 9))
def test_the_mask_takes_out_what_padding_put_in(rows, side, extra):
    length = max(map(len, rows)) + extra
    batch = pad_sequences(rows, length=length, side=side, value=PAD)
    mask = attention_mask([len(row) for row in rows], length=length, side=side)
    assert batch.shape == mask.shape == (len(rows), length)
    assert (batch[mask == 0] == PAD).all()
    assert [row.tolist() for row in unpad(batch, mask)] == rows
    assert [row.tolist() for row in unpad(position_ids(mask), mask)] == [
        list(range(len(row))) for row in rows
    ]


@given(length=st.integers(0, 200), size=st.integers(1, 40), data=st.data())
def test_windows_cover_everything_and_overlap_as_asked(length, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    spans = window_spans(length, size, overlap)
    assert spans[0][0] == 0 and spans[-1][1] == length
    assert all(end - start <= size for start, end in spans)
    for (_, end), (start, later) in zip(spans, spans[1:], strict=False):
        assert end - start == overlap  # the neighbours share exactly this
        assert later > end             # and each brings something new


@given(
    lengths=LENGTHS,
    batch_size=st.integers(1, 9),
    seed=st.none() | st.integers(0, 2**32),
    pool=st.integers(1, 5),
)
def test_every_row_is_in_one_batch(lengths, batch_size, seed, pool):
    batches = batch_by_length(lengths, batch_size, seed=seed, pool=pool)
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    full = batch_by_length(lengths, batch_size, seed=seed, pool=pool, drop_last=True)
    assert [len(batch) for batch in full] == [batch_size] * (len(lengths) // batch_size)


@given(lengths=LENGTHS, seed=st.none() | st.integers(0, 2**32), pool=st.integers(1, 20))
def test_token_batches_stay_within_the_limit(lengths, seed, pool):
    limit = max([1, *lengths]) + 7
    batches = batch_by_tokens(lengths, limit, seed=seed, pool=pool)
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(len(lengths)))
    assert all(len(batch) * max(lengths[row] for row in batch) <= limit for batch in batches)


@given(lengths=st.lists(st.integers(1, 80), min_size=9, max_size=60), size=st.integers(1, 9))
def test_sorting_never_pads_more_when_batches_are_full(lengths, size):
    lengths = lengths[: len(lengths) // size * size]
    in_order = np.arange(len(lengths)).reshape(-1, size)
    share = padding_share(lengths, batch_by_length(lengths, size))
    assert 0 <= share <= padding_share(lengths, in_order) < 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: pad_sequences([[1]], length=2.5), "length is a whole number, 0 or more; got 2.5"),
        (lambda: pad_sequences([[1]], multiple_of=0), "multiple_of is a whole number, 1 or more"),
        (lambda: pad_sequences([[1], ["a"]]), "row 1 is no flat sequence of numbers: ['a']"),
        (lambda: pad_sequences({"input_ids": [[1]]}), "expected a list of sequences"),
        (lambda: pad_sequences([[1, 2]], length=1), "the longest row has 2 entries, length=1"),
        (lambda: pad_batch([], pad_token_id=0), "there are no examples"),
        (lambda: pad_batch({"ids": [[1]]}, pad_token_id=0), "'input_ids' is missing; there is ids"),
        (
            lambda: pad_batch({"input_ids": [[1], [2]], "labels": [0]}, pad_token_id=0),
            "different numbers of examples: input_ids 2, labels 1",
        ),
        (lambda: batch_by_length([3, 4], 0), "batch_size is a whole number, 1 or more; got 0"),
        (lambda: batch_by_length([3, None], 2), "a length is a whole number, 0 or more; got None"),
        (lambda: batch_by_tokens([3, True], 2), "a length is a whole number, 0 or more; got True"),
        (lambda: split_windows([1], 2, prefix=[0], suffix=[0]), "leaves no room beside 1 tokens"),
        (lambda: truncate([1, 2], -1), "max_length is a whole number, 0 or more; got -1"),
    ],
)
def test_a_wrong_argument_is_named(call, says):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_import_is_light():
    code = (
        "import sys, course_lib.data.batching\n"
        "heavy = {'torch', 'tensorflow', 'transformers', 'datasets', 'pandas', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
