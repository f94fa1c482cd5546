"""The web application: finds the route, checks who asks, turns errors into answers."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from pathlib import Path
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from course_lib.hub.auth import Tokens
from course_lib.hub.errors import HubError
from course_lib.hub.names import RepoId
from course_lib.hub.routing import Call, Router
from course_lib.hub.store import Repo, Store

log = logging.getLogger("course_lib.hub")


class Catalogue(Protocol):
    """Repositories that can be made when they are first asked for: the stand-ins."""

    def listing(self, kind: str) -> list[CatalogueEntry]: ...

    def assemble(self, repo_id: RepoId, store: Store) -> None:
        """Create the repository of an entry. Repeating it after an interruption completes it."""


class CatalogueEntry(Protocol):
    """`summary` is as in describe.py, so that lists can show what is not assembled yet."""

    repo_id: RepoId
    aliases: list[RepoId]
    summary: dict
    created_at: int


class NoCatalogue:
    """A Hub that holds only what was pushed to it."""

    def listing(self, kind: str) -> list[CatalogueEntry]:
        return []

    def assemble(self, repo_id: RepoId, store: Store) -> None:
        raise LookupError(repo_id.full)


class Hub:
    """What all requests share: the store, the tokens, the catalogue."""

    def __init__(self, store: Store, catalogue: Catalogue | None = None):
        self.store = store
        self.tokens = Tokens(store.database)
        self.catalogue = catalogue or NoCatalogue()
        self.last_request = time.monotonic()
        self.active = 0  # requests being answered
        self.kernels: set[int] = set()  # process ids that keep the server alive
        self._assembling: dict[RepoId, asyncio.Lock] = {}
        self._known = {
            name: entry.repo_id
            for kind in ("model", "dataset", "space")
            for entry in self.catalogue.listing(kind)
            for name in (entry.repo_id, *entry.aliases)
        }

    async def find_repo(self, repo_id: RepoId) -> Repo | None:
        """A repository by id or alias; one of the catalogue is assembled when it is first asked for."""
        found = self.store.find_repo(repo_id)
        target = self._known.get(repo_id)
        if target is None or (found and target not in self._assembling and self.is_complete(found)):
            return found
        async with self._assembling.setdefault(target, asyncio.Lock()):
            found = self.store.find_repo(target)
            if found is None or not self.is_complete(found):
                started = time.perf_counter()
                await run_in_threadpool(self.catalogue.assemble, target, self.store)
                log.info("assembled %s in %.1f s", target.full, time.perf_counter() - started)
        self._assembling.pop(target, None)
        return self.store.find_repo(repo_id)

    def is_complete(self, repo: Repo) -> bool:
        """A catalogue's repository without a card was interrupted: its first commit brings the card."""
        return bool(repo.summary.get("card")) or repo.id not in self._known


class Application:
    """The ASGI application of a Hub."""

    def __init__(self, hub: Hub, router: Router):
        self.hub = hub
        self.router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        self.hub.last_request = time.monotonic()
        self.hub.active += 1
        try:
            response = await self.answer(request)
            await response(scope, receive, send)
        finally:
            self.hub.active -= 1
            self.hub.last_request = time.monotonic()

    async def answer(self, request: Request) -> Response:
        try:
            route, params = self.router.match(request.method, raw_path(request.scope))
            return await route.handler(Call(self.hub, request, params, route.identify))
        except HubError as error:
            return error_response(error)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception:
            number = uuid.uuid4().hex[:8]
            log.exception(
                "request %s %s failed (%s)", request.method, raw_path(request.scope), number
            )
            message = (
                f"The Course Hub failed while answering; its log has the details under {number}."
            )
            return error_response(HubError(500, message))


def raw_path(scope: Scope) -> str:
    return scope["raw_path"].partition(b"?")[0].decode("latin-1")


def error_response(error: HubError) -> Response:
    """The form in which huggingface_hub reads errors: a JSON body, and headers for the code and the message."""
    headers = {
        "X-Error-Message": error.message.encode("ascii", "backslashreplace").decode(),
        **error.headers,
    }
    if error.code:
        headers["X-Error-Code"] = error.code
    return JSONResponse({"error": error.message, **error.extra}, error.status, headers)


def assets() -> Path:
    """The folder with templates and styles."""
    return Path(__file__).parent
