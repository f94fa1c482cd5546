"""`course hub gc` and `course hub reset`: give back disk space, start over.

Collecting is safe while a server and other commands work on the same directory:

- What every commit of every repository refers to is marked, not only what branches lead to: a
  commit id stays good for as long as its repository.
- A blob is uploaded before the commit that names it. So one that was written or asked for within
  the last hour stays (`BlobStore.find` counts as use), and old ones are removed inside a write
  transaction that marks the newest commits first. A commit looks under the same lock whether its
  blobs are there. Either it comes first and they are marked, or it is refused and the client
  uploads again: no commit ever refers to a blob that is gone.
- A folder is written in the same transaction as its commit, so those that no commit refers to can
  be removed at once.
- Xorbs are the pieces that Xet uploads were sent in. Clients remember what they sent under the
  Hub's instance id, and uploads under way rely on them, so they are removed only when no server
  runs, after the id has changed.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from course_lib.hub.errors import HubError, conflict
from course_lib.hub.progress import bar
from course_lib.hub.storage.objects import Entry, File, load_tree
from course_lib.hub.storage.store import GITATTRIBUTES, Store

GRACE = 3600.0  # seconds that unreferenced blobs and temporary files stay
BATCH = 500  # blobs removed in one transaction: other writers wait for no more than that
PARTIAL = "partial"  # the folder with what imports and syncs have not finished
ALWAYS_KEPT = hashlib.sha256(GITATTRIBUTES).hexdigest()  # every new repository begins with it
# All that a Hub keeps. `reset` removes these and nothing else, the database first.
CONTENTS = (
    "hub.db-wal", "hub.db-shm", "hub.db", "blobs", "tmp", PARTIAL, "xorbs", "hub.json",
    "students.csv",
)  # fmt: skip


@dataclass
class Collected:
    """What `gc` removed."""

    blobs: int = 0
    folders: int = 0
    temporary: int = 0
    xorbs: int = 0
    size: int = 0  # bytes of files, and by which the database shrank
    xorbs_kept: int = 0  # bytes of xorbs that stayed, because a server runs
    busy: bool = False  # the database could be smaller, but others kept it busy


def open_store(root: Path) -> Store:
    """The Hub in a data directory that must exist already."""
    if not (root / "hub.db").is_file():
        raise no_hub(root)
    return _open(root)


def command_store(root: Path) -> Store:
    """The Hub in `root`, made if need be, for a command that may run beside a server.

    Its unfinished files lie apart: a server that starts clears those of the one before it.
    """
    store = _open(root)
    store.blobs.temporary = root / PARTIAL
    store.blobs.temporary.mkdir(exist_ok=True)
    return store


def _open(root: Path) -> Store:
    try:
        return Store(root)
    except sqlite3.DatabaseError as error:
        raise HubError(
            500,
            f"{root / 'hub.db'} cannot be read ({error}): restore it from a copy, or start over "
            "with `course hub reset`.",
        ) from error
    except RuntimeError as error:  # another version's format
        raise HubError(500, str(error)) from error


def no_hub(root: Path) -> HubError:
    return HubError(404, f"There is no Course Hub in {root}: start one with `course hub start`.")


def present(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The files below a folder and their state, in order; what vanishes meanwhile is left out."""
    for path in sorted(folder.rglob("*")):
        try:
            if not path.is_dir():
                yield path, path.lstat()
        except FileNotFoundError:
            continue


@contextmanager
def without_server(root: Path) -> Iterator[bool]:
    """Whether no server runs on this directory; if so, none starts inside the block."""
    from filelock import FileLock, Timeout

    lock = FileLock(root / "serve.lock")  # held by a server for as long as it lives
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def gc(store: Store, grace: float = GRACE) -> Collected:
    """Remove what no commit refers to and nobody used for `grace` seconds; see above why it may."""
    done = Collected()
    marks = _Marks(store)
    limit = time.time() - grace
    _collect_blobs(store, marks, limit, done)
    _collect_folders(store, marks, done)
    for folder in (store.blobs.temporary, store.root / PARTIAL):
        for path, stat in present(folder):
            if stat.st_mtime <= limit:
                path.unlink(missing_ok=True)
                done.temporary += 1
                done.size += stat.st_size
    _collect_xorbs(store, done)
    _compact(store, done)
    return done


class _Marks:
    """The folders and blobs that commits refer to."""

    def __init__(self, store: Store):
        self.store = store
        self.folders: set[str] = set()
        self.blobs = {ALWAYS_KEPT}
        self.follow()

    def follow(self) -> None:
        """Mark what all commits refer to; the next time, only what is new is read."""
        rows = self.store.database.rows("SELECT DISTINCT tree FROM commits")
        waiting = [row["tree"] for row in rows if row["tree"] not in self.folders]
        while waiting:
            key = waiting.pop()
            if key in self.folders:
                continue
            self.folders.add(key)
            for entry in self._entries(key).values():
                if isinstance(entry, File):
                    self.blobs.add(entry.sha256)
                elif entry.key not in self.folders:
                    waiting.append(entry.key)

    def _entries(self, key: str) -> dict[str, Entry]:
        row = self.store.database.one("SELECT data FROM trees WHERE key = ?", key)
        if row is None:  # what it referred to is not known, so nothing may go
            raise HubError(
                500,
                f"This Hub is damaged: folder {key[:12]} is missing. Nothing was removed; "
                "`course hub check` says more.",
            )
        return load_tree(row["data"])


def _collect_blobs(store: Store, marks: _Marks, limit: float, done: Collected) -> None:
    old = [
        path
        for path, stat in present(store.blobs.folder)
        if path.name not in marks.blobs and stat.st_mtime <= limit
    ]
    with bar("Removing blobs", len(old), "blob") as progress:
        for batch in _batches(old, BATCH):
            with store.database.write():
                marks.follow()
                for path in batch:
                    _remove_blob(path, marks, limit, done)
            progress.update(len(batch))


def _remove_blob(path: Path, marks: _Marks, limit: float, done: Collected) -> None:
    try:
        stat = path.stat()
        if path.name not in marks.blobs and stat.st_mtime <= limit:
            path.unlink()
            done.blobs += 1
            done.size += stat.st_size
    except FileNotFoundError:  # another gc was faster
        return


def _collect_folders(store: Store, marks: _Marks, done: Collected) -> None:
    with store.database.write() as connection:
        marks.follow()
        keys = [row["key"] for row in connection.execute("SELECT key FROM trees")]
        unused = [(key,) for key in keys if key not in marks.folders]
        connection.executemany("DELETE FROM trees WHERE key = ?", unused)
    done.folders = len(unused)


def _collect_xorbs(store: Store, done: Collected) -> None:
    xorbs = list(present(store.root / "xorbs"))
    size = sum(stat.st_size for _, stat in xorbs)
    if not xorbs:
        return
    with without_server(store.root) as alone:
        if not alone:
            done.xorbs_kept = size
            return
        # First the id: if this is interrupted, clients still count on nothing that is gone.
        store.database.set_meta("instance", secrets.token_hex(8))
        for path, _ in xorbs:
            path.unlink(missing_ok=True)
    done.xorbs = len(xorbs)
    done.size += size


def _compact(store: Store, done: Collected) -> None:
    """Give the database's free pages back when they are a quarter of it."""
    connection = store.database.connection
    pages, free, page_size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    if free * page_size < 1_000_000 or free * 4 < pages:
        return
    try:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error) and "busy" not in str(error):
            raise
        done.busy = True
        return
    done.size += (pages - connection.execute("PRAGMA page_count").fetchone()[0]) * page_size


def _batches(items: Iterable[Path], size: int) -> Iterator[list[Path]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def reset(root: Path) -> None:
    """Remove all that the Hub keeps here; what is left is an empty one with a new id."""
    if not (root / "hub.db").exists():
        raise no_hub(root)
    with without_server(root) as alone:
        if not alone:
            raise conflict(f"The Course Hub in {root} is running: end it with `course hub stop`.")
        for name in CONTENTS:
            path = root / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        Store(root)
