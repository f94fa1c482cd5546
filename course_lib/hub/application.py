"""The web application: finds the route, checks who asks, turns errors into answers."""

from __future__ import annotations

import asyncio
import errno
import logging
import sqlite3
import time
import uuid
from collections.abc import Callable
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from course_lib.hub.answers import Json
from course_lib.hub.auth import DeviceLogins, Tokens
from course_lib.hub.errors import HubError, disk_full, not_assembled
from course_lib.hub.names import KINDS, RepoId
from course_lib.hub.routing import Call, Router
from course_lib.hub.storage.store import Repo, Store

log = logging.getLogger("course_lib.hub")
BROUGHT = "brought"  # no stand-in goes here
MAX_MESSAGE = 1000  # characters of an error; it travels in a header too


class Catalogue(Protocol):
    """Repositories that can be made when they are first asked for: the stand-ins."""

    def listing(self, kind: str) -> list[CatalogueEntry]: ...

    def assemble(self, repo_id: RepoId, store: Store) -> None:
        """Create the repository of an entry, complete it, or bring it to the entry's edition."""


class CatalogueEntry(Protocol):
    """`summary` is as in describe.py, so that lists can show what is not assembled yet.

    Another `edition` than the assembled one: the package has a newer stand-in.
    """

    repo_id: RepoId
    aliases: list[RepoId]
    summary: dict
    edition: str
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
        self.logins = DeviceLogins()
        self._assembling: dict[RepoId, asyncio.Lock] = {}
        entries = [entry for kind in KINDS for entry in self.catalogue.listing(kind)]
        self._known = {
            name: entry.repo_id for entry in entries for name in (entry.repo_id, *entry.aliases)
        }
        self._editions = {entry.repo_id: entry.edition for entry in entries}
        # What a killed server began, and what an older package made, is assembled again.
        self._assembled = set(filter(self._is_current, self._editions))

    async def find_repo(self, repo_id: RepoId) -> Repo | None:
        """A repository by id or alias; one of the catalogue is assembled when first asked for."""
        found = self.store.find_repo(repo_id)
        target = self._known.get(repo_id)
        if target is None or (found and target in self._assembled):
            return found
        async with self._assembling.setdefault(target, asyncio.Lock()):
            if target not in self._assembled or self.store.find_repo(target) is None:
                await run_in_threadpool(self._assemble, target)
        return self.store.find_repo(repo_id) or self.store.find_repo(target)

    def is_assembled(self, repo_id: RepoId) -> bool:
        """Whether the repository of a catalogue's entry is whole."""
        return repo_id in self._assembled and self.store.find_repo(repo_id) is not None

    def _is_current(self, target: RepoId) -> bool:
        """Whether the newest edition was assembled, or somebody brought a repository instead."""
        return self.store.database.meta(_mark(target)) in (self._editions[target], BROUGHT)

    def _assemble(self, target: RepoId) -> None:
        started = time.perf_counter()
        if self.store.find_repo(target) and self._is_current(target):
            self._assembled.add(target)  # another process made it, or brought the real one
            return
        self.store.database.set_meta(_mark(target), "begun")
        try:
            self.catalogue.assemble(target, self.store)
        except Exception as error:
            log.exception("assembling %s failed", target.full)
            raise not_assembled(target.full, f"{type(error).__name__}: {error}") from error
        self.store.database.set_meta(_mark(target), self._editions[target])
        self._assembled.add(target)
        log.info("assembled %s in %.1f s", target.full, time.perf_counter() - started)


def _mark(repo_id: RepoId) -> str:
    return f"assembled {repo_id.kind} {repo_id.full}"


def take_over(store: Store, *names: RepoId) -> None:
    """What somebody brought goes by these ids: no stand-in is assembled on top of it."""
    for name in names:
        store.database.set_meta(_mark(name), BROUGHT)


ErrorPage = Callable[[HubError], Response]


class Application:
    """The ASGI application of a Hub."""

    def __init__(self, hub: Hub, router: Router, error_page: ErrorPage | None = None):
        self.hub = hub
        self.router = router
        self.error_page = error_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.hub.last_request = time.monotonic()
        self.hub.active += 1
        try:
            response = await self.answer(Request(scope, receive))
            await response(scope, receive, send)
        finally:
            self.hub.active -= 1
            self.hub.last_request = time.monotonic()

    async def answer(self, request: Request) -> Response:
        """The response, or what an exception says of itself; 500 only for our own mistakes."""
        route = None
        try:
            route, params = self.router.match(request.method, raw_path(request.scope))
            call = Call(self.hub, request, params)
            if route.identify:
                call.identity = self.hub.tokens.identify(request.headers.get("authorization"))
            return await route.handler(call)
        except HubError as error:
            return self.refuse(request, error)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:
            if _is_disk_full(error):
                log.error("the disk is full")
                return self.refuse(request, disk_full())
            # The template, not the path: an upload link is a secret.
            what = f"{request.method} {route.template if route else '?'}"
            number = uuid.uuid4().hex[:8]
            log.exception("request %s failed (%s)", what, number)
            message = f"The Course Hub failed here: its log has the details under {number}."
            return self.refuse(request, HubError(500, message))

    def refuse(self, request: Request, error: HubError) -> Response:
        """An error as JSON, or as a page for a browser; the headers are the same."""
        response = error_response(error)
        if self.error_page is None or "text/html" not in request.headers.get("accept", ""):
            return response
        page = self.error_page(error)
        for name, value in response.headers.items():
            if name not in ("content-type", "content-length"):
                page.headers[name] = value
        return page


def _is_disk_full(error: Exception) -> bool:
    return (isinstance(error, OSError) and error.errno == errno.ENOSPC) or (
        isinstance(error, sqlite3.OperationalError) and "is full" in str(error)
    )


def raw_path(scope: Scope) -> str:
    return scope["raw_path"].partition(b"?")[0].decode("latin-1")


def error_response(error: HubError) -> Response:
    """The form in which huggingface_hub reads errors: a JSON body, headers for code and message."""
    message = " ".join(error.message.split())[:MAX_MESSAGE]
    headers = {
        "X-Error-Message": message.encode("ascii", "backslashreplace").decode(),
        **error.headers,
    }
    if error.code:
        headers["X-Error-Code"] = error.code
    return Json({"error": message, **error.extra}, error.status, headers)
