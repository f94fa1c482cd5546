"""The distribution against transformers' own processors, and the moves of the explorer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.widgets.next_token import (
    CUT_K,
    CUT_P,
    NextTokenExplorer,
    Sampling,
    distribution,
    summary,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000), size=st.integers(1, 400),
    temperature=st.sampled_from([0.05, 0.3, 0.7, 1.0, 1.5, 3.0]),
    top_k=st.sampled_from([0, 1, 2, 10, 50, 1000]), top_p=st.sampled_from([0.05, 0.5, 0.9, 1.0]),
)  # fmt: skip
def test_the_same_as_transformers(seed, size, temperature, top_k, top_p):
    import torch
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    scores = torch.randn(1, size, generator=torch.Generator().manual_seed(seed)).double() * 3
    theirs = TemperatureLogitsWarper(temperature)(None, scores) if temperature != 1 else scores
    theirs = TopKLogitsWarper(top_k)(None, theirs) if top_k else theirs
    theirs = TopPLogitsWarper(top_p)(None, theirs) if top_p < 1 else theirs
    ours, by_k, by_p = distribution(scores[0], Sampling(temperature, top_k, top_p))
    np.testing.assert_allclose(ours, theirs.softmax(-1)[0].numpy(), atol=1e-6, rtol=0)
    assert ours.sum() == pytest.approx(1) and ours.argmax() == scores[0].argmax()
    assert not (by_k & by_p).any() and (ours[by_k | by_p] == 0).all()


def test_ties_at_the_kth_place_stay_as_in_transformers():
    ours, by_k, _ = distribution([1.0, 1.0, 0.0], Sampling(top_k=1))
    assert ours.tolist() == [0.5, 0.5, 0.0] and by_k.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(temperature=0), "temperature is a number above 0"),
        (dict(temperature=-1), "temperature is a number above 0"),
        (dict(temperature=float("nan")), "temperature is a number above 0"),
        (dict(top_k=-1), "top_k is a whole number"),
        (dict(top_k=1.5), "top_k is a whole number"),
        (dict(top_p=0), "top_p is above 0"),
        (dict(top_p=1.1), "top_p is above 0"),
    ],
)
def test_a_setting_out_of_range_is_a_sentence(arguments, words):
    with pytest.raises(ValueError, match=words):
        Sampling(**arguments)


@pytest.mark.parametrize("scores", [[], [[1.0]], [float("nan"), 1.0]])
def test_scores_that_are_none(scores):
    with pytest.raises(ValueError, match="one score for each token"):
        distribution(scores, Sampling())


def test_the_sentence_counts_bits():
    words = summary(np.zeros(8), Sampling(top_k=0))
    assert "8 of 8 tokens are left, which the model itself gives 100%" in words
    assert "3.0 bits" in words
    assert "0.0 bits" in summary(np.array([1.0, 0.0]), Sampling(top_k=1))


@pytest.fixture(scope="module")
def gpt2(wordpiece):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=len(wordpiece), n_positions=8, n_embd=16,
                                      n_layer=1, n_head=2, initializer_range=0.5))  # fmt: skip


def test_the_scores_are_the_model_s(gpt2, wordpiece):
    import torch

    explorer = NextTokenExplorer(gpt2, wordpiece, "the cat", count=5)
    assert wordpiece.convert_ids_to_tokens(explorer.ids) == ["[CLS]", "the", "cat"]
    with torch.no_grad():
        expected = gpt2.eval()(torch.tensor([explorer.ids])).logits[0, -1].softmax(-1)
    assert [c.id for c in explorer.candidates()] == expected.topk(5).indices.tolist()
    assert explorer.candidates()[0].probability == pytest.approx(float(expected.max()), abs=1e-6)


def test_it_goes_on_beyond_what_the_model_reads_and_back(gpt2, wordpiece):
    explorer = NextTokenExplorer(gpt2, wordpiece, "the cat", count=5)
    first = explorer.candidates()
    for _ in range(12):
        explorer.append(explorer.candidates()[0].id)
    assert len(explorer.ids) == 15 and explorer.text.startswith("the cat")
    for _ in range(20):
        explorer.undo()
    assert explorer.candidates() == first and explorer.text == "the cat"


def test_buttons_sliders_and_typing(gpt2, wordpiece):
    explorer = NextTokenExplorer(gpt2, wordpiece, "the cat", count=6)
    text, temperature, top_k, top_p, actions, words, *rows = explorer.view.children[1:-1]
    draw, undo = actions.children
    assert undo.disabled and len(rows) == 6
    best = explorer.candidates()[0]
    top_k.value = 2
    assert CUT_K in rows[2].children[1].value and CUT_K not in rows[1].children[1].value
    assert f"2 of {len(wordpiece)} tokens are left" in words.value
    top_k.value, top_p.value = 0, 0.05
    assert CUT_P in rows[1].children[1].value
    top_p.value, temperature.value = 1.0, 0.1
    assert explorer.candidates()[0].probability > best.probability
    rows[0].children[0].click()
    assert explorer.ids[-1] == best.id and not undo.disabled and text.value == explorer.text
    undo.click()
    assert text.value == "the cat" and undo.disabled
    text.value = "a dog"
    assert wordpiece.convert_ids_to_tokens(explorer.ids) == ["[CLS]", "a", "dog"]
    draw.click()
    assert len(explorer.ids) == 4 and text.value == explorer.text
    assert explorer.view.children[-1].value == ""


def test_drawing_repeats_with_its_seed(gpt2, wordpiece):
    runs = [[NextTokenExplorer(gpt2, wordpiece, "the", seed=seed).draw() for _ in range(2)]
            for seed in (1, 1)]  # fmt: skip
    assert runs[0] == runs[1]


def test_tokens_are_never_markup(wordpiece):
    scores = np.arange(len(wordpiece), dtype=float)
    explorer = NextTokenExplorer(lambda ids: scores, wordpiece, "<script>'", count=30)
    live = "".join(row.children[1].value for row in explorer.view.children[7:-1])
    for html in (explorer.static(), live):
        assert "<script" not in html
    assert "&lt;" in explorer.static()


def test_what_cannot_go_on_is_a_sentence(wordpiece, gpt2):
    from transformers import BertConfig, BertModel

    small = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                       intermediate_size=8)  # fmt: skip
    for model in (BertModel(small), "gpt2", None):
        with pytest.raises(ValueError, match="a causal language model is needed"):
            NextTokenExplorer(model, wordpiece)
    with pytest.raises(ValueError, match="type at least one word"):
        NextTokenExplorer(gpt2, wordpiece, "")
    with pytest.raises(ValueError, match="count is a whole number"):
        NextTokenExplorer(gpt2, wordpiece, "the", count=0)
