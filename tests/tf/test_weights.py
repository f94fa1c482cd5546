"""Names, shapes and tables: from the Hub's tensors to Keras variables and back."""

import warnings

import keras
import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras.layers import Dense, Embedding

from course_lib.tf.architectures import ARCHITECTURES
from course_lib.tf.weights import (
    Slot,
    adapters,
    find_slot,
    grown,
    judge,
    merged,
    plain_names,
    pour,
    replace,
    untie,
)

BERT, GPT2, BART, T5 = (ARCHITECTURES[kind] for kind in ("bert", "gpt2", "bart", "t5"))
TABLE = np.arange(6, dtype="float32").reshape(3, 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.booleans(), st.sampled_from(["float32", "float16"]), st.data())
def test_joining_and_cutting_are_inverse(parts, turned, dtype, data):
    size = st.integers(1, 4)
    shape = data.draw(st.tuples(size, size) | st.tuples(size))
    tensors = {f"part{i}": data.draw(arrays(dtype, shape)) for i in range(parts)}
    slot = Slot("layer/kernel", tuple(tensors), turned and len(shape) == 2)
    joined = slot.join(list(tensors.values()))
    assert slot.shape(joined.shape) == shape
    for name, tensor in slot.cut(joined).items():
        np.testing.assert_array_equal(tensor, tensors[name])


@pytest.mark.parametrize("path", ["my_layer/kernel", "layer_0/attention/qkv/kernel_scale"])
def test_a_variable_without_a_name(path):
    with pytest.raises(ValueError, match=f"has no name for {path}"):
        find_slot(path, BERT.names)


# Names in old files


@pytest.mark.parametrize("old, new", [
    ("bert.embeddings.LayerNorm.gamma", "embeddings.LayerNorm.weight"),
    ("encoder.layer.3.output.LayerNorm.beta", "encoder.layer.3.output.LayerNorm.bias"),
    ("cls.predictions.transform.LayerNorm.gamma", "cls.predictions.transform.LayerNorm.weight"),
    ("bert.pooler.dense.weight", "pooler.dense.weight"),
    ("classifier.weight", "classifier.weight"),
    ("bert.embeddings.position_ids", None),
    ("embeddings.position_ids", None),
    ("cls.seq_relationship.weight", None),
])
def test_names_in_files_of_bert(old, new):
    assert list(plain_names({old: np.ones(2)}, BERT)) == ([] if new is None else [new])


@pytest.mark.parametrize("old, new", [
    ("transformer.h.0.attn.bias", None), ("h.11.attn.masked_bias", None),
    ("h.0.attn.c_attn.bias", "h.0.attn.c_attn.bias"), ("transformer.wte.weight", "wte.weight"),
])
def test_names_in_files_of_gpt2(old, new):
    assert list(plain_names({old: np.ones(2)}, GPT2)) == ([] if new is None else [new])


def test_one_tensor_under_two_names():
    both = {"wte.weight": TABLE, "transformer.wte.weight": TABLE.copy()}
    assert list(plain_names(both, GPT2)) == ["wte.weight"]
    with pytest.raises(ValueError, match="holds wte.weight twice"):
        plain_names({**both, "wte.weight": -TABLE}, GPT2)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "bool"])
def test_integers_are_no_weights(dtype):
    with pytest.raises(ValueError, match=f"is {dtype}: this checkpoint is quantized"):
        plain_names({"wte.weight": TABLE.astype(dtype)}, GPT2)


# Tied tables


@pytest.mark.parametrize("architecture, task, names", [
    (BERT, "masked_lm", ["embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"]),
    (GPT2, "causal_lm", ["wte.weight", "lm_head.weight"]),
    (BART, "seq2seq_lm", ["shared.weight", "encoder.embed_tokens.weight",
                          "decoder.embed_tokens.weight", "lm_head.weight"]),
])
def test_a_table_is_found_under_each_of_its_names(architecture, task, names):
    everywhere = {name: TABLE.copy() for name in names}
    assert not untie(everywhere, architecture, task)
    assert list(everywhere) == names[:1]
    for name in names:
        alone = {name: TABLE}
        assert not untie(alone, architecture, task)
        assert list(alone) == names[:1]


def test_a_bias_that_was_saved_as_a_copy_only():
    tensors = {"embeddings.word_embeddings.weight": TABLE, "lm_head.decoder.bias": np.ones(3)}
    assert not untie(tensors, ARCHITECTURES["roberta"], "masked_lm")
    assert list(tensors) == ["embeddings.word_embeddings.weight", "lm_head.bias"]


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("task", ["causal_lm", "base", "sequence_classification"])
def test_an_output_table_of_its_own(same, tied, task):
    tensors = {"wte.weight": TABLE, "lm_head.weight": TABLE if same else -TABLE}
    own = task == "causal_lm" and not (same and tied)
    assert untie(tensors, GPT2, task, tied) == own
    assert list(tensors) == ["wte.weight", "lm_head.weight"][:1 + own]
    assert tensors["wte.weight"] is TABLE or np.array_equal(tensors["wte.weight"], TABLE)


def test_an_output_never_stands_in_for_the_tokens_when_untied():
    tensors = {"lm_head.weight": TABLE}
    assert untie(tensors, GPT2, "causal_lm", tied=False)
    assert "wte.weight" not in tensors


def test_tables_that_cannot_differ():
    shared = {"shared.weight": TABLE, "decoder.embed_tokens.weight": -TABLE}
    with pytest.raises(ValueError, match="decoder.embed_tokens.weight differs from shared.weight"):
        untie(dict(shared), T5)
    masked = {"embeddings.word_embeddings.weight": TABLE, "cls.predictions.decoder.weight": -TABLE}
    with pytest.raises(ValueError, match="keeps two"):
        untie(dict(masked), BERT, "masked_lm")
    assert not untie(masked, BERT, "sequence_classification")     # which has no use for it


# Pouring and judging


def pooler():
    layer = Dense(2, name="pooler")
    layer.build((None, 3))
    return layer, [(v, find_slot(f"pooler/{v.name}", BERT.names)) for v in layer.variables]


def test_pouring():
    layer, slots = pooler()
    kernel = layer.kernel.numpy()
    report = pour({"pooler.dense.weight": np.ones((3, 2)), "pooler.dense.bias": np.ones(2),
                   "more": np.ones(1)}, slots)
    assert report.mismatched == {"pooler.dense.weight": "(3, 2) instead of (2, 3)"}
    assert (report.missing, report.unused, report.fresh) == ((), ("more",), ("pooler/kernel",))
    assert np.array_equal(layer.kernel, kernel) and np.array_equal(layer.bias, np.ones(2))
    assert pour({}, slots).missing == ("pooler.dense.weight", "pooler.dense.bias")


def test_one_of_three_matrices_is_missing_or_wrong():
    dense = Dense(6)
    dense.build((None, 2))
    slot = find_slot("layer_0/attention/qkv/kernel", BERT.names)
    tensors = {name: np.ones((2, 2)) for name in slot.names}
    assert pour(tensors, [(dense.kernel, slot)]).fresh == ()
    del tensors[slot.names[1]]
    assert pour(tensors, [(dense.kernel, slot)]).missing == slot.names[1:2]
    tensors[slot.names[1]] = np.ones((3, 2))
    report = pour(tensors, [(dense.kernel, slot)])
    assert list(report.mismatched) == [slot.names[1]] and report.fresh == (slot.path,)


def test_a_warning_points_at_the_caller():
    _, slots = pooler()
    with pytest.warns(UserWarning, match="pooler.dense.weight, pooler.dense.bias did not") as found:
        judge(pour({}, slots), {"pooler.dense.weight", "pooler.dense.bias"}, (), False, "it")
    assert found[0].filename == __file__


def test_nothing_to_say():
    _, slots = pooler()
    whole = {"pooler.dense.weight": np.ones((2, 3)), "pooler.dense.bias": np.ones(2)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judge(pour(whole, slots), set(), (), False, "it")


def test_mismatches_are_forgiven_to_heads_only():
    _, slots = pooler()
    report = pour({"pooler.dense.weight": np.ones((3, 3)), "pooler.dense.bias": np.ones(2)}, slots)
    for fresh, ignore in ((set(), True), ({"pooler.dense.weight"}, False)):
        with pytest.raises(ValueError, match=r"\(3, 3\) instead of \(2, 3\); for a new head"):
            judge(report, fresh, (), ignore, "it")
    with pytest.warns(UserWarning, match="pooler.dense.weight"):
        judge(report, {"pooler.dense.weight"}, (), True, "it")


# Adapters and tables that grow


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "bfloat16"])
def test_adapters_are_merged(policy):
    rng = np.random.default_rng(0)
    dense, table = Dense(4, dtype=policy), Embedding(5, 3, dtype=policy)
    dense.build((None, 3))
    table.build()
    for layer in (dense, table):
        layer.enable_lora(2, lora_alpha=6)
    dense.lora_kernel_b.assign(rng.normal(size=(2, 4)))
    table.lora_embeddings_b.assign(rng.normal(size=(2, 3)))
    found = adapters([dense, table, Dense(3)])
    for layer, variable, value in ((dense, dense._kernel, dense.kernel),
                                   (table, table._embeddings, table.embeddings)):
        array = merged(variable, found)
        assert array.dtype == variable.numpy().dtype and layer.lora_enabled
        np.testing.assert_allclose(array.astype("float32"), np.asarray(value, "float32"),
                                   rtol=0.02 if "bfloat" in policy else 1e-6, atol=0.02)
    assert merged(dense.bias, found).shape == (4,)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 20))
def test_old_rows_stay(rows, width, count):
    table = np.random.default_rng(0).normal(size=(rows, width)).astype("float32")
    for draw in (None, keras.initializers.RandomNormal(stddev=0.02)):
        found = grown(table, count, draw)
        assert found.shape == (count, width) and found.dtype == table.dtype
        np.testing.assert_array_equal(found[:rows], table[:count])
        assert np.isfinite(found).all()


def test_new_rows_spread_as_those_of_transformers():
    """Same mean, and the same covariance: the old rows' times 1e-9."""
    rng = np.random.default_rng(0)
    table = (rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4)) * 1000).astype("float32")
    keras.utils.set_random_seed(0)
    torch.manual_seed(0)
    ours = grown(table, 6300)[300:].astype("float64")
    config = transformers.GPT2Config(n_embd=4, n_layer=1, n_head=1, vocab_size=300, n_positions=4)
    theirs = transformers.GPT2Model(config)
    theirs.wte.weight.data = torch.tensor(table)
    theirs.resize_token_embeddings(6300)
    theirs = theirs.wte.weight.detach().numpy()[300:].astype("float64")
    centre = table.astype("float64").mean(0)
    np.testing.assert_allclose(ours.mean(0), centre, rtol=1e-3, atol=1e-2)
    expected = np.cov(theirs.T)
    np.testing.assert_allclose(np.cov(ours.T), expected, atol=0.15 * expected.max())


def test_half_precision_tables_grow():
    table = Embedding(5, 3, dtype="bfloat16")
    table.build()
    found = grown(table.embeddings.numpy(), 8)
    replace(table, "_embeddings", found)
    assert table.embeddings.dtype == "bfloat16" and table.embeddings.shape == (8, 3)


@pytest.mark.parametrize("trainable", [True, False])
def test_replacing_a_variable(trainable):
    table = Embedding(5, 3)
    model = keras.Sequential([table])
    model.build((None, 2))
    table.trainable = trainable
    path = table.embeddings.path
    replace(table, "_embeddings", np.ones((8, 3)))
    assert table.embeddings.path == path
    assert [tuple(v.shape) for v in model.variables] == [(8, 3)]
    assert len(model.trainable_variables) == trainable
    assert np.array_equal(model(np.array([[7, 0]])), np.ones((1, 2, 3)))
    with pytest.raises(ValueError, match="cannot add new elements"):
        table.add_weight(shape=(1,))        # the lock is on again
