"""Perplexity: the probabilities of the model, taken one token at a time."""

import math

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

EXACT = {"rel": 1e-9}
WORDS = "<s> the a cat dog sat ran on mat . <unk>".split()
TEXTS = ["the cat sat on the mat .", "a dog", "ran ran ran ran", "the zebra ran .", "cat"]


@pytest.fixture(scope="module")
def model() -> GPT2LMHeadModel:
    """Random weights in float64, so that batches and single steps agree to the last digits."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(WORDS), n_positions=8, n_embd=8, n_layer=2, n_head=2,
                        bos_token_id=0, eos_token_id=0, initializer_range=1.0)  # fmt: skip
    return GPT2LMHeadModel(config).double().eval()


def tokenizer(**special) -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", **special)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("model")
    model.save_pretrained(path)
    tokenizer(bos_token="<s>").save_pretrained(path)
    return str(path)


def by_hand(model, text, start=True, longest=8):
    """e to the mean of the negative log probabilities, each from a run of the model of its own."""
    ids = [0] * start + [WORDS.index(w if w in WORDS else "<unk>") for w in text.split()]
    ids = ids[:longest]
    losses = []
    for t in range(1, len(ids)):
        with torch.no_grad():
            logits = model(torch.tensor([ids[:t]])).logits[0, -1]
        losses.append(-logits.log_softmax(-1)[ids[t]].item())
    return math.exp(math.fsum(losses) / len(losses))


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_by_hand(batch_size, load, model, folder):
    found = load("perplexity").compute(
        predictions=TEXTS, model_id=folder, batch_size=batch_size, device="cpu"
    )
    expected = [by_hand(model, text) for text in TEXTS]
    assert found["perplexities"] == pytest.approx(expected, **EXACT)
    assert found["mean_perplexity"] == pytest.approx(sum(expected) / len(expected), **EXACT)
    assert min(expected) < 0.8 * max(expected)  # the texts do differ


def test_without_a_start_token(load, model, folder):
    found = load("perplexity").compute(
        predictions=TEXTS[:4], model_id=folder, add_start_token=False
    )
    expected = [by_hand(model, text, start=False) for text in TEXTS[:4]]
    assert found["perplexities"] == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize(("max_length", "longest"), [(None, 8), (4, 4)])
@pytest.mark.parametrize("start", [True, False])
def test_long_texts_are_cut(start, max_length, longest, load, model, folder):
    text = "the cat sat on the mat . a dog ran ."  # 11 tokens, the model takes 8
    found = load("perplexity").compute(
        predictions=[text, "a dog"], model_id=folder, max_length=max_length, add_start_token=start
    )
    assert found["perplexities"][0] == pytest.approx(by_hand(model, text, start, longest), **EXACT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"predictions": ["cat", ""]}, "text 1 has 0 tokens: perplexity needs at least one"),
        (
            {"predictions": ["cat"], "add_start_token": False},
            "text 0 has 1 tokens: perplexity needs at least two, or add_start_token=True",
        ),
        ({"predictions": []}, "at least one text"),
    ],
)
def test_too_short(options, message, load, folder):
    with pytest.raises(ValueError, match=message):
        load("perplexity").compute(model_id=folder, **options)


def test_a_tokenizer_without_a_start_token(load, model, tmp_path):
    model.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no start token.*use add_start_token=False"):
        load("perplexity").compute(predictions=["a cat"], model_id=str(tmp_path))
    found = load("perplexity").compute(
        predictions=["a cat"], model_id=str(tmp_path), add_start_token=False
    )
    assert found["perplexities"] == pytest.approx([by_hand(model, "a cat", start=False)], **EXACT)
