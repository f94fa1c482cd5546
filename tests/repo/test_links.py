"""Links in the notebooks and the Markdown files lead somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from markdown_it import MarkdownIt

from course_lib.commands.notebooks import list_notebooks

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *list_notebooks(ROOT / "nbs")]
# A page of this repository on GitHub, and the same page opened in Colab.
OURS = re.compile(r"https?://[^/]+/(?:github/)?[^/]+/course_lib/(?:blob|tree|raw)/main/([^?#]*)")
HTML_LINK = re.compile(r"""<(?:a|img)[^>]*?\s(?:href|src)=["']([^"']+)""")


def markdown_of(path: Path) -> str:
    """The prose of a document."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def links_of(text: str) -> list[str]:
    """Every target of a link or picture, in Markdown or in HTML."""
    found = []
    for block in MarkdownIt("commonmark").enable("table").parse(text):
        for token in [block, *(block.children or [])]:
            target = token.attrGet("href") or token.attrGet("src")
            if target:
                found.append(str(target))
            if token.type in ("html_block", "html_inline"):
                found += HTML_LINK.findall(token.content)
    return found


def anchors_of(text: str) -> set[str]:
    """The names of a document's headings, as GitHub and Jupyter both make them, in lower case."""
    tokens = MarkdownIt("commonmark").parse(text)
    headings = [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(path: Path) -> list[str]:
    """The links of a document that lead nowhere."""
    text = markdown_of(path)
    wrong = []
    for target in links_of(text):
        ours = OURS.match(target)
        if ours:
            if not (ROOT / unquote(ours[1])).exists():
                wrong.append(target)
            continue
        if re.match(r"[a-zA-Z][a-zA-Z+.-]*:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        place = (path.parent / name).resolve() if name else path
        if not place.exists():
            wrong.append(target)
        elif anchor and place.suffix in (".md", ".ipynb"):
            if anchor.lower() not in anchors_of(markdown_of(place)):
                wrong.append(target)
    return wrong


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    assert broken(path) == []


def test_broken_links_are_noticed(tmp_path):
    (tmp_path / "here.md").write_text("# A heading, here\n")
    document = tmp_path / "document.md"
    document.write_text(
        "[a](here.md) [b](here.md#a-heading-here) [c](gone.md) [d](here.md#elsewhere)\n"
        "![e](gone.png) <img src='gone.svg'> [f](https://host/x) `[g](code.md)`\n"
        "[h](https://github.com/u/course_lib/blob/main/settings.ini)\n"
        "[i](https://colab.research.google.com/github/u/course_lib/blob/main/nbs/gone.ipynb)\n"
    )
    assert broken(document) == [
        "gone.md",
        "here.md#elsewhere",
        "gone.png",
        "gone.svg",
        "https://colab.research.google.com/github/u/course_lib/blob/main/nbs/gone.ipynb",
    ]
