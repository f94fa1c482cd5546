"""`hf auth login` without a token: the device asks, its user approves on a page (RFC 8628)."""

from __future__ import annotations

from html import escape

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from course_lib.hub.answers import Json
from course_lib.hub.auth import LOGIN_SECONDS
from course_lib.hub.routing import Call, Routes

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL = 1  # seconds between two questions of a waiting device

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
    return _page(None, f"Logged in as {identity.user}. You can close this page.")


NO_STORE = {"Cache-Control": "no-store"}
HEADERS = {
    **NO_STORE,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
FORM = """
<form method="post" action="/device">
<label>Code <input name="code" value="{code}" autocomplete="off" required {code_focus}></label>
<label>Token <input name="token" type="password" autocomplete="off" required {token_focus}></label>
<button>Log in</button>
</form>
<p>Check that the code is the one that your terminal or notebook shows. <code>course hub env</code>
prints the token of this machine; in a classroom, take the one you were given.</p>
"""
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Log in to the Course Hub</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 10vh auto;
       padding: 0 1rem }}
label, input {{ display: block; width: 100%; box-sizing: border-box }}
label {{ margin: 1rem 0 }}
input, button {{ font: inherit; padding: .4rem }}
</style>
<h1>Log in to the Course Hub</h1>
{message}{form}
</html>
"""


def _page(code: str | None, message: str = "", status: int = 200) -> Response:
    """The page: with a code (empty if not known yet) a form to fill in, without one the end."""
    form = ""
    if code is not None:
        focus = {"code_focus": "" if code else "autofocus", "token_focus": "autofocus" * bool(code)}
        form = FORM.format(code=escape(code), **focus)
    message = f'<p role="status"><strong>{escape(message)}</strong></p>' if message else ""
    return HTMLResponse(PAGE.format(message=message, form=form), status, HEADERS)
