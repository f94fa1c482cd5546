"""Content by its sha256: a file per blob, written under a temporary name, fsynced, renamed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from course_lib.hub.errors import bad_request
from course_lib.hub.storage.objects import Blob

CHUNK = 1 << 20
SYNCS = 16  # at once


class BlobStore:
    """The folder `blobs/` of a Hub. Any thread or process may write to it."""

    def __init__(self, root: Path):
        self.folder = root / "blobs"
        self.temporary = root / "tmp"
        for folder in (self.folder, self.temporary):
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def find(self, sha256: str) -> Blob | None:
        """The blob if it is stored. Asking counts as use: `course hub gc` leaves it for a while."""
        try:
            size = self.path(sha256).stat().st_size
            os.utime(self.path(sha256))
        except FileNotFoundError:
            return None
        return Blob(sha256, size)

    def writer(self) -> BlobWriter:
        return BlobWriter(self)

    def publish(self, sealed: Iterable[BlobWriter]) -> None:
        """Give sealed content its name, for good: when this returns, a power cut cannot undo it."""
        writers = list(sealed)
        _sync_all([Path(writer.name) for writer in writers])
        folders = {self.folder}
        for writer in writers:
            target = self.path(writer.blob.sha256)
            target.parent.mkdir(exist_ok=True)
            os.replace(writer.name, target)
            folders.add(target.parent)
        _sync_all(folders)

    def put(self, data: bytes) -> Blob:
        with self.writer() as writer:
            writer.write(data)
            return writer.finish()

    def chunks(
        self, sha256: str, start: int = 0, end: int | None = None, size: int = CHUNK
    ) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, in pieces of `size`."""
        with self.path(sha256).open("rb") as file:
            file.seek(start)
            left = (end if end is not None else self.path(sha256).stat().st_size) - start
            while left > 0 and (piece := file.read(min(size, left))):
                left -= len(piece)
                yield piece

    def read(self, sha256: str) -> bytes:
        return self.path(sha256).read_bytes()

    def all(self) -> Iterator[str]:
        for folder in sorted(self.folder.iterdir()):
            yield from sorted(entry.name for entry in folder.iterdir())

    def clear_temporary(self, older_than: float = 0.0) -> int:
        """Remove what interrupted writers left; returns how many files."""
        removed = 0
        for entry in self.temporary.iterdir():
            with suppress(FileNotFoundError):  # its writer was faster
                if entry.stat().st_mtime <= time.time() - older_than:
                    entry.unlink()
                    removed += 1
        return removed


class BlobWriter:
    """Takes bytes, gives a `Blob`. What is not published when the `with` block ends is gone.

    `finish` does both steps: `seal` checks the content, `BlobStore.publish` makes it durable under
    its name. A request with many files seals each of them, and publishes them together once all are
    right.
    """

    def __init__(self, store: BlobStore):
        self.store = store
        self.size = 0
        self.blob: Blob | None = None  # once sealed
        self._digest = hashlib.sha256()
        self._file = NamedTemporaryFile(dir=store.temporary, delete=False)
        self.name = self._file.name

    def __enter__(self) -> BlobWriter:
        return self

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self._file.write(data)
        self.size += len(data)
        return len(data)

    def seal(self, sha256: str | None = None, size: int | None = None) -> Blob:
        """Close the content. What was promised must have come, else a 400 and nothing is kept."""
        found = self._digest.hexdigest()
        if size is not None and size != self.size:
            raise bad_request(f"The upload was announced as {size} bytes, {self.size} bytes came.")
        if sha256 is not None and sha256 != found:
            raise bad_request(
                f"The upload was announced with sha256 {sha256[:12]}…, "
                f"its content has {found[:12]}…."
            )
        self._file.close()
        os.chmod(self.name, 0o644)
        self.blob = Blob(found, self.size)
        del self._file, self._digest  # thousands of sealed files may wait for their publication
        return self.blob

    def finish(self, sha256: str | None = None, size: int | None = None) -> Blob:
        """Seal and publish."""
        blob = self.seal(sha256, size)
        self.store.publish([self])
        return blob

    def __exit__(self, *exc_info: object) -> None:
        if self.blob is None:
            self._file.close()
        Path(self.name).unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Make a file durable, or a folder's names; Windows needs no such call for folders."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_all(paths: Collection[Path]) -> None:
    """A disk does at one go what it is asked for at once: many files cost little more than one."""
    if len(paths) < 4:
        for path in paths:
            sync(path)
        return
    with ThreadPoolExecutor(SYNCS) as pool:
        list(pool.map(sync, paths))
