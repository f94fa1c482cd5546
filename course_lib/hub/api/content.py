"""The files themselves: whole or in part, by revision and path."""

from __future__ import annotations

import asyncio
import re
from typing import BinaryIO
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from course_lib.hub.errors import HubError, entry_not_found
from course_lib.hub.routing import Call, Routes
from course_lib.hub.storage.blobs import CHUNK
from course_lib.hub.storage.objects import File
from course_lib.hub.storage.store import Commit

SMALL = 1 << 16  # bytes; reading so few takes less time than asking a thread to
# What a browser may show. All else, HTML above all, comes as text or as a download.
TYPES = {
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "png": "image/png",
    "svg": "image/svg+xml",
    "wav": "audio/wav",
    "webp": "image/webp",
}
TEXTS = frozenset("c cfg css csv html js jsonl md py sh toml tsv txt xml yaml yml".split())
_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,99})\s*-\s*([0-9]{0,99})\s*\Z")

routes = Routes()


@routes.add("GET", "/{prefix}{id}/resolve/{rev}/{rest}")
@routes.add("GET", "/{prefix}{id}/raw/{rev}/{rest}")
async def resolve(call: Call) -> Response:
    repo = await call.repo()
    commit = call.commit(repo)
    path = call.params["rest"]
    file = call.store.trees.find(commit.tree, path)
    if not isinstance(file, File):
        raise entry_not_found(path, commit.oid)
    headers = _headers(file, commit, path, download=call.flag("download"))
    if call.request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    wanted = _range(call, file, headers)
    start, end = wanted or (0, file.size)
    headers["Content-Length"] = str(end - start)
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    status = 206 if wanted else 200
    if call.request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    try:
        opened = call.store.blobs.path(file.sha256).open("rb", buffering=0)
    except FileNotFoundError as error:
        # Not a 5xx: clients would try for minutes to get what is not there.
        raise HubError(
            410, f"The content of {path!r} is lost from this Hub's disk: run `course hub check`."
        ) from error
    return FileResponse(status, headers, opened, start, end)


def _headers(file: File, commit: Commit, path: str, download: bool) -> dict[str, str]:
    name = path.rpartition("/")[2]
    ending = name.rpartition(".")[2].lower()
    text = "text/plain; charset=utf-8" if ending in TEXTS else "application/octet-stream"
    headers = {
        "X-Repo-Commit": commit.oid,
        "ETag": f'"{file.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": TYPES.get(ending, text),
        # A file that someone pushed does nothing in the name of this Hub.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    }
    if file.large:
        headers["X-Linked-Etag"] = headers["ETag"]
        headers["X-Linked-Size"] = str(file.size)
    if download:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return headers


def _range(call: Call, file: File, headers: dict[str, str]) -> tuple[int, int] | None:
    """The part that the request asks for as `(start, end)`; None for the whole.

    As HTTP has it, what cannot be read as one range is ignored, and one outside the file is a 416.
    """
    found = _RANGE.match(call.request.headers.get("range", ""))
    expected = call.request.headers.get("if-range")
    if not found or not any(found.groups()) or (expected and expected != headers["ETag"]):
        return None
    first, last = found.groups()
    if first:
        start, end = int(first), min(int(last) + 1, file.size) if last else file.size
        if last and int(last) < int(first):
            return None
    else:
        start, end = max(file.size - int(last), 0), file.size
    if start >= end:
        raise HubError(
            416,
            f"Bytes {found[1]}-{found[2]} were asked for, the file has {file.size}.",
            Content_Range=f"bytes */{file.size}",
        )
    return start, end


class FileResponse(Response):
    """A part of a file. Long ones are read in threads, a megabyte at a time."""

    def __init__(self, status: int, headers: dict, file: BinaryIO, start: int, end: int):
        super().__init__(status_code=status, headers=headers)
        self.file = file
        self.start = start
        self.end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        with self.file:
            self.file.seek(self.start)
            left = self.end - self.start
            if left <= SMALL:
                body = self.file.read(left)
                await send({"type": "http.response.body", "body": body})
                return
            gone = asyncio.ensure_future(_disconnected(receive))
            try:
                while left > 0 and not gone.done():
                    piece = await run_in_threadpool(self.file.read, min(left, CHUNK))
                    if not piece:
                        raise OSError(f"{left} bytes are missing at the end of {self.file.name}")
                    left -= len(piece)
                    await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
            finally:
                gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
