"""The blind test sets have the form that their notebook promises; no other text shares words."""

import re
from collections import Counter

import pytest

from course_lib.zoo.test_texts import (
    NAME_TYPES,
    TEXTS,
    newspaper_names,
    read_names,
    simple_questions,
    topics,
    without_blind,
    word_runs,
)

BLIND = ("topics_test.tsv", "newspaper_names.txt", "simple_questions.tsv")
OTHERS = sorted(
    path
    for path in TEXTS.rglob("*")
    if path.is_file() and path.name not in (*BLIND, "README.md") and "__" not in path.name
)


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def runs_of(name: str) -> set[tuple[str, ...]]:
    """The runs of a blind set, by name."""
    texts = {
        "topics_test.tsv": [topic.text for topic in topics()],
        "newspaper_names.txt": [text for text, _ in newspaper_names()],
        "simple_questions.tsv": [f"{q.context}\n{q.question}" for q in simple_questions()],
    }[name]
    return set().union(*map(word_runs, texts))


def test_topics():
    found = topics()
    assert len(found) == 150
    assert len({topic.text for topic in found}) == 150
    assert len({topic.right for topic in found}) >= 80
    for topic in found:
        labels = (topic.right, *topic.others)
        assert len(set(labels)) == 3, labels
        assert all(1 <= len(label.split()) <= 3 and label == label.strip() for label in labels)
        assert 1 <= len(re.findall(r"[.!?](?=\s|$)", topic.text)) <= 2, topic.text
    giveaways = [topic for topic in found if words(topic.text) & words(topic.right)]
    assert len(giveaways) <= 0.05 * len(found)


def test_newspaper_names():
    found = newspaper_names()
    assert len(found) == len({text for text, _ in found}) == 236
    types = Counter(kind for _, spans in found for *_, kind in spans)
    assert types == {"PER": 201, "LOC": 200, "ORG": 196, "MISC": 60}
    assert sum(not spans for _, spans in found) >= 10
    for text, spans in found:
        last = 0
        for start, end, kind in spans:
            assert last <= start < end <= len(text) and kind in NAME_TYPES
            assert text[start:end] == text[start:end].strip()
            assert text[:start][-1:] in ("", " ", '"', "(", "'"), text
            assert not text[end : end + 1].isalnum(), text
            last = end


@pytest.mark.parametrize("line", ["[PER Ann", "Ann]", "[PERSON Ann]", "[PER [LOC Ann]]", "[PER ]"])
def test_brackets_that_do_not_match(line):
    with pytest.raises(ValueError, match="a bracket is left over"):
        read_names(line)


def test_simple_questions():
    found = simple_questions()
    assert len(found) == len({(q.context, q.question) for q in found}) == 150
    assert len({q.context for q in found}) >= 100
    for question in found:
        assert question.question.endswith("?")
        assert len(re.findall(r"[.!?](?=\s|$)", question.context)) == 2, question.context
        assert len(set(question.answers)) == len(question.answers) >= 1
        for answer in question.answers:
            assert answer and answer == answer.strip() and answer in question.context
    openings = {q.question.split()[0] for q in found} | {
        " ".join(q.question.split()[:2]) for q in found
    }
    assert openings >= {"Who", "What", "When", "Where", "Which", "Why", "How many", "How much"}


@pytest.mark.parametrize("name", BLIND)
@pytest.mark.parametrize("other", OTHERS, ids=lambda path: path.name)
def test_no_other_text_shares_five_words(name, other):
    # Brackets and slashes of a grammar end a run: what stands beyond them is another alternative.
    pieces = re.split(r"[\n\t\[\]{}<>|/=]+", other.read_text(encoding="utf-8"))
    shared = runs_of(name) & set().union(*map(word_runs, pieces))
    if shared:  # not `assert`: pytest would print the words, and whoever trains may read them
        pytest.fail(f"{other.name} has {len(shared)} runs of {name}: word its sentences anew")


def test_the_sets_share_no_five_words():
    one, two, three = map(runs_of, BLIND)
    assert len((one & two) | (one & three) | (two & three)) == 0


def test_without_blind_reads_over_case_and_punctuation():
    text = simple_questions()[0].context
    assert without_blind([text.upper().replace(" ", " - "), "Bo likes jam."]) == ["Bo likes jam."]
