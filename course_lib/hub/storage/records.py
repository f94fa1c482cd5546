"""What the store keeps: repositories and commits; and what it takes: changes to files."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass

from course_lib.hub.names import RepoId
from course_lib.hub.storage.objects import Blob

MAIN = "refs/heads/main"
LARGE_NAMES = (
    "7z arrow bin bz2 ckpt ftz gz h5 joblib keras model msgpack npy npz onnx ot parquet pb pickle "
    "pkl pt pth rar safetensors tar tflite tgz wasm xz zip zst"
).split()
GITATTRIBUTES = "".join(
    f"*.{name} filter=lfs diff=lfs merge=lfs -text\n" for name in LARGE_NAMES
).encode()
LARGE_SIZE = 10_000_000


@dataclass(frozen=True, slots=True)
class AddFile:
    path: str
    blob: Blob
    large: bool


@dataclass(frozen=True, slots=True)
class DeleteFile:
    path: str


@dataclass(frozen=True, slots=True)
class DeleteFolder:
    path: str


@dataclass(frozen=True, slots=True)
class CopyFile:
    path: str
    source: str
    revision: str | None = None  # of the source; None: the tree that is being changed


Operation = AddFile | DeleteFile | DeleteFolder | CopyFile


@dataclass(frozen=True, slots=True)
class Repo:
    """A row of `repos`."""

    key: int
    id: RepoId
    private: bool
    sdk: str | None
    gated: str | None
    author: str
    created_at: int  # milliseconds since 1970, as is updated_at
    updated_at: int
    summary: dict  # see describe.py

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Repo:
        return cls(
            key=row["id"],
            id=RepoId(row["kind"], row["namespace"], row["name"]),
            private=bool(row["private"]),
            sdk=row["sdk"],
            gated=row["gated"],
            author=row["author"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            summary=json.loads(row["summary"]),
        )


@dataclass(frozen=True, slots=True)
class Commit:
    oid: str
    parent: str | None
    tree: str  # key of the root folder
    title: str
    message: str
    author: str
    created_at: int

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Commit:
        names = ("oid", "parent", "tree", "title", "message", "author", "created_at")
        return cls(*(row[name] for name in names))


def now() -> int:
    return time.time_ns() // 1_000_000
