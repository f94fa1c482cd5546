"""Runs, times, agreement and failures side by side."""

import pytest

from course_lib.widgets.comparison import Comparison, Outcome, output_html, run, verdict


def test_the_time_is_the_median_of_the_repeats():
    ticks = iter([0, 5, 10, 11, 20, 22])
    outcome = run("a", len, "abc", repeats=3, clock=lambda: next(ticks))
    assert outcome == Outcome("a", 2, 3)


def test_an_error_is_an_outcome_and_the_others_still_run():
    def broken(text):
        raise RuntimeError(f"no\n<b>{text}</b>")

    comparison = Comparison({"broken": broken, "up": str.upper, "low": str.lower}, "Abc")
    assert [outcome.output for outcome in comparison.outcomes] == [None, "ABC", "abc"]
    html = comparison.static()
    assert "RuntimeError: no &lt;b&gt;Abc&lt;/b&gt;" in html and "1 failed" in html


def test_each_model_runs_once_to_warm_up_and_then_as_often_as_asked():
    seen = []
    Comparison({"a": seen.append, "b": str.upper}, "x", repeats=3)
    assert len(seen) == 4
    Comparison({"a": seen.append, "b": str.upper}, "x", warm_up=False)
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("outputs", "same"),
    [
        (([{"label": "A", "score": 0.9}], [{"label": "A", "score": 0.8}]), True),
        (([{"label": "A", "score": 0.9}], [{"label": "B", "score": 0.9}]), False),
        (([[{"label": "A", "score": 1.0}]], {"label": "A"}), True),
        (("text", "text"), True),
        (("text", "Text"), False),
        (({"answer": "x", "start": 1}, {"answer": "x", "start": 9}), True),
    ],
)
def test_who_agrees(outputs, same):
    outcomes = [Outcome(str(n), n + 1.0, output) for n, output in enumerate(outputs)]
    words = verdict(outcomes)
    assert ("are the same" in words) == same
    assert words.endswith("0 is fastest, 1 takes 2.0 times as long.")


def test_outputs_of_pipelines():
    html = output_html([[{"label": "<i>", "score": 0.25}, {"label": "b", "score": 0.75}]])
    assert "&lt;i&gt;" in html and "25.0%" in html and "75.0%" in html
    assert "3.142" in output_html(3.14159) and "None" in output_html(None)
    assert output_html([]) == '<div style="white-space:pre-wrap">[]</div>'


def test_the_button_runs_another_text():
    comparison = Comparison({"up": str.upper, "low": str.lower}, "A", examples=["Bc", "Cd"])
    field, example, button, page = comparison.view.children[1:5]
    example.value = "Cd"
    assert field.value == "Cd" and comparison.text == "A"
    button.click()
    assert comparison.text == "Cd" and "CD" in page.value and not button.disabled
    field.value = "  "
    button.click()
    assert "type one, then run" in comparison.view.children[-1].value and "CD" in page.value


def test_bad_arguments():
    for models in ({}, {"a": len}, {"a": len, "b": 3}):
        with pytest.raises(ValueError, match="give two models or more"):
            Comparison(models)
    with pytest.raises(ValueError, match="repeats is a whole number"):
        Comparison({"a": len, "b": len}, repeats=0)
