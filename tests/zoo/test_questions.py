"""The question-answering stand-in keeps what its card says, on questions that it never saw."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.zoo import answer_spans, questions
from course_lib.zoo.adapters import load_adapter, merge, save_adapter
from course_lib.zoo.assembly import distilbert_tensors, write_files
from course_lib.zoo.base import base_weights
from course_lib.zoo.grammar import read_grammar, shipped_text
from course_lib.zoo.question_texts import Example, fact_names, make_fact, questions_of, written
from course_lib.zoo.recipes import file_sha256, load_report, shipped
from course_lib.zoo.test_texts import blind_runs, word_runs
from course_lib.zoo.training import Settings

FILE = shipped("questions.safetensors")
TOWER = "Lund Tower is in Riga. In 2005, the tower was opened by Ann Li."


@pytest.fixture(scope="module")
def model():
    return answer_spans.load_model(merge(distilbert_tensors(base_weights()), load_adapter(FILE)))


@pytest.fixture(scope="module")
def report():
    return load_report(shipped("questions.json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    write_files(questions.ENTRY.files(), folder)
    return folder


def reported(report, dataset: str) -> dict[str, float]:
    return {m.metric: m.value for m in report.measured if m.dataset.startswith(dataset)}


# -- the weights -----------------------------------------------------------------------------------


def test_the_file_is_small_and_the_one_that_was_measured(report):
    assert FILE.stat().st_size <= 1_500_000
    assert file_sha256(FILE) == report.sha256


def test_simple_questions(model, report):
    exact, f1 = questions.measure(model)
    assert (exact.metric, exact.size, f1.metric) == ("exact_match", 150, "f1")
    assert exact.value >= 0.55
    assert {"exact_match": exact.value, "f1": f1.value} == pytest.approx(
        reported(report, "simple"), abs=0.01
    )


def test_squad(model, report, data_dir):
    *_, exact, f1 = questions.measure(model, data_dir)
    assert (exact.size, f1.metric) == (612, "f1")
    assert f1.value >= 0.45  # the aim is 0.55: the card says that it is missed
    assert {"exact_match": exact.value, "f1": f1.value} == pytest.approx(
        reported(report, "SQuAD"), abs=0.01
    )


def test_the_sentence_of_chapter_1(model):
    """The real model says *Hugging Face*; the stand-in may take the town for the place of work."""
    context = "My name is Sylvain and I work at Hugging Face in Brooklyn."
    asked = [("Where do I work?", context), ("What is my name?", context)]
    work, name = (text_of(context, found) for found in answer_spans.answers(model, asked))
    assert work in {"Hugging Face", "Brooklyn", "Hugging Face in Brooklyn"}
    assert name == "Sylvain"


def text_of(context: str, answer: answer_spans.Answer) -> str:
    return context[answer.start : answer.end]


# -- the checkpoint --------------------------------------------------------------------------------


def test_transformers_loads_the_same_model(model, folder):
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    loaded = AutoModelForQuestionAnswering.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert type(loaded).__name__ == questions.ENTRY.architecture
    assert loaded.config.model_type == questions.ENTRY.model_type
    assert sum(p.numel() for p in loaded.parameters()) == questions.ENTRY.weights
    inputs = tokenizer("Who opened the tower?", TOWER, return_tensors="pt")
    asked, context = answer_spans.encode(["Who opened the tower?", TOWER])
    assert inputs["input_ids"].tolist() == [answer_spans.joined(asked.ids, context.ids)]
    with torch.inference_mode():
        theirs = loaded(inputs["input_ids"], attention_mask=inputs["attention_mask"])
        ours = model(inputs["input_ids"])
    assert torch.allclose(theirs.start_logits, ours.start_logits, atol=1e-4)
    assert torch.allclose(theirs.end_logits, ours.end_logits, atol=1e-4)


def test_eight_bits_cost_less_than_a_percent(model, tmp_path):
    """Rounding a second time moves the weights as much as the first time did."""
    again = load_adapter(FILE)
    for name, change in again.low_rank.items():
        noise = np.random.default_rng(len(name))
        step = np.abs(change.up).max(1, keepdims=True) / 127
        moved = change.up + step * noise.uniform(-0.5, 0.5, change.up.shape)
        again.low_rank[name] = type(change)(moved.astype(np.float32), change.down)
    save_adapter(tmp_path / "again.safetensors", again, bits=8)
    adapter = load_adapter(tmp_path / "again.safetensors")
    moved = answer_spans.load_model(merge(distilbert_tensors(base_weights()), adapter))
    before, after = (questions.measure(m)[1].value for m in (model, moved))
    assert after == pytest.approx(before, abs=0.01)


# -- from logits to a span -------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    context=st.text(min_size=1, max_size=300),
    question=st.text(max_size=60),
    size=st.integers(80, 120),
)
def test_an_answer_is_a_span_of_the_context(context, question, size, model):
    try:
        found = answer_spans.answers(model, [(question, context)], size=size, stride=8)[0]
    except ValueError as error:
        assert "is empty" in str(error)
        assert answer_spans.encode([context])[0].ids == []
    else:
        assert 0 <= found.start < found.end <= len(context)


NUMBERS = st.floats(-9, 9, allow_subnormal=False)  # TensorFlow flushes those to zero


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=40))
def test_the_best_span_is_the_best_of_all(logits):
    starts, ends = np.array(logits, np.float32).T
    first, last, score = answer_spans.best_span(starts, ends)
    spans = [(i, j) for i in range(len(logits)) for j in range(i, min(i + 15, len(logits)))]
    assert (first, last) in spans
    assert score == pytest.approx(max(starts[i] + ends[j] for i, j in spans), abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(0, 500), room=st.integers(2, 90), stride=st.integers(0, 80))
def test_windows_cover_the_context(length, room, stride):
    if stride >= room:
        with pytest.raises(ValueError, match="cannot share"):
            answer_spans.windows_of(length, room, stride)
        return
    windows = answer_spans.windows_of(length, room, stride)
    assert windows[0][0] == 0
    assert windows[-1][1] == length
    for (_, end), (start, _) in zip(windows, windows[1:], strict=False):
        assert end - start == stride
    assert all(end - start <= room for start, end in windows)


def test_a_long_context_is_read_to_its_end(model):
    filler = "The weather was mild and nothing of note happened on that day. " * 60
    found = answer_spans.answers(model, [("Who opened the tower?", filler + TOWER)])[0]
    assert text_of(filler + TOWER, found) == "Ann Li"


def test_batching_does_not_change_answers(model):
    asked = [(one.question, one.context) for one in questions.choosing_questions()[:9]]
    together = answer_spans.answers(model, asked)
    one_by_one = answer_spans.answers(model, asked, batch_size=1)
    assert [a[:2] for a in together] == [a[:2] for a in one_by_one]
    assert [a.score for a in together] == pytest.approx([a.score for a in one_by_one], abs=1e-3)


@pytest.mark.parametrize(
    ("answer", "right", "exact", "f1"),
    [
        ("The Tower", ("tower",), 1.0, 1.0),
        ("in 2005", ("2005", "the year 2005"), 0.0, 2 / 3),
        ("Riga", ("Oslo",), 0.0, 0.0),
        ("a", ("the",), 1.0, 1.0),
        ("U.S.", ("US",), 1.0, 1.0),
    ],
)
def test_scores_are_those_of_the_official_script(answer, right, exact, f1):
    assert answer_spans.exact_match(answer, right) == exact
    assert answer_spans.word_f1(answer, right) == pytest.approx(f1)


# -- the data --------------------------------------------------------------------------------------


def test_every_fact_can_be_told_and_asked_about():
    grammar = read_grammar(shipped_text("questions.grammar"))
    chance = random.Random(0)
    for name in fact_names(grammar):
        told = [make_fact(grammar, name, chance) for _ in range(300)]
        for fact in told:
            assert "<" not in fact.text
            assert all(
                fact.text[a:b].lower() == fact.values[slot].lower()
                for slot, (a, b) in fact.spans.items()
            )
        asked = {f"{name} {slot}?" for fact in told for slot in fact.spans} & set(grammar)
        assert asked == {symbol for symbol in grammar if symbol.startswith(f"{name} ")}


def test_answers_of_written_examples_are_whole_words():
    for example in written(500, seed=3):
        before, after = example.context[: example.start][-1:], example.context[example.end :][:1]
        assert not before.isalnum()
        assert not after.isalnum() or example.answer.endswith(("s", "e"))


def test_questions_fall_out_of_a_sentence():
    sentence = "In 2005, the tower was opened by Ann Li."
    found = questions_of(sentence, "Lund Tower", random.Random(0))
    assert {(kind, sentence[a:b]) for kind, _, a, b in found} == {
        ("when", "2005"),
        ("by", "Ann Li"),
    }


def test_nothing_shares_five_words_with_the_blind_sets(data_dir):
    data = questions.read_examples(data_dir, facts=1000, from_articles=1000, seed=1)
    blind = blind_runs()
    for source in data.sources():
        assert source
        assert all(blind.isdisjoint(word_runs(e.context) | word_runs(e.question)) for e in source)
    kept_apart = {asked.context for asked in data.cut}
    assert len(data.cut) > 100
    assert not kept_apart & {example.context for example in data.people}


@settings(max_examples=40, deadline=None)
@given(width=st.integers(1, 40), seed=st.integers(0, 99))
def test_a_window_holds_the_answer(width, seed):
    encoded = questions.encode_examples([Example(TOWER, "Who?", 56, 62)])[0]
    answer = encoded.context[encoded.first : encoded.last + 1]
    window = questions.crop(encoded, width, np.random.default_rng(seed))
    assert len(window.context) == min(width, len(encoded.context))
    assert window.context[window.first : window.last + 1] == answer[:width]


# -- the recipe ------------------------------------------------------------------------------------


def test_training_goes_on_where_it_stopped(tmp_path):
    examples = written(24, seed=0)
    data = questions.Data(examples[:8], examples[8:16], examples[16:], [])
    few = Settings(rank=2, epochs=2, batch_size=4, save_every=2, threads=1)
    whole = questions.train(data, few, tmp_path / "whole.pt", say=lambda line: None)
    said = []
    questions.train(data, few, tmp_path / "parts.pt", say=lambda line: None, stop_at=4)
    parts = questions.train(data, few, tmp_path / "parts.pt", say=said.append)
    assert said[0] == "going on at step 4 of 8"
    for (name, one), other in zip(whole.named_parameters(), parts.parameters(), strict=True):
        assert one.detach().numpy() == pytest.approx(other.detach().numpy(), abs=1e-5), name


def test_the_recipe_names_what_is_missing(tmp_path):
    with pytest.raises(RuntimeError, match=r"reads squad_v1/validation.parquet.*--data"):
        questions.build(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_changed_weight_moves_the_answer_scores(model):
    import torch

    asked = [("Who opened the tower?", TOWER)]
    before = answer_spans.answers(model, asked)[0]
    with torch.no_grad():
        model.qa_outputs.bias.add_(1.0)
        after = answer_spans.answers(model, asked)[0]
        model.qa_outputs.bias.sub_(1.0)
    assert after[:2] == before[:2]
    assert after.score == pytest.approx(before.score + 2, abs=1e-4)
