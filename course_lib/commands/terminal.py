"""Text for a terminal: colours where they can be seen, Markdown as a person would type it."""

import os
import re
import sys
import textwrap
from dataclasses import dataclass
from typing import Any, TextIO


@dataclass(frozen=True)
class Style:
    """Terminal colours, or plain text where nobody would see them."""

    on: bool

    @classmethod
    def of(cls, stream: TextIO | None = None) -> "Style":
        """Colours on a terminal, unless NO_COLOR asks for none."""
        stream = stream or sys.stdout
        return cls(stream.isatty() and "NO_COLOR" not in os.environ)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.on and text else text

    def bold(self, text: str) -> str:
        return self._paint("1", text)

    def dim(self, text: str) -> str:
        return self._paint("2", text)

    def red(self, text: str) -> str:
        return self._paint("31", text)

    def green(self, text: str) -> str:
        return self._paint("32", text)

    def yellow(self, text: str) -> str:
        return self._paint("33", text)

    def blue(self, text: str) -> str:
        return self._paint("34", text)


def seconds_text(seconds: float) -> str:
    """`0.4 s`, `12.3 s` or `2 min 05 s`."""
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def shorten(text: str, width: int) -> str:
    """At most `width` characters, the last of them an ellipsis if something was cut."""
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def render_markdown(text: str, width: int, style: Style) -> str:
    """Markdown as readable terminal text: wrapped, links with their address, code as it is."""
    from markdown_it import MarkdownIt

    writer = _Writer(width, style)
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        writer.take(token)
    return writer.text()


class _Writer:
    """Turns markdown-it's tokens into lines."""

    def __init__(self, width: int, style: Style) -> None:
        self.width, self.style = width, style
        self.blocks: list[str] = []
        self.indent: list[str] = []  # one entry for each open list item or quote
        self.counters: list[int | None] = []  # the next number of each open list; None: bullets
        self.opening = ""  # the bullet or number that the next paragraph starts with
        self.level = 0  # of the heading that is open
        self.tight = False  # the paragraph belongs to a list without blank lines
        self.row: list[str] | None = None  # the cells of the open table row

    def take(self, token: Any) -> None:
        kind = token.type
        if kind in ("bullet_list_open", "ordered_list_open"):
            numbered = kind == "ordered_list_open"
            self.counters.append(int(token.attrGet("start") or 1) if numbered else None)
        elif kind in ("bullet_list_close", "ordered_list_close"):
            self.counters.pop()
        elif kind == "list_item_open":
            number = self.counters[-1]
            self.opening = "• " if number is None else f"{number}. "
            self.counters[-1] = None if number is None else number + 1
            self.indent.append(" " * len(self.opening))
        elif kind == "blockquote_open":
            self.indent.append("│ ")
        elif kind in ("list_item_close", "blockquote_close"):
            self.indent.pop()
        elif kind in ("heading_open", "heading_close"):
            self.level = int(token.tag[1]) if kind == "heading_open" else 0
        elif kind == "paragraph_open":
            self.tight = token.hidden
        elif kind in ("fence", "code_block"):
            self.add(textwrap.indent(token.content.rstrip("\n"), "".join(self.indent) + "    "))
        elif kind == "table_open":
            self.add("")
        elif kind == "tr_open":
            self.row = []
        elif kind == "tr_close":
            self.add("  " + "  ·  ".join(self.row or []), tight=True)
            self.row = None
        elif kind == "inline":
            self.inline(_inline(token.children or []))

    def inline(self, text: str) -> None:
        if self.row is not None:
            self.row.append(text)
            return
        lead = "".join(self.indent)
        first = lead[: len(lead) - len(self.opening)] + self.opening
        wrapped = textwrap.fill(
            text,
            self.width,
            initial_indent=first,
            subsequent_indent=lead,
            break_long_words=False,
            break_on_hyphens=False,
        )
        if self.level:
            wrapped = self.style.bold(wrapped)
        self.add(wrapped, tight=self.tight and not self.level)
        self.opening = ""

    def add(self, block: str, tight: bool = False) -> None:
        if tight and self.blocks:
            self.blocks[-1] = f"{self.blocks[-1]}\n{block}".lstrip("\n")
        else:
            self.blocks.append(block)

    def text(self) -> str:
        return "\n\n".join(block for block in self.blocks if block.strip())


def _inline(children: list[Any]) -> str:
    """A paragraph's pieces as one string."""
    parts: list[str] = []
    addresses: list[str] = []
    for child in children:
        if child.type in ("text", "code_inline"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif child.type == "link_open":
            addresses.append(child.attrGet("href") or "")
        elif child.type == "link_close":
            address = addresses.pop()
            if re.match(r"https?://", address) and address not in parts[-1]:
                parts.append(f" ({address})")
        elif child.type == "image":
            parts.append(f"[picture: {child.content}]" if child.content else "")
    return "".join(parts)
