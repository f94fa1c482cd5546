"""Folders and files of a commit, as lists."""

from __future__ import annotations

from itertools import islice

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from course_lib.hub.answers import PAGE, Json, iso, page, window
from course_lib.hub.errors import bad_request, entry_not_found
from course_lib.hub.routing import Call, Routes
from course_lib.hub.storage.history import last_changes
from course_lib.hub.storage.objects import Entry, Folder, pointer
from course_lib.hub.storage.store import Commit, Repo, Store
from course_lib.hub.streams import read_json

EXPANDED_PAGE = 50  # items with their last commit, which takes longer to find
MAX_PATHS = 10_000

routes = Routes()


@routes.add("GET", "/api/{kinds}/{id}/tree/{rev}")
@routes.add("GET", "/api/{kinds}/{id}/tree/{rev}/{rest}")
async def tree(call: Call) -> Response:
    """What a folder holds, with `recursive` all below it."""
    repo = await call.repo()
    commit = call.commit(repo)
    path = call.params.get("rest", "").strip("/")
    if not isinstance(call.store.trees.find(commit.tree, path), Folder):
        raise entry_not_found(path, commit.oid)
    start, size = window(call, EXPANDED_PAGE if call.flag("expand") else PAGE)
    return await run_in_threadpool(_tree, call, repo, commit, path, start, size)


def _tree(call: Call, repo: Repo, commit: Commit, path: str, start: int, size: int) -> Response:
    below = call.store.trees.walk(commit.tree, path, recursive=call.flag("recursive"))
    entries = list(islice(below, start, start + size + 1))
    rows = _rows(call.store, repo, commit, entries[:size], call.flag("expand"))
    return page(call, rows, start, more=len(entries) > size)


@routes.add("POST", "/api/{kinds}/{id}/paths-info/{rev}")
async def paths_info(call: Call) -> Response:
    """The files and folders named in the body, in that order; missing ones are left out."""
    repo = await call.repo()
    commit = call.commit(repo)
    if call.request.headers.get("content-type", "").startswith("application/json"):
        data = await read_json(call.request)
        paths, expand = data.get("paths"), data.get("expand", False)
        paths = [paths] if isinstance(paths, str) else paths
    else:
        fields = await call.form()
        paths = [value for name, value in fields if name == "paths"]
        expand = dict(fields).get("expand", "").lower() in ("1", "true")
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise bad_request("Field 'paths' must be a list of paths.")
    if len(paths) > MAX_PATHS:
        raise bad_request(f"{len(paths):,} paths were asked for at once, {MAX_PATHS:,} may be.")
    return Json(await run_in_threadpool(_paths_info, call.store, repo, commit, paths, bool(expand)))


def _paths_info(
    store: Store, repo: Repo, commit: Commit, paths: list[str], expand: bool
) -> list[dict]:
    found = [(path.strip("/"), store.trees.find(commit.tree, path.strip("/"))) for path in paths]
    return _rows(store, repo, commit, [(path, entry) for path, entry in found if entry], expand)


def _rows(
    store: Store, repo: Repo, commit: Commit, entries: list[tuple[str, Entry]], expand: bool
) -> list[dict]:
    rows = [_row(path, entry) for path, entry in entries]
    if expand:
        changes: dict[str, dict[str, Commit]] = {}  # by folder, then name
        for row in rows:
            folder, _, name = row["path"].rpartition("/")
            if folder not in changes:
                changes[folder] = last_changes(store, repo, commit, folder)
            if last := changes[folder].get(name):  # else it lies too far back to look for
                date = iso(last.created_at)
                row["lastCommit"] = {"id": last.oid, "title": last.title, "date": date}
    return rows


def _row(path: str, entry: Entry) -> dict:
    if isinstance(entry, Folder):
        return {"type": "directory", "path": path, "size": 0, "oid": entry.oid}
    row: dict = {"type": "file", "path": path, "size": entry.size, "oid": entry.oid}
    if entry.large:
        size = len(pointer(entry.blob))
        row["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": size}
    return row
