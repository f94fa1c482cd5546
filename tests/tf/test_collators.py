"""The collators against those of transformers: the same numbers, as TensorFlow tensors."""

import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast
from transformers.data import data_collator as theirs

from course_lib.tf import collators as ours

PAD, CLS, SEP, MASK = 3, 1, 2, 61  # not 0, so that a forgotten padding id shows
IDS = st.lists(st.integers(4, 60), min_size=1, max_size=20)
ROWS = st.lists(IDS, min_size=1, max_size=5)
SIDES = st.sampled_from(["left", "right"])
MULTIPLES = st.none() | st.integers(1, 9)


def make_tokenizer(side="right", **changes):
    words = {"[UNK]": 0, "[CLS]": CLS, "[SEP]": SEP, "[PAD]": PAD, "[MASK]": MASK}
    words |= {f"w{i}": i for i in range(4, 61)}
    core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    special = {
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "mask_token": "[MASK]",
    }
    names = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=core, padding_side=side, model_input_names=names, **special | changes
    )


TOKENIZERS = {side: make_tokenizer(side) for side in ("left", "right")}


def encode(rows, **extra):
    """Examples as a tokenizer gives them; `extra` has a function of the ids per column."""
    return [
        {"input_ids": [*row], "token_type_ids": [0] * len(row), "attention_mask": [1] * len(row)}
        | {name: make(row) for name, make in extra.items()}
        for row in rows
    ]


def copies(features):
    return [dict(feature) for feature in features]


def assert_same(mine, reference, **renamed):
    """The same names and numbers; int64, float32 or bool; plain tensors."""
    reference = {renamed.get(k, k): np.asarray(v) for k, v in reference.items() if v is not None}
    assert type(mine) is dict and mine.keys() == reference.keys()
    for name, tensor in mine.items():
        wanted = {"f": tf.float32, "b": tf.bool}.get(reference[name].dtype.kind, tf.int64)
        assert isinstance(tensor, tf.Tensor) and tensor.dtype == wanted, name
        expected = reference[name].astype(wanted.as_numpy_dtype)
        np.testing.assert_array_equal(tensor.numpy(), expected, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(
    rows=ROWS,
    side=SIDES,
    multiple=MULTIPLES,
    padding=st.sampled_from([True, "longest", "max_length"]),
    label=st.sampled_from(["label", "label_ids", "labels", None]),
    as_arrays=st.booleans(),
)
def test_padding(rows, side, multiple, padding, label, as_arrays):
    extra = {} if label is None else {label: lambda row: row[0] / 4}
    features = encode(rows, **extra)
    if as_arrays:  # what a data set in the format "numpy" gives
        features = [{k: np.asarray(v) for k, v in feature.items()} for feature in features]
    longest = 32 if padding == "max_length" else None
    options = {"padding": padding, "max_length": longest, "pad_to_multiple_of": multiple}
    mine = ours.DataCollatorWithPadding(TOKENIZERS[side], **options)(copies(features))
    reference = theirs.DataCollatorWithPadding(TOKENIZERS[side], **options, return_tensors="np")
    assert_same(mine, reference(copies(features)))


@settings(max_examples=60, deadline=None)
@given(
    rows=ROWS,
    side=SIDES,
    multiple=MULTIPLES,
    name=st.sampled_from(["label", "labels", None]),
    filler=st.sampled_from([-100, -1]),
)
def test_token_classification(rows, side, multiple, name, filler):
    features = encode(rows, **({name: lambda row: [i % 5 for i in row]} if name else {}))
    options = {"pad_to_multiple_of": multiple, "label_pad_token_id": filler}
    mine = ours.DataCollatorForTokenClassification(TOKENIZERS[side], **options)
    reference = theirs.DataCollatorForTokenClassification(
        TOKENIZERS[side], **options, return_tensors="np"
    )
    assert_same(mine(copies(features)), reference(copies(features)), label="labels")


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(IDS, IDS), min_size=1, max_size=5),
    side=SIDES,
    multiple=MULTIPLES,
    padding=st.sampled_from([True, "max_length"]),
    kind=st.sampled_from([list, np.array, None]),
)
def test_seq2seq(pairs, side, multiple, padding, kind):
    features = encode([source for source, _ in pairs])
    for feature, (_, target) in zip(features, pairs, strict=True):
        feature["labels"] = None if kind is None else kind(target)
    longest = 24 if padding == "max_length" else None
    options = {"padding": padding, "max_length": longest, "pad_to_multiple_of": multiple}
    mine = ours.DataCollatorForSeq2Seq(TOKENIZERS[side], **options)(copies(features))
    reference = theirs.DataCollatorForSeq2Seq(TOKENIZERS[side], **options, return_tensors="np")
    assert_same(mine, reference(copies(features)))


def torch_models():
    from transformers import (
        BartConfig,
        BartForConditionalGeneration,
        T5Config,
        T5ForConditionalGeneration,
    )

    yield T5ForConditionalGeneration(
        T5Config(vocab_size=70, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2,
                 decoder_start_token_id=7, pad_token_id=PAD)
    )
    sizes = dict.fromkeys(("encoder_layers", "decoder_layers"), 1)
    sizes |= dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "d_model"), 8)
    yield BartForConditionalGeneration(
        BartConfig(vocab_size=70, encoder_attention_heads=2, decoder_attention_heads=2,
                   decoder_start_token_id=SEP, pad_token_id=PAD, **sizes)
    )


class ShiftRight:
    """What a Keras model does: TensorFlow tensors in, TensorFlow tensors out."""

    def __init__(self, start):
        self.start = start

    def prepare_decoder_input_ids_from_labels(self, labels):
        assert isinstance(labels, tf.Tensor) and labels.dtype == tf.int64
        shifted = keras.ops.pad(labels[:, :-1], [[0, 0], [1, 0]], constant_values=self.start)
        return keras.ops.where(shifted == -100, PAD, shifted)


@pytest.mark.parametrize("side", ["left", "right"])
def test_decoder_inputs_are_those_of_the_torch_models(side):
    features = encode([[5, 6, 7], [8]])
    features[0]["labels"], features[1]["labels"] = [9, 10], [11, 12, 13, 14]
    for model in torch_models():
        reference = theirs.DataCollatorForSeq2Seq(TOKENIZERS[side], model)(copies(features))
        double = ShiftRight(model.config.decoder_start_token_id)
        mine = ours.DataCollatorForSeq2Seq(TOKENIZERS[side], model=double)(copies(features))
        assert "decoder_input_ids" in mine
        assert_same(mine, {name: tensor.numpy() for name, tensor in reference.items()})


def test_a_model_without_the_method_and_rows_without_labels():
    batch = ours.DataCollatorForSeq2Seq(TOKENIZERS["right"], model=object())(
        encode([[5]], labels=lambda row: row)
    )
    assert "decoder_input_ids" not in batch
    batch = ours.DataCollatorForSeq2Seq(TOKENIZERS["right"], model=ShiftRight(0))(encode([[5]]))
    assert batch.keys() == {"input_ids", "token_type_ids", "attention_mask"}


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(ROWS, min_size=1, max_size=3),
    side=SIDES,
    multiple=MULTIPLES,
    mlm=st.booleans(),
    shares=st.sampled_from([(0.8, 0.1), (1.0, 0.0), (0.0, 1.0), (0.4, 0.0)]),
    seed=st.none() | st.integers(0, 99),
    bare=st.booleans(),
    given_mask=st.booleans(),
)
def test_language_modelling(batches, side, multiple, mlm, shares, seed, bare, given_mask):
    """With the same seed the same masks, batch after batch, and so from the global generator."""
    options = {
        "mlm": mlm,
        "mlm_probability": 0.4,
        "mask_replace_prob": shares[0],
        "random_replace_prob": shares[1],
        "pad_to_multiple_of": multiple,
        "seed": seed,
    }
    reference = theirs.DataCollatorForLanguageModeling(
        TOKENIZERS[side], **options, return_tensors="np"
    )
    mine = ours.DataCollatorForLanguageModeling(TOKENIZERS[side], **options)
    mask = {"special_tokens_mask": lambda row: [i % 2 for i in row]} if given_mask else {}
    results = []
    for collator in (mine, reference):
        np.random.seed(0)
        results.append([])
        for rows in batches:
            features = [[*row] for row in rows] if bare else encode(rows, **mask)
            results[-1].append(collator(features))
    for one, other in zip(*results, strict=True):
        assert_same(one, other)


def test_whole_words_equal_theirs_where_theirs_works():
    """Rows of one length: their padding forgets the offsets."""
    offsets = [[(0, 0), (0, 2), (2, 5), (6, 9), (9, 10), (11, 12), (0, 0)]] * 2
    rows = encode([[CLS, 5, 6, 7, 8, 9, SEP], [CLS, 9, 8, 7, 6, 5, SEP]])
    for row, spans in zip(rows, offsets, strict=True):
        row["offset_mapping"] = spans
    mine = ours.DataCollatorForWholeWordMask(TOKENIZERS["right"], mlm_probability=0.5, seed=3)
    reference = theirs.DataCollatorForLanguageModeling(
        TOKENIZERS["right"],
        whole_word_mask=True,
        mlm_probability=0.5,
        mask_replace_prob=1,
        random_replace_prob=0,
        seed=3,
        return_tensors="np",
    )
    for _ in range(5):
        batch = mine(copies(rows))
        assert_same(batch, reference(copies(rows)))


@pytest.mark.parametrize("side", ["left", "right"])
def test_whole_words_of_different_lengths(side):
    rows = encode([[CLS, 5, 6, SEP], [CLS, 5, 6, 7, 8, 9, SEP]])
    rows[0]["offset_mapping"] = [(0, 0), (0, 2), (2, 4), (0, 0)]  # one word of two pieces
    rows[1]["offset_mapping"] = [(0, 0), (0, 1), (2, 3), (3, 4), (4, 5), (6, 7), (0, 0)]
    collator = ours.DataCollatorForWholeWordMask(
        TOKENIZERS[side], mlm_probability=0.5, seed=0, pad_to_multiple_of=5, return_tensors="np"
    )
    seen = set()
    for _ in range(40):
        batch = collator(copies(rows))
        assert batch["input_ids"].shape == (2, 10) and "offset_mapping" not in batch
        asked = batch["labels"] != -100
        assert (batch["input_ids"][asked] == MASK).all()
        first, second = (6, 3) if side == "left" else (0, 0)
        short, long = asked[0, first:first + 4], asked[1, second:second + 7]
        assert asked.sum() == short.sum() + long.sum()
        assert short[1] == short[2] and long[2] == long[3] == long[4]
        seen.add((*short, *long))
    assert len(seen) > 4


def test_whole_words_warn_where_theirs_do_and_only_once():
    with pytest.warns(UserWarning, match="mask_replace_prob to 1"):
        collator = ours.DataCollatorForLanguageModeling(TOKENIZERS["right"], whole_word_mask=True)
    assert (collator.mask_replace_prob, collator.random_replace_prob) == (1, 0)
    rows = encode([[CLS, 5, SEP]], offset_mapping=lambda row: [(0, 0), (0, 1), (0, 0)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        collator(rows)


@pytest.mark.parametrize("label", [{"label": 1}, {"label": 0.5}, {"label": True}, {"labels": 2},
                                   {"label_ids": [1, 2]}, {"label_ids": np.array([0.5])}, {}])
def test_default(label):
    row = {"x": [1, 2], "y": np.float64(0.5), "z": True, "text": "left out", "none": None,
           "w": np.ones((2, 3), np.uint8)} | label
    features = [row, dict(row)]
    assert_same(ours.DefaultDataCollator()(features),
                theirs.default_data_collator(features, return_tensors="np"))
    assert_same(ours.default_data_collator(features),
                theirs.default_data_collator(features, return_tensors="np"))


def test_default_takes_objects():
    class Example:
        def __init__(self, x):
            self.x, self.label = x, 1

    batch = ours.default_data_collator([Example(1), Example(2)])
    assert batch["x"].numpy().tolist() == [1, 2] and batch["labels"].numpy().tolist() == [1, 1]


ALL = [
    ours.DefaultDataCollator(),
    ours.DataCollatorWithPadding(TOKENIZERS["right"]),
    ours.DataCollatorForTokenClassification(TOKENIZERS["right"]),
    ours.DataCollatorForSeq2Seq(TOKENIZERS["right"]),
    ours.DataCollatorForLanguageModeling(TOKENIZERS["right"], mlm=False),
]
by_class = pytest.mark.parametrize("collator", ALL, ids=lambda c: type(c).__name__)


@by_class
def test_numpy_on_request(collator):
    features = encode([[5, 6], [7, 8]])
    arrays, tensors = collator(copies(features), return_tensors="np"), collator(copies(features))
    assert arrays.keys() == tensors.keys()
    for name, array in arrays.items():
        assert type(array) is np.ndarray and array.dtype == tensors[name].dtype.as_numpy_dtype
        np.testing.assert_array_equal(array, tensors[name])


@by_class
def test_the_examples_stay_as_they_were(collator):
    features = encode([[5, 6], [7, 8]], labels=lambda row: list(row))
    before = [{k: list(v) for k, v in feature.items()} for feature in features]
    collator(features)
    assert features == before


def test_attributes_may_change_later():
    collator = ours.DataCollatorWithPadding(TOKENIZERS["right"])
    collator.pad_to_multiple_of = 8
    assert collator(encode([[5]]))["input_ids"].shape == (1, 8)
    masker = ours.DataCollatorForLanguageModeling(TOKENIZERS["right"], mlm_probability=0, seed=0)
    masker.mlm_probability = 1
    assert masker([[5, 6]])["labels"].numpy().tolist() == [[5, 6]]
    masker.mlm_probability = 7
    with pytest.raises(ValueError, match="between 0 and 1"):
        masker([[5, 6]])


@by_class
def test_what_is_no_list_of_examples(collator):
    with pytest.raises(ValueError, match="no examples"):
        collator([])
    with pytest.raises(TypeError, match="a list of examples, one dictionary each; got dict"):
        collator({"input_ids": [[1]]})
    with pytest.raises(ValueError, match="'tf' or 'np' here; got 'pt'"):
        collator([{"input_ids": [1]}], return_tensors="pt")


@by_class
@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("text", ["one", "two"], "column 'text' holds text|None"),
        ("words", [["a"], ["b"]], "column 'words' holds 'a', which is no number"),
        ("spans", [[1], [1, 2]], "column 'spans' makes no rectangle"),
        ("deep", [[[1], [1, 2]], [[1], [2]]], "column 'deep' has lists of different lengths"),
        ("part", [1, None], "column 'part' (is None in row 1|holds)"),
    ],
)
def test_a_column_that_cannot_be_stacked_is_named(collator, column, values, message):
    features = encode([[5, 6], [7, 8]])
    for feature, value in zip(features, values, strict=True):
        feature[column] = value
    if column == "text" and isinstance(collator, ours.DefaultDataCollator):
        assert "text" not in collator(features)  # as upstream
        return
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        collator(features)
    assert len(str(caught.value)) < 250 and "\n" not in str(caught.value)


@by_class
def test_a_column_missing_in_a_row_is_named(collator):
    features = encode([[5, 6], [7, 8]])
    del features[1]["token_type_ids"]
    with pytest.raises(ValueError, match="row 1 of the batch has no 'token_type_ids'"):
        collator(features)


def test_labels_that_fit_nothing():
    rows = encode([[5, 6], [7, 8, 9]])
    for row, labels in zip(rows, ([1, 2], [1, 2, 3, 4]), strict=True):
        row["labels"] = labels
    right = TOKENIZERS["right"]
    with pytest.raises(ValueError, match="row 1 has 4 labels for 3 tokens"):
        ours.DataCollatorForTokenClassification(right)(rows)
    with pytest.raises(ValueError, match="column 'labels' makes no rectangle"):
        ours.DataCollatorWithPadding(right)(rows)
    with pytest.raises(ValueError, match="row 1 has 4 labels, more than max_length=3"):
        ours.DataCollatorForSeq2Seq(right, padding="max_length", max_length=3)(rows)
    with pytest.raises(ValueError, match="column 'input_ids' makes no rectangle"):
        ours.DataCollatorForSeq2Seq(right, padding=False)(rows)


def test_options_that_make_no_sense():
    right = TOKENIZERS["right"]
    for wrong in ({"mlm_probability": 2}, {"mask_replace_prob": 0.9, "random_replace_prob": 0.2}):
        with pytest.raises(ValueError):
            ours.DataCollatorForLanguageModeling(right, **wrong)
    with pytest.raises(ValueError, match="mask token"):
        ours.DataCollatorForLanguageModeling(make_tokenizer(mask_token=None))
    with pytest.raises(ValueError, match="offset_mapping"):
        ours.DataCollatorForWholeWordMask(right)(encode([[5]]))


def test_the_same_arguments_in_the_same_order():
    from dataclasses import fields

    for name in ("DefaultDataCollator", "DataCollatorWithPadding", "DataCollatorForSeq2Seq",
                 "DataCollatorForTokenClassification", "DataCollatorForLanguageModeling"):
        mine, reference = fields(getattr(ours, name)), fields(getattr(theirs, name))
        assert [(f.name, f.default) for f in mine if f.name != "return_tensors"] == [
            (f.name, f.default) for f in reference if f.name != "return_tensors"
        ]
        assert [f.name for f in mine] == [f.name for f in reference]


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import course_lib.tf.collators as c
assert "transformers" not in sys.modules, "transformers was imported too early"
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
words = {"[PAD]": 0, "[MASK]": 1, "a": 2, "b": 3}
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words)),
                                    pad_token="[PAD]", mask_token="[MASK]")
rows = [{"input_ids": [2, 3], "labels": [1, 1]}, {"input_ids": [2], "labels": [1]}]
for make in (c.DataCollatorForTokenClassification, c.DataCollatorForSeq2Seq):
    assert make(tokenizer)(rows)["labels"].numpy().tolist() == [[1, 1], [1, -100]]
plain = [{"input_ids": row["input_ids"]} for row in rows]
assert c.DataCollatorWithPadding(tokenizer)(plain)["input_ids"].numpy().tolist() == [[2, 3], [2, 0]]
masker = c.DataCollatorForLanguageModeling(tokenizer, seed=1, mlm_probability=1.0)
assert masker(plain)["labels"].numpy().tolist() == [[2, 3], [2, -100]]
assert c.default_data_collator([{"label": 1}])["labels"].numpy().tolist() == [1]
print("fine")
"""


def test_works_without_torch(root):
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True,
                          cwd=root, env={"PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3",
                                         "CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 0 and "fine" in done.stdout, done.stderr[-2000:]
