"""Committing: which way each file is to be sent, and the commit itself."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from course_lib.hub import errors
from course_lib.hub.answers import Json
from course_lib.hub.api.ndjson import CommitBody, CommitParser, LargeFile
from course_lib.hub.names import check_path, shown
from course_lib.hub.routing import Call, Routes
from course_lib.hub.storage.gitpatterns import MAX_TEXT, Attributes, Ignored
from course_lib.hub.storage.objects import File
from course_lib.hub.storage.store import LARGE_SIZE, MAIN, AddFile, Commit, Operation, Repo, Store
from course_lib.hub.streams import announced_size, check_space, pour, read_json

MAX_FILES = 256  # in one question about upload modes

routes = Routes()


@routes.add("POST", "/api/{kinds}/{id}/preupload/{rev}")
async def preupload(call: Call) -> Response:
    """How to send each file, and what the repository has in its place.

    `regular` files come inline in the commit, `lfs` files are uploaded before it.
    """
    repo = await call.repo(write=True)
    commit = call.commit(repo)
    question = await read_json(call.request)
    files = [_asked(file) for file in _listed(question)]
    attributes = Attributes(_text_at(call.store, commit, ".gitattributes"))
    ignore_text = question.get("gitIgnore")
    if ignore_text is None:
        ignore_text = _text_at(call.store, commit, ".gitignore")
    elif not isinstance(ignore_text, str):
        raise errors.bad_request("gitIgnore must be the text of a .gitignore.")
    answer = await run_in_threadpool(
        lambda: list(_modes(call.store, commit, files, attributes, Ignored(ignore_text)))
    )
    return Json({"files": answer})


def _listed(question: dict) -> list:
    files = question.get("files")
    if not isinstance(files, list):
        raise errors.bad_request('The question must hold a list of "files".')
    if len(files) > MAX_FILES:
        raise errors.bad_request(f"Ask for up to {MAX_FILES} files at once, not {len(files):,}.")
    return files


def _asked(file: object) -> tuple[str, int]:
    path, size = (file.get("path"), file.get("size")) if isinstance(file, dict) else (None, None)
    if not isinstance(path, str) or type(size) is not int or size < 0:
        raise errors.bad_request("Each file needs a path and its size in bytes.")
    return check_path(path), size


def _modes(
    store: Store,
    commit: Commit,
    files: list[tuple[str, int]],
    attributes: Attributes,
    ignored: Ignored,
) -> Iterator[dict]:
    for path, size in files:
        large = size > 0 and (size > LARGE_SIZE or attributes.is_large(path))
        row = {
            "path": path,
            "uploadMode": "lfs" if large else "regular",
            "shouldIgnore": path in ignored,
        }
        there = store.trees.find(commit.tree, path)
        if isinstance(there, File) and (large or not there.large):
            row["oid"] = there.sha256 if large else there.oid
        yield row


def _text_at(store: Store, commit: Commit, path: str) -> str:
    """A file of patterns; the empty text without one."""
    file = store.trees.find(commit.tree, path)
    if not isinstance(file, File):
        return ""
    if file.size > MAX_TEXT:
        raise errors.bad_request(f"The repository's {path} is over {MAX_TEXT:,} bytes long.")
    return store.blobs.read(file.sha256).decode(errors="replace")


@routes.add("POST", "/api/{kinds}/{id}/commit/{rev}")
async def commit(call: Call) -> Response:
    """Apply the lines of the body, all or none. Contents go to disk as they come."""
    repo = await call.repo(write=True)
    as_pull, revision = call.flag("create_pr"), call.params["rev"]
    ref = call.store.ref_name(repo, revision)
    if ref is None or ref.startswith("refs/tags/"):
        raise errors.revision_not_found(repo.id.full, revision)
    if as_pull and ref != MAIN:
        raise errors.bad_request(f"A pull request starts at main, not at {shown(revision)}.")
    check_space(call.store, announced_size(call.request))
    with CommitParser(call.store.blobs) as parser:
        await pour(call.request, parser.feed)
        body = await run_in_threadpool(parser.finish)
        author = call.identity.user
        made, number = await run_in_threadpool(_apply, call.store, repo, ref, body, author, as_pull)
    answer = {
        "success": True,
        "commitOid": made.oid,
        "commitUrl": f"{call.base}{repo.id.url_path}/commit/{made.oid}",
        "hookOutput": "",
    }
    if number:
        answer["pullRequestUrl"] = f"{call.base}{repo.id.url_path}/discussions/{number}"
    return Json(answer)


def _apply(
    store: Store, repo: Repo, ref: str, body: CommitBody, author: str, as_pull: bool
) -> tuple[Commit, int | None]:
    """What can be wrong is found before a content is published or a pull request opened."""
    operations = [_stored(store, operation) for operation in body.operations]
    title, message, parent = body.header
    store.rehearse(repo, ref, operations, title=title, message=message, parent=parent)
    store.blobs.publish(body.contents)
    number = None
    if as_pull:
        number = store.create_pull(repo, title, message, author)
        ref = f"refs/pr/{number}"
    made = store.commit(
        repo, ref, operations, title=title, message=message, author=author, parent=parent
    )
    return made, number


def _stored(store: Store, operation: Operation | LargeFile) -> Operation:
    """An addition by sha256, checked against what was uploaded; other operations as they are."""
    if not isinstance(operation, LargeFile):
        return operation
    blob = store.blobs.find(operation.sha256)
    if blob is None:
        raise errors.bad_request(
            f"The content of {shown(operation.path)} (sha256 {operation.sha256[:12]}…) is not "
            "here: upload it before the commit."
        )
    if operation.size not in (None, blob.size):
        raise errors.bad_request(
            f"The commit gives {shown(operation.path)} {operation.size:,} bytes, "
            f"its content has {blob.size:,}."
        )
    return AddFile(operation.path, blob, large=True)
