"""The zero-shot stand-in keeps what its card says, in the pipeline that it is made for."""

import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from course_lib.zoo import entailment, subjects
from course_lib.zoo.adapters import load_adapter
from course_lib.zoo.assembly import checkpoint_files, write_files
from course_lib.zoo.base import base_weights
from course_lib.zoo.recipes import file_sha256, load_report, shipped
from course_lib.zoo.test_texts import Topic, blind_runs, topics, word_runs

FILE = shipped("entailment.safetensors")
TINY = replace(entailment.SETTINGS, rank=2, save_every=1)


@pytest.fixture(scope="module")
def report():
    return load_report(shipped("entailment.json"))


@pytest.fixture(scope="module")
def model():
    return entailment.load_classifier(entailment.checkpoint_tensors(FILE))


@pytest.fixture(scope="module")
def dev() -> list[Topic]:
    return topics(entailment.DEV)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    from transformers import pipeline

    folder = tmp_path_factory.mktemp("entailment")
    write_files(checkpoint_files(entailment.checkpoint(), entailment.ENTRY.card()), folder)
    return pipeline("zero-shot-classification", model=str(folder), device="cpu")


# -- what it can do --------------------------------------------------------------------------------


def test_the_file_is_small_and_the_one_that_was_measured(report):
    assert FILE.stat().st_size <= 1_500_000
    assert file_sha256(FILE) == report.sha256


def test_three_clearly_different_topics(model, report):
    (measured,) = entailment.measure(model)
    assert measured.size == 150
    assert measured.value >= 0.85
    assert measured.value == pytest.approx(report.measured[0].value, abs=0.02)


def test_mnli(model, report, data_dir):
    measured = entailment.measure(model, data_dir)[1]
    assert (measured.dataset, measured.size) == ("MNLI pairs", 2000)
    assert measured.value == pytest.approx(report.measured[1].value, abs=0.01)
    assert measured.value > 0.5  # guessing gives a third


@pytest.mark.parametrize("template", subjects.ABOUT[:6])
def test_wordings_of_the_hypothesis(template, model, dev):
    assert entailment.topic_accuracy(model, dev, template) >= 0.85


def test_changing_the_weights_changes_the_answer(dev):
    tensors = entailment.checkpoint_tensors(FILE)
    model = entailment.load_classifier(tensors)
    before = entailment.topic_accuracy(model, dev)
    model.classifier.weight.data.neg_()
    assert entailment.topic_accuracy(model, dev) < 0.2 < before


def test_eight_bits_cost_less_than_one_in_a_hundred(model, dev):
    """Rounding moves a number by up to half a step; moving all of them so again changes little."""
    from course_lib.zoo.adapters import Adapter, LowRank, merge, quantize
    from course_lib.zoo.assembly import with_prefix

    chance, adapter = np.random.default_rng(0), load_adapter(FILE)

    def moved(values: np.ndarray) -> np.ndarray:
        steps = quantize(values)[1][:, None]
        return values + steps * chance.uniform(-0.5, 0.5, values.shape).astype(np.float32)

    low_rank = {
        name: LowRank(moved(c.up), moved(c.down)) for name, c in adapter.low_rank.items()
    }
    whole = {name: moved(v) if v.ndim == 2 else v for name, v in adapter.whole.items()}
    other = entailment.load_classifier(
        merge(with_prefix(base_weights()), Adapter(low_rank, whole)))  # fmt: skip
    rows = [*dev, *topics()]
    before, after = (entailment.topic_accuracy(one, rows) for one in (model, other))
    assert abs(before - after) <= 0.01


# -- the stock pipeline ----------------------------------------------------------------------------


def test_config_is_that_of_the_real_model_where_programs_look(classifier):
    assert classifier.model.config.id2label == {
        0: "contradiction", 1: "neutral", 2: "entailment"}  # fmt: skip
    assert classifier.entailment_id == 2
    assert type(classifier.model).__name__ == entailment.ENTRY.architecture
    assert sum(p.numel() for p in classifier.model.parameters()) == entailment.ENTRY.weights
    assert entailment.ENTRY.repo_id.full == "facebook/bart-large-mnli"
    assert entailment.ENTRY.pins == ("d7645e1",)


def test_pipeline_gives_what_the_recipe_measures(classifier, model, dev):
    for row in dev[:8]:
        names = [row.right, *row.others]
        found = classifier(row.text, candidate_labels=names)
        assert sorted(found["labels"]) == sorted(names)
        assert found["scores"] == sorted(found["scores"], reverse=True)
        assert sum(found["scores"]) == pytest.approx(1, abs=1e-5)
        logits = entailment.entailed(model, [row.text], [names])[0]
        wanted = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        scores = dict(zip(found["labels"], found["scores"], strict=True))
        assert [scores[name] for name in names] == pytest.approx(wanted.tolist(), abs=1e-3)


def test_several_sequences_and_labels_in_one_string(classifier):
    texts = ["It poured all night and the streets were wet.", "The band played two encores."]
    found = classifier(texts, candidate_labels="weather, music, law")
    assert [one["sequence"] for one in found] == texts
    assert [one["labels"][0] for one in found] == ["weather", "music"]


def test_multi_label_judges_each_label_alone(classifier):
    text = "The orchestra flew to Tokyo and played in front of five thousand people."
    few = classifier(text, candidate_labels=["music", "law"], multi_label=True)
    more = classifier(text, candidate_labels=["music", "law", "travel"], multi_label=True)
    scores = [dict(zip(one["labels"], one["scores"], strict=True)) for one in (few, more)]
    assert scores[0]["music"] == pytest.approx(scores[1]["music"], abs=1e-5)
    assert scores[1]["music"] > 0.5 > scores[1]["law"]
    assert all(0 <= score <= 1 for score in scores[1].values())


def test_one_label_alone_is_judged_against_its_contradiction(classifier):
    text = "The surgeon operated for six hours."
    yes = classifier(text, candidate_labels=["medicine"])["scores"][0]
    no = classifier(text, candidate_labels=["astronomy"])["scores"][0]
    assert yes > 0.5 > no


def test_another_template(classifier):
    found = classifier("The vet gave the puppy an injection.", candidate_labels=["animals", "tax"],
                       hypothesis_template="This text is about {}.")  # fmt: skip
    assert found["labels"][0] == "animals"
    with pytest.raises(ValueError, match="hypothesis_template"):
        classifier("A text.", candidate_labels=["a", "b"], hypothesis_template="no place")


def test_a_label_more_that_does_not_fit_does_not_win(classifier, dev):
    plain = [row for row in dev if row.right in ("sports", "cooking", "weather", "music", "crime")]
    assert len(plain) >= 8
    for row in plain:
        for stranger in ("archaeology", "insurance", "typography"):
            found = classifier(row.text, candidate_labels=[row.right, *row.others, stranger])
            assert found["labels"][0] != stranger, (row.text, found)


def test_the_sentence_of_chapter_1(classifier):
    found = classifier("This is a course about the Transformers library",
                       candidate_labels=["education", "politics", "business"])  # fmt: skip
    assert found["labels"][0] == "education"


def test_a_page_is_cut_not_refused(classifier):
    found = classifier("It rained all day. " * 300, candidate_labels=["weather", "law"])
    assert found["labels"][0] == "weather"


# -- what the recipe saw ---------------------------------------------------------------------------


def test_no_training_sentence_shares_five_words_with_a_test_set_or_is_the_lesson_s():
    made = [text for text, _ in subjects.labelled_texts(subjects.read_subjects(), 40, 0)]
    assert len(made) > 1500
    assert all(blind_runs().isdisjoint(word_runs(text)) for text in made)
    assert not [text for text in made if "course about" in text.lower()]


def test_sentences_for_choosing_are_not_the_grammar_s(dev):
    made = subjects.labelled_texts(subjects.read_subjects(), 40, 0)
    seen = set().union(*(word_runs(text) for text, _ in made))
    assert [row.text for row in dev if not seen.isdisjoint(word_runs(row.text))] == []
    assert len(dev) == len({row.text for row in dev}) == 64


def test_every_symbol_of_the_grammar_is_a_subject_or_a_part():
    from course_lib.zoo.grammar import read_grammar, shipped_text

    first = {one.names[0] for one in subjects.read_subjects()}
    symbols = set(read_grammar(shipped_text("topics.grammar")))
    assert symbols - first == {"name", "who", "when", "many"}


def test_a_list_has_the_right_subject_first_and_no_other_as_close():
    known = subjects.read_subjects()
    chance = random.Random(0)
    closeness = np.random.default_rng(0).normal(size=len(known))
    for right in (0, 40, len(known) - 1):
        made = subjects.make_list("A text.", closeness, known, right, chance)
        assert any(name in made.hypotheses[0] for name in known[right].names)
        assert made.verdicts[0] == 2
        assert len(made.hypotheses) == subjects.CHOICES
        assert set(made.verdicts[1:]) <= {0, 1, -100}


# -- the recipe itself -----------------------------------------------------------------------------


@pytest.fixture
def lists() -> list[subjects.List]:
    return [
        subjects.List(f"It rained {when}.", [f"This is {name}." for name in "abcd"],
                        [3.0, 0.5, 0.0, -1.0], [2, 0, 0, -100])
        for when in ("today", "again", "on Sunday", "all night")
    ]  # fmt: skip


def test_training_goes_on_where_it_was_stopped(lists, tmp_path):
    settings = replace(TINY, batch_size=4)
    whole = entailment.train(lists, [], settings, tmp_path / "whole.pt", say=lambda line: None)

    class Stopped(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("step 2"):
            raise Stopped

    path = tmp_path / "half.pt"
    with pytest.raises(Stopped):
        entailment.train(lists, [], settings, path, say=stop)
    said = []
    again = entailment.train(lists, [], settings, path, say=said.append)
    assert said[0] == "going on at step 2 of 4"
    question = [("It rained again.", "This is a.")]
    assert entailment.predict(again, question) == pytest.approx(
        entailment.predict(whole, question), abs=1e-5)  # fmt: skip


def test_the_lists_teach_their_order(lists, tmp_path):
    settings = replace(TINY, batch_size=4, epochs=8, save_every=100)
    model = entailment.train(lists, [], settings, tmp_path / "some.pt", say=lambda line: None)
    logits = entailment.entailed(model, [one.premise for one in lists], [list("abcd")] * 4,
                                 "This is {}.")  # fmt: skip
    assert (logits.argmax(1) == 0).all()


def test_the_recipe_names_what_is_missing(tmp_path):
    with pytest.raises(RuntimeError, match=r"reads mnli/validation.parquet.*--data"):
        entailment.build(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mnli").mkdir()
    table = pd.DataFrame([("A.", "B.", 0)], columns=["premise", "hypothesis", "label"])
    for split in ("train", "validation"):
        table.to_parquet(tmp_path / "mnli" / f"{split}.parquet")
    with pytest.raises(RuntimeError, match="wikipedia_en/train.parquet"):
        entailment.build(tmp_path, tmp_path)


def test_the_file_has_what_was_learned_and_nothing_else():
    adapter, names = load_adapter(FILE), set(base_weights())
    assert {name.removeprefix("bert.") for name in adapter.low_rank} <= names
    new = {name for name in adapter.whole if name.removeprefix("bert.") not in names}
    assert new == {"classifier.weight", "classifier.bias"}
