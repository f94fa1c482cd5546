"""Metadata of repositories: one at a time, and lists of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from course_lib.hub.answers import Json, iso, page, window
from course_lib.hub.errors import bad_request, not_supported
from course_lib.hub.listing import SORTS, Listed, all_listed, listed, select
from course_lib.hub.names import shown
from course_lib.hub.routing import Call, Routes
from course_lib.hub.storage.objects import File, pointer
from course_lib.hub.storage.store import Commit, Store

# What may be asked for by `expand`. Only a part of it exists here; the rest is left out.
EXPANDABLE = frozenset(
    "author baseModels cardData childrenModelCount citation config createdAt datasets description "
    "disabled downloads downloadsAllTime evalResults gated gguf inference inferenceProviderMapping "
    "lastModified library_name likes mainSize mask_token model-index models paperswithcode_id "
    "pipeline_tag private resourceGroup runtime safetensors sdk sha siblings spaces subdomain tags "
    "transformersInfo trendingScore usedStorage widgetData".split()
)
UNKNOWN_FILTERS = ("apps", "inference", "inference_provider", "num_parameters")

routes = Routes()


@routes.add("GET", "/api/{kinds}/{id}")
@routes.add("GET", "/api/{kinds}/{id}/revision/{rev}")
async def info(call: Call) -> Response:
    repo = await call.repo()
    commit = call.commit(repo)
    named = _named(call)
    body = as_info(listed(repo), commit, named)
    if not named or "siblings" in named:
        files = run_in_threadpool(siblings, call.store, commit, blobs=call.flag("blobs"))
        body["siblings"] = await files
    return Json(body)


@routes.add("GET", "/api/{kinds}")
async def index(call: Call) -> Response:
    """A list, filtered and sorted, one page at a time."""
    start, size = window(call)
    return await run_in_threadpool(_index, call, start, size)


def _index(call: Call, start: int, size: int) -> Response:
    for name in UNKNOWN_FILTERS:
        if name in call.query:
            raise not_supported(f"lists filtered by {name!r}")
    found = select(
        all_listed(call.hub, call.kind, call.identity),
        search=call.query.getlist("search"),
        author=call.query.get("author"),
        tags=call.query.getlist("filter"),
        pipeline_tag=call.query.get("pipeline_tag"),
        gated=call.flag("gated") if "gated" in call.query else None,
        sort=call.query.get("sort", SORTS[0]),
    )
    named, full = _named(call), call.flag("full")
    leave_out = set() if named else _not_asked_for(call, full)
    bodies = []
    for item in found[start : start + size]:
        commit = call.store.resolve(item.repo, "main") if item.repo else None
        body = as_info(item, commit, named)
        if commit and (full or "siblings" in named):
            body["siblings"] = siblings(call.store, commit)
        bodies.append({key: value for key, value in body.items() if key not in leave_out})
    return page(call, bodies, start, more=len(found) > start + size)


def _not_asked_for(call: Call, full: bool) -> set[str]:
    """Keys that a list's items have only on request."""
    names = set() if call.flag("config") else {"config"}
    if not full:
        names |= set() if call.flag("cardData") else {"cardData"}
        if call.kind != "dataset":
            names |= {"author", "disabled", "gated", "lastModified", "sha"}
    return names


@routes.add("GET", "/api/{kinds}-tags-by-type")
async def tags_by_type(call: Call) -> Response:
    """Every tag in use, in groups by what stands before its colon."""
    groups: dict[str, set[str]] = {}
    for item in await run_in_threadpool(all_listed, call.hub, call.kind, call.identity):
        for tag in item.summary["tags"]:
            group, colon, _ = tag.partition(":")
            groups.setdefault(group if colon else "other", set()).add(tag)
    return Json(
        {
            group: [
                {"id": tag, "label": tag.partition(":")[2] or tag, "type": group} for tag in tags
            ]
            for group, tags in ((group, sorted(groups[group])) for group in sorted(groups))
        }
    )


def as_info(item: Listed, commit: Commit | None, named: Iterable[str] = ()) -> dict:
    """A repository as the API shows it, without its files; with `named`, these keys and the ids."""
    summary, repo = item.summary, item.id
    body = {
        "_id": hashlib.sha256(repo.url_path.encode()).hexdigest()[:24],
        "id": repo.full,
        "author": repo.namespace or None,
        "sha": commit and commit.oid,
        "lastModified": iso(item.updated_at),
        "createdAt": iso(item.created_at),
        "private": item.private,
        "gated": item.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": summary["tags"],
        "cardData": summary["card"],
    }
    if repo.kind == "model":
        body |= {
            "modelId": repo.full,
            "pipeline_tag": summary.get("pipeline_tag"),
            "library_name": summary.get("library_name"),
            "config": summary.get("config", {}),
        }
    if repo.kind == "space":
        body |= {"sdk": item.sdk, "subdomain": repo.full.replace("/", "-").lower()}
    if named:
        body = {key: value for key, value in body.items() if key in ("_id", "id", *named)}
    return body


def siblings(store: Store, commit: Commit, blobs: bool = False) -> list[dict]:
    """The files of a commit, with `blobs` their sizes and ids too."""
    return [
        {"rfilename": path} | (_content(file) if blobs else {})
        for path, file in store.trees.files(commit.tree)
    ]


def _content(file: File) -> dict:
    found: dict = {"size": file.size, "blobId": file.oid}
    if file.large:
        size = len(pointer(file.blob))
        found["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": size}
    return found


def _named(call: Call) -> list[str]:
    """The keys that `expand` asks for."""
    names = [*call.query.getlist("expand"), *call.query.getlist("expand[]")]
    for name in names:
        if name not in EXPANDABLE:
            raise bad_request(f"There is nothing named {shown(name)} to expand.")
    return names
