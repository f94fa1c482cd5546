"""Git LFS uploads, for clients without Xet and for contents given as open files.

The answer to a batch gives each object a link. The upload comes without a token, so the link
carries a key of its own: a signature over the repository, the object and a time, which this Hub
alone can make and which soon expires.
"""

from __future__ import annotations

import re
import time

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from course_lib.hub import errors
from course_lib.hub.answers import Json
from course_lib.hub.api.signing import is_signed, sign
from course_lib.hub.errors import HubError
from course_lib.hub.names import RepoId, shown
from course_lib.hub.routing import Call, Routes
from course_lib.hub.streams import announced_size, check_space, pour, read_json

MAX_OBJECTS = 1_000  # in one batch
LINK_SECONDS = 3600  # an upload must begin within this time
MEDIA_TYPE = "application/vnd.git-lfs+json"

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

routes = Routes()


@routes.add("POST", "/{prefix}{id}.git/info/lfs/objects/batch")
async def batch(call: Call) -> Response:
    """Where to send each object; nothing to do for those that are stored."""
    repo = await call.repo(write=True)
    question = await read_json(call.request)
    if question.get("operation") != "upload":
        raise errors.bad_request("Only uploads go through LFS here; files are read from /resolve/.")
    transfers = question.get("transfers", ["basic"])
    if not isinstance(transfers, list) or "basic" not in transfers:
        raise errors.bad_request("The Course Hub offers the LFS transfer 'basic' only.")
    if question.get("hash_algo", "sha256") != "sha256":
        raise errors.bad_request("The Course Hub knows LFS objects by their sha256 only.")
    objects = question.get("objects")
    if not isinstance(objects, list) or len(objects) > MAX_OBJECTS:
        raise errors.bad_request(f"A batch must be a list of up to {MAX_OBJECTS:,} objects.")
    answer = [_instructions(call, repo.id, _object(item)) for item in objects]
    return Json({"transfer": "basic", "objects": answer}, media_type=MEDIA_TYPE)


def _object(item: object) -> tuple[str, int]:
    oid, size = (item.get("oid"), item.get("size")) if isinstance(item, dict) else (None, None)
    if not isinstance(oid, str) or not _SHA256.match(oid):
        raise errors.bad_request("Each object needs its sha256 as oid: 64 hexadecimal digits.")
    if type(size) is not int or not 0 <= size < 1 << 53:
        raise errors.bad_request("Each object needs its size in bytes.")
    return oid, size


def _instructions(call: Call, repo: RepoId, wanted: tuple[str, int]) -> dict:
    oid, size = wanted
    answer = {"oid": oid, "size": size}
    if stored := call.store.blobs.find(oid):
        if stored.size != size:
            message = f"This object has {stored.size:,} bytes, not {size:,}."
            answer["error"] = {"code": 422, "message": message}
        return answer
    objects = f"{call.base}{repo.url_path}.git/info/lfs/objects"
    expires = int(time.time()) + LINK_SECONDS
    key = sign(call.store.database, "lfs", *repo, oid, size, expires)
    answer["actions"] = {
        "upload": {
            "href": f"{objects}/{oid}?size={size}&expires={expires}&key={key}",
            "expires_in": LINK_SECONDS,
        },
        "verify": {"href": f"{objects}/verify"},
    }
    return answer


@routes.add("PUT", "/{prefix}{id}.git/info/lfs/objects/{oid}", identify=False)
async def upload(call: Call) -> Response:
    """The content of one object. It must be what the link was made for, to the byte."""
    oid, size = call.params["oid"], _checked_size(call)
    announced = announced_size(call.request)
    if "content-length" in call.request.headers and announced != size:
        message = f"The link is for {size:,} bytes, {announced:,} were announced."
        raise HubError(400, message, Connection="close")
    check_space(call.store, size)
    with call.store.blobs.writer() as writer:
        await pour(call.request, writer.write, limit=size, what="upload")
        await run_in_threadpool(writer.finish, oid, size)
    return Response(status_code=200)


def _checked_size(call: Call) -> int:
    """The size that the link was made for; 403 if the link was altered or has expired."""
    query, oid, repo = call.request.query_params, call.params["oid"], call.repo_id
    size, expires = query.get("size", ""), query.get("expires", "")
    if not (re.fullmatch(r"[0-9]{1,16}", size) and re.fullmatch(r"[0-9]{1,16}", expires)):
        raise errors.forbidden("This upload link is not complete: ask for it again.")
    parts = ("lfs", *repo, oid, int(size), int(expires))
    if not is_signed(call.store.database, query.get("key", ""), *parts):
        raise errors.forbidden("This upload link was not made by this Hub for this object.")
    if int(expires) < time.time():
        raise errors.forbidden("This upload link has expired: start the upload again.")
    return int(size)


@routes.add("POST", "/{prefix}{id}.git/info/lfs/objects/verify")
async def verify(call: Call) -> Response:
    """Whether an object arrived."""
    await call.repo(write=True)
    oid, size = _object(await read_json(call.request))
    stored = call.store.blobs.find(oid)
    if stored is None:
        raise HubError(404, f"The object {shown(oid[:12])} is not stored: upload it.")
    if stored.size != size:
        raise errors.bad_request(f"The object has {stored.size:,} bytes, not {size:,}.")
    return Json({}, media_type=MEDIA_TYPE)
