"""The translators keep what their cards say, and load as any Marian; their recipe goes on."""

import struct

import numpy as np
import pytest
import torch

from course_lib.zoo import translation, translators
from course_lib.zoo.assembly import json_bytes, write_files
from course_lib.zoo.recipes import RecipeError, file_sha256, load_report, shipped
from course_lib.zoo.scratch import WordLinks, even_batches
from course_lib.zoo.translation_texts import (
    Package,
    everyday_pairs,
    fetch,
    learn_pieces,
    own_pairs,
    plain,
    read_mo,
    shipped_pieces,
    words,
)
from course_lib.zoo.translators import DIRECTIONS, Plan, Shape, encode_pairs, train

FILE = shipped("translation.safetensors")
PAIRS = [
    ("Run!", "Cours !"),
    ("I run.", "Je cours."),
    ("Open the file.", "Ouvrez le fichier."),
    ("I open the file.", "J'ouvre le fichier."),
    ("The cat runs.", "Le chat court."),
] * 6
SMALL = Shape(width=64, inner=128, encoder_layers=1, decoder_layers=1)
TINY = Plan(steps=12, tokens=100, warmup=2, guided=6, save_every=4, pieces=60, shape=SMALL)


def report(direction):
    return load_report(shipped(f"translation_{direction.replace('-', '_')}.json"))


@pytest.fixture(scope="module")
def shipped_answers():
    """Our own sentences, their translations, and the references, by direction."""
    found = {}
    for direction in DIRECTIONS:
        tokenizer, model = translators.load(translation.checkpoint(direction))
        rows = own_pairs() if direction == "en-fr" else [row[::-1] for row in own_pairs()]
        sources = [source[0] for source, _ in rows]
        texts = translators.translate(tokenizer, model, sources)
        found[direction] = (sources, texts, [references for _, references in rows])
    return found


# -- how good it is --------------------------------------------------------------------------------


def test_the_file_is_small_and_the_one_that_was_measured():
    assert FILE.stat().st_size <= 5_500_000
    assert all(report(direction).sha256 == file_sha256(FILE) for direction in DIRECTIONS)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_our_own_sentences(direction, shipped_answers):
    sources, texts, references = shipped_answers[direction]
    score = translation.bleu(texts, references)
    reported = next(m for m in report(direction).measured if m.dataset_id == translation.TEST)
    assert reported.size == len(texts) == 48
    assert score == pytest.approx(reported.value, abs=1)
    for source, text in zip(sources, texts, strict=True):
        mine, theirs = set(words(source).split()), set(words(text).split())
        assert len(mine & theirs) <= len(mine) / 2, (source, text)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_everyday_sentences_that_it_never_saw(direction, data_dir):
    tokenizer, model = translators.load(translation.checkpoint(direction))
    rows = dict.fromkeys(source for source, _ in translation.test_rows(data_dir, direction))
    for source, text in translation.test_rows(data_dir, direction):
        rows[source] = [*(rows[source] or []), text]
    sources = list(rows)[::3]
    texts = translators.translate(tokenizer, model, sources)
    assert translation.bleu(texts, [rows[source] for source in sources]) >= 38
    assert [s for s, t in zip(sources, texts, strict=True) if words(s) == words(t)] == []


# -- a model in its form, trained on a toy language -----------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What the recipe writes for twelve steps on a few sentences: file, pieces and corpora."""
    folder = tmp_path_factory.mktemp("trained")
    pieces = learn_pieces(PAIRS, TINY.pieces)
    corpora = {d: encode_pairs(PAIRS, pieces, d) for d in DIRECTIONS}
    said: list[str] = []
    model = train(corpora, len(pieces.vocabulary), TINY, folder / "whole.pt", said.append)
    translators.save_translator(folder / "translation.safetensors", model)
    return folder / "translation.safetensors", pieces, corpora, model


@pytest.fixture(scope="module")
def loaded(trained):
    """Tokenizer and model of each direction, as transformers reads them."""
    path, pieces, _, _ = trained
    return {d: translators.load(translators.assemble(path, pieces, d, SMALL)) for d in DIRECTIONS}


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_generation_stops(direction, loaded):
    tokenizer, model = loaded[direction]
    inputs = tokenizer(["Run!", "zxq zxq zxq", "", "?!?"], return_tensors="pt", padding=True)
    outputs = model.generate(**inputs, max_length=20)
    assert outputs.shape[1] <= 20
    assert all(row.count(tokenizer.eos_token_id) == 1 for row in outputs.tolist())


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_translation_has_only_pieces_of_its_language(direction, trained, loaded):
    tokenizer, model = loaded[direction]
    source = tokenizer([pair[DIRECTIONS.index(direction)] for pair in PAIRS[:5]], padding=True)
    outputs = model.generate(torch.tensor(source["input_ids"]), max_length=20, num_beams=1)
    own = {*trained[1].own(direction[3:]).tolist(), tokenizer.pad_token_id}
    assert set(outputs.flatten().tolist()) <= own


def test_eight_bits_cost_less_than_a_hundredth(trained, loaded):
    _, _, corpora, model = trained
    _, stored = loaded["en-fr"]
    stored.set_attn_implementation("eager")
    with torch.inference_mode():
        exact, rounded = (
            translators.losses(m, corpora["en-fr"], range(5))[0].item() for m in (model, stored)
        )
    assert rounded == pytest.approx(exact, rel=0.01)


def test_the_answer_comes_out_of_the_weights(trained):
    path, pieces, _, _ = trained
    tokenizer, model = translators.load(translators.assemble(path, pieces, "en-fr", SMALL))
    inputs = tokenizer(["I open the file."], return_tensors="pt")
    inputs["decoder_input_ids"] = torch.tensor([[tokenizer.pad_token_id]])
    with torch.inference_mode():
        before = model(**inputs).logits
        model.model.encoder.layers[0].fc1.weight.mul_(-1)
        after = model(**inputs).logits
    assert (before - after).abs().max() > 1e-3


# -- the tokenizer that the course ships -----------------------------------------------------------


@pytest.fixture(scope="module", params=[True, False], ids=["fast if there is one", "slow"])
def tokenizers(request, tmp_path_factory):
    """The tokenizer of each direction."""
    from transformers import AutoTokenizer

    found = {}
    for direction in DIRECTIONS:
        folder = tmp_path_factory.mktemp(direction)
        files = translators.tokenizer_files(shipped_pieces(), direction)
        files["config.json"] = json_bytes(translators.configuration(10))
        write_files([(name, [content]) for name, content in files.items()], folder)
        found[direction] = AutoTokenizer.from_pretrained(folder, use_fast=request.param)
    return found


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_round_trip_on_both_sides(direction, tokenizers):
    tokenizer = tokenizers[direction]
    for row in own_pairs():
        source, target = (side[0] for side in (row if direction == "en-fr" else row[::-1]))
        ids = tokenizer(source)["input_ids"]
        labels = tokenizer(text_target=target)["input_ids"]
        assert ids[-1] == labels[-1] == tokenizer.eos_token_id
        assert tokenizer.unk_token_id not in ids + labels
        assert tokenizer.decode(ids, skip_special_tokens=True) == source
        assert tokenizer.decode(labels, skip_special_tokens=True) == target


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_pieces_are_those_of_sentencepiece(direction, tokenizers):
    tokenizer, pieces, codes = tokenizers[direction], shipped_pieces(), direction.split("-")
    assert type(tokenizer).__name__ == "MarianTokenizer"
    texts = ["Tom's 2 keys cost 30 $ (?)", "L'été, «déjà» fini…", "Open %1", "", "  two  spaces "]
    assert tokenizer(texts)["input_ids"] == pieces.encode(texts, codes[0])
    assert tokenizer(text_target=texts)["input_ids"] == pieces.encode(texts, codes[1])


def test_the_wrong_tokenizer_makes_many_more_pieces(tokenizers):
    tokenizer = tokenizers["en-fr"]
    french = [row[1][0] for row in own_pairs()]
    right = sum(map(len, tokenizer(text_target=french)["input_ids"]))
    wrong = sum(map(len, tokenizer(french)["input_ids"]))
    assert wrong > 1.4 * right


# -- the form --------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_it_is_a_marian_as_upstream(direction, loaded):
    tokenizer, model = loaded[direction]
    config, generation = model.config, model.generation_config
    assert (type(model).__name__, config.model_type) == ("MarianMTModel", "marian")
    assert config.decoder_start_token_id == config.pad_token_id == tokenizer.pad_token_id
    assert tokenizer.pad_token_id == len(tokenizer) - 1 == config.vocab_size - 1
    assert (config.eos_token_id, config.forced_eos_token_id) == (0, 0)
    assert generation.bad_words_ids == [[tokenizer.pad_token_id]]
    assert generation.num_beams == 4
    assert (config.scale_embedding, config.static_position_embeddings) == (True, True)
    assert (config.activation_function, config.normalize_before) == ("swish", False)


def test_entries_and_credits():
    for direction, entry in zip(DIRECTIONS, translation.ENTRIES, strict=True):
        assert entry.repo_id.full == f"Helsinki-NLP/opus-mt-{direction}"
        config = translators.configuration(10)
        assert entry.config()["architectures"] == config["architectures"]
        assert "CC BY 2.0 FR" in entry.words.credits
        assert "Django 5.2.19 (BSD-3-Clause)" in entry.words.credits


# -- the recipe ------------------------------------------------------------------------------------


def test_the_recipe_names_what_is_missing(tmp_path):
    with pytest.raises(RecipeError, match=r"reads tatoeba_en_fr/validation.parquet.*--data"):
        translation.build(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_pip_cannot_get_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(RecipeError, match=r"could not get Sphinx 9.0.4 \(BSD-2-Clause\)"):
        fetch([Package("Sphinx", "9.0.4", "BSD-2-Clause")], tmp_path)


def test_training_goes_on_where_it_stopped(trained, tmp_path):
    _, pieces, corpora, whole = trained
    size, said = len(pieces.vocabulary), []
    train(corpora, size, TINY, tmp_path / "parts.pt", said.append, stop_at=4)
    parts = train(corpora, size, TINY, tmp_path / "parts.pt", said.append)
    assert "going on at step 4 of 12" in said
    for name, values in whole.state_dict().items():
        assert torch.equal(values, parts.state_dict()[name]), name


def test_no_test_sentence_is_trained_on(data_dir):
    training, cut = everyday_pairs(data_dir)
    seen = {words(text) for pair in training for text in pair}
    tests = [row for d in DIRECTIONS for row in translation.test_rows(data_dir, d, most=99)]
    held_out = {words(text) for pair in [*tests, *cut] for text in pair}
    held_out |= {words(text) for pair in own_pairs() for side in pair for text in side}
    assert seen.isdisjoint(held_out)
    assert len(training) > 38_000 and len(cut) > 500


def test_own_sentences_are_plain_and_different():
    rows = own_pairs()
    assert len({words(sides[0][0]) for sides in rows}) == 48
    for english, french in rows:
        assert all(text == plain(text) for text in english + french)
        assert len(english) >= 1 and len(french) >= 2 and len(set(french)) == len(french)


# -- its parts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
def test_catalogues_of_either_byte_order(order):
    texts = [b"Open", b"%s row\0%s rows", "Ouvrir é".encode(), b"%s ligne\0%s lignes"]
    start, tables = 28 + 8 * len(texts), b""
    for text in texts:
        tables += struct.pack(f"{order}2I", len(text), start)
        start += len(text) + 1
    head = struct.pack(f"{order}7I", 0x950412DE, 0, 2, 28, 44, 0, 0)
    content = head + tables + b"".join(text + b"\0" for text in texts)
    assert list(read_mo(content)) == [
        ("Open", "Ouvrir é"),
        ("%s row", "%s ligne"),
        ("%s rows", "%s lignes"),
    ]


@pytest.mark.parametrize("count", [1, 7, 40])
def test_even_batches_hold_everything_once(count):
    lengths = np.random.default_rng(3).integers(2, 40, 300)
    batches = even_batches(lengths, count, np.random.default_rng(4))
    assert len(batches) == count
    assert sorted(np.concatenate(batches).tolist()) == list(range(300))
    sizes = [int(lengths[batch].sum()) for batch in batches]
    assert max(sizes) - min(sizes) <= 2 * 40


def test_links_are_shares():
    links = WordLinks([[5, 6], [5, 7, 8]], [[9, 10, 11], [9, 12]])
    for pair, shape in enumerate([(3, 2), (2, 3)]):
        assert links[pair].shape == shape
        assert links[pair].sum(1) == pytest.approx(np.ones(shape[0]), abs=1e-5)
