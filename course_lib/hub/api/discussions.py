"""Pull requests, as far as pushing one goes. There is no conversation around them."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from course_lib.hub.answers import Json, iso
from course_lib.hub.errors import HubError, not_supported
from course_lib.hub.routing import Call, Routes, text_field
from course_lib.hub.streams import read_json

routes = Routes()


@routes.add("GET", "/api/{kinds}/{id}/discussions")
async def index(call: Call) -> Response:
    # An empty list would make transformers post the user's token to a public conversion service.
    await call.repo()
    raise not_supported("a list of discussions")


@routes.add("POST", "/api/{kinds}/{id}/discussions")
async def create(call: Call) -> Response:
    repo = await call.repo(write=True)
    data = await read_json(call.request)
    title, description = text_field(data, "title"), text_field(data, "description", "")
    if data.get("pullRequest") is not True:
        raise not_supported("discussions, only pull requests")
    author = call.check_identity().user
    number = await run_in_threadpool(call.store.create_pull, repo, title, description, author)
    return Json({"num": number, "url": f"{call.base}{repo.id.url_path}/discussions/{number}"})


@routes.add("GET", "/api/{kinds}/{id}/discussions/{number}")
async def details(call: Call) -> Response:
    repo = await call.repo()
    wanted = call.params["number"]
    pull = next((p for p in call.store.pulls(repo) if str(p["number"]) == wanted), None)
    if pull is None:
        raise HubError(404, f"{repo.id.full} has no pull request {wanted!r}.")
    return Json(
        {
            "num": pull["number"],
            "title": pull["title"],
            "status": "open",
            "author": {"name": pull["author"]},
            "createdAt": iso(pull["created_at"]),
            "isPullRequest": True,
            "repo": {"name": repo.id.full, "type": repo.id.kind},
            "events": [],
            "filesWithConflicts": False,
            "changes": {"base": "refs/heads/main"},
            "diff": "",
        }
    )


@routes.add("POST", "/api/{kinds}/{id}/discussions/{number}/{what}")
async def change(call: Call) -> Response:
    raise not_supported("changes to a pull request: commit to it, or to main")
