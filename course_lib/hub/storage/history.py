"""What changed between two states of a repository, and when a folder's entries last did."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from course_lib.hub.storage.blobs import BlobStore
from course_lib.hub.storage.objects import Entry, File, Folder
from course_lib.hub.storage.store import Commit, Repo, Store
from course_lib.hub.storage.trees import Trees

MAX_DIFF_BYTES = 40_000  # of a file whose lines are compared
MAX_DIFF_LINES = 600
CONTEXT = 3
MAX_DIFFS = 20  # files of one commit
MAX_READ = 30_000  # entries of folders that are read to find when names last changed


@dataclass(frozen=True)
class Change:
    """A file before and after; None where it is not there."""

    path: str
    old: File | None
    new: File | None

    @property
    def kind(self) -> str:
        if self.old is None:
            return "added"
        return "changed" if self.new else "removed"


def changes(trees: Trees, old: str | None, new: str) -> Iterator[Change]:
    """The files that differ between two folders, given by key; equal folders are not read."""
    yield from _compare(trees, Folder("", old) if old else None, Folder("", new), "")


def _compare(trees: Trees, old: Entry | None, new: Entry | None, path: str) -> Iterator[Change]:
    if old == new:
        return
    before, after = _entries(trees, old), _entries(trees, new)
    if path and (isinstance(old, File) or isinstance(new, File)):
        files = [entry if isinstance(entry, File) else None for entry in (old, new)]
        yield Change(path, *files)
    for name in sorted(before.keys() | after.keys()):
        inner = f"{path}/{name}" if path else name
        yield from _compare(trees, before.get(name), after.get(name), inner)


def _entries(trees: Trees, entry: Entry | None) -> dict[str, Entry]:
    return trees.load(entry.key) if isinstance(entry, Folder) else {}


def last_changes(
    store: Store, repo: Repo, commit: Commit, path: str = "", limit: int = 200
) -> dict[str, Commit]:
    """The commit that last changed each name in the folder `path`, if it is not too far back.

    At most `limit` commits are looked at, fewer in a folder with thousands of names.
    """
    key = _key(store.trees, commit, path)
    pending = dict(store.trees.load(key)) if key else {}
    limit = min(limit, MAX_READ // (len(pending) + 1) + 1)
    history = store.commits(repo, commit.oid, limit=limit + 1)
    found: dict[str, Commit] = {}
    for index, current in enumerate(history):
        if not pending or (index == limit and current.parent):
            break
        before_key = _key(store.trees, history[index + 1], path) if current.parent else None
        if before_key == key:
            continue
        before = store.trees.load(before_key) if before_key else {}
        for name in [name for name, entry in pending.items() if before.get(name) != entry]:
            found[name] = current
            del pending[name]
        key = before_key
    return found


def _key(trees: Trees, commit: Commit, path: str) -> str | None:
    """The key of a folder, None where there is none."""
    entry = trees.find(commit.tree, path) if path else Folder("", commit.tree)
    return entry.key if isinstance(entry, Folder) else None


def line_changes(blobs: BlobStore, change: Change) -> list[tuple[str, str]] | None:
    """The changed lines and those around them as `(mark, line)`; None if no text, or too long.

    The mark is `+`, `-`, a space, or `@` for a gap.
    """
    texts = [_lines(blobs, file) for file in (change.old, change.new)]
    if None in texts:
        return None
    compared = difflib.unified_diff(*texts, n=CONTEXT, lineterm="")
    lines = list(compared)[2:]  # without the two lines that name the files
    return [(line[:1], line[1:] if line[:1] != "@" else line) for line in lines]


def _lines(blobs: BlobStore, file: File | None) -> list[str] | None:
    if file is None:
        return []
    if file.large or file.size > MAX_DIFF_BYTES:
        return None
    try:
        lines = blobs.read(file.sha256).decode().splitlines()
    except UnicodeDecodeError:
        return None
    return lines if len(lines) <= MAX_DIFF_LINES else None
