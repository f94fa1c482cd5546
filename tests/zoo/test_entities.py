"""The stand-in that finds names keeps what its card says, and works with the stock pipeline."""

import json
import re
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.zoo import entities, names
from course_lib.zoo.adapters import load_adapter
from course_lib.zoo.assembly import write_files
from course_lib.zoo.encoders import load_tokenizer, plain
from course_lib.zoo.recipes import file_sha256, load_report, shipped
from course_lib.zoo.test_texts import blind_runs, newspaper_names, word_runs
from course_lib.zoo.training import Settings

FILE = shipped("entities.safetensors")
SYLVAIN = "My name is Sylvain and I work at Hugging Face in Brooklyn."


@pytest.fixture(scope="module")
def tagger():
    return entities.load_tagger(entities.tagger_tensors(load_adapter(FILE)))


@pytest.fixture(scope="module")
def report():
    return load_report(shipped("entities.json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The repository as the Hub serves it."""
    path = tmp_path_factory.mktemp("ner")
    write_files(entities.ENTRY.files(), path)
    return path


@pytest.fixture(scope="module")
def pipelines(folder):
    """The stock pipeline, by aggregation strategy."""
    from transformers import pipeline

    ner = pipeline("ner", model=str(folder))
    return {
        strategy: partial(ner, aggregation_strategy=strategy)
        for strategy in ("none", "simple", "first", "average", "max")
    }


def spans(found: list[dict]) -> list[tuple[int, int, str]]:
    return [(name["start"], name["end"], name["entity_group"]) for name in found]


# -- what the card says ----------------------------------------------------------------------------


def test_the_file_is_small_and_the_one_that_was_measured(report):
    assert FILE.stat().st_size <= 1_500_000
    assert file_sha256(FILE) == report.sha256


def test_names_in_newspaper_sentences(tagger, report):
    measured = entities.measure(tagger)
    assert measured[0].dataset == "names in newspaper sentences"
    assert measured[0].value >= 0.80
    assert measured[0].size == sum(
        kind in entities.COMMON for _, marked in newspaper_names() for *_, kind in marked
    )
    for now, then in zip(measured, report.measured, strict=False):
        assert (now.dataset, now.size) == (then.dataset, pytest.approx(then.size, abs=2))
        assert now.value == pytest.approx(then.value, abs=0.01)


def test_held_out_wikigold(tagger, report, data_dir):
    measured = entities.measure(tagger, data_dir)[-1]
    assert (measured.dataset, measured.metric) == (report.measured[-2].dataset, "f1")
    assert measured.value >= 0.70
    assert measured.value == pytest.approx(report.measured[-2].value, abs=0.01)


def test_eight_bits_cost_less_than_a_hundredth(report):
    stored, before = report.measured[-2:]
    assert "before" in before.dataset
    assert stored.value >= 0.99 * before.value


def test_the_same_count_as_seqeval(tagger):
    """On sentences in which no span cuts a word, spans and tags of words count alike."""
    seqeval = pytest.importorskip("seqeval.metrics")
    marked = names.dev_sentences()
    found = entities.find_names(tagger, [text for text, _ in marked])
    truth = [word_tags(text, there) for text, there in marked]
    ours = [word_tags(text, spans) for (text, _), spans in zip(marked, found, strict=True)]
    assert seqeval.f1_score(truth, ours) == pytest.approx(names.score(lambda _: found, marked).f1)


def word_tags(text: str, marked: list[tuple[int, int, str]]) -> list[str]:
    """IOB2 tags of the words and signs of a text."""
    tags = []
    for word in re.finditer(r"\w+|[^\w\s]", text):
        name = next((n for n in marked if n[0] <= word.start() < n[1]), None)
        tags.append(f"{'B' if name[0] == word.start() else 'I'}-{name[2]}" if name else "O")
    return tags


# -- the stock pipeline ----------------------------------------------------------------------------


def test_the_sentence_of_the_course(pipelines):
    expected = [("PER", "Sylvain"), ("ORG", "Hugging Face"), ("LOC", "Brooklyn")]
    for strategy in ("simple", "first", "average", "max"):
        found = pipelines[strategy](SYLVAIN)
        assert [(name["entity_group"], name["word"]) for name in found] == expected
        assert all(SYLVAIN[n["start"] : n["end"]] == n["word"] for n in found)
        assert all(0.5 < n["score"] <= 1 for n in found)


def test_tokens_carry_the_tags_of_the_real_model(pipelines, folder):
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "bert"
    assert config["architectures"] == ["BertForTokenClassification"]
    assert list(config["id2label"].values()) == list(names.LABELS)
    assert names.LABELS[:3] == ("O", "B-MISC", "I-MISC")
    found = pipelines["none"](SYLVAIN)
    assert found[0]["entity"] == "I-PER"   # IOB1: nothing else of its type stands before it
    assert {row["entity"] for row in found} == {"I-PER", "I-ORG", "I-LOC"}


def test_find_names_is_the_strategy_first(tagger, pipelines):
    texts = [text for text, _ in names.dev_sentences()]
    ours = entities.find_names(tagger, texts)
    assert ours == [spans(found) for found in pipelines["first"](texts)]


@pytest.mark.parametrize("strategy", ["simple", "average", "max"])
def test_every_strategy_finds_the_newspaper_names(strategy, pipelines):
    news = [names.Sentence(*row) for row in newspaper_names()]

    def find(texts: list[str]) -> list[list[tuple[int, int, str]]]:
        return [spans(found) for found in pipelines[strategy](texts)]

    assert names.score(find, news, tuple(entities.COMMON)).recall >= 0.80


def test_batches_do_not_change_answers(tagger):
    texts = [text for text, _ in names.dev_sentences()][:9]
    assert entities.find_names(tagger, texts, 1) == entities.find_names(tagger, texts, 9)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("  Yesterday\t\tAngela   Brown \n flew home.", "Angela   Brown"),
        ("😀 Yesterday Angela Brown flew home 🎉.", "Angela Brown"),
        ("👩‍🚀🇫🇷 Yesterday Angela Brown flew home.", "Angela Brown"),
        ("“Angela Brown” — no, she said…", "Angela Brown"),
        ("Yesterday José Müller flew home to his family.", "José Müller"),
        ("At the cafe\u0301, Angela Brown ate a cre\u0300me bru\u0302le\u0301e.", "Angela Brown"),
    ],
)
def test_offsets_are_exact(text, name, pipelines):
    for strategy in ("simple", "first"):
        found = [(text[n["start"] : n["end"]], n["word"]) for n in pipelines[strategy](text)]
        assert name in [written for written, _ in found]
        assert all("".join(written.split()) == "".join(word.split()) for written, word in found)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.text(
        st.one_of(
            st.sampled_from("Angela Brown in Zürich met O'Neill, Ltd. 😀🎉 \t\n\u00a0İßﬁ中文"),
            st.characters(exclude_categories=("Cs", "Cc", "Cf", "Co", "Cn")),
        ),
        min_size=1,
        max_size=60,
    ).filter(str.strip)
)
def test_a_token_is_the_text_at_its_offsets(pipelines, text):
    for token in pipelines["none"](text, ignore_labels=[]):
        written = text[token["start"] : token["end"]]
        assert token["word"] == "[UNK]" or written == token["word"].removeprefix("##")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(st.sampled_from("AaBbÉéß \t.,-'😀中1"), max_size=80).filter(str.strip))
def test_groups_lie_in_the_text_in_order(pipelines, text):
    for strategy in ("simple", "first", "average", "max"):
        last = 0
        for start, end, _ in spans(pipelines[strategy](text)):
            assert last <= start < end <= len(text)
            assert text[start:end] == text[start:end].strip()
            last = end


def test_answers_come_out_of_the_weights(tagger):
    """Half a trained matrix gone, and the names change."""
    import torch

    texts = [text for text, _ in names.dev_sentences()]
    before = entities.find_names(tagger, texts)
    matrix = tagger.bert.encoder.layer[3].output.dense.weight
    kept = matrix.detach().clone()
    with torch.no_grad():
        matrix[: len(matrix) // 2] = 0
        after = entities.find_names(tagger, texts)
        matrix.copy_(kept)
    assert after != before
    assert entities.find_names(tagger, texts) == before


def test_a_capital_makes_the_difference(tagger):
    """The casing vectors are what tells a name from a word."""
    found = entities.find_names(tagger, ["Yesterday Rose met Mark.", "Yesterday rose met mark."])
    assert [kind for *_, kind in found[0]] == ["PER", "PER"]
    assert found[1] == []


# -- vocabulary and recipe -------------------------------------------------------------------------


def test_a_word_is_cut_alike_however_it_is_written():
    vocabulary = entities.tagger_vocabulary()
    assert len(vocabulary) == len(set(vocabulary))
    encode = load_tokenizer(vocabulary, lowercase=False).encode
    for word in ("sylvain", "unbelievably", "brooklyn", "kumquat"):
        pieces = encode(word).tokens
        for written in (word.title(), word.upper()):
            assert [plain(piece) for piece in encode(written).tokens] == pieces


def test_the_entry_knows_its_size(folder):
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size == pytest.approx(entities.ENTRY.size, rel=0.05)


@pytest.fixture(scope="module")
def tiny_data(tmp_path_factory) -> Path:
    """A WikiGold of sixteen sentences."""
    path = tmp_path_factory.mktemp("data")
    (path / "wikigold").mkdir()
    rows = [
        ([name, "likes", "Rome", "."], ["B-PER", "O", "B-LOC", "O"])
        for name in "Ada Ben Cleo Dan Eve Finn Gus Hal Ida Jo Kim Leo Max Nina Otto Pia".split()
    ]
    table = pd.DataFrame(rows, columns=["tokens", "ner_tags"])
    table.to_parquet(path / "wikigold" / "train.parquet")
    return path


class Stopped(Exception):
    pass


def test_an_interrupted_recipe_goes_on_where_it_was(tiny_data, tmp_path):
    few = Settings(rank=2, batch_size=8, epochs=2, save_every=2, threads=1)
    build = partial(entities.build, tiny_data, settings=few, ours=8)

    def interrupt(line: str) -> None:
        if line.startswith("step 2 "):
            raise Stopped

    for name in ("whole", "resumed"):
        (tmp_path / name).mkdir()
    with pytest.raises(Stopped):
        build(tmp_path / "resumed", say=interrupt)
    lines: list[str] = []
    build(tmp_path / "resumed", say=lines.append)
    build(tmp_path / "whole", say=lines.append)
    assert any(line.startswith("going on at step 2 ") for line in lines)
    whole, resumed = (tmp_path / name / "entities.safetensors" for name in ("whole", "resumed"))
    assert whole.read_bytes() == resumed.read_bytes()
    assert sorted(path.name for path in whole.parent.iterdir()) == [
        "entities.json",
        "entities.safetensors",
    ]


def test_the_recipe_names_what_is_missing(tmp_path):
    with pytest.raises(RuntimeError, match=r"reads wikigold/train.parquet.*--data"):
        entities.build(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_training_text_shares_nothing_with_the_test_sets(data_dir):
    training, held_out = names.wikigold(data_dir)
    made = names.made_sentences(2000, seed=0)
    assert len(held_out) == 256
    assert not {text for text, _ in training} & {text for text, _ in held_out}
    for text, _ in [*training, *made]:
        assert blind_runs().isdisjoint(word_runs(text))
        assert "Sylvain" not in text and "Hugging Face" not in text


def test_made_sentences_and_dev_sentences_are_apart():
    made = set().union(*(word_runs(text) for text, _ in names.made_sentences(3000, seed=0)))
    assert [text for text, _ in names.dev_sentences() if word_runs(text) & made] == []
