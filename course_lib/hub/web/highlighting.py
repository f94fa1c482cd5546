"""Colours for code: Pygments for the few languages that repositories use, else plain text."""

from __future__ import annotations

from functools import cache

from markupsafe import Markup, escape
from pygments import highlight as pygments_highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES

MAX_CODE = 20_000  # characters
# Aliases and file endings, to names that Pygments knows.
LANGUAGES = {
    **dict.fromkeys(("python", "py", "python3"), "python"),
    **dict.fromkeys(("bash", "sh", "shell", "zsh"), "bash"),
    **dict.fromkeys(("json", "jsonl", "ipynb"), "json"),
    **dict.fromkeys(("yaml", "yml"), "yaml"),
    **dict.fromkeys(("pycon", "doctest"), "pycon"),
    **{name: name for name in ("console", "diff", "toml", "ini", "sql", "html", "markdown")},
    "md": "markdown",
    "cfg": "ini",
}
TOKEN_CLASSES = {name for name in STANDARD_TYPES.values() if name}


def highlight(code: str, language: str) -> Markup:
    """`code` as HTML with one `span` per token; unknown languages and long texts stay plain."""
    name = LANGUAGES.get(language.strip().lower())
    if name is None or len(code) > MAX_CODE:
        return escape(code)
    return Markup(pygments_highlight(code, _lexer(name), _FORMATTER))


def highlight_lines(code: str, language: str) -> list[Markup]:
    """The lines of `code`, each with spans of its own."""
    # The formatter ends its spans at every end of a line.
    return [Markup(line) for line in highlight(code, language).removesuffix("\n").split("\n")]


_FORMATTER = HtmlFormatter(nowrap=True)


@cache
def _lexer(name: str) -> Lexer:
    return get_lexer_by_name(name, stripnl=False, ensurenl=False)
