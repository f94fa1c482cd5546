"""Answers in the forms that clients expect: JSON, dates, pages of a list."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.responses import Response

from course_lib.hub.errors import bad_request
from course_lib.hub.names import shown

if TYPE_CHECKING:
    from course_lib.hub.routing import Call

PAGE = 1000  # items of a list in one answer, as on the Hub


class Json(Response):
    """JSON in ASCII, so that any text of Python's fits, without NaN, which JSON does not know."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def iso(milliseconds: int) -> str:
    """A moment as the Hub writes it: `2026-01-31T12:00:00.000Z`."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def window(call: Call, size: int = PAGE) -> tuple[int, int]:
    """Where the wanted page begins and how long it is, from the parameters `cursor` and `limit`."""
    return _whole(call, "cursor", 0, 0), min(_whole(call, "limit", size, 1), size)


def page(call: Call, items: Sequence[object], start: int, more: bool) -> Json:
    """One page of a list; with `more`, a `Link` header says where the next one is."""
    headers = {}
    if more:
        kept = [(name, value) for name, value in call.query.multi_items() if name != "cursor"]
        query = urlencode([*kept, ("cursor", str(start + len(items)))])
        address = call.base + call.request.scope["raw_path"].decode("latin-1")
        headers["Link"] = f'<{address}?{query}>; rel="next"'
    return Json(items, headers=headers)


def _whole(call: Call, name: str, default: int, least: int) -> int:
    text = call.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least):
        raise bad_request(
            f"Parameter {name} is {shown(text)}, must be a whole number from {least} on."
        )
    return int(text)
