"""The life of a repository: made, renamed, changed, deleted."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from course_lib.hub.answers import Json
from course_lib.hub.errors import bad_request, conflict
from course_lib.hub.names import RepoId, parse_repo_id, shown
from course_lib.hub.routing import Call, Routes, text_field
from course_lib.hub.streams import read_json

routes = Routes()


@routes.add("POST", "/api/repos/create")
async def create(call: Call) -> Response:
    data = await read_json(call.request)
    repo_id = _named_in(call, data)
    identity = call.check_write(repo_id)
    private = _is_private(data)
    if found := await call.hub.find_repo(repo_id):
        # With `exist_ok` the client reads the address from this error.
        message = f"You already created this {repo_id.kind} repo: {repo_id.full}."
        raise conflict(message, url=call.base + found.id.url_path, name=found.id.full)
    repo = await run_in_threadpool(
        call.store.create_repo,
        repo_id,
        author=identity.user,
        private=bool(private),
        sdk=text_field(data, "sdk", "static") if repo_id.kind == "space" else None,
    )
    address = call.base + repo.id.url_path
    return Json({"url": address, "name": repo.id.full, "id": f"{repo.key:024x}"})


@routes.add("DELETE", "/api/repos/delete")
async def delete(call: Call) -> Response:
    repo_id = _named_in(call, await read_json(call.request))
    repo = await call.find_repo(repo_id, write=True)
    await run_in_threadpool(call.store.delete_repo, repo.id)
    return Json({})


@routes.add("POST", "/api/repos/move")
async def move(call: Call) -> Response:
    """Rename; the old id goes on to work."""
    data = await read_json(call.request)
    kind = text_field(data, "type", "model")
    source = parse_repo_id(kind, text_field(data, "fromRepo"))
    target = parse_repo_id(kind, text_field(data, "toRepo"))
    repo = await call.find_repo(source, write=True)
    call.check_write(target)
    found = await call.hub.find_repo(target)
    if found and found.key != repo.key:
        raise conflict(f"There is already a {kind} repo named {target.full}.")
    moved = await run_in_threadpool(call.store.move_repo, repo.id, target)
    return Json({"url": call.base + moved.id.url_path})


@routes.add("PUT", "/api/{kinds}/{id}/settings")
async def settings(call: Call) -> Response:
    repo = await call.repo(write=True)
    data = await read_json(call.request)
    gated = data.get("gated")
    if gated not in (None, False, "auto", "manual"):
        raise bad_request(f"Setting 'gated' is {shown(str(gated))}, must be auto, manual or false.")
    changed = await run_in_threadpool(
        call.store.update_repo,
        repo.id,
        private=_is_private(data),
        gated=None if gated is None else gated or "",
    )
    return Json({"private": changed.private, "gated": changed.gated or False})


def _named_in(call: Call, data: dict) -> RepoId:
    """The repository that a request's body names; without an owner it is the caller's."""
    name = text_field(data, "name")
    kind = text_field(data, "type", "model")
    owner = text_field(data, "organization", "")
    if "/" not in name:
        name = f"{owner or call.check_identity().user}/{name}"
    elif owner:
        raise bad_request(f"Repository {shown(name)} has an owner already, not {shown(owner)} too.")
    return parse_repo_id(kind, name)


def _is_private(data: dict) -> bool | None:
    """What a request says of who may see a repository; None if nothing."""
    match data.get("visibility"), data.get("private"):
        case (None, None):
            return None
        case (None, bool(private)):
            return private
        case ("public" | "private" as visibility, _):
            return visibility == "private"
    raise bad_request("A repository's visibility is 'public' or 'private'.")
