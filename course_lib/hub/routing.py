"""From a request's raw path to the function that answers it.

Revisions and paths arrive quoted (`refs%2Fpr%2F1`), so the path is matched before anything is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from course_lib.hub import errors
from course_lib.hub.auth import Identity
from course_lib.hub.names import RESERVED, RepoId, parse_repo_id, shown
from course_lib.hub.store import Commit, Repo

if TYPE_CHECKING:
    from course_lib.hub.application import Hub

_SEGMENT = r"[^/]+"
_FIELDS = {
    "kinds": r"models|datasets|spaces",
    "prefix": r"(?:datasets/|spaces/)?",
    "id": rf"{_SEGMENT}(?:/(?!(?:{'|'.join(sorted(RESERVED))})(?:/|\Z)){_SEGMENT})?",
    "rest": r".*",
}


class Call:
    """One request with all that a handler needs to answer it."""

    def __init__(self, hub: Hub, request: Request, params: dict[str, str], identify: bool = True):
        self.hub = hub
        self.store = hub.store
        self.request = request
        self.params = params
        self.identity: Identity | None = None
        if identify:
            self.identity = hub.tokens.identify(request.headers.get("authorization"))

    @property
    def base(self) -> str:
        """The address that the client used, without a trailing slash."""
        return str(self.request.base_url).rstrip("/")

    @property
    def repo_id(self) -> RepoId:
        if "kinds" in self.params:
            kind = self.params["kinds"][:-1]
        else:
            kind = (self.params["prefix"] or "models/")[:-2]
        return parse_repo_id(kind, self.params["id"])

    @property
    def flag(self) -> Callable[[str], bool]:
        return lambda name: self.request.query_params.get(name, "").lower() in ("1", "true")

    async def repo(self, write: bool = False) -> Repo:
        """The repository of the path, if the caller may see it (404 otherwise) and, with `write`, change it."""
        return await self.find_repo(self.repo_id, write)

    async def find_repo(self, repo_id: RepoId, write: bool = False) -> Repo:
        repo = await self.hub.find_repo(repo_id)
        hidden = repo and repo.private and not (self.identity and self.identity.may_read(repo))
        if repo is None or hidden:
            raise errors.repo_not_found(repo_id.full)
        if write:
            self.check_write(repo.id)
        return repo

    def check_write(self, repo_id: RepoId) -> Identity:
        """The caller, if they may change `repo_id`; 401 without a token, 403 with the wrong one."""
        if self.identity is None:
            raise errors.unauthorized(
                "Writing needs a token: call course_lib.start(), or log in with `hf auth login`."
            )
        if not self.identity.may_write(repo_id):
            raise errors.forbidden(
                f"The token of {self.identity.user} ({self.identity.role}) may not write to {repo_id.full}."
            )
        return self.identity

    def commit(self, repo: Repo) -> Commit:
        """The commit that the path's `rev` names, `main` without one."""
        return self.store.resolve(repo, self.params.get("rev", "main"))


Handler = Callable[[Call], Awaitable[Response]]


class Route(NamedTuple):
    method: str
    pattern: re.Pattern[str]
    handler: Handler
    identify: bool


class Routes(list[Route]):
    """A module's routes. `{kinds}`, `{prefix}`, `{id}` and `{rest}` match as `_FIELDS` says, any other field one segment."""

    def add(
        self, methods: str, template: str, identify: bool = True
    ) -> Callable[[Handler], Handler]:
        """Register a handler: `@routes.add("GET HEAD", "/{prefix}{id}/resolve/{rev}/{rest}")`.

        Without `identify` the handler itself looks at the `Authorization` header, which holds no token of the Hub.
        """
        parts = re.split(r"\{(\w+)\}", template)
        pattern = "".join(
            re.escape(part) if index % 2 == 0 else f"(?P<{part}>{_FIELDS.get(part, _SEGMENT)})"
            for index, part in enumerate(parts)
        )

        def register(handler: Handler) -> Handler:
            self.extend(
                Route(method, re.compile(pattern + r"\Z"), handler, identify)
                for method in methods.split()
            )
            return handler

        return register


class Router:
    """The first route that matches answers."""

    def __init__(self, routes: list[Route]):
        self.routes = routes

    def match(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
        allowed = set()
        for route in self.routes:
            if found := route.pattern.match(raw_path):
                if route.method == method or (method == "HEAD" and route.method == "GET"):
                    return route, {k: _decoded(v) for k, v in found.groupdict("").items()}
                allowed.add(route.method)
        if allowed:
            raise errors.HubError(
                405, f"{method} is not offered here, {', '.join(sorted(allowed))} is."
            )
        raise errors.HubError(404, f"The Course Hub has nothing at {shown(raw_path)}.")


def _decoded(raw: str) -> str:
    try:
        return unquote(raw, errors="strict")
    except UnicodeDecodeError as error:
        raise errors.bad_request(
            f"The address holds bytes that are not UTF-8: {shown(raw)}."
        ) from error
