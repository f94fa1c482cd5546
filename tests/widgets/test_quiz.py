"""Scoring, explanations, and the buttons of the quiz."""

import itertools

import pytest

from course_lib.widgets.quiz import Choice, Question, Quiz, Score

ONE = Question("One?", [Choice("a `x`", "why a", right=True), Choice("<script>", "why \"b'")])
MANY = Question("Many?", [Choice("a", "why a", True), Choice("b", "no"), Choice("c", "so", True)])


SETS = [chosen for size in (1, 2, 3) for chosen in itertools.combinations(range(3), size)]


@pytest.mark.parametrize("chosen", SETS)
def test_only_the_exact_set_is_right(chosen):
    score = Score([MANY])
    assert score.answer(0, chosen) == (set(chosen) == {0, 2})
    assert score.count(-1) == score.count(0) == (set(chosen) == {0, 2})


def test_the_last_answer_counts_and_the_first_is_kept():
    score = Score([ONE, MANY, ONE])
    assert str(score) == "0 of 3 right, 0 at the first try, 3 not answered yet"
    score.answer(0, [0])
    score.answer(1, [1])
    score.answer(1, [0, 2])
    score.answer(2, [0])
    score.answer(2, [1])
    assert str(score) == "2 of 3 right, 2 at the first try"


@pytest.mark.parametrize(
    ("question", "chosen", "words"),
    [(ONE, [], "nothing is chosen"), (ONE, [0, 1], "has one answer"), (MANY, [7], "from 0 to 2")],
)
def test_impossible_answers_are_not_counted(question, chosen, words):
    score = Score([question])
    with pytest.raises(ValueError, match=words):
        score.answer(0, chosen)
    assert score.tries == {}


@pytest.mark.parametrize(
    ("text", "choices", "words"),
    [
        ("Q", [Choice("a", "b", True)], "two choices or more"),
        ("Q", [Choice("a", "b", True), Choice("a", "c")], "all different"),
        ("Q", [Choice("a", "b"), Choice("c", "d")], "no right choice"),
        ("Q", [Choice("a", " ", True), Choice("c", "d")], "empty text or explanation"),
        ("", [Choice("a", "b", True), Choice("c", "d")], "empty text or explanation"),
    ],
)
def test_questions_that_cannot_be_asked(text, choices, words):
    with pytest.raises(ValueError, match=words):
        Question(text, choices)


def test_clicking_through():
    quiz = Quiz(ONE, MANY)
    _, radio, check1, answer1, _, boxes, check2, answer2, score, trouble = quiz.view.children[1:]
    check1.click()
    assert "nothing is chosen yet" in trouble.value and answer1.value == ""
    radio.value = 0
    check1.click()
    assert "✓ Right" in answer1.value and trouble.value == ""
    assert all(choice.why in answer1.value for choice in ONE.choices[:1])
    boxes.children[0].value = True
    check2.click()
    assert "Partly right" in answer2.value and "0 at" not in score.value
    boxes.children[2].value = True
    check2.click()
    assert "✓ Right" in answer2.value
    assert score.value == "<b>Score: 2 of 2 right, 1 at the first try.</b>"


def test_a_single_right_choice_can_be_asked_with_boxes():
    question = Question("Q", [Choice("a", "b", True), Choice("c", "d")], multiple=True)
    assert [type(box).__name__ for box in Quiz(question).view.children[2].children] == [
        "Checkbox", "Checkbox"]  # fmt: skip


def test_text_is_never_markup_and_backticks_are_code():
    quiz = Quiz([ONE])
    html = quiz.static() + quiz.answer(0, [1])
    assert "<script" not in html and "&lt;script&gt;" in html and "<code>x</code>" in html


def test_no_questions():
    for given in ((), ("What?",), ([],)):
        with pytest.raises(ValueError, match="one Question or more"):
            Quiz(*given)
