"""Pages from templates: filters that write sizes and dates, headers that keep scripts out."""

from __future__ import annotations

import hashlib
import time
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from course_lib import __version__
from course_lib.hub.answers import iso
from course_lib.hub.web.highlighting import highlight

HERE = Path(__file__).parent
KIND_LABELS = {"model": "Models", "dataset": "Data sets", "space": "Spaces"}
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

# Even if markup came through the sanitiser, the browser would run and fetch nothing for it.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Authorization",
}


def render(template: str, status: int = 200, **context: object) -> HTMLResponse:
    """A page, with the headers that every page has."""
    html = _environment().get_template(template).render(context)
    return HTMLResponse(html, status, PAGE_HEADERS)


def static_file(name: str) -> Response | None:
    """A style, script or picture of the pages; its address changes with its content."""
    content = _static_files().get(name)
    if content is None:
        return None
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(content, media_type=TYPES[Path(name).suffix], headers=headers)


@cache
def _static_files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (HERE / "static").iterdir()}


@cache
def _static_address(name: str) -> str:
    return f"/static/{name}?v={hashlib.sha256(_static_files()[name]).hexdigest()[:10]}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
    )
    environment.filters.update(
        size=size,
        amount=amount,
        count=count,
        ago=ago,
        iso=iso,
        moment=moment,
        words=words,
        highlight=highlight,
    )
    environment.globals.update(
        static=_static_address, kinds=KIND_LABELS, kind=None, version=__version__
    )
    return environment


def size(number: int) -> str:
    """Bytes as people read them: `12.3 kB`."""
    if number < 1000:
        return count(number, "byte", "bytes")
    value, units = number / 1000, iter(("kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 999.5 and (larger := next(units, None)):
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if value >= 99.95 else f"{value:.1f} {unit}"


def amount(number: int) -> str:
    """A large number in short: `22.7 M`."""
    for limit, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return str(number)


def count(number: int, one: str, many: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} {one if number == 1 else many}"


def moment(milliseconds: int) -> str:
    """`21 November 2026, 08:15 UTC`."""
    t = time.gmtime(milliseconds / 1000)
    return f"{t.tm_mday} {time.strftime('%B %Y, %H:%M', t)} UTC"


def ago(milliseconds: int) -> str:
    """How long ago a moment was, or its day when that is more than a month."""
    seconds = time.time() - milliseconds / 1000
    if seconds < 60:
        return "just now"
    for limit, length, name in ((3600, 60, "minute"), (86400, 3600, "hour"), (2.6e6, 86400, "day")):
        if seconds < limit:
            number = int(seconds // length)
            return f"{count(number, name, name + 's')} ago"
    t = time.gmtime(milliseconds / 1000)
    return f"{t.tm_mday} {time.strftime('%B %Y', t)}"


def words(tag: str) -> str:
    """A task's tag as words: `Text classification`, `Text2text generation`."""
    return tag.replace("-", " ").capitalize()
