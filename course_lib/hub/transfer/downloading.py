"""Files of another Hub into the blob store: several at a time, resumed, all checked."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from course_lib.hub.errors import HubError
from course_lib.hub.progress import bar
from course_lib.hub.storage.blobs import CHUNK
from course_lib.hub.storage.maintenance import PARTIAL
from course_lib.hub.storage.objects import Blob, File, blob_oid
from course_lib.hub.storage.store import Store
from course_lib.hub.streams import check_space

WORKERS = 4
ATTEMPTS = 5  # in a row without a single byte
PAUSE = 1.0  # seconds between them
TIMEOUT = 30.0  # seconds without a byte
PASSING = (408, 429, 500, 502, 503, 504)  # states of a server that may be over in a second


def http_library() -> ModuleType:
    """The library that huggingface_hub makes its requests with: httpx, or its heir."""
    from huggingface_hub.utils import get_session

    return import_module(type(get_session()).__module__.partition(".")[0])


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of another Hub."""

    url: str
    size: int
    oid: str  # git's id: of the content, or of the pointer if there is a sha256
    sha256: str | None  # of large files


class _Whole(NamedTuple):
    """A file that is ready to become a blob, as a sealed `BlobWriter` is."""

    blob: Blob
    name: str


class Downloader:
    """Brings files here. `files` and `size` say what had to be downloaded."""

    def __init__(self, store: Store, token: str | bool):
        from huggingface_hub.utils import build_hf_headers

        self.store = store
        # Bytes as they are: a packed answer could not be resumed.
        self.headers = build_hf_headers(token=token) | {"Accept-Encoding": "identity"}
        self.partial = store.root / PARTIAL
        self.files = self.size = 0
        self._stopped = threading.Event()

    def fetch(self, wanted: dict[str, Wanted], known: dict[str, File]) -> dict[str, Blob]:
        """The contents of `wanted` by path; `known` has small files that are here, by git id."""
        contents = {path: self._stored(file, known) for path, file in wanted.items()}
        missing = {wanted[path] for path, blob in contents.items() if blob is None}
        by_id = {(file.oid, file.sha256): file for file in missing}  # one that lies at two paths
        sizes = [file.size for file in by_id.values()]
        check_space(self.store, sum(sizes))
        self.partial.mkdir(exist_ok=True)
        with bar("Downloading", sum(sizes)) as progress, ThreadPoolExecutor(WORKERS) as pool:
            self._progress = progress
            futures = {key: pool.submit(self._fetch, file) for key, file in by_id.items()}
            try:
                fetched = {key: future.result() for key, future in futures.items()}
            except BaseException:
                self._stopped.set()
                pool.shutdown(cancel_futures=True)
                raise
        self.files, self.size = len(by_id), sum(sizes)
        return {
            path: contents[path] or fetched[file.oid, file.sha256] for path, file in wanted.items()
        }

    def _stored(self, file: Wanted, known: dict[str, File]) -> Blob | None:
        if file.sha256:
            return self.store.blobs.find(file.sha256)
        here = known.get(file.oid)
        return self.store.blobs.find(here.sha256) if here and not here.large else None

    def _fetch(self, file: Wanted) -> Blob:
        return self._fetch_large(file) if file.sha256 else self._fetch_small(file)

    def _fetch_small(self, file: Wanted) -> Blob:
        with self.store.blobs.writer() as writer:
            for piece in self._pieces(file, 0):
                writer.write(piece)
            blob = writer.seal(size=file.size)
            with Path(writer.name).open("rb") as content:
                found = blob_oid(file.size, iter(lambda: content.read(CHUNK), b""))
            if found != file.oid:
                raise self._altered(file)
            self.store.blobs.publish([writer])
            return blob

    def _fetch_large(self, file: Wanted) -> Blob:
        """Into a file that stays when the download breaks off; once whole it becomes the blob."""
        part = self.partial / file.sha256
        if part.exists() and part.stat().st_size > file.size:
            part.unlink()
        digest = hashlib.sha256()
        with part.open("a+b") as output:
            output.seek(0)
            while piece := output.read(CHUNK):  # what came before
                digest.update(piece)
                self._progress.update(len(piece))
            for piece in self._pieces(file, output.tell()):
                digest.update(piece)
                output.write(piece)
        if digest.hexdigest() != file.sha256:
            part.unlink()  # nothing to go on from
            raise self._altered(file)
        whole = _Whole(Blob(file.sha256, file.size), str(part))
        self.store.blobs.publish([whole])
        return whole.blob

    def _pieces(self, file: Wanted, start: int) -> Iterator[bytes]:
        """The bytes of a file from `start` on; a broken connection is made anew."""
        from huggingface_hub.errors import HfHubHTTPError

        library = http_library()
        failures = 0
        while start < file.size:
            try:
                for piece in self._request(file, start):
                    if self._stopped.is_set():
                        raise InterruptedError("stopped")
                    start += len(piece)
                    failures = 0
                    self._progress.update(len(piece))
                    yield piece
                if start < file.size:
                    raise library.ReadError("the answer was too short")
            except (library.TransportError, HfHubHTTPError) as error:
                if isinstance(error, HfHubHTTPError) and error.response.status_code not in PASSING:
                    raise
                failures += 1
                if failures == ATTEMPTS:
                    raise HubError(
                        502,
                        f"The download of {file.url} broke off ({type(error).__name__}: {error}): "
                        "run the command again, it goes on from here.",
                    ) from error
                time.sleep(PAUSE)

    def _request(self, file: Wanted, start: int) -> Iterator[bytes]:
        from huggingface_hub.utils import get_session, hf_raise_for_status

        headers = self.headers | ({"Range": f"bytes={start}-"} if start else {})
        with get_session().stream("GET", file.url, headers=headers, timeout=TIMEOUT) as response:
            hf_raise_for_status(response)
            skip = start if response.status_code == 200 else 0  # a server without ranges
            left = file.size - start
            for piece in response.iter_bytes(CHUNK):
                if skip:
                    piece, skip = piece[skip:], max(0, skip - len(piece))
                if len(piece) > left:
                    raise self._altered(file)
                if piece:
                    left -= len(piece)
                    yield piece

    def _altered(self, file: Wanted) -> HubError:
        return HubError(
            502, f"{file.url} is not what its Hub says it is: run the command again, or ask there."
        )
