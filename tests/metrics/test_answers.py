"""SQuAD and exact match: by their definitions, on odd texts too."""

import re
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.odd_texts import texts

EXACT = {"rel": 1e-9, "abs": 1e-9}


def slow_words(answer):
    """The definition of SQuAD 1.1, one step after the other."""
    answer = answer.lower()
    answer = "".join(letter for letter in answer if letter not in string.punctuation)
    for article in ("a", "an", "the"):
        answer = re.sub(rf"\b{article}\b", " ", answer)
    return answer.split()


def slow_f1(answer, truth):
    """Words in common, crossed out one by one."""
    said, left = slow_words(answer), slow_words(truth)
    wanted, common = len(left), 0
    for word in said:
        if word in left:
            left.remove(word)
            common += 1
    return 2 * common / (len(said) + wanted) if common else 0.0


def questions(answers):
    """Predictions and references for texts and their lists of true answers."""
    predictions = [{"id": str(i), "prediction_text": said} for i, (said, _) in enumerate(answers)]
    references = [
        {"id": str(i), "answers": {"text": truths, "answer_start": [0] * len(truths)}}
        for i, (_, truths) in enumerate(answers)
    ]
    return {"predictions": predictions, "references": references}


ANSWERS = st.lists(
    st.tuples(texts(), st.lists(texts(), min_size=1, max_size=3)), min_size=1, max_size=4
)


@settings(max_examples=50, deadline=None)
@given(ANSWERS)
def test_squad(load, answers):
    found = load("squad").compute(**questions(answers))
    exact = [max(slow_words(said) == slow_words(truth) for truth in truths)
             for said, truths in answers]  # fmt: skip
    overlap = [max(slow_f1(said, truth) for truth in truths) for said, truths in answers]
    assert list(found) == ["exact_match", "f1"]
    assert found["exact_match"] == pytest.approx(100 * np.mean(exact), **EXACT)
    assert found["f1"] == pytest.approx(100 * np.mean(overlap), **EXACT)


@pytest.mark.parametrize(
    ("said", "truth", "exact", "f1"),
    [
        ("The  NILE!", "nile", 100, 100),
        ("Theodore", "odore", 0, 0),  # an article within a word stays
        ("well-known", "wellknown", 100, 100),
        ("«Nil»", "Nil", 0, 0),  # only ASCII punctuation goes
        ("", "", 100, 0),  # nothing in common: so the official script
        ("the", "a", 100, 0),
        ("New York", "York", 0, 200 / 3),
        ("na\u00efve", "nai\u0308ve", 0, 0),  # looks the same, is not
    ],
)
def test_squad_by_hand(said, truth, exact, f1, load):
    found = load("squad").compute(**questions([(said, [truth])]))
    assert found == pytest.approx({"exact_match": exact, "f1": f1}, **EXACT)


def test_squad_in_another_order(load):
    data = questions([("one", ["one"]), ("two", ["2"])])
    data["predictions"].reverse()
    assert load("squad").compute(**data) == {"exact_match": 50.0, "f1": 50.0}


def test_squad_without_what_it_needs(load):
    data = questions([("one", ["one"]), ("two", ["two"])])
    data["predictions"][1]["id"] = "another"
    with pytest.warns(UserWarning, match="question '1' has no prediction"):
        assert load("squad").compute(**data) == {"exact_match": 50.0, "f1": 50.0}
    with pytest.raises(ValueError, match="question '0' has no reference answer"):
        load("squad").compute(**questions([("one", [])]))
    with pytest.raises(ValueError, match="at least one question"):
        load("squad").compute(predictions=[], references=[])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(texts(), texts()), min_size=1, max_size=5),
    st.sampled_from([None, ["the "], [r"\d", "[aeiou]+"]]),
    *[st.booleans()] * 3,
)
def test_exact_match(load, pairs, regexes, case, punctuation, numbers):
    pairs += [(text, text.upper()) for text, _ in pairs]

    def kept(text):
        for regex in regexes or []:
            text = re.sub(regex, "", text)
        text = text.lower() if case else text
        drop = (string.punctuation if punctuation else "") + (string.digits if numbers else "")
        return [letter for letter in text if letter not in drop]

    found = load("exact_match").compute(
        predictions=[said for said, _ in pairs],
        references=[truth for _, truth in pairs],
        regexes_to_ignore=regexes,
        ignore_case=case,
        ignore_punctuation=punctuation,
        ignore_numbers=numbers,
    )
    expected = np.mean([kept(said) == kept(truth) for said, truth in pairs])
    assert found == {"exact_match": pytest.approx(expected, **EXACT)}


def test_exact_match_refuses(load):
    with pytest.raises(TypeError, match="a list of regular expressions; got 'the'"):
        load("exact_match").compute(predictions=["a"], references=["a"], regexes_to_ignore="the")
    with pytest.raises(ValueError, match="at least one prediction"):
        load("exact_match").compute(predictions=[], references=[])
