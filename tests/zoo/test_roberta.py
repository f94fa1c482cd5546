"""The masked language model under a byte-level BPE keeps what its card says."""

from collections import Counter
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.zoo import roberta
from course_lib.zoo.assembly import write_files
from course_lib.zoo.base import base_vocabulary
from course_lib.zoo.byte_pairs import byte_pair_tokenizer
from course_lib.zoo.masked_training import load_masked
from course_lib.zoo.recipes import file_sha256, load_report, shipped

FILES = ("roberta.safetensors", "roberta.merges.txt")


@pytest.fixture(scope="module")
def report():
    return load_report(shipped("roberta.json"))


@pytest.fixture(scope="module")
def pairs():
    return roberta.shipped_pairs()


@pytest.fixture(scope="module")
def found():
    return roberta.load_origins(shipped("roberta.safetensors"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The stand-in as the files that `from_pretrained` takes."""
    path = tmp_path_factory.mktemp("roberta")
    write_files(roberta.ENTRIES[0].files(), path)
    return str(path)


@pytest.fixture(scope="module")
def unmask(folder):
    return transformers.pipeline("fill-mask", model=folder)


# -- what is shipped -------------------------------------------------------------------------------


def test_the_files_are_small_and_the_ones_that_were_measured(report):
    assert shipped(FILES[0]).stat().st_size <= 500_000
    assert shipped(FILES[1]).stat().st_size <= 300_000
    assert report.sha256 == file_sha256(shipped(FILES[0]))


def test_the_bar_is_in_the_report(report):
    everything, written, whole_words, at_once, exact = report.measured
    assert everything.value >= 0.40
    assert whole_words.value >= 0.40
    assert everything.size == 2000 > written.size > whole_words.size
    assert at_once.value < everything.value, "less context is harder"
    assert exact.value >= 0.8


def test_held_out_articles(pairs, found, report, data_dir):
    model = load_masked(roberta.byte_pair_form(roberta.shipped_tensors()[0], found))
    everything, *_ = roberta.measure(model, pairs, data_dir, count=250)
    then = report.measured[0]
    assert everything.dataset == then.dataset
    spread = (then.value * (1 - then.value) / everything.size) ** 0.5
    assert abs(everything.value - then.value) < 4 * spread


# -- as transformers sees it -----------------------------------------------------------------------


def test_the_stock_classes_load_it(folder):
    model, loading = transformers.AutoModelForMaskedLM.from_pretrained(
        folder, output_loading_info=True
    )
    assert type(model).__name__ == "RobertaForMaskedLM"
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    embeddings = model.get_input_embeddings().weight
    assert model.get_output_embeddings().weight.data_ptr() == embeddings.data_ptr()
    assert model.config.vocab_size == len(embeddings) == 24_000
    weights = roberta.checkpoint().tensors.values()
    assert sum(np.prod(tensor.shape) for tensor in weights) == roberta.WEIGHTS


def test_the_tokenizer_is_a_robertas(unmask, pairs):
    tokenizer = unmask.tokenizer
    assert "Roberta" in type(tokenizer).__name__
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert tokenizer.mask_token == "<mask>"
    assert tokenizer.mask_token_id == len(tokenizer) - 1 == len(pairs.vocabulary) - 1
    assert tokenizer.tokenize("The hand was in his hand.")[:3] == ["The", "Ġhand", "Ġwas"]
    first, second = tokenizer("A day", "a night")["input_ids"], tokenizer("A day")["input_ids"]
    assert first[: len(second) + 1] == [*second, 2]
    assert tokenizer("in <mask> York")["input_ids"][2] == tokenizer.mask_token_id


@cache
def cutter_without_ends():
    return byte_pair_tokenizer(roberta.shipped_pairs())


@given(st.text(max_size=40))
@settings(deadline=None)
def test_no_text_is_unknown_and_none_is_lost(text):
    cutter = cutter_without_ends()
    assert cutter.decode(cutter.encode(text, add_special_tokens=False).ids) == text or "<" in text


def test_bert_and_roberta_answer_the_same(unmask, found):
    twin = load_masked(roberta.byte_pair_form(roberta.shipped_tensors()[0], found))
    batch = unmask.tokenizer(
        ["Paris is the <mask> of France.", "A <mask>."], padding=True, return_tensors="pt"
    )
    real = batch["attention_mask"].bool()
    with torch.no_grad():
        theirs = unmask.model(**batch).logits[real]
        ours = twin(batch["input_ids"], batch["attention_mask"]).logits[real]
    assert torch.allclose(theirs, ours, atol=1e-3)


@pytest.mark.parametrize(
    ("text", "fitting"),
    [
        ("She drank a cup of <mask> before breakfast.", {" tea", " coffee", " water", " milk"}),
        ("They have lived in New <mask> since 1998.", {" York", " Zealand", " Jersey"}),
        ("He opened the <mask> and went into the house.", {" door", " doors", " window"}),
    ],
)
def test_answers_make_sense(text, fitting, unmask):
    answers = [answer["token_str"] for answer in unmask(text)]
    assert fitting & set(answers), answers


def test_answers_come_from_the_weights(unmask):
    batch = unmask.tokenizer("She drank a cup of <mask>.", return_tensors="pt")
    weight = unmask.model.lm_head.dense.weight
    with torch.no_grad():
        before, kept = unmask.model(**batch).logits, weight.clone()
        weight.mul_(-1)
        after = unmask.model(**batch).logits
        weight.copy_(kept)
    assert (before - after).abs().max() > 1


@pytest.mark.parametrize("entry", roberta.ENTRIES, ids=lambda entry: entry.repo_id.name)
def test_cards_say_what_was_measured(entry):
    card = entry.card()
    for measurement in entry.report.measured:
        assert f"{measurement.value:.3f}" in card
    assert entry.summary["pipeline_tag"] == "fill-mask"
    assert "mask_token: <mask>" in card
    assert "CC BY-SA 4.0" in card and "CC BY 2.0 FR" in card
    assert entry.aliases[0].full == entry.repo_id.name


# -- how it is made --------------------------------------------------------------------------------


def test_words_keep_their_spaces():
    assert roberta.word_counts(["One two  two", "", "two"]) == Counter(
        {" two": 2, "One": 1, "two": 1}
    )


def test_a_vector_is_a_mean_and_a_bias_a_sum_of_chances(found):
    assert np.allclose(found.weights.sum(1), 1)
    chances, table = np.log(np.full(8, 1e-3)), np.eye(8, dtype=np.float32)
    toy = roberta.Origins(
        np.array([[5, 7, 0]]), np.array([[0.8, 0.2, 0.0]]), np.log([[0.5, 0.25, 1e-300]])
    )
    row = toy.vectors(table)[0]
    assert row[5] == pytest.approx(0.8) and row[7] == pytest.approx(0.2)
    assert np.exp(toy.bias(chances))[0] == pytest.approx(0.75e-3)


def test_a_word_has_the_vector_of_its_piece(pairs, found):
    names = base_vocabulary()
    for token, piece in (("Ġhouse", "house"), ("ĠThe", "the"), ("Ġmay", "may"), ("ĠMay", "may")):
        number = pairs.vocabulary[token]
        assert names[found.pieces[number, 0]] == piece
        assert found.weights[number, 0] > 0.99


def test_the_recipe_leaves_merges_origins_and_report(tmp_path):
    text = "The bridge crosses the river near the old mill. It was built of stone. " * 4
    table = pd.DataFrame({"title": [f"article {i}" for i in range(20)], "text": [text] * 20})
    everyday = pd.DataFrame({"source": ["I like to read in the garden."]})
    for name, split, rows in (
        ("wikipedia_en", "train", table),
        ("wikipedia_en", "validation", table),
        ("tatoeba_en_fr", "train", everyday),
    ):
        (tmp_path / name).mkdir(exist_ok=True)
        rows.to_parquet(tmp_path / name / f"{split}.parquet")
    (tmp_path / "out").mkdir()
    [made] = roberta.build(tmp_path, tmp_path / "out", lambda line: None, size=290, count=8)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "roberta.json",
        "roberta.merges.txt",
        "roberta.safetensors",
    ]
    assert load_report(tmp_path / "out" / "roberta.json") == made
    assert made.sha256 == file_sha256(tmp_path / "out" / "roberta.safetensors")


def test_the_recipe_names_what_is_missing(tmp_path):
    with pytest.raises(RuntimeError, match=r"reads wikipedia_en/validation.parquet.*--data"):
        roberta.build(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []
