"""A line of a commit that is too long to keep: its content is decoded on the way.

The line is scanned as JSON as far as that takes: what is inside a string and what is not. Only the
text of a key "content" may be long.
"""

from __future__ import annotations

import binascii
import re
import secrets
from collections.abc import Callable

from course_lib.hub.errors import HubError, bad_request, too_large
from course_lib.hub.storage.blobs import BlobWriter

MAX_REST = 1 << 20  # bytes of a line without its content

_CONTENT_KEY = re.compile(rb'"content"[ \t\r]*:[ \t\r]*"\Z')
_KEY_LENGTH = 64  # bytes in which that key is looked for, spaces and all
_STRING_STOP = re.compile(rb'["\\]')


class LongLine:
    """A line: `rest` is what it says, with `reference` in the place of its content's text."""

    def __init__(self, open_writer: Callable[[], BlobWriter], where: str):
        self.reference = secrets.token_hex(16)  # nobody can write it beforehand
        self.content: BlobWriter | None = None
        self.rest = bytearray()
        self._open_writer = open_writer
        self._where = where
        self._step = self._outside

    def feed(self, data: bytes) -> None:
        position = 0
        while position < len(data):
            position = self._step(data, position)

    # Each step reads on from a position, and returns how far it got.

    def _outside(self, data: bytes, start: int) -> int:
        end = data.find(b'"', start) + 1
        self._keep(data[start : end or len(data)])
        if end:
            opens_content = _CONTENT_KEY.search(self.rest, max(0, len(self.rest) - _KEY_LENGTH))
            if opens_content and self.content:
                raise bad_request(f"{self._where} of the commit has more than one content.")
            if opens_content:
                self.content = self._open_writer()
                self._decoder = _Base64(self.content, self._where)
            self._step = self._inside_content if opens_content else self._inside_text
        return end or len(data)

    def _inside_text(self, data: bytes, start: int) -> int:
        stop = _STRING_STOP.search(data, start)
        end = stop.end() if stop else len(data)
        self._keep(data[start:end])
        if stop:
            self._step = self._outside if stop[0] == b'"' else self._after_backslash
        return end

    def _after_backslash(self, data: bytes, start: int) -> int:
        self._keep(data[start : start + 1])
        self._step = self._inside_text
        return start + 1

    def _inside_content(self, data: bytes, start: int) -> int:
        end = data.find(b'"', start)
        self._decoder.feed(data[start : end if end >= 0 else len(data)])
        if end < 0:
            return len(data)
        self._decoder.finish()
        self._keep(self.reference.encode() + b'"')
        self._step = self._outside
        return end + 1

    def _keep(self, part: bytes) -> None:
        self.rest += part
        if len(self.rest) > MAX_REST:
            raise too_large(
                f"{self._where} of the commit is over {MAX_REST:,} bytes long without its content."
            )


class _Base64:
    """Decodes base64 that comes in pieces, strictly, into a writer."""

    def __init__(self, writer: BlobWriter, where: str):
        self._writer = writer
        self._where = where
        self._backslash = b""  # one that ended a piece
        self._left = b""  # what does not fill a group of four yet
        self._ended = False  # by padding

    def feed(self, text: bytes) -> None:
        view = memoryview(self._without_escapes(text))
        if self._left:
            missing = 4 - len(self._left)
            self._left += view[:missing]
            view = view[missing:]
            if len(self._left) < 4:
                return
            self._decode(self._left)
        whole = len(view) & ~3
        self._left = bytes(view[whole:])
        self._decode(view[:whole])

    def _without_escapes(self, text: bytes) -> bytes:
        """JSON may write "/" as "\\/", also with a piece's end between the two."""
        text = self._backslash + text
        self._backslash = text[-1:] if text.endswith(b"\\") else b""
        if b"\\" not in text:
            return text
        return text[: len(text) - len(self._backslash)].replace(b"\\/", b"/")

    def _decode(self, body: bytes | memoryview) -> None:
        if body and self._ended:
            raise _not_base64(self._where, "it goes on after its padding")
        self._writer.write(decoded(body, self._where))
        self._ended = self._ended or body[-1:] == b"="

    def finish(self) -> None:
        if self._left or self._backslash:
            raise _not_base64(self._where, "its length is not a multiple of 4")
        self._writer.seal()


def decoded(text: bytes | memoryview, where: str) -> bytes:
    """Strict base64: whole groups of four, and padding only at the end."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise _not_base64(where, error) from error


def _not_base64(where: str, reason: object) -> HubError:
    return bad_request(f"{where} of the commit has a content that is not base64: {reason}.")
