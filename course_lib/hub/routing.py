"""From a request's raw path to the function that answers it.

Revisions and paths arrive quoted (`refs%2Fpr%2F1`): the path is matched before anything is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.responses import Response

from course_lib.hub import errors
from course_lib.hub.auth import Identity
from course_lib.hub.names import RESERVED, RESERVED_FIRST, RepoId, parse_repo_id, plain_text, shown
from course_lib.hub.storage.store import Commit, Repo

if TYPE_CHECKING:
    from course_lib.hub.application import Hub


def _none_of(words: frozenset[str]) -> str:
    return rf"(?!(?:{'|'.join(sorted(words))})(?:/|\Z))"


_SEGMENT = r"[^/]+"
_FIELDS = {
    "kinds": r"models|datasets|spaces",
    "prefix": r"(?:datasets/|spaces/)?",
    "id": rf"{_none_of(RESERVED_FIRST)}{_SEGMENT}(?:/{_none_of(RESERVED)}{_SEGMENT})?",
    "rest": r".*",
}
MAX_FORM = 4 << 20  # bytes


class Call:
    """One request with all that a handler needs to answer it."""

    def __init__(self, hub: Hub, request: Request, params: dict[str, str]):
        self.hub = hub
        self.store = hub.store
        self.request = request
        self.params = params
        self.query = request.query_params
        self.identity: Identity | None = None  # who asks; stays None without a token

    @property
    def base(self) -> str:
        """The address that the client used, without a trailing slash."""
        return str(self.request.base_url).rstrip("/")

    @property
    def kind(self) -> str:
        plural = self.params.get("kinds") or self.params["prefix"].rstrip("/") or "models"
        return plural[:-1]

    @property
    def repo_id(self) -> RepoId:
        return parse_repo_id(self.kind, self.params["id"])

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("1", "true")

    async def form(self) -> list[tuple[str, str]]:
        """The fields of a url-encoded body, in order."""
        body = bytearray()
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > MAX_FORM:
                raise errors.too_large(f"The form is over {MAX_FORM:,} bytes long.")
        try:
            return parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
        except ValueError as error:  # not UTF-8, or more fields than anyone needs
            raise errors.bad_request("The form is not url-encoded UTF-8.") from error

    async def repo(self, write: bool = False) -> Repo:
        """The path's repository, if the caller may see it (404) and, with `write`, change it."""
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
        identity = self.check_identity()
        if not identity.may_write(repo_id):
            raise errors.forbidden(
                f"The token of {identity.user} ({identity.role}) may not write to {repo_id.full}."
            )
        return identity

    def check_identity(self) -> Identity:
        """The caller; 401 without a token."""
        if self.identity is None:
            raise errors.unauthorized(
                "This needs a token: call course_lib.start(), or log in with `hf auth login`."
            )
        return self.identity

    def commit(self, repo: Repo) -> Commit:
        """The commit that the path's `rev` names, `main` without one."""
        return self.store.resolve(repo, self.params.get("rev", "main"))


Handler = Callable[[Call], Awaitable[Response]]


class Route(NamedTuple):
    method: str
    template: str
    pattern: re.Pattern[str]
    handler: Handler
    identify: bool


class Routes(list[Route]):
    """A module's routes.

    In a template `{kinds}`, `{prefix}`, `{id}` and `{rest}` match as `_FIELDS` says, any other
    field one segment.
    """

    def add(
        self, methods: str, template: str, *, identify: bool = True
    ) -> Callable[[Handler], Handler]:
        """Register a handler: `@routes.add("GET", "/{prefix}{id}/resolve/{rev}/{rest}")`.

        GET answers HEAD too. Without `identify` the `Authorization` header is left to the handler;
        with it, an unknown token is a 401 before the handler is called.
        """
        parts = re.split(r"\{(\w+)\}", template)
        pattern = re.compile(
            "".join(
                re.escape(part) if index % 2 == 0 else f"(?P<{part}>{_FIELDS.get(part, _SEGMENT)})"
                for index, part in enumerate(parts)
            )
            + r"\Z"
        )

        def register(handler: Handler) -> Handler:
            self.extend(
                Route(method, template, pattern, handler, identify) for method in methods.split()
            )
            return handler

        return register


class Router:
    """The first route that matches answers."""

    def __init__(self, routes: list[Route]):
        self.routes = routes
        methods = {route.method for route in routes}
        self._by_method = {
            method: [route for route in routes if route.method == method] for method in methods
        }
        self._by_method["HEAD"] = [route for route in routes if route.method in ("GET", "HEAD")]

    def match(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
        """The route and the decoded fields of its path; 405 or 404 if there is none."""
        for route in self._by_method.get(method, ()):
            if found := route.pattern.match(raw_path):
                return route, {name: _decoded(v) for name, v in found.groupdict("").items()}
        allowed = {route.method for route in self.routes if route.pattern.match(raw_path)}
        if allowed:
            names = ", ".join(sorted(allowed))
            raise errors.HubError(
                405, f"{shown(method)} is not offered here, only {names}.", Allow=names
            )
        raise errors.HubError(404, f"The Course Hub has nothing at {shown(raw_path)}.")


def _decoded(raw: str) -> str:
    if "%" not in raw:
        return raw
    try:
        return unquote(raw, errors="strict")
    except UnicodeDecodeError as error:
        raise errors.bad_request(
            f"The address holds bytes that are not UTF-8: {shown(raw)}."
        ) from error


def text_field(data: dict, name: str, default: str | None = None) -> str:
    """`data[name]`, which must be text: a 400 if it is not, or is missing without a default."""
    value = data.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        seen = "missing" if value is None else f"{type(value).__name__}, not text"
        raise errors.bad_request(f"Field {name!r} of the request is {seen}.")
    return plain_text(value)
