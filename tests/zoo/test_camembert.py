"""The French masked language model keeps what its card says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sentencepiece
import torch
import transformers

from course_lib.zoo import base, camembert
from course_lib.zoo.adapters import save_adapter
from course_lib.zoo.assembly import checkpoint_files, write_files
from course_lib.zoo.masked_training import load_masked
from course_lib.zoo.recipes import file_sha256, load_report, shipped
from course_lib.zoo.training import take_adapter
from course_lib.zoo.translation_texts import words

FILE = shipped("camembert.safetensors")

# Written for this test; nothing was chosen by what the model makes of it.
FRENCH = (
    "Ma sœur habite dans une petite maison près de la mer.",
    "Il n'a pas mangé depuis hier matin.",
    "Pourquoi est-ce que tu ne m'as rien dit ?",
    "Nous allons souvent au marché le samedi.",
    "Le train est parti avec dix minutes de retard.",
    "Elle a oublié ses clés sur la table de la cuisine.",
    "Je voudrais un verre d'eau, s'il vous plaît.",
    "Les enfants jouent dans le jardin avec le chien.",
    "Est-ce que vous pouvez parler plus lentement ?",
    "C'est la première fois que je viens ici.",
    "Mon père travaille à la banque depuis vingt ans.",
    "Tu devrais aller te coucher, il est tard.",
)


SPM = shipped("translation_fr.spm")  # French pieces, to try the form with


@pytest.fixture(scope="module")
def report():
    return load_report(shipped("camembert.json"))


@pytest.fixture(scope="module")
def shipped_model():
    return load_masked(camembert.load_tensors(FILE))


@pytest.fixture(scope="module")
def shipped_cutter():
    return camembert.french_tokenizer(shipped("camembert.spm").read_bytes())


@pytest.fixture(scope="module")
def shipped_unmask(tmp_path_factory):
    """The stand-in, read from its files."""
    path = tmp_path_factory.mktemp("camembert")
    write_files(camembert.ENTRY.files(), path)
    return transformers.pipeline("fill-mask", model=str(path))


@pytest.fixture(scope="module")
def fast():
    return camembert.french_tokenizer(SPM.read_bytes())


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """What the recipe would store of a model that has not learned anything yet."""
    chance, size = np.random.default_rng(0), len(camembert.vocabulary(SPM.read_bytes()))
    start = chance.normal(0, 0.05, (size, base.WIDTH)).astype(np.float32)
    untrained = camembert.start_model(start, np.zeros(size, np.float32), camembert.Plan(rank=2))
    path = tmp_path_factory.mktemp("weights") / "camembert.safetensors"
    save_adapter(path, take_adapter(untrained), bits=8)
    return path


@pytest.fixture(scope="module")
def model(weights):
    return load_masked(camembert.load_tensors(weights))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, weights):
    """That model as the files that `from_pretrained` takes."""
    path = tmp_path_factory.mktemp("files")
    write_files(checkpoint_files(camembert.assemble(weights, SPM.read_bytes()), ""), path)
    return str(path)


@pytest.fixture(scope="module")
def unmask(folder):
    return transformers.pipeline("fill-mask", model=folder)


# -- what is shipped -------------------------------------------------------------------------------


def test_the_file_is_small_and_the_one_that_was_measured(report):
    assert FILE.stat().st_size <= 2_700_000
    assert report.sha256 == file_sha256(FILE)
    assert report.cores == 1


def test_the_bar_is_in_the_report(report):
    everything, written, whole_words, at_once, first = report.measured
    assert everything.value >= 0.40
    assert first.metric == "top1_accuracy" and first.value < everything.value
    assert everything.size == 2000 > written.size > whole_words.size
    assert at_once.value < everything.value, "less context is harder"


def test_held_out_sentences(shipped_model, shipped_cutter, report, data_dir):
    everything, *_ = camembert.measure(
        shipped_model, shipped_cutter, camembert.held_out(data_dir), count=250
    )
    then = report.measured[0]
    assert everything.dataset == then.dataset
    spread = (then.value * (1 - then.value) / everything.size) ** 0.5
    assert abs(everything.value - then.value) < 4 * spread


def test_sentences_that_nobody_trained_on(shipped_model, shipped_cutter):
    everything, *_ = camembert.measure(shipped_model, shipped_cutter, FRENCH, count=150)
    assert everything.value >= 0.40


# -- as transformers sees it -----------------------------------------------------------------------


def test_the_stock_classes_load_it(folder, weights):
    model, loading = transformers.AutoModelForMaskedLM.from_pretrained(
        folder, output_loading_info=True
    )
    assert type(model).__name__ == "CamembertForMaskedLM"
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    embeddings = model.get_input_embeddings().weight
    assert model.get_output_embeddings().weight.data_ptr() == embeddings.data_ptr()
    tensors = camembert.assemble(weights, SPM.read_bytes()).tensors.values()
    count = sum(np.prod(tensor.shape) for tensor in tensors)
    per_token = base.WIDTH + 1  # the entry's number is for 5,005 tokens
    assert count - per_token * len(embeddings) == camembert.ENTRY.weights - per_token * 5005


def test_the_tokenizer_is_a_camemberts(unmask, fast):
    tokenizer = unmask.tokenizer
    assert "Camembert" in type(tokenizer).__name__
    assert tokenizer.convert_tokens_to_ids(["<s>NOTUSED", "<pad>", "</s>NOTUSED"]) == [0, 1, 2]
    assert (tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (3, 5, 6)
    assert tokenizer.mask_token == "<mask>"
    assert tokenizer.mask_token_id == len(tokenizer) - 1 == unmask.model.config.vocab_size - 1
    for text in FRENCH:
        assert tokenizer(text)["input_ids"] == fast.encode(text).ids
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
    first, second = tokenizer("Un jour", "une nuit")["input_ids"], tokenizer("Un jour")["input_ids"]
    assert first[: len(second) + 1] == [*second, 6]


def test_it_cuts_as_sentencepiece_does(fast):
    pieces = sentencepiece.SentencePieceProcessor(model_proto=SPM.read_bytes())
    odd = [
        "L'été… déjà ?",
        "Où\u00a0es-tu\u202f?",
        "  deux   espaces ",
        "e\u0301te\u0301",
        "A&B 100 %",
    ]
    for text in [*FRENCH, *odd]:
        cut = fast.encode(text, add_special_tokens=False).tokens
        assert cut == pieces.encode(text, out_type=str), text


def test_bert_and_camembert_answer_the_same(unmask, model):
    batch = unmask.tokenizer(
        ["Le camembert est <mask> :)", "Un <mask>."], padding=True, return_tensors="pt"
    )
    real = batch["attention_mask"].bool()
    with torch.no_grad():
        theirs = unmask.model(**batch).logits[real]
        ours = model(batch["input_ids"], batch["attention_mask"]).logits[real]
    assert torch.allclose(theirs, ours, atol=1e-3)


@pytest.mark.parametrize(
    ("text", "fitting"),
    [
        ("Je ne sais <mask>.", {"pas", "rien"}),
        ("Nous <mask> en retard.", {"sommes", "étions", "serons", "arrivons"}),
        ("Où <mask> la gare ?", {"est", "était"}),
    ],
)
def test_answers_are_grammatical(text, fitting, shipped_unmask):
    answers = [answer["token_str"].strip() for answer in shipped_unmask(text)]
    assert fitting & set(answers), answers


def test_answers_come_from_the_weights(unmask):
    batch = unmask.tokenizer("Le camembert est <mask> :)", return_tensors="pt")
    weight = unmask.model.lm_head.dense.weight
    with torch.no_grad():
        before, kept = unmask.model(**batch).logits, weight.clone()
        weight.mul_(-1)
        after = unmask.model(**batch).logits
        weight.copy_(kept)
    assert (before - after).abs().max() > 1


def test_the_card_says_what_was_measured():
    card = camembert.ENTRY.card()
    for measurement in camembert.ENTRY.report.measured:
        assert f"{measurement.value:.3f}" in card
    assert camembert.ENTRY.summary["pipeline_tag"] == "fill-mask"
    assert "mask_token: <mask>" in card and "CC BY 2.0 FR" in card
    assert "0 French strings" not in card


# -- how it is made --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_data(tmp_path_factory):
    """Sentence pairs of a few rows, under the names that the recipe reads."""
    root = tmp_path_factory.mktemp("data")
    (root / "tatoeba_en_fr").mkdir()
    nouns = {"cat": "chat", "dog": "chien", "horse": "cheval", "baker": "boulanger"}
    verbs = {"sleeps": "dort", "eats": "mange", "sings": "chante", "works": "travaille"}
    places = {"in the garden": "dans le jardin", "at home": "à la maison", "here": "ici"}
    pairs = [
        (f"The {noun} {verb} {place}.", f"Le {nouns[noun]} {verbs[verb]} {places[place]}.")
        for noun in nouns for verb in verbs for place in places
    ]  # fmt: skip
    pairs.append(("The camembert is here.", "Le camembert est ici."))
    for split, rows in (("train", pairs), ("validation", pairs[::10][:4])):
        pd.DataFrame(rows, columns=["source", "target"]).to_parquet(
            root / "tatoeba_en_fr" / f"{split}.parquet"
        )
    return root


SMALL = camembert.Plan(steps=6, batch_size=64, rank=2, warmup=2, save_every=2, pieces=220)


def learned(model):
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def test_held_out_and_asked_sentences_are_not_read(small_data, tmp_path):
    text, test = camembert.read_text(small_data, tmp_path, ()), camembert.held_out(small_data)
    read = {words(french) for _, french in text.pairs}
    assert len(test) == 4 and len(read) > 30
    assert read.isdisjoint(map(words, test))
    assert not any(camembert.ASKED in sentence for sentence in read)


def test_an_interrupted_training_ends_like_one_that_was_not(small_data, tmp_path):
    text, quiet, say = camembert.read_text(small_data, tmp_path, ()), lambda line: None, []

    def go(name, report=quiet, stop_at=None):
        found, model = camembert.prepare(text.pairs, SPM.read_bytes(), SMALL)
        return camembert.train(found, model, SMALL, tmp_path / name, report, stop_at)

    whole = go("whole.pt")
    go("parts.pt", stop_at=3)
    parts = go("parts.pt", say.append)
    assert say[0] == "going on at step 2 of 6"
    for name, values in learned(whole).items():
        assert torch.equal(values, learned(parts)[name]), name
    adapter = take_adapter(whole)
    assert len(adapter.low_rank) == 6 * 6
    assert camembert.WORDS in adapter.whole


def test_the_recipe_leaves_pieces_weights_and_report(small_data, tmp_path):
    plan = replace(SMALL, steps=2)
    lines = []
    [made] = camembert.build(small_data, tmp_path, lines.append, plan=plan, packages=(), count=8)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "camembert.json",
        "camembert.safetensors",
        "camembert.spm",
    ]
    assert load_report(tmp_path / "camembert.json") == made
    assert made.sha256 == file_sha256(tmp_path / "camembert.safetensors")


def test_the_recipe_names_what_is_missing(tmp_path):
    with pytest.raises(RuntimeError, match=r"reads tatoeba_en_fr/validation.parquet.*--data"):
        camembert.build(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_vectors_come_from_what_stands_in_the_same_place():
    table = np.eye(12, dtype=np.float32)
    english = [[0, 2], [1, 2], [0, 3], [1, 3]] * 3
    french = [[5, 7], [6, 7], [5, 8], [6, 8]] * 3
    vectors = camembert.start_vectors(english, french, table, 10)
    assert vectors[[5, 6, 7, 8]].argmax(1).tolist() == [0, 1, 2, 3]
    assert np.allclose(np.linalg.norm(vectors[5:9], axis=1), 1, atol=1e-4)
    assert np.isfinite(vectors).all() and (vectors[9] == vectors[0]).all()
