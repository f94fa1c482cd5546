"""Branches, tags and the history of a repository."""

from __future__ import annotations

from html import escape

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from course_lib.hub.answers import Json, iso, page, window
from course_lib.hub.routing import Call, Routes, text_field
from course_lib.hub.streams import read_json

COMMITS_PAGE = 100

routes = Routes()


@routes.add("GET", "/api/{kinds}/{id}/refs")
async def refs(call: Call) -> Response:
    repo = await call.repo()
    found: dict[str, list] = {"branches": [], "converts": [], "tags": []}
    if call.flag("include_prs"):
        found["pullRequests"] = []
    groups = {
        "refs/heads/": "branches",
        "refs/tags/": "tags",
        "refs/pr/": "pullRequests",
    }
    for ref, oid in call.store.refs(repo).items():
        for start, group in groups.items():
            if ref.startswith(start) and group in found:
                name = ref.removeprefix(start)
                found[group].append({"name": name, "ref": ref, "targetCommit": oid})
    return Json(found)


@routes.add("GET", "/api/{kinds}/{id}/commits/{rev}")
async def commits(call: Call) -> Response:
    """The history of a revision, newest first."""
    repo = await call.repo()
    start, size = window(call, COMMITS_PAGE)
    history = await run_in_threadpool(
        call.store.commits, repo, call.params["rev"], offset=start, limit=size + 1
    )
    formatted = "formatted" in call.query.getlist("expand[]")
    rows = []
    for commit in history[:size]:
        row = {
            "id": commit.oid,
            "title": commit.title,
            "message": commit.message,
            "authors": [{"user": commit.author}],
            "date": iso(commit.created_at),
        }
        if formatted:
            row["formatted"] = {"title": escape(commit.title), "message": escape(commit.message)}
        rows.append(row)
    return page(call, rows, start, more=len(history) > size)


@routes.add("POST", "/api/{kinds}/{id}/branch/{name}")
async def create_branch(call: Call) -> Response:
    repo = await call.repo(write=True)
    start = text_field(await read_json(call.request), "startingPoint", "main")
    await run_in_threadpool(call.store.create_branch, repo, call.params["name"], start)
    return Json({})


@routes.add("DELETE", "/api/{kinds}/{id}/branch/{name}")
async def delete_branch(call: Call) -> Response:
    repo = await call.repo(write=True)
    await run_in_threadpool(call.store.delete_ref, repo, f"refs/heads/{call.params['name']}")
    return Json({})


@routes.add("POST", "/api/{kinds}/{id}/tag/{rev}")
async def create_tag(call: Call) -> Response:
    repo = await call.repo(write=True)
    name = text_field(await read_json(call.request), "tag")
    await run_in_threadpool(call.store.create_tag, repo, name, call.params["rev"])
    return Json({})


@routes.add("DELETE", "/api/{kinds}/{id}/tag/{name}")
async def delete_tag(call: Call) -> Response:
    repo = await call.repo(write=True)
    await run_in_threadpool(call.store.delete_ref, repo, f"refs/tags/{call.params['name']}")
    return Json({})
