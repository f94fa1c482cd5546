"""The body of a commit: one JSON object a line, read as a stream.

A file's content is base64 on its line, which therefore may be longer than memory. A long line is
scanned as it comes: the content is decoded straight into a temporary file, and only the rest of the
line is kept and parsed.
"""

from __future__ import annotations

import binascii
import json
import re
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from course_lib.hub.blobs import BlobStore, BlobWriter
from course_lib.hub.errors import HubError, bad_request, too_large
from course_lib.hub.names import check_path, shown
from course_lib.hub.store import AddFile, CopyFile, DeleteFile, DeleteFolder, Operation

LONG_LINE = 64 << 10  # bytes from which a line is scanned instead of kept
MAX_REST = 1 << 20  # bytes of a line without its content
MAX_LINES = 100_000

_CONTENT_KEY = re.compile(rb'"content"[ \t\r]*:[ \t\r]*"\Z')
_STRING_STOP = re.compile(rb'["\\]')
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_COMMIT = re.compile(r"[0-9a-f]{5,40}\Z")

# What each kind of line must hold, and may hold.
FIELDS: dict[str, tuple[dict[str, type], dict[str, type]]] = {
    "header": ({"summary": str}, {"description": str, "parentCommit": str}),
    "file": ({"path": str, "content": str, "encoding": str}, {}),
    "lfsFile": ({"path": str, "oid": str}, {"algo": str, "size": int}),
    "deletedFile": ({"path": str}, {}),
    "deletedFolder": ({"path": str}, {}),
    "copyFile": ({"path": str, "srcPath": str}, {"srcRevision": str}),
}


class Header(NamedTuple):
    summary: str
    description: str
    parent: str | None


class LargeFile(NamedTuple):
    """A file whose content was uploaded before."""

    path: str
    sha256: str
    size: int | None  # None: whatever the store has


class CommitBody(NamedTuple):
    header: Header
    operations: list[Operation | LargeFile]
    contents: list[BlobWriter]  # sealed; to be published before the operations are applied


class CommitParser:
    """Takes the bytes of a body in pieces of any size, gives a `CommitBody`.

    Contents wait in temporary files; what is not published when the `with` block ends is gone.
    """

    def __init__(self, blobs: BlobStore):
        self._blobs = blobs
        self._stack = ExitStack()
        self._line = bytearray()  # a line that is still short
        self._scan: _Scan | None = None  # of a long line
        self._number = 1
        self._header: Header | None = None
        self._operations: list[Operation | LargeFile] = []
        self._contents: list[BlobWriter] = []

    def __enter__(self) -> CommitParser:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def feed(self, data: bytes) -> None:
        start = 0
        # JSON has no bare line break inside a string: every one ends a line.
        while (end := data.find(b"\n", start)) >= 0:
            self._take(data[start:end])
            self._end_line()
            start = end + 1
        self._take(data[start:])

    def finish(self) -> CommitBody:
        """The body, once all of it was fed."""
        self._end_line()
        if self._header is None:
            raise bad_request('The commit is empty: its first line must be the "header".')
        return CommitBody(self._header, self._operations, self._contents)

    def _take(self, part: bytes) -> None:
        if self._scan is None and len(self._line) + len(part) <= LONG_LINE:
            self._line += part
            return
        if self._scan is None:
            self._scan = _Scan(self._open_writer, f"Line {self._number}")
            self._scan.feed(bytes(self._line))
            self._line.clear()
        self._scan.feed(part)

    def _open_writer(self) -> BlobWriter:
        return self._stack.enter_context(self._blobs.writer())

    def _end_line(self) -> None:
        scan, self._scan = self._scan, None
        raw = bytes(scan.rest if scan else self._line)
        self._line.clear()
        if raw.strip():
            if self._number > MAX_LINES:
                raise too_large(f"The commit has over {MAX_LINES:,} lines: split it.")
            self._accept(*self._read(raw), scan)
        self._number += 1

    def _read(self, raw: bytes) -> tuple[str, dict]:
        """A line's key and its value, of the right fields and types."""
        try:
            line = json.loads(raw.decode())
        except (ValueError, RecursionError) as error:
            raise self._error(f"is not valid JSON: {_short(error)}") from error
        if not isinstance(line, dict) or line.keys() != {"key", "value"}:
            raise self._error('must be an object with a "key" and a "value"')
        key, value = line["key"], line["value"]
        if not isinstance(key, str) or key not in FIELDS:
            raise self._error(f"has the key {_seen(key)}, which is none of {', '.join(FIELDS)}")
        if not isinstance(value, dict):
            raise self._error(f"({key}) has a value that is no object: {_seen(value)}")
        required, optional = FIELDS[key]
        value = {k: v for k, v in value.items() if v is not None or k not in optional}
        if missing := required.keys() - value.keys():
            raise self._error(f"({key}) lacks {', '.join(sorted(missing))}")
        if unknown := value.keys() - required.keys() - optional.keys():
            raise self._error(f"({key}) has an unknown field {shown(min(unknown))}")
        for name, kind in {**required, **optional}.items():
            if name in value and not _fits(value[name], kind):
                wanted = "a text" if kind is str else "a whole number"
                raise self._error(
                    f"({key}) has a {name} that is not {wanted}: {_seen(value[name])}"
                )
        return key, value

    def _accept(self, key: str, value: dict, scan: _Scan | None) -> None:
        if (key == "header") != (self._header is None):
            raise self._error(
                'must be the "header", the first line of a commit'
                if self._header is None
                else "is a second header"
            )
        if key == "header":
            self._header = self._read_header(**value)
            return
        check_path(value["path"].rstrip("/") if key == "deletedFolder" else value["path"])
        match key:
            case "file":
                writer = self._content(value, scan)
                self._contents.append(writer)
                operation = AddFile(value["path"], writer.blob, large=False)
            case "lfsFile":
                operation = self._read_large(**value)
            case "deletedFile":
                operation = DeleteFile(value["path"])
            case "deletedFolder":
                operation = DeleteFolder(value["path"])
            case "copyFile":
                check_path(value["srcPath"])
                operation = CopyFile(value["path"], value["srcPath"], value.get("srcRevision"))
        self._operations.append(operation)

    def _read_header(
        self, summary: str, description: str = "", parentCommit: str | None = None
    ) -> Header:
        if not summary.strip():
            raise self._error("(header) has an empty summary: say what the commit does")
        if parentCommit and not _COMMIT.match(parentCommit):
            raise self._error(
                f"(header) has the parentCommit {shown(parentCommit)}, which is not 5 to 40 "
                "hexadecimal digits"
            )
        return Header(summary, description, parentCommit or None)

    def _read_large(
        self, path: str, oid: str, algo: str = "sha256", size: int | None = None
    ) -> LargeFile:
        if algo != "sha256" or not _SHA256.match(oid):
            raise self._error(f"(lfsFile) needs algo sha256 and its 64 digits, not {shown(oid)}")
        return LargeFile(path, oid, size)

    def _content(self, value: dict, scan: _Scan | None) -> BlobWriter:
        """A file's content, sealed: decoded already on a long line, else now."""
        if value["encoding"] != "base64":
            raise self._error(
                f"(file) has the encoding {shown(value['encoding'])}, only base64 is read"
            )
        if scan and scan.content and value["content"] == scan.reference:
            return scan.content
        writer = self._open_writer()
        writer.write(_decoded(value["content"].encode(errors="replace"), f"Line {self._number}"))
        writer.seal()
        return writer

    def _error(self, what: str) -> HubError:
        return bad_request(f"Line {self._number} of the commit {what}.")


class _Scan:
    """A long line: `rest` is the line with the text of its "content" replaced by `reference`."""

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
            opens_content = _CONTENT_KEY.search(self.rest, max(0, len(self.rest) - 64))
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
        self._left = b""  # what does not fill a group of four yet
        self._ended = False  # by padding

    def feed(self, text: bytes) -> None:
        text = self._left + text
        cut = len(text) - text.endswith(b"\\")  # JSON may write "/" as "\/", over two pieces too
        body = text[:cut].replace(b"\\/", b"/")
        whole = len(body) // 4 * 4
        self._left = body[whole:] + text[cut:]
        self._decode(body[:whole])

    def _decode(self, body: bytes) -> None:
        if body and self._ended:
            raise _not_base64(self._where, "it goes on after its padding")
        self._writer.write(_decoded(body, self._where))
        self._ended = self._ended or body.endswith(b"=")

    def finish(self) -> None:
        if self._left:
            raise _not_base64(self._where, "its length is not a multiple of 4")
        self._writer.seal()


def _decoded(text: bytes, where: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise _not_base64(where, error) from error


def _not_base64(where: str, reason: object) -> HubError:
    return bad_request(f"{where} of the commit has a content that is not base64: {reason}.")


def _fits(value: object, kind: type) -> bool:
    if kind is int:
        return type(value) is int and 0 <= value < 1 << 63
    # Half of a surrogate pair is valid in JSON and in nothing else.
    return isinstance(value, str) and not re.search("[\ud800-\udfff]", value)


def _seen(value: object) -> str:
    """A value of the body as it may stand in a message: a text in quotes, else as JSON."""
    return shown(value) if isinstance(value, str) else shown(json.dumps(value)).strip("'")


def _short(error: Exception) -> str:
    return shown(str(error), 120).strip("'\"")
