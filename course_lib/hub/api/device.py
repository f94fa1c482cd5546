"""`hf auth login` without a token: the device asks, its user approves on a page (RFC 8628)."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from course_lib.hub.answers import Json
from course_lib.hub.auth import LOGIN_SECONDS
from course_lib.hub.routing import Call, Routes
from course_lib.hub.web.templating import render

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL = 1  # seconds between two questions of a waiting device
NO_STORE = {"Cache-Control": "no-store"}  # what a shared machine's browser must not keep

routes = Routes()


@routes.add("POST", "/oauth/device", identify=False)
async def begin(call: Call) -> Response:
    login = call.hub.logins.begin()
    page = f"{call.base}/device"
    return Json(
        {
            "device_code": login.device_code,
            "user_code": login.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?code={login.user_code}",
            "expires_in": LOGIN_SECONDS,
            "interval": INTERVAL,
        }
    )


@routes.add("POST", "/oauth/token", identify=False)
async def collect(call: Call) -> Response:
    fields = dict(await call.form())
    if fields.get("grant_type") != GRANT:
        return _refusal("unsupported_grant_type", "Only the device flow is offered here.")
    login = call.hub.logins.collect(fields.get("device_code", ""))
    if login is None:
        return _refusal("expired_token", "This login has ended: start again.")
    if login.token is None:
        return _refusal("authorization_pending", f"Waiting for approval at {call.base}/device.")
    return Json({"access_token": login.token, "token_type": "bearer"}, headers=NO_STORE)


def _refusal(code: str, sentence: str) -> Response:
    return Json({"error": code, "error_description": sentence}, 400)


@routes.add("GET", "/device", identify=False)
async def form(call: Call) -> Response:
    return _page(call.query.get("code", ""))


@routes.add("POST", "/device", identify=False)
async def approve(call: Call) -> Response:
    """Whoever has a token here may give the waiting device one of their own, with the same role."""
    fields = dict(await call.form())
    code, token = fields.get("code", "").strip(), fields.get("token", "").strip()
    if (identity := call.hub.tokens.find(token)) is None:
        return _page(code, "This Hub does not know this token.", 400)
    if (login := call.hub.logins.find(code)) is None:
        return _page("", "No login waits under this code. Start it again.", 400)
    login.token = await run_in_threadpool(
        call.hub.tokens.create, identity.user, identity.role, "hf auth login"
    )
    return _page("", f"Logged in as {identity.user}. You can close this page.", done=True)


def _page(code: str, message: str = "", status: int = 200, done: bool = False) -> Response:
    """The form with a code, empty if it is not known yet; the end of a login when `done`."""
    page = render("device.html", status, code=code, message=message, done=done, kind=None)
    page.headers.update(NO_STORE | {"Referrer-Policy": "no-referrer"})
    return page
