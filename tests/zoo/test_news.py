"""The sentences of the GLUE stand-in: what training sees, the tests do not, and labels are true."""

import random
import re
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.zoo.glue import CONFIGS
from course_lib.zoo.glue_pairs import changed, look_alike, mrpc, paraphrase
from course_lib.zoo.glue_tasks import EXTRAS, cola, grammaticality, mnli, qnli, stsb
from course_lib.zoo.news import POOLS, SLOT, facts, fill_in, pool, sentence, tell

TABLES = {config.name: config for config in CONFIGS}
NEWS = ("mrpc", "stsb", "mnli", "qnli")


def plain_words(templates) -> set[str]:
    """The longer words of templates, which carry what happens."""
    text = SLOT.sub(" ", " ".join(templates)).lower()
    return set(re.findall(r"[a-z]{6,}", text))


def texts(name: str, split: str, count: int = 400) -> list[str]:
    rows = islice(TABLES[name].rows(split), count)
    return [value for row in rows for value in row.values() if isinstance(value, str)]


@pytest.mark.parametrize("held", ["held", "daily"])
def test_pools_share_no_template_and_no_filling(held):
    train, other = pool("train"), pool(held)
    lines = [{line for event in p.events for line in (*event.told, *event.contrary)}
             for p in (train, other)]  # fmt: skip
    assert lines[0].isdisjoint(lines[1])
    for kind in train.words:
        assert set(train.words[kind]).isdisjoint(other.words[kind]), kind
    for frame in train.frames:
        assert set(train.frames[frame]).isdisjoint(other.frames[frame])


def test_most_words_that_tell_an_event_are_new_in_the_tests():
    """Of the longer words of the templates; small words are the same in all English."""
    train, held = (
        plain_words(line for event in pool(name).events for line in (*event.told, *event.contrary))
        for name in ("train", "held")
    )
    assert len(held & train) / len(held) < 0.2, sorted(held & train)


@pytest.mark.parametrize("name", NEWS)
def test_names_places_and_numbers_of_the_tests_are_unseen(name):
    seen = set(re.findall(r"\b(?:[A-Z][a-z]+|\d+)\b", " ".join(texts(name, "train", 1500))))
    held = pool("held").words
    names = {word for kind in ("COMPANY", "PLACE", "FIRST", "LAST") for text in held[kind]
             for word in text.split() if word not in ("Group", "Dairy")}  # fmt: skip
    assert seen.isdisjoint(names)
    for split in set(TABLES[name].splits) - {"train"}:
        numbers = set(re.findall(r"\b\d{2}\b", " ".join(texts(name, split))))
        assert numbers and seen.isdisjoint(numbers), split


def test_extras_of_mnli_are_unseen():
    assert set(EXTRAS["train"]).isdisjoint(EXTRAS["held"])


@pytest.mark.parametrize("name", POOLS)
def test_every_telling_names_what_the_questions_ask_for(name):
    for event in pool(name).events:
        assert len(event.told) >= 2 and len(event.contrary) >= 2 and len(event.questions) == 2
        for slot, _ in event.questions:
            assert all(re.search(rf"\b{slot}\b", line) for line in event.told), (event.name, slot)


@pytest.mark.parametrize("name", POOLS)
def test_sentences_are_finished(name):
    chance = random.Random(name)
    for event, values in islice(facts(pool(name), chance), 60):
        for line in (*event.told, *event.contrary):
            for denied in (False, True):
                text = tell(line, values, pool(name), chance, denied=denied)
                assert text.endswith(".") and text[0].isupper() or text[0] in "$0123456789"
                assert not re.search(r"[A-Z]{4,}|[\[\]|{}]|  | \.|\b[Aa] [aeio]", text), text


def test_a_changed_fact_changes_a_name_that_every_telling_has():
    words, chance = pool("held"), random.Random("changed")
    for event, values in islice(facts(words, chance), 60):
        other = changed(event, values, words, chance, 1)
        slots = [slot for slot in values if values[slot] != other[slot]]
        assert 1 <= len(slots) <= 2
        for line in event.told:
            assert any(slot in line or "DATE" in line for slot in slots)


@given(st.integers())
def test_pairs_differ_and_look_alike(seed):
    chance, words = random.Random(f"pairs {seed}"), pool("train")
    event = chance.choice(words.events)
    values = fill_in(event, words, chance)
    for pair in (
        paraphrase(event, values, words, chance),
        look_alike(event, values, words, chance),
    ):
        first, second = (set(re.findall(r"\w+", text.lower())) for text in pair)
        assert pair[0] != pair[1] and len(first & second) >= 3


def test_mrpc_has_the_real_share_of_equivalent_pairs():
    for split, count in TABLES["mrpc"].splits.items():
        labels = [row["label"] for row in TABLES["mrpc"].rows(split)]
        assert len(labels) == count and 0.63 < sum(labels) / count < 0.71
    lengths = [len(text.split()) for text in texts("mrpc", "train")]
    assert 13 < sum(lengths) / len(lengths) < 25


def test_overlap_tells_little():
    """A threshold on the share of common words is hardly better than the most frequent label."""
    rows = []
    for row in TABLES["mrpc"].rows("test"):
        first, second = (set(re.findall(r"\w+", row[f"sentence{n}"].lower())) for n in (1, 2))
        rows.append((len(first & second) / len(first | second), row["label"]))
    best = max(
        sum((share >= step / 50) == label for share, label in rows) / len(rows)
        for step in range(50)
    )
    assert best < 0.73


def test_labels_of_test_splits():
    for name, config in TABLES.items():
        for split in config.splits:
            labels = {row["label"] for row in islice(config.rows(split), 200)}
            if split.startswith("test") and name != "mrpc":
                assert labels == {-1}, (name, split)
            else:
                assert min(labels) >= 0 and len(labels) > 1, (name, split)


def test_rows_are_numbered():
    for make, part in (
        (mrpc, pool("held")),
        (stsb, pool("held")),
        (mnli, pool("daily")),
        (qnli, pool("held")),
        (cola, grammaticality("held")),
    ):
        assert [row["idx"] for row in make(part, random.Random("n"), 30)] == list(range(30))


def test_cola_tests_other_sentences():
    train, held = grammaticality("train"), grammaticality("held")
    for kind in train.words:
        assert set(train.words[kind]).isdisjoint(held.words[kind]), kind
    patterns = [{t for point in part.points for side in point for t in side}
                for part in (train, held)]  # fmt: skip
    assert patterns[0].isdisjoint(patterns[1])
    for part in (train, held):
        for right, wrong in part.points:
            assert set(right).isdisjoint(wrong)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a Oslo court", "An Oslo court."),
        ("a union of a uncle", "A union of an uncle."),
        ("a $86 bill, a 18 percent rise", "An $86 bill, an 18 percent rise."),
        ("a one-off, a $68 bill", "A one-off, a $68 bill."),
    ],
)
def test_articles(text, written):
    assert sentence(text) == written
