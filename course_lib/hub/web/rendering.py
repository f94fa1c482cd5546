"""Markdown from strangers, as HTML that cannot act: no script, no style, nothing from outside."""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markupsafe import Markup, escape

from course_lib.hub.cards.front_matter import split
from course_lib.hub.web.highlighting import TOKEN_CLASSES, highlight

MAX_TEXT = 200_000  # characters
MAX_SECONDS = 1.0
MAX_TAGS = 30_000
# The sanitiser's time can grow with raw tags x all tags, its memory with styled ones x all tags.
MAX_TAG_WORK = 20_000_000
MAX_STYLED_WORK = 200_000

TAGS = set(
    "a abbr b blockquote br caption center cite code col colgroup dd del details dfn div dl dt em "
    "figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q rp rt ruby s samp "
    "small span strong sub summary sup table tbody td tfoot th thead tr tt u ul var wbr".split()
)
# What lies between these tags is dropped with them.
DROPPED = set(
    "script style title textarea template noscript iframe noembed noframes object svg math "
    "select".split()
)
ATTRIBUTES = {
    "*": {"id", "title", "lang", "dir", "align"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "details": {"open"},
}
_NUMBER = re.compile(r"\d{1,4}%?\Z")
_CHECKED = {
    "align": re.compile(r"(left|right|center|justify)\Z"),
    **dict.fromkeys(("width", "height", "colspan", "rowspan", "start"), _NUMBER),
}
_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+\Z")
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_RAW_HEADING = re.compile(r"(</?h)([1-6])\b", re.I)
_STYLED = re.compile(
    r"<(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)[\s/]", re.I
)  # html5: reopened in every later block until closed


class TooSlow(Exception):
    """The text takes longer to render than a reader would wait."""


@dataclass(frozen=True)
class Place:
    """Where a text lies, so that its relative links lead somewhere."""

    page: str  # address of pages of the same revision, such as `/ann/model/blob/main/`
    file: str  # address of contents, such as `/ann/model/resolve/main/`
    folder: str = ""


def to_html(text: str, place: Place) -> Markup:
    """`text` as safe HTML; what is too long or too slow comes as it was written, with a note."""
    if len(text) > MAX_TEXT:
        return _as_written(
            text[:MAX_TEXT],
            f"This text is longer than {MAX_TEXT:,} characters: its start is shown as written.",
        )
    try:
        return Markup(sanitise(_render(text), place))
    except (TooSlow, RecursionError):
        return _as_written(text, "This text takes too long to render: it is shown as written.")


@lru_cache(maxsize=64)
def rendered_file(content: Path, place: Place) -> Markup:
    """A stored Markdown file as safe HTML, without the metadata at its top."""
    with content.open("rb") as file:
        text = file.read(4 * MAX_TEXT).decode("utf-8", errors="replace")
    return to_html(split(text)[1], place)


def sanitise(html: str, place: Place) -> str:
    """`html` with only what TAGS and ATTRIBUTES name. All that is shown went through here."""
    return nh3.clean(
        html,
        tags=TAGS,
        clean_content_tags=DROPPED,
        attributes=ATTRIBUTES,
        attribute_filter=_attribute_filter(place),
        tag_attribute_values={"a": {"aria-hidden": {"true"}, "tabindex": {"-1"}}},
        allowed_classes={"a": {"anchor"}, "pre": {"highlight"}, "span": TOKEN_CLASSES},
        url_schemes={"http", "https", "mailto", "data"},
        link_rel="noopener noreferrer nofollow",
    )


def _attribute_filter(place: Place) -> Callable[[str, str, str], str | None]:
    def keep(tag: str, name: str, value: str) -> str | None:
        """The value to keep, or None for no such attribute."""
        if name == "href":
            return _link(value, place)
        if name == "src":
            return _picture(value, place)
        if name == "id":  # never an id of the page around it
            return "card-" + slug(value)
        if name in _CHECKED and not _CHECKED[name].match(value):
            return None
        return value

    return keep


def _link(address: str, place: Place) -> str | None:
    address = _INVISIBLE.sub("", address).strip().replace("\\", "/")
    if address.startswith("#"):
        return "#card-" + slug(unquote(address[1:]))
    if address.startswith("//"):
        address = "https:" + address
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme:
        return address if parts.scheme in ("http", "https", "mailto") else None
    if address.startswith("/"):
        return address
    return _inside(parts.path, place.page, place.folder)


def _picture(address: str, place: Place) -> str | None:
    """Pictures come from the repository or from the text itself: a page asks no other machine."""
    address = _INVISIBLE.sub("", address).strip().replace("\\", "/")
    if _PICTURE.match(address):
        return address
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme or parts.netloc:
        return None
    if parts.path.startswith("/"):
        return parts.path
    return _inside(parts.path, place.file, place.folder)


def _inside(path: str, base: str, folder: str) -> str | None:
    """The address of a relative path, None if it leaves the repository."""
    path = posixpath.normpath(posixpath.join(folder, unquote(path)))
    return None if path.startswith("..") else base + quote(path.removeprefix("."), safe="/")


def slug(text: str) -> str:
    """A heading as the end of an address: lower case, words joined by hyphens."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", text.strip().lower()))[:80] or "section"


def _render(text: str) -> str:
    env: dict = {"deadline": time.monotonic() + MAX_SECONDS}
    parser = _parser()
    tokens = parser.parse(text, env)
    raw = "".join(env["raw"])
    if len(tokens) > MAX_TAGS:
        raise TooSlow
    html = parser.renderer.render(tokens, parser.options, env)
    _check(env)
    tags = html.count("<")
    if (
        tags > MAX_TAGS
        or raw.count("<") * tags > MAX_TAG_WORK
        or len(_STYLED.findall(raw)) * tags > MAX_STYLED_WORK
    ):
        raise TooSlow
    return html


@cache
def _parser() -> MarkdownIt:
    """CommonMark with tables and strikethrough. Raw HTML passes: the sanitiser comes after."""
    parser = MarkdownIt("commonmark", {"html": True, "highlight": _fence})
    parser.enable(["table", "strikethrough"])
    parser.block.ruler.before("table", "deadline", _block_deadline)
    parser.inline.ruler.before("text", "deadline", _inline_deadline)
    parser.core.ruler.push("card", _prepare)
    return parser


def _fence(code: str, language: str, _attributes: str) -> str:
    return f'<pre class="highlight"><code>{highlight(code, language)}</code></pre>'


def _check(env: dict) -> None:
    if time.monotonic() > env["deadline"]:
        raise TooSlow


def _block_deadline(state: StateBlock, _start: int, _end: int, _silent: bool) -> bool:
    _check(state.env)
    return False


def _inline_deadline(state: StateInline, _silent: bool) -> bool:
    _check(state.env)
    return False


def _prepare(state: StateCore) -> None:
    """Headings with ids and below the page's own; aligned columns; raw HTML noted."""
    raw = state.env["raw"] = []
    slugs: dict[str, int] = {}
    for index, token in enumerate(state.tokens):
        _check(state.env)
        if token.type == "heading_open":
            _mark_heading(state.tokens[index : index + 3], slugs)
        elif token.type in ("th_open", "td_open") and "style" in token.attrs:
            token.attrs["align"] = str(token.attrs.pop("style")).removeprefix("text-align:")
        for part in (token, *(token.children or ())):
            if part.type in ("html_block", "html_inline"):
                part.content = _RAW_HEADING.sub(_one_lower, part.content)
                raw.append(part.content)


def _one_lower(found: re.Match[str]) -> str:
    return f"{found[1]}{min(int(found[2]) + 1, 6)}"


def _mark_heading(tokens: Sequence[Token], slugs: dict[str, int]) -> None:
    start, inline, end = tokens
    start.tag = end.tag = f"h{min(int(start.tag[1]) + 1, 6)}"
    name = slug("".join(part.content for part in inline.children if part.type != "html_inline"))
    slugs[name] = slugs.get(name, -1) + 1
    name += f"-{slugs[name]}" if slugs[name] else ""
    start.attrs["id"] = name
    anchor = f' <a class="anchor" href="#{escape(name)}" aria-hidden="true" tabindex="-1">#</a>'
    inline.children.append(Token("html_inline", "", 0, content=anchor))


def _as_written(text: str, note: str) -> Markup:
    return Markup('<p class="note">{}</p><pre>{}</pre>').format(note, text)
