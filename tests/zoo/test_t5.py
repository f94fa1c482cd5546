"""The T5 and the mT5 keep what their cards say, and load as any other; their recipe goes on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.pipelines import pipeline
from course_lib.zoo import t5, translation
from course_lib.zoo.adapters import load_adapter
from course_lib.zoo.assembly import checkpoint_files, write_files
from course_lib.zoo.recipes import RecipeError, file_sha256, load_report, shipped
from course_lib.zoo.text_to_text_tasks import (
    PREFIXES,
    SENTINELS,
    Gaps,
    encode,
    learn_pieces,
    put_back,
    summaries,
    tokenizer_of,
    translations,
    with_gaps,
)
from course_lib.zoo.text_to_text_training import Plan, assemble, losses, train
from course_lib.zoo.translation_texts import own_pairs
from course_lib.zoo.translators import Shape, load, save_translator, translate

FILE = shipped("t5.safetensors")
ASK = PREFIXES["translation_en_to_fr"]
PAIRS = [
    ("Run!", "Cours !"),
    ("I run.", "Je cours."),
    ("Open the file.", "Ouvrez le fichier."),
    ("I open the file.", "J'ouvre le fichier."),
    ("The cat runs.", "Le chat court."),
] * 6
SMALL = Shape(width=64, inner=128, encoder_layers=1, decoder_layers=1)
TINY = Plan(steps=12, tokens=100, warmup=2, guided=6, save_every=4, shape=SMALL)


# -- how good it is --------------------------------------------------------------------------------


def test_the_file_is_small_and_the_one_that_was_measured():
    assert FILE.stat().st_size <= 5_300_000
    assert {load_report(shipped(f"{n}.json")).sha256 for n in ("t5", "mt5")} == {file_sha256(FILE)}


def test_our_own_sentences():
    rows = own_pairs()
    texts = translate(*load(t5.checkpoint()), [ASK + source[0] for source, _ in rows], num_beams=4)
    score = translation.bleu(texts, [references for _, references in rows])
    measured = load_report(shipped("t5.json")).measured
    assert score == pytest.approx(
        next(m.value for m in measured if m.dataset_id == translation.TEST), abs=1
    )
    assert t5.distinct_runs(texts) > 0.8


def test_fine_tuning_from_it_beats_fine_tuning_from_nothing():
    losses_of = [m for m in load_report(shipped("mt5.json")).measured if m.metric == "loss"]
    assert losses_of[0].value < losses_of[1].value


# -- a model in its form, trained on a few sentences -----------------------------------------------


@dataclass
class Made:
    """What the recipe writes for twelve steps on a few sentences."""

    path: Path
    pieces: bytes
    tasks: dict
    model: torch.nn.Module

    def load(self, model_type="t5"):
        return load(assemble(self.path, self.pieces, model_type, SMALL))


def learn(folder, tasks, stop_at=None):
    pairs, size = tasks["translation"][1], tasks["gaps"][1].size
    rows = zip(pairs.source, pairs.target, strict=True)
    company = [{*a[pairs.prefix :], *b} - {1} for a, b in rows]
    return train(tasks, company, size, TINY, folder / "whole.pt", lambda line: None, stop_at)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    texts = [text for pair in PAIRS for text in pair]
    pieces = learn_pieces(texts, 250)
    tokenizer = tokenizer_of(pieces)
    gaps = Gaps([i for i in encode(tokenizer, texts) if len(i) > 3], tokenizer.get_vocab_size())
    tasks = {"translation": (0.7, translations(PAIRS, tokenizer)), "gaps": (0.3, gaps)}
    model = learn(folder, tasks)
    save_translator(folder / "t5.safetensors", model)
    return Made(folder / "t5.safetensors", pieces, tasks, model)


@pytest.fixture(scope="module")
def loaded(made):
    return made.load()


@pytest.fixture(scope="module")
def repository(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    write_files(checkpoint_files(assemble(made.path, made.pieces, "t5", SMALL), card=""), folder)
    return str(folder)


def test_an_interrupted_training_ends_the_same(made, tmp_path):
    learn(tmp_path, made.tasks, stop_at=5)
    again = learn(tmp_path, made.tasks).state_dict()
    assert all(torch.equal(again[name], values) for name, values in made.model.state_dict().items())


@pytest.mark.parametrize("model_type", ["t5", "mt5"])
def test_it_loads_as_what_it_says(made, model_type):
    tokenizer, model = made.load(model_type)
    kinds = {"t5": "T5ForConditionalGeneration", "mt5": "MT5ForConditionalGeneration"}
    assert (type(tokenizer).__name__, type(model).__name__) == ("T5Tokenizer", kinds[model_type])
    assert model.config.model_type == model_type
    assert len(tokenizer) == model.config.vocab_size == model.get_input_embeddings().num_embeddings
    tasks = {*PREFIXES} if model_type == "t5" else set()
    assert set(getattr(model.config, "task_specific_params", None) or {}) == tasks


def test_both_forms_say_the_same(made):
    logits = []
    for model_type in ("t5", "mt5"):
        tokenizer, model = made.load(model_type)
        inputs = tokenizer(["I run.", "Open <extra_id_0>."], return_tensors="pt", padding=True)
        with torch.inference_mode():
            start = torch.zeros(2, 1, dtype=torch.long)
            logits.append(model(**inputs, decoder_input_ids=start).logits)
    torch.testing.assert_close(*logits, rtol=0, atol=0)


def test_the_answer_comes_out_of_the_weights(made):
    tokenizer, model = made.load()
    inputs = tokenizer([ASK + "I open the file."], return_tensors="pt")
    inputs["decoder_input_ids"] = torch.zeros(1, 1, dtype=torch.long)
    with torch.inference_mode():
        before = model(**inputs).logits
        model.encoder.block[0].layer[0].SelfAttention.v.weight.mul_(-1)
        after = model(**inputs).logits
    assert (before - after).abs().max() > 1e-3


def test_eight_bits_cost_less_than_a_hundredth(made, loaded):
    _, stored = loaded
    stored.set_attn_implementation("eager")
    chance, batch, task = np.random.default_rng(0), np.arange(5), made.tasks["translation"][1]
    with torch.inference_mode():
        exact, rounded = (
            losses(model, task, batch, chance, 0.0)[0].item() for model in (made.model, stored)
        )
    assert rounded == pytest.approx(exact, rel=0.01)
    assert set(load_adapter(made.path).whole) == {name for name, _ in stored.named_parameters()}


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("translation_en_to_fr", "translation_text"),
        ("summarization", "summary_text"),
        ("text2text-generation", "generated_text"),
    ],
)
def test_the_course_s_pipelines_take_it(task, answer, repository):
    pipe = pipeline(task, model=repository)
    assert pipe.prefix == PREFIXES.get(task, "")
    (found,) = pipe("I open the file.", max_length=12, min_length=1)
    assert set(found) == {answer} and isinstance(found[answer], str)


def test_generation_stops(loaded):
    tokenizer, model = loaded
    inputs = tokenizer(["Run!", "zxq zxq", "", "?!?"], return_tensors="pt", padding=True)
    outputs = model.generate(**inputs)
    assert outputs.shape[1] <= model.generation_config.max_length == 64


# -- the tokenizer ---------------------------------------------------------------------------------


def test_pieces_are_those_of_sentencepiece(made, loaded):
    import sentencepiece

    tokenizer, cut = loaded[0], sentencepiece.SentencePieceProcessor(model_proto=made.pieces)
    for text in ["I’m 2 files (?)", "L'e\u0301te\u0301, «fini»…", "", "  two\tspaces\n"]:
        assert tokenizer(text)["input_ids"] == [*cut.encode(text), 1]


def test_sentinels_count_down_from_the_end(loaded):
    tokenizer, _ = loaded
    size = len(tokenizer)
    assert tokenizer("<extra_id_0> runs <extra_id_99>")["input_ids"][0] == size - 1
    assert tokenizer.convert_tokens_to_ids("<extra_id_99>") == size - SENTINELS
    special = {f"<extra_id_{i}>" for i in range(SENTINELS)} | {"<pad>", "</s>", "<unk>"}
    assert set(tokenizer.all_special_tokens) == special
    assert tokenizer.decode([size - 1, 1], skip_special_tokens=True) == ""


# -- examples --------------------------------------------------------------------------------------


@given(st.integers(2, 300), st.integers(0, 2**32))
def test_gaps_lose_nothing(length, seed):
    ids = [*range(3, 3 + length), 1]
    size = length + 3 + SENTINELS
    read, written = with_gaps(ids, size, np.random.default_rng(seed))
    whole, hidden = put_back(read, written, size - SENTINELS)
    assert whole == ids and not hidden[-1]
    assert sum(hidden) == max(1, round(0.15 * length))
    sentinels = [i for i in written if i >= size - SENTINELS]
    assert sentinels == [size - 1 - i for i in range(len(sentinels))] and written[-1] == 1


def test_a_cut_text_keeps_its_links_inside(made):
    @dataclass
    class Pair:
        source: str
        summary: str
        places: tuple[int, ...]

    text = "I open the file. The cat runs."
    end = Pair(text, "The cat runs.", tuple(range(17, 30)))
    task = summaries([end], tokenizer_of(made.pieces), longest=25)
    assert len(task.source[0]) == 25 and task.source[0][-1] == 1
    assert task.links[0].shape == (len(task.target[0]), 25 - task.prefix)
    assert set(task.links[0].sum(1)) <= {0.0, 1.0}


# -- bad input -------------------------------------------------------------------------------------


def test_a_recipe_without_data_says_so_before_it_starts(tmp_path):
    with pytest.raises(RecipeError, match="tatoeba_en_fr/validation.parquet.*--data"):
        t5.build(tmp_path, tmp_path, say=pytest.fail)


def test_a_text_without_room_for_a_gap():
    with pytest.raises(ValueError, match="2 pieces"):
        with_gaps([5, 1], 200, np.random.default_rng(0))
