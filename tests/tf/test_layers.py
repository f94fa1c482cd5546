"""The layers that all Keras models share, against their PyTorch originals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers.activations import ACT2FN
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding
from transformers.models.roberta.modeling_roberta import RobertaEmbeddings
from transformers.models.t5.modeling_t5 import T5Attention

from course_lib.tf.activations import ACTIVATIONS, get_activation
from course_lib.tf.attention import (
    FusedNormal,
    MultiHeadAttention,
    blocked,
    causal_mask,
    key_mask,
    mask_bias,
    relative_buckets,
)
from course_lib.tf.blocks import Block, StackConfig
from course_lib.tf.embeddings import EmbeddingConfig, padded_positions, sinusoids, table_rows
from course_lib.tf.stacks import Stack

SHAPE = StackConfig(hidden_size=16, num_layers=2, num_heads=4, intermediate_size=24, head_size=4)
TABLE = EmbeddingConfig(vocab_size=30, hidden_size=16, max_positions=20, norm_epsilon=1e-12)
LEARNED = {"prelu", "xielu"}     # they have weights of their own


@pytest.mark.parametrize("name", sorted(set(ACT2FN) - LEARNED))
def test_an_activation_equals_pytorch(name):
    x = np.append(np.linspace(-30, 30, 2001), [0.0, 1e-6, -1e-6, 6.0, -3.0]).astype("float32")
    with torch.no_grad():
        expected = ACT2FN[name](torch.tensor(x)).numpy()
    np.testing.assert_allclose(get_activation(name)(x), expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("name", sorted(LEARNED | {"glu", ""}))
def test_other_activations_are_refused_by_name(name):
    with pytest.raises(ValueError, match="there is no activation"):
        get_activation(name)


def test_there_is_no_activation_that_transformers_lacks():
    assert set(ACTIVATIONS) <= set(ACT2FN)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("buckets, farthest", [(32, 128), (16, 64), (8, 20), (64, 1000)])
def test_relative_buckets_equal_t5(causal, buckets, farthest):
    distance = np.arange(-3 * farthest, 3 * farthest, dtype="int32")
    expected = T5Attention._relative_position_bucket(
        torch.tensor(distance).long(), not causal, num_buckets=buckets, max_distance=farthest)
    np.testing.assert_array_equal(relative_buckets(distance, causal, buckets, farthest), expected)


@pytest.mark.parametrize("width", [6, 7, 16])
def test_sinusoids_equal_marian(width):
    table = MarianSinusoidalPositionalEmbedding(33, width).create_weight()
    np.testing.assert_allclose(sinusoids(33, width), table.numpy(), atol=1e-7)


@pytest.mark.parametrize("pad", [0, 1, 3])
def test_roberta_counts_from_its_padding(pad):
    ids = np.random.default_rng(pad).integers(0, 5, (20, 9)).astype("int32")
    expected = RobertaEmbeddings.create_position_ids_from_input_ids(torch.tensor(ids), pad)
    config = EmbeddingConfig(10, 8, "padded", pad_token_id=pad)
    np.testing.assert_array_equal(padded_positions(ids, 9, 0, config), expected)
    assert table_rows(config) == config.max_positions + pad + 1


@pytest.mark.parametrize("queries, keys, start", [(4, 4, None), (1, 7, None), (3, 9, 2), (5, 5, 0)])
def test_a_causal_mask_shows_what_came_before(queries, keys, start):
    first = keys - queries if start is None else start
    expected = np.array([[key <= first + query for key in range(keys)] for query in range(queries)])
    np.testing.assert_array_equal(causal_mask(queries, keys, start)[0, 0], expected)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_two_masks_on_one_place_stay_finite(dtype):
    bias = np.asarray(mask_bias(np.zeros((1, 1, 1, 3), bool), dtype)).astype("float32")
    assert np.isfinite(2 * bias).all() and 2 * blocked(dtype) > np.finfo("float32").min
    assert key_mask(np.array([[2, 0, 1]])).numpy().tolist() == [[[[True, False, True]]]]


def test_fused_matrices_have_a_deviation_each():
    parts = np.split(np.asarray(FusedNormal(0.1, 1.0, 3.0)((200, 600))), 3, axis=-1)
    np.testing.assert_allclose([part.std() for part in parts], [0.1, 1.0, 3.0], rtol=0.02)


def test_a_row_with_nothing_to_look_at_is_no_nan():
    attention = MultiHeadAttention(SHAPE)
    attention.build()
    nothing = mask_bias(np.zeros((1, 1, 5, 5), bool), "float32")
    output, weights, _ = attention(np.ones((1, 5, 16), "float32"), bias=nothing)
    assert np.isfinite(output).all()
    np.testing.assert_allclose(np.sum(weights, -1), 1, rtol=1e-5)


@pytest.mark.parametrize("change", [
    {}, {"pre_norm": True}, {"norm": "rms", "pre_norm": True, "bias": False}, {"gated": True},
    {"relative_buckets": 8, "scaled": False}])
def test_a_cache_changes_nothing(change):
    decoder = Stack(TABLE, replace(SHAPE, causal=True, **change))
    decoder.build()
    ids = np.random.default_rng(0).integers(0, 30, (3, 8))
    whole = decoder(ids)["hidden"]
    past = decoder(ids[:, :5])["past"]
    np.testing.assert_allclose(decoder(ids[:, 5:], past=past)["hidden"], whole[:, 5:], atol=2e-5)
    room = ((0, 0), (0, 0), (0, 6), (0, 0))
    past = [{"self": tuple(np.pad(array, room) for array in block["self"])} for block in past]
    step = decoder(ids[:, 5:6], past=past, index=np.int32(5))["hidden"]
    np.testing.assert_allclose(step[:, 0], whole[:, 5], atol=2e-5)


def test_dropout_is_for_training():
    block = Block(replace(SHAPE, dropout=0.5, attention_dropout=0.5))
    block.build()
    tokens = np.random.default_rng(0).normal(size=(2, 4, 16)).astype("float32")
    np.testing.assert_array_equal(block(tokens)[0], block(tokens, training=False)[0])
    assert np.abs(block(tokens, training=True)[0] - block(tokens)[0]).max() > 1e-3
