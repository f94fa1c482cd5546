"""Markdown and colours in a terminal."""

import io

import pytest

from course_lib.commands.terminal import Style, render_markdown, seconds_text, shorten

PLAIN = Style(on=False)


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("## A *heading*", "A heading"),
        ("**bold** `code` and a [page](https://host/x)", "bold code and a page (https://host/x)"),
        ("a [chapter](chapters/a.ipynb)", "a chapter"),
        ("<https://host/x>", "https://host/x"),
        ("![a plot](x.png)", "[picture: a plot]"),
        ("one\ntwo", "one two"),
        ("- a\n- b\n  1. c\n  2. d", "• a\n• b\n  1. c\n  2. d"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("> quoted", "│ quoted"),
        ("```python\nx = 1\n\ny = 2\n```", "    x = 1\n\n    y = 2"),
        ("text\n\n| a | b |\n|---|---|\n| 1 | 2 |", "text\n\n  a  ·  b\n  1  ·  2"),
        ("", ""),
    ],
)
def test_markdown(markdown, text):
    assert render_markdown(markdown, 80, PLAIN) == text


def test_paragraphs_are_wrapped_and_addresses_are_not():
    text = render_markdown("word " * 40 + "https://host/" + "x" * 80, 60, PLAIN)
    lines = text.splitlines()
    assert max(map(len, lines[:-1])) <= 60
    assert lines[-1] == "https://host/" + "x" * 80


def test_list_items_hang():
    lines = render_markdown("- " + "word " * 30, 40, PLAIN).splitlines()
    assert lines[0].startswith("• word") and all(line.startswith("  word") for line in lines[1:])


def test_colours_only_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Style.of(Terminal()).red("x") == "\x1b[31mx\x1b[0m"
    assert Style.of(io.StringIO()).red("x") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Style.of(Terminal()).red("x") == "x"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (12.34, "12.3 s"), (99.96, "1 min 40 s"), (125, "2 min 05 s")],
)
def test_seconds(seconds, text):
    assert seconds_text(seconds) == text


def test_shorten():
    assert shorten("short", 10) == "short"
    assert shorten("much too long", 8) == "much to…"
