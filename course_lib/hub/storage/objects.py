"""Files, folders and commits with the ids that git itself would give them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Blob(NamedTuple):
    """Content in the blob store."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class File:
    """A file in a folder. Git knows `large` ones by a pointer, clients by their sha256."""

    oid: str  # git's blob id: of the content, or of the pointer when large
    sha256: str
    size: int
    large: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.oid

    @property
    def blob(self) -> Blob:
        return Blob(self.sha256, self.size)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder: git's tree id, and the key under which the store keeps its entries."""

    oid: str
    key: str


Entry = File | Folder


def blob_oid(size: int, chunks: Iterable[bytes]) -> str:
    """Git's id of a file's content."""
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def pointer(blob: Blob) -> bytes:
    """The text that stands for a large file in git (git-lfs, spec v1)."""
    lines = f"oid sha256:{blob.sha256}\nsize {blob.size}\n"
    return b"version https://git-lfs.github.com/spec/v1\n" + lines.encode()


def large_file(blob: Blob) -> File:
    text = pointer(blob)
    return File(blob_oid(len(text), [text]), blob.sha256, blob.size, True)


def tree_oid(entries: dict[str, Entry]) -> str:
    """Git's id of a folder: its entries sorted as if folder names ended in '/'."""

    def sort_key(item: tuple[str, Entry]) -> bytes:
        name, entry = item
        return (name + "/" if isinstance(entry, Folder) else name).encode()

    body = b"".join(
        (b"40000 " if isinstance(entry, Folder) else b"100644 ")
        + name.encode()
        + b"\0"
        + bytes.fromhex(entry.oid)
        for name, entry in sorted(entries.items(), key=sort_key)
    )
    return hashlib.sha1(b"tree %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def commit_oid(tree: str, parent: str | None, author: str, seconds: int, message: str) -> str:
    """Git's id of a commit."""
    who = f"{author} <{author}@course.hub> {seconds} +0000"
    lines = [
        f"tree {tree}",
        *([f"parent {parent}"] if parent else []),
        f"author {who}",
        f"committer {who}",
        "",
    ]
    body = ("\n".join(lines) + "\n" + message + "\n").encode(errors="replace")
    return hashlib.sha1(b"commit %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def dump_tree(entries: dict[str, Entry]) -> bytes:
    """A folder as the store keeps it: canonical JSON, one short row an entry."""
    rows = [
        [name, entry.oid, entry.key]
        if isinstance(entry, Folder)
        else [name, entry.oid, entry.sha256, entry.size, int(entry.large)]
        for name, entry in sorted(entries.items())
    ]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()


def load_tree(data: bytes) -> dict[str, Entry]:
    return {
        row[0]: Folder(row[1], row[2])
        if len(row) == 3
        else File(row[1], row[2], row[3], bool(row[4]))
        for row in json.loads(data)
    }
