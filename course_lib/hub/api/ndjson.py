"""The body of a commit: one JSON object a line, read as a stream.

A file's content is base64 on its line, which therefore may be longer than memory. A long line is
scanned as it comes (longline.py): the content is decoded straight into a temporary file, and only
the rest of the line is kept and parsed.
"""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from typing import NamedTuple

from course_lib.hub.api.longline import LongLine, decoded
from course_lib.hub.errors import HubError, bad_request, too_large
from course_lib.hub.names import check_path, shown
from course_lib.hub.storage.blobs import BlobStore, BlobWriter
from course_lib.hub.storage.store import AddFile, CopyFile, DeleteFile, DeleteFolder, Operation

LONG_LINE = 64 << 10  # bytes from which a line is scanned instead of kept
MAX_LINES = 100_000
MAX_REVISION = 200  # characters

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
        self._long: LongLine | None = None  # a line that is not
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
        if self._long is None and len(self._line) + len(part) <= LONG_LINE:
            self._line += part
            return
        if self._long is None:
            self._long = LongLine(self._open_writer, f"Line {self._number}")
            self._long.feed(bytes(self._line))
            self._line.clear()
        self._long.feed(part)

    def _open_writer(self) -> BlobWriter:
        return self._stack.enter_context(self._blobs.writer())

    def _end_line(self) -> None:
        long, self._long = self._long, None
        raw = bytes(long.rest if long else self._line)
        self._line.clear()
        if raw.strip():
            if self._number > MAX_LINES:
                raise too_large(f"The commit has over {MAX_LINES:,} lines: split it.")
            self._accept(*self._read(raw), long)
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

    def _accept(self, key: str, value: dict, long: LongLine | None) -> None:
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
                writer = self._content(value, long)
                self._contents.append(writer)
                operation = AddFile(value["path"], writer.blob, large=False)
            case "lfsFile":
                operation = self._read_large(**value)
            case "deletedFile":
                operation = DeleteFile(value["path"])
            case "deletedFolder":
                operation = DeleteFolder(value["path"])
            case "copyFile":
                operation = self._read_copy(**value)
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

    def _read_copy(self, path: str, srcPath: str, srcRevision: str | None = None) -> CopyFile:
        if srcRevision and len(srcRevision) > MAX_REVISION:
            raise self._error(f"(copyFile) has a srcRevision of over {MAX_REVISION} characters")
        return CopyFile(path, check_path(srcPath), srcRevision)

    def _content(self, value: dict, long: LongLine | None) -> BlobWriter:
        """A file's content, sealed: decoded already on a long line, else now."""
        if value["encoding"] != "base64":
            raise self._error(
                f"(file) has the encoding {shown(value['encoding'])}, only base64 is read"
            )
        if long and long.content and value["content"] == long.reference:
            return long.content
        writer = self._open_writer()
        writer.write(decoded(value["content"].encode(errors="replace"), f"Line {self._number}"))
        writer.seal()
        return writer

    def _error(self, what: str) -> HubError:
        return bad_request(f"Line {self._number} of the commit {what}.")


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
