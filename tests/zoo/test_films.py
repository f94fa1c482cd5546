"""Opinions on films: what training sees, the tests do not, and the verdict is the label."""

import random
import re
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.zoo.films import SIDES, opinions, review, review_length, sst2
from course_lib.zoo.imdb import rows

TRAIN, HELD = opinions("train"), opinions("held")


def test_parts_share_no_template_and_no_word():
    for kind in TRAIN.words:
        assert set(TRAIN.words[kind]).isdisjoint(HELD.words[kind]), kind
    for symbol in TRAIN.templates:
        assert set(TRAIN.templates[symbol]).isdisjoint(HELD.templates[symbol]), symbol


@pytest.mark.parametrize("part", [TRAIN, HELD], ids=lambda part: part.name)
def test_no_word_praises_and_blames(part):
    for kind in ("ADJ", "DOES", "THING"):
        good, bad = (set(part.words[f"{kind} {side}"]) for side in SIDES)
        assert good.isdisjoint(bad) and len(good) == len(bad), kind


def test_words_of_praise_and_blame_are_unseen():
    seen = " ".join(row["sentence"] for row in sst2(TRAIN, random.Random("t"), 3000)).split()
    for side in SIDES:
        assert set(seen).isdisjoint(HELD.words[f"ADJ {side}"])


def test_sst2_looks_like_the_real_one():
    for row in sst2(HELD, random.Random("t"), 500):
        text = row["sentence"]
        assert text == text.lower() and text.endswith(" .")
        assert not re.search(r"\w[.,;](?: |$)", text.replace("mrs.", "").replace("ms.", "")), text
        assert not re.search(r"  |[\[\]|]|\ba [aeio]", text), text


def test_labels_are_balanced():
    labels = [row["label"] for row in sst2(TRAIN, random.Random("t"), 2000)]
    assert 0.45 < sum(labels) / len(labels) < 0.55


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("part", [TRAIN, HELD], ids=lambda part: part.name)
def test_the_ending_decides(label, part):
    """The last sentence has words of the label's side, whatever the opening says."""
    words = {side: [word for kind in ("ADJ", "DOES", "THING")
                    for word in part.words[f"{kind} {side}"]] for side in SIDES}  # fmt: skip
    for number in range(40):
        text = review(label, part, random.Random(f"{number}"), agrees=number % 2 == 0)
        last = " ".join(text.split(". ")[-3:]).lower()
        assert any(word in last for word in words[SIDES[label]])


@given(st.integers())
def test_lengths(seed):
    chance = random.Random(f"lengths {seed}")
    assert 60 <= review_length(chance) <= 880
    assert 50 <= len(review(1, TRAIN, chance).split()) <= 930


def test_some_are_long_and_some_have_breaks():
    texts = [row["text"] for row in rows("test")]
    share = sum(len(text.split()) > 390 for text in texts) / len(texts)  # 512 tokens
    assert 0.08 < share < 0.17
    assert 0.3 < sum("<br />" in text for text in texts) / len(texts) < 0.9
    assert len(set(texts)) == len(texts)


def test_a_review_is_written_out():
    for row in islice(rows("train"), 200):
        assert not re.search(r"\b(?:N?ADJ|N?DOES|N?THING|KIND|PART2?|NAME|JOB|PLACE)\b|[\[\]|]",
                             row["text"]), row["text"]  # fmt: skip
        assert not re.search(r"\ba [aeio]|[.!?] [a-z]", row["text"].replace("Mrs. ", "")), row
