"""Request bodies: small ones are read whole, large ones flow through a thread, piece by piece."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from course_lib.hub.errors import HubError, bad_request, too_large
from course_lib.hub.storage.store import Store

PIECE = 1 << 20  # bytes handed to a thread at once
MAX_JSON = 4 << 20  # bytes of a body that is read whole
STALLED = 300  # seconds without a byte after which an upload is given up
RESERVE = 64 << 20  # bytes of the disk that uploads leave free


async def read_json(request: Request, limit: int = MAX_JSON) -> dict:
    """The JSON object that is the body; a 400 says what else it was, a 413 that it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large(f"The request is over {limit:,} bytes long.")
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The request is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise bad_request(f"The request must be a JSON object, not {type(value).__name__}.")
    return value


async def pour(
    request: Request, take: Callable[[bytes], object], limit: int | None = None, what: str = "body"
) -> None:
    """Give the body to `take`, in a thread, in pieces of about a megabyte.

    The next piece arrives meanwhile. A body over `limit` is cut off at once: the answer closes the
    connection.
    """
    too_long = HubError(413, f"The {what} is over {limit or 0:,} bytes long.", Connection="close")
    if limit is not None and announced_size(request) > limit:
        raise too_long
    pieces: list[bytes] = []
    held = received = 0
    running: asyncio.Task | None = None
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(STALLED) as patience:
            async for chunk in request.stream():
                pieces.append(chunk)
                held += len(chunk)
                received += len(chunk)
                if limit is not None and received > limit:
                    raise too_long
                if patience.when() < loop.time() + STALLED * 0.9:
                    patience.reschedule(loop.time() + STALLED)
                if held >= PIECE:
                    if running:
                        await asyncio.shield(running)
                    running = asyncio.create_task(run_in_threadpool(take, b"".join(pieces)))
                    pieces, held = [], 0
        if running:
            await asyncio.shield(running)
        running = asyncio.create_task(run_in_threadpool(take, b"".join(pieces)))
        await asyncio.shield(running)
    except TimeoutError as error:
        raise HubError(408, f"No byte of the {what} came for {STALLED} seconds.") from error
    finally:
        # `take` writes to files that the caller is about to close: it is never left at work.
        if running:
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # seen, so that asyncio does not report it a second time


def announced_size(request: Request) -> int:
    """The body's length as its header says, 0 if it does not."""
    text = request.headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdecimal() else 0


def check_space(store: Store, size: int) -> None:
    """413 when `size` more bytes would fill the disk: better before they are sent than after."""
    free = shutil.disk_usage(store.root).free - RESERVE
    if size > free:
        raise too_large(
            f"This needs {size / 1e9:,.1f} GB, the Hub's disk has {max(free, 0) / 1e9:,.1f} GB: "
            "free some space (`course hub gc` removes what nothing refers to)."
        )
