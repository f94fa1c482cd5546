"""Who is asking: tokens, the device login, students; and the small services around them."""

import csv
import os
import stat
import subprocess
import sys

import pytest

from course_lib.hub import auth
from course_lib.hub.students import StudentsError, enroll, user_name

FORM = {"content-type": "application/x-www-form-urlencoded"}
GRANT = b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code="


def test_whoami_names_the_owner_of_the_token(hub):
    me = hub.get("/api/whoami-v2").json
    assert (me["name"], me["type"], me["orgs"]) == ("learner", "user", [])
    assert me["auth"]["accessToken"]["role"] == "write"
    student = hub.as_user(hub.app.hub.tokens.create("ann", "student", "test"))
    assert student.get("/api/whoami-v2").json["name"] == "ann"
    assert hub.as_user(None).get("/api/whoami-v2").status == 401


def test_a_revoked_token_ends(hub):
    hub.app.hub.tokens.revoke("test")
    assert hub.get("/api/whoami-v2").status == 401


def test_tokens_are_kept_as_digests(hub):
    for path in hub.store.root.rglob("*"):
        if path.is_file():
            assert hub.token.encode() not in path.read_bytes()


# -- the device login ------------------------------------------------------------------------------


def begin(hub):
    return hub.as_user(None).ask("POST", "/oauth/device", body=b"client_id=x", headers=FORM).json


def collect(hub, login):
    body = GRANT + login["device_code"].encode()
    return hub.as_user(None).ask("POST", "/oauth/token", body=body, headers=FORM)


def approve(hub, code, token):
    body = f"code={code}&token={token}".encode()
    return hub.as_user(None).ask("POST", "/device", body=body, headers=FORM)


def test_a_device_waits_until_its_user_approves(hub):
    login = begin(hub)
    assert login["verification_uri"] == "http://hub.test/device"
    assert (collect(hub, login).status, collect(hub, login).json["error"]) == (
        400,
        "authorization_pending",
    )
    # As typed by hand: small letters, no hyphen.
    code = login["user_code"].lower().replace("-", "")
    assert approve(hub, code, hub.token).status == 200
    token = collect(hub, login).json["access_token"]
    assert token != hub.token
    assert hub.as_user(token).get("/api/whoami-v2").json["name"] == "learner"
    assert collect(hub, login).json["error"] == "expired_token", "handed over once"


def test_a_student_approves_as_a_student(hub):
    student = hub.app.hub.tokens.create("ann", "student", "test")
    login = begin(hub)
    approve(hub, login["user_code"], student)
    client = hub.as_user(collect(hub, login).json["access_token"])
    assert client.post("/api/repos/create", {"name": "x", "organization": "bob"}).status == 403
    assert client.post("/api/repos/create", {"name": "x"}).status == 200


@pytest.mark.parametrize("code, token", [("BCDF-BCDF", None), (None, "wrong"), (None, "")])
def test_nothing_is_approved_without_code_and_token(hub, code, token):
    login = begin(hub)
    answer = approve(hub, code or login["user_code"], hub.token if token is None else token)
    assert answer.status == 400 and b'role="status"' in answer.body
    assert collect(hub, login).json["error"] == "authorization_pending"


def test_logins_expire_and_cannot_pile_up(hub, monkeypatch):
    first = begin(hub)
    monkeypatch.setattr(auth, "MAX_LOGINS", 3)
    others = [begin(hub) for _ in range(3)]
    assert collect(hub, first).json["error"] == "expired_token"
    monkeypatch.setattr(auth, "time", type("clock", (), {"monotonic": staticmethod(lambda: 1e12)}))
    assert collect(hub, others[0]).json["error"] == "expired_token"


def test_the_page_shows_the_code_and_runs_nothing_of_it(hub):
    page = hub.as_user(None).get('/device?code="><script>alert(1)</script>')
    assert page.status == 200
    assert b"<script>alert" not in page.body and b"&lt;script&gt;alert" in page.body
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


def test_other_grants_are_refused(hub):
    answer = hub.ask("POST", "/oauth/token", body=b"grant_type=refresh_token", headers=FORM)
    assert (answer.status, answer.json["error"]) == (400, "unsupported_grant_type")


# -- students --------------------------------------------------------------------------------------


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return {row["user"]: row["token"] for row in csv.DictReader(file)}


def test_every_student_gets_a_token_and_keeps_it(hub, tmp_path):
    names, target = tmp_path / "names.csv", tmp_path / "students.csv"
    names.write_text("group,name\n1,Ann Lee\n2,Zoë von Braun\n", encoding="utf-8")
    assert enroll(hub.app.hub.tokens, names, target) == 2
    first = read(target)
    assert first.keys() == {"ann-lee", "zoe-von-braun"}
    assert hub.as_user(first["ann-lee"]).get("/api/whoami-v2").json["name"] == "ann-lee"
    if os.name != "nt":
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    names.write_text("Ann Lee\nBob\n", encoding="utf-8")
    enroll(hub.app.hub.tokens, names, target)
    second = read(target)
    assert second["ann-lee"] == first["ann-lee"] and "bob" in second
    assert hub.as_user(first["zoe-von-braun"]).get("/api/whoami-v2").status == 401


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "no names"),
        ("name\n", "no names"),
        ("Ann Lee\nann  lee\n", "both be the user"),
        ("Learner\n", "taken"),
        ("datasets\n", "taken"),
        ("李雷\n", "Latin"),
    ],
)
def test_a_list_that_cannot_be_used_says_why(hub, tmp_path, text, why):
    names = tmp_path / "names.csv"
    names.write_text(text, encoding="utf-8")
    with pytest.raises(StudentsError, match=why):
        enroll(hub.app.hub.tokens, names, tmp_path / "students.csv")
    with pytest.raises(StudentsError, match="cannot be read"):
        enroll(hub.app.hub.tokens, tmp_path / "gone.csv", tmp_path / "students.csv")


def test_user_names_fit_into_ids():
    assert user_name("  Dr. Ada K. Lovelace-Byron ") == "dr-ada-k-lovelace-byron"
    assert len(user_name("x" * 99)) == 40


# -- small services --------------------------------------------------------------------------------


def test_health_answers_anyone(hub):
    body = hub.get("/healthz", headers={"authorization": "Bearer stale"}).json
    assert body["status"] == "ok" and body["instance"] == hub.store.instance


def test_a_kernel_registers_by_its_process_id(hub):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert hub.post("/_course/kernels", {"pid": os.getpid()}).status == 200
    assert hub.app.hub.kernels == {os.getpid()}
    for pid in (ended.pid, 0, -1, 1 << 40, "1", True, None):
        assert hub.post("/_course/kernels", {"pid": pid}).status == 400
    reader = hub.as_user(hub.app.hub.tokens.create("learner", "read", "test"))
    assert reader.post("/_course/kernels", {"pid": os.getpid()}).status == 403
    assert hub.as_user(None).post("/_course/kernels", {"pid": os.getpid()}).status == 401


def test_cards_are_checked_before_they_are_committed(hub):
    check = hub.as_user(None)
    good = {"content": "---\nlicense: mit\n---\n", "repoType": "model"}
    assert check.post("/api/validate-yaml", good).json == {"errors": [], "warnings": []}
    plain = check.post("/api/validate-yaml", {"content": "# No metadata", "repoType": "model"})
    assert plain.status == 200 and "no metadata" in plain.json["warnings"][0]["message"]
    bad = check.post("/api/validate-yaml", {"content": "---\na: [\n---\n", "repoType": "model"})
    assert bad.status == 400 and "not valid YAML" in bad.json["errors"][0]["message"]
    assert check.post("/api/validate-yaml", {"repoType": "model"}).status == 400


def test_telemetry_is_taken_and_forgotten(hub):
    stranger = hub.as_user("some-other-token")
    assert stranger.ask("HEAD", "/api/telemetry/a/b").status == 200
    assert stranger.post("/v1/telemetry", {"x": 1}).status == 200
    assert stranger.get("/api/agent-harnesses").json == {"standardEnvVars": [], "harnesses": {}}
