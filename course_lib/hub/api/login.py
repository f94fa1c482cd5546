"""Who the caller is, and the small services that clients expect of any Hub."""

from __future__ import annotations

import os

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from course_lib import __version__
from course_lib.hub.answers import Json, iso
from course_lib.hub.cards.front_matter import CardError, metadata
from course_lib.hub.errors import bad_request, forbidden
from course_lib.hub.process import may_be_alive
from course_lib.hub.routing import Call, Routes, text_field
from course_lib.hub.streams import read_json

MAX_CARD = 8 << 20  # bytes of a request with a card to check

routes = Routes()


@routes.add("GET", "/api/whoami-v2")
async def whoami(call: Call) -> Response:
    identity = call.check_identity()
    return Json(
        {
            "type": "user",
            "id": identity.user,
            "name": identity.user,
            "fullname": identity.user,
            "email": None,
            "emailVerified": False,
            "isPro": False,
            "canPay": False,
            "periodEnd": None,
            "avatarUrl": "",
            "orgs": [],
            "auth": {
                "type": "access_token",
                "accessToken": {
                    "displayName": identity.label,
                    "role": "read" if identity.role == "read" else "write",
                    "createdAt": iso(identity.created_at),
                },
            },
        }
    )


@routes.add("GET", "/api/{kinds}/{id}/auth-check")
async def may_read(call: Call) -> Response:
    await call.repo()
    return Json({})


@routes.add("GET", "/api/{kinds}/{id}/auth-check/write")
async def may_write(call: Call) -> Response:
    await call.repo(write=True)
    return Json({})


@routes.add("POST", "/api/validate-yaml")
async def validate_yaml(call: Call) -> Response:
    """Whether a card's metadata can be read; clients ask before they commit a README.md."""
    content = text_field(await read_json(call.request, MAX_CARD), "content")
    try:
        found = await run_in_threadpool(metadata, content)
    except CardError as error:
        message = {"message": str(error)}
        return Json({"errors": [message], "warnings": [], "error": str(error)}, 400)
    empty = "The card has no metadata: a YAML block between two '---' lines at its top."
    return Json({"errors": [], "warnings": [] if found else [{"message": empty}]})


@routes.add("GET", "/healthz", identify=False)
async def health(call: Call) -> Response:
    return Json(
        {
            "status": "ok",
            "instance": call.store.instance,
            "version": __version__,
            "pid": os.getpid(),
        }
    )


@routes.add("POST", "/_course/kernels")
async def register_kernel(call: Call) -> Response:
    """A process of this machine that wants the server to stay: it does until that process ends."""
    identity = call.check_identity()
    if identity.role != "write":
        raise forbidden("Only the owner of this Hub may keep it running.")
    pid = (await read_json(call.request)).get("pid")
    if type(pid) is not int or not 0 < pid < 1 << 31 or not may_be_alive(pid):
        raise bad_request("Field 'pid' must be the id of a running process.")
    call.hub.kernels.add(pid)
    return Json({})


@routes.add("GET", "/api/agent-harnesses", identify=False)
async def agent_harnesses(call: Call) -> Response:
    return Json({"standardEnvVars": [], "harnesses": {}})


@routes.add("GET", "/api/telemetry/{rest}", identify=False)
@routes.add("POST", "/v1/telemetry", identify=False)
async def telemetry(call: Call) -> Response:
    """Nothing is kept; clients that report what they do are content with an answer."""
    return Response(status_code=200)
