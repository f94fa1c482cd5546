"""The receiving side of Xet, which the default client uses for every large file.

The client sends content as xorbs, then a shard that says how files are made of their chunks. Each
file is put together at once, checked and kept as a blob like any other, so that nothing but this
module knows of Xet: reading never needs it.

Xorbs are kept by user. Their hash is not checked here (it needs BLAKE3; what counts is the sha256
of the file), so nobody may plant content under a hash that somebody else will use. They stay for as
long as the instance id does, since the client remembers what it sent to an address and leaves it
out the next time.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from course_lib.hub import errors
from course_lib.hub.answers import Json
from course_lib.hub.api.signing import is_signed, sign
from course_lib.hub.api.xet_format import (
    Segment,
    ShardFile,
    Xorb,
    read_chunk,
    read_shard,
    read_xorb,
)
from course_lib.hub.errors import HubError, bad_request
from course_lib.hub.routing import Call, Routes
from course_lib.hub.storage.blobs import CHUNK, BlobWriter, sync
from course_lib.hub.storage.store import Store
from course_lib.hub.streams import announced_size, check_space, pour

MAX_XORB = 80_000_000  # bytes; clients stop at 64 MiB of content
MAX_SHARD = 80_000_000  # bytes; clients stop at 64 MiB
TOKEN_SECONDS = 3600  # clients ask for a new token when theirs expires
OPEN_XORBS = 8  # whose chunk lists are kept at hand while a shard is read

_HASH = re.compile(r"[0-9a-f]{64}\Z")

routes = Routes()


# -- the token, from the Hub ---------------------------------------------------------------------


@routes.add("GET", "/api/{kinds}/{id}/xet-write-token/{rev}")
async def write_token(call: Call) -> Response:
    """Where to send content, and a token for it."""
    await call.repo(write=True)
    user, expires = call.identity.user, int(time.time()) + TOKEN_SECONDS
    place = _place(call.store, user)
    token = f"{sign(call.store.database, 'xet', place, expires)}.{expires}"
    url = f"{call.base}/_cas/{place}"
    headers = {
        "X-Xet-Cas-Url": url,
        "X-Xet-Access-Token": token,
        "X-Xet-Token-Expiration": str(expires),
    }
    return Json({"casUrl": url, "accessToken": token, "exp": expires}, headers=headers)


@routes.add("GET", "/api/{kinds}/{id}/xet-read-token/{rev}")
async def read_token(call: Call) -> Response:
    raise HubError(404, "Files of the Course Hub are read over plain HTTP, not through Xet.")


def _place(store: Store, user: str) -> str:
    """One user's xorbs in one life of the Hub: `<instance>-<digest of the user>`."""
    return f"{store.instance}-{hashlib.sha256(user.encode()).hexdigest()[:16]}"


# -- the receiving side, with that token ---------------------------------------------------------


def _folder(call: Call) -> Path:
    """The folder of the caller's xorbs; 404 after a reset, 401 without a token for this place."""
    place = call.params["place"]
    instance, _, user = place.rpartition("-")
    if instance != call.store.instance or not re.fullmatch(r"[0-9a-f]{16}", user):
        raise HubError(404, "This Hub was reset since the upload began: start the upload again.")
    scheme, _, token = call.request.headers.get("authorization", "").partition(" ")
    signature, _, expires = token.strip().partition(".")
    if scheme.lower() != "bearer" or not re.fullmatch(r"[0-9]{1,16}", expires):
        raise errors.unauthorized("Xet uploads need the token that the Hub gives for them.")
    if not is_signed(call.store.database, signature, "xet", place, int(expires)):
        raise errors.unauthorized("The token of this Xet upload was not made for this place.")
    if int(expires) < time.time():
        raise errors.unauthorized("The token of this Xet upload has expired: ask for a new one.")
    return call.store.root / "xorbs" / user


@contextmanager
def _spooled(store: Store) -> Iterator[BinaryIO]:
    """A temporary file, gone after the block unless it was moved away."""
    with NamedTemporaryFile(dir=store.blobs.temporary, delete=False) as file:
        try:
            yield file
        finally:
            Path(file.name).unlink(missing_ok=True)


@routes.add("POST", "/_cas/{place}/v1/xorbs/default/{hash}", identify=False)
async def put_xorb(call: Call) -> Response:
    """Keep a xorb. One that is sent again replaces the first: it may be the better one."""
    folder, name = _folder(call), call.params["hash"]
    if not _HASH.match(name):
        raise bad_request("A xorb's name must be its hash: 64 hexadecimal digits.")
    check_space(call.store, announced_size(call.request))
    with _spooled(call.store) as file:
        await pour(call.request, file.write, MAX_XORB, "xorb")
        new = await run_in_threadpool(_keep_xorb, file, folder / name)
    return Json({"was_inserted": new})


def _keep_xorb(file: BinaryIO, target: Path) -> bool:
    length = file.tell()
    file.seek(0)
    read_xorb(file, length)
    file.close()
    sync(Path(file.name))
    new = not target.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(file.name, target)
    for folder in target.parents[:3]:  # down from the Hub's own
        sync(folder)
    return new


@routes.add("POST", "/_cas/{place}/v1/shards", identify=False)
async def put_shard(call: Call) -> Response:
    """Put the shard's files together and keep them, all or none."""
    folder = _folder(call)
    with _spooled(call.store) as file:
        await pour(call.request, file.write, MAX_SHARD, "shard")
        await run_in_threadpool(_keep_files, call.store, folder, file)
    return Json({"result": 1})


@routes.add("GET HEAD POST PUT", "/_cas/{place}/{rest}", identify=False)
async def nothing_here(call: Call) -> Response:
    """Global deduplication, grants, shards of version 2: the client goes on without them."""
    raise HubError(404, "The Course Hub takes xorbs and shards (v1), nothing else.")


@routes.add("POST", "/v1/telemetry", identify=False)
async def telemetry(call: Call) -> Response:
    """The client reports its speed to the address's origin: nobody here wants to know."""
    return Json({})


# -- putting files together ----------------------------------------------------------------------


def _keep_files(store: Store, folder: Path, shard: BinaryIO) -> None:
    shard.seek(0)
    xorbs = _Xorbs(folder)
    with ExitStack() as stack:
        sealed = []
        for file in read_shard(shard):
            stored = store.blobs.find(file.sha256) if file.sha256 else None
            if stored is None or stored.size != file.size:
                check_space(store, file.size)
                writer = stack.enter_context(store.blobs.writer())
                _rebuild(file, xorbs, writer)
                sealed.append(writer)
        store.blobs.publish(sealed)


def _rebuild(file: ShardFile, xorbs: _Xorbs, writer: BlobWriter) -> None:
    """Write the file's content: chunk after chunk, in pieces of about a megabyte."""
    held, pieces = 0, []
    for segment in file.segments():
        for chunk in xorbs.chunks(segment):
            pieces.append(chunk)
            held += len(chunk)
            if held >= CHUNK:
                writer.write(b"".join(pieces))
                held, pieces = 0, []
    writer.write(b"".join(pieces))
    writer.seal(file.sha256, file.size)


class _Xorbs:
    """One user's xorbs; the chunk lists of the last few are kept."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._lists: OrderedDict[str, Xorb] = OrderedDict()

    def chunks(self, segment: Segment) -> Iterator[bytes]:
        """The content of a segment; what it says of itself is checked before it is unpacked."""
        try:
            file = (self.folder / segment.xorb).open("rb")
        except FileNotFoundError:
            raise bad_request(
                f"The shard refers to xorb {segment.xorb[:12]}…, which was not sent: "
                "start the upload again."
            ) from None
        with file:
            xorb = self._list(segment.xorb, file)
            if not segment.first < segment.end <= len(xorb):
                raise bad_request(
                    f"The shard asks for chunks {segment.first} to {segment.end} of a xorb "
                    f"that has {len(xorb)}."
                )
            size = xorb.offsets[segment.end] - xorb.offsets[segment.first]
            if size != segment.size:
                raise bad_request(
                    f"The shard says {segment.size:,} bytes of chunks that hold {size:,}."
                )
            file.seek(xorb.starts[segment.first])
            for _ in range(segment.first, segment.end):
                yield read_chunk(file)

    def _list(self, name: str, file: BinaryIO) -> Xorb:
        if name not in self._lists:
            self._lists[name] = read_xorb(file, os.fstat(file.fileno()).st_size)
            if len(self._lists) > OPEN_XORBS:
                self._lists.popitem(last=False)
        self._lists.move_to_end(name)
        return self._lists[name]
