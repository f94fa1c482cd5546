"""Attention weights of small random models: shapes, masks, kinds, and what is drawn."""

import base64
import io
import re

import numpy as np
import pytest

from course_lib.widgets.attention_view import (
    DARK,
    LATER,
    LIGHT,
    OTHER,
    PADDING,
    SEEN,
    AttentionView,
    attention,
    heat_map,
    ink,
    model_attentions,
    pixels,
    strongest,
)
from course_lib.widgets.static import contrast


@pytest.fixture(scope="module")
def bert():
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=16, attn_implementation="eager")  # fmt: skip
    return BertModel(config)


@pytest.fixture(scope="module")
def gpt2():
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=30, n_embd=16, n_layer=1, n_head=2, n_positions=64,
                        attn_implementation="eager")  # fmt: skip
    return GPT2LMHeadModel(config)


@pytest.fixture(scope="module")
def bart():
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=30, d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=4, encoder_ffn_dim=16, decoder_ffn_dim=16, bos_token_id=2,
        eos_token_id=3, pad_token_id=0, decoder_start_token_id=3, forced_eos_token_id=None,
        attn_implementation="eager",
    )  # fmt: skip
    return BartForConditionalGeneration(config)


def test_padding_is_hidden_and_rows_sum_to_one(bert, wordpiece):
    bert.train()  # its mode stays, but no dropout may show
    (kind,) = model_attentions(bert, wordpiece, ["the cat", "the cat sat on the mat"])
    assert bert.training
    assert kind.queries == ["[CLS]", "the", "cat", "[SEP]", *["[PAD]"] * 4]
    assert kind.weights.shape == (2, 4, 8, 8)
    np.testing.assert_allclose(kind.weights.sum(-1), 1, atol=1e-5)
    for layer in range(2):
        assert (kind.hidden(layer)[:, 4:] == PADDING).all()
        assert (kind.hidden(layer)[:, :4] == SEEN).all()


def test_a_pair_is_one_sequence(bert, wordpiece):
    (kind,) = model_attentions(bert, wordpiece, ("the cat", "a dog"))
    assert kind.queries.count("[SEP]") == 2


def test_a_decoder_hides_what_comes_later(gpt2, wordpiece):
    view = AttentionView.from_model(gpt2, wordpiece, ["the cat sat", "a dog"], row=1)
    hidden = view.kind.hidden(0)
    real = int((~view.kind.padding).sum())
    upper = np.triu(np.ones((real, real), bool), 1)
    assert (hidden[:real, :real][upper] == LATER).all()
    assert (hidden[:real, :real][~upper] == SEEN).all()
    assert (hidden[:, real:] == PADDING).all()
    assert "a later token" in view.static() and "padding" in view.static()


@pytest.mark.parametrize("target", ["a dog sat", None])
def test_an_encoder_decoder_has_three_kinds(bart, wordpiece, target):
    encoder, decoder, cross = model_attentions(bart, wordpiece, "the cat", target)
    assert (encoder.name, decoder.name, cross.name) == ("encoder", "decoder", "cross-attention")
    assert encoder.weights.shape == (2, 2, 4, 4)
    length = len(decoder.queries)
    assert decoder.weights.shape == (1, 4, length, length)
    assert cross.weights.shape == (1, 4, length, 4) and cross.keys == encoder.queries
    if target:
        assert decoder.queries == ["[SEP]", "[CLS]", "a", "dog", "sat"]
        assert (decoder.hidden(0) == np.triu(np.full((5, 5), LATER), 1)).all()
    assert (cross.hidden(0) == SEEN).all()


def test_the_kind_is_picked(bart, wordpiece):
    view = AttentionView.from_model(bart, wordpiece, "the cat", target="a dog", layer=1)
    pickers = {picker.description: picker for picker in view.view.children[1].children}
    assert (pickers["Layer"].value, pickers["Layer"].max) == (2, 2)
    pickers["Kind"].value = view.kinds[2]
    assert (pickers["Layer"].max, pickers["Head (0: mean)"].max) == (1, 4)
    pickers["Head (0: mean)"].value = 0
    assert "cross-attention, layer 1 of 1, mean of 4 heads" in view.view.children[2].value
    lines = view.view.children[3].children[1]
    everything = lines.value.count("<line")
    pickers["Token (0: all)"].value = 2
    assert 0 < lines.value.count("<line") < everything
    assert view.view.children[-1].value == ""  # no trouble


def test_fast_kernels_are_refused_with_what_to_do(bert, wordpiece):
    bert.set_attn_implementation("sdpa")
    try:
        with pytest.raises(ValueError, match="'sdpa', which keeps no weights: load") as caught:
            AttentionView.from_model(bert, wordpiece, "the cat")
        assert "attn_implementation='eager'" in str(caught.value) and "\n" not in str(caught.value)
    finally:
        bert.set_attn_implementation("eager")


@pytest.mark.parametrize("given", [None, [], [None, None]])
def test_no_weights_is_a_sentence(given):
    with pytest.raises(ValueError, match="attn_implementation='eager'"):
        AttentionView(given, ["a"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(tokens=["a"]), r"got \(1, 1, 2, 2\)"),
        (dict(tokens=["a", "b"], mask=[1]), "mask needs 2 entries"),
        (dict(tokens=["a", "b"], row=3), "a row 3"),
        (dict(tokens=["a", "b"], layer=1), "layers 0 to 0 and heads 0 to 0"),
        (dict(tokens=["a", "b"], head=-1), "heads 0 to 0"),
    ],
)
def test_what_does_not_fit_is_a_sentence(arguments, words):
    with pytest.raises(ValueError, match=words):
        AttentionView([np.full((1, 1, 2, 2), 0.5)], **arguments)


def test_a_window_is_hidden_too():
    near = np.abs(np.subtract.outer(np.arange(4), np.arange(4))) <= 1
    weights = near / near.sum(-1, keepdims=True)
    kind = attention([weights[None]], list("abcd"))
    assert kind.hidden(0)[3, 0] == OTHER and kind.hidden(0)[0, 3] == LATER


def test_the_picture_holds_the_weights():
    from PIL import Image

    share = np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.25]])
    data = base64.b64decode(pixels(share).partition(",")[2])
    picture = np.asarray(Image.open(io.BytesIO(data)))
    assert picture.shape == (2, 3, 3)
    assert picture[0, 0].tolist() == [247, 251, 255] and picture[0, 1].tolist() == [8, 48, 107]
    grey = picture.mean(-1)
    assert grey[0, 1] < grey[0, 2] < grey[1, 2] < grey[0, 0]


def test_numbers_can_be_read_on_every_square():
    for share in np.linspace(0, 1, 101):
        square = LIGHT + share * (DARK - LIGHT)
        colour = "#{:02X}{:02X}{:02X}".format(*square.round().astype(int))
        assert contrast(ink(share), colour) >= 4.5


def test_the_strongest_in_order():
    kind = attention([np.array([[[0.2, 0.7, 0.1]] * 3])], list("abc"))
    assert [name for name, _ in strongest(kind, 0, 0, 0)] == ["b", "a", "c"]


def test_tokens_are_never_markup():
    view = AttentionView([np.full((1, 2, 2), 0.5)], ["<script>", "\"'"])
    live = "".join(view.pictures(live=True))
    found = [base64.b64decode(d).decode() for d in re.findall(r"base64,([\w+/=]+)", view.static())]
    for html in (view.static(), live, *found):
        assert "<script" not in html
    assert "&lt;script&gt;" in live


def test_many_tokens_stay_small():
    weights = np.random.default_rng(0).dirichlet(np.ones(200), (2, 2, 200))
    view = AttentionView(list(weights), [f"t{n}" for n in range(200)])
    assert "Only the first 48 tokens are drawn" in view.static()
    assert len(view.static()) < 100_000 and len(heat_map(view.kind, 0, 0, live=True)) < 40_000
