"""Xet's receiving side over HTTP: files come out whole, and lies are answered at once."""

import hashlib
import os
import resource
import subprocess
import sys
import time
from urllib.parse import urlsplit

import lz4.frame
import pytest
from hypothesis import HealthCheck, given, settings

from course_lib.hub.api import xet, xet_format
from course_lib.hub.storage.maintenance import reset
from course_lib.hub.storage.store import Store
from tests.hub.mutating import mutated
from tests.hub.xet_bytes import (
    GROUPED_LZ4,
    LZ4,
    chunk,
    chunk_header,
    name_of,
    segment,
    shard,
    shard_file,
    xorb,
)

TOKEN = "/api/models/ann/x/xet-write-token/main"


class Cas:
    """One user's place, reached with the token that the Hub gave."""

    def __init__(self, client, path: str = TOKEN):
        answer = client.get(path)
        assert answer.status == 200, answer.body
        self.client = client.as_user(answer.json["accessToken"])
        self.path = answer.json["casUrl"].removeprefix("http://hub.test")
        self.answer = answer

    def post(self, path: str, body: bytes):
        return self.client.ask("POST", self.path + path, body=body)

    def put_xorb(self, data: bytes, name: str | None = None):
        return self.post(f"/v1/xorbs/default/{name or name_of(data)}", data)

    def put_shard(self, *files: bytes):
        return self.post("/v1/shards", shard(*files))


@pytest.fixture
def ann(hub):
    hub.push("ann/x", {"w.bin": b"large"})
    return hub


@pytest.fixture
def cas(ann):
    return Cas(ann)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def left(client) -> list:
    return list(client.store.blobs.temporary.iterdir())


# -- files come out whole --------------------------------------------------------------------------


def test_files_are_put_together_from_chunks_of_several_xorbs(ann, cas):
    parts = [os.urandom(50_000), bytes(130_000), b"0123" * 20_000, b"text " * 9_000]
    first = xorb(chunk(parts[0]), chunk(parts[1], LZ4), chunk(parts[2], GROUPED_LZ4))
    second = xorb(chunk(parts[3], LZ4)) + b"XETBLOB a footer"
    one, two = b"".join(parts), parts[2] + parts[1] + parts[1]
    for data in (first, second):
        assert cas.put_xorb(data).json == {"was_inserted": True}
    a, b = name_of(first), name_of(second)
    sizes = [len(part) for part in parts]
    answer = cas.put_shard(
        shard_file(sha256(one), segment(a, sum(sizes[:3]), 0, 3), segment(b, sizes[3], 0, 1)),
        shard_file(
            sha256(two), segment(a, sizes[2], 2, 3), *[segment(a, sizes[1], 1, 2)] * 2,
            verified=False,
        ),
        shard_file(None, segment(b, sizes[3], 0, 1)),
    )  # fmt: skip
    assert answer.json == {"result": 1}
    for content in (one, two, parts[3]):
        assert ann.store.blobs.read(sha256(content)) == content
    assert not left(ann)
    assert cas.put_xorb(first).json == {"was_inserted": False}


def test_the_answers_that_the_client_falls_back_on(ann, cas):
    body, headers = cas.answer.json, cas.answer.headers
    assert ann.store.instance in body["casUrl"]
    assert headers["x-xet-cas-url"] == body["casUrl"]
    assert headers["x-xet-access-token"] == body["accessToken"]
    assert headers["x-xet-token-expiration"] == str(body["exp"])
    assert abs(body["exp"] - time.time() - xet.TOKEN_SECONDS) < 5
    name = "0" * 64
    assert cas.client.get(f"{cas.path}/v1/chunks/default/{name}").status == 404
    assert cas.post(f"/v1/xorb-grants/default/{name}", b"").status == 404
    assert cas.post("/v2/shards", shard()).status == 404
    assert cas.client.post("/v1/telemetry", {}).status == 200
    assert ann.get("/api/models/ann/x/xet-read-token/main").status == 404


# -- who may ---------------------------------------------------------------------------------------


def test_a_token_is_for_those_who_may_write(ann):
    assert ann.as_user(None).get(TOKEN).status == 401
    for user, role in (("learner", "read"), ("bob", "student")):
        assert ann.as_user(ann.app.hub.tokens.create(user, role, "test")).get(TOKEN).status == 403
    answer = ann.get(TOKEN.replace("ann/x", "ann/none"))
    assert (answer.status, answer.headers["x-error-code"]) == (404, "RepoNotFound")
    Cas(ann.as_user(ann.app.hub.tokens.create("ann", "student", "test")))
    Cas(ann, TOKEN.replace("main", "None") + "?create_pr=1")


def test_users_keep_apart(ann, cas):
    """Nobody can send a xorb under a name that somebody else will use."""
    student = Cas(ann.as_user(ann.app.hub.tokens.create("ann", "student", "test")))
    assert student.path != cas.path
    data = chunk(b"of the owner")
    cas.put_xorb(data)
    file = shard_file(None, segment(name_of(data), 12, 0, 1))
    assert "was not sent" in student.put_shard(file).json["error"]
    stolen = student.client.ask("POST", f"{cas.path}/v1/shards", body=shard(file))
    assert stolen.status == 401 and "not made for this place" in stolen.json["error"]


def test_other_tokens_are_of_no_use(ann, cas):
    good = cas.client.token
    signature, _, expires = good.partition(".")
    for token in (
        ann.token,
        None,
        "",
        f"{signature}.{int(expires) + 1}",
        f"{signature[:-1]}.{expires}",
        f".{expires}",
        f"{signature}.9_9",
        f"\xff.{expires}",
        good + " ",
    ):
        answer = cas.client.as_user(token).ask("POST", f"{cas.path}/v1/shards", body=shard())
        assert answer.status == (200 if token == good + " " else 401), token
    for path in ("/api/whoami-v2", TOKEN):
        assert cas.client.get(path).status == 401


def test_a_token_expires(cas, monkeypatch):
    later = time.time() + xet.TOKEN_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    answer = cas.put_shard()
    assert answer.status == 401 and "expired" in answer.json["error"]


def test_after_a_reset_the_upload_is_told_to_start_again(ann, cas):
    ann.store.database.set_meta("instance", "another")
    answer = cas.put_xorb(chunk(b"x"))
    assert answer.status == 404 and "was reset" in answer.json["error"]
    for place in ("x", f"{ann.store.instance}-../../x", f"{ann.store.instance}-"):
        target = f"/_cas/{place.replace('/', '%2F')}/v1/shards"
        assert cas.client.ask("POST", target, body=shard()).status == 404
    assert Cas(ann).put_xorb(chunk(b"x")).status == 200


# -- lies ------------------------------------------------------------------------------------------

DATA = os.urandom(1000)
GOOD = xorb(chunk(DATA), chunk(DATA, LZ4))
NAME = name_of(GOOD)
LIES = {
    "no such xorb": (segment("f" * 64, 1000, 0, 1), "was not sent"),
    "no chunks": (segment(NAME, 0, 0, 0), "chunks 0 to 0 of a xorb that has 2"),
    "backwards": (segment(NAME, 1000, 1, 0), "chunks 1 to 0 of a xorb"),
    "past the end": (segment(NAME, 3000, 0, 3), "chunks 0 to 3 of a xorb that has 2"),
    "far past the end": (segment(NAME, 3000, 0, 0xFFFFFFFF), "of a xorb that has 2"),
    "fewer bytes": (segment(NAME, 999, 0, 1), "says 999 bytes of chunks that hold 1,000"),
    "more bytes": (segment(NAME, 4_000_000_000, 0, 1), "says 4,000,000,000 bytes"),
    "another sha256": (segment(NAME, 2000, 0, 2), "announced with sha256"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_shard_that_lies_is_refused_and_leaves_nothing(ann, cas, name):
    lie, expected = LIES[name]
    cas.put_xorb(GOOD)
    before = set(ann.store.blobs.all())
    fine = shard_file(sha256(DATA), segment(NAME, 1000, 0, 1))
    answer = cas.put_shard(fine, shard_file(sha256(b"other"), segment(NAME, 1000, 1, 2), lie))
    assert answer.status == 400 and expected in answer.json["error"]
    assert set(ann.store.blobs.all()) == before and not left(ann)


def test_a_wrong_xorb_is_refused_and_leaves_nothing(ann, cas):
    for data in (b"", b"x" * 100, GOOD[:-1], GOOD + b"\0"):
        answer = cas.put_xorb(data)
        assert answer.status == 400 and "xorb is not valid" in answer.json["error"]
    for name in ("x", "F" * 64, "..%2F..%2Fhub.db", "0" * 63):
        answer = cas.put_xorb(GOOD, name)
        assert answer.status == 400 and "must be its hash" in answer.json["error"]
    assert not list((ann.store.root / "xorbs").rglob("*")) and not left(ann)


def test_a_chunk_that_does_not_unpack_shows_when_a_file_needs_it(ann, cas):
    data = xorb(chunk(DATA), chunk_header(20, LZ4, 1000) + b"junk" * 5)
    assert cas.put_xorb(data).status == 200
    name = name_of(data)
    assert cas.put_shard(shard_file(sha256(DATA), segment(name, 1000, 0, 1))).status == 200
    answer = cas.put_shard(shard_file(sha256(DATA * 2), segment(name, 2000, 0, 2)))
    assert answer.status == 400 and "not an LZ4 frame" in answer.json["error"] and not left(ann)
    # The client sends the xorb again, and now it is right.
    assert cas.put_xorb(GOOD, name).json == {"was_inserted": False}
    assert cas.put_shard(shard_file(sha256(DATA * 2), segment(name, 2000, 0, 2))).status == 200


def test_xorbs_and_shards_have_a_longest(ann, cas, monkeypatch):
    monkeypatch.setattr(xet, "MAX_XORB", 5000)
    monkeypatch.setattr(xet, "MAX_SHARD", 5000)
    for answer in (cas.put_xorb(bytes(5001)), cas.post("/v1/shards", bytes(5001))):
        assert answer.status == 413 and answer.headers["connection"] == "close"
    monkeypatch.setattr(xet_format, "MAX_SEGMENTS", 3)
    answer = cas.put_shard(shard_file(None, *[segment(NAME, 1000, 0, 1)] * 4))
    assert answer.status == 400 and "4 segments, up to 3" in answer.json["error"]


def test_a_file_larger_than_the_disk_is_refused_before_it_is_begun(ann, cas):
    full = chunk(bytes((1 << 24) - 1), LZ4)
    data = xorb(*[full] * 200)  # 13 MB that hold 3.3 GB
    cas.put_xorb(data)
    whole = segment(name_of(data), 200 * ((1 << 24) - 1), 0, 200)
    started = time.monotonic()
    answer = cas.put_shard(shard_file(sha256(b""), *[whole] * 100_000))
    assert answer.status == 413 and "disk has" in answer.json["error"]
    assert time.monotonic() - started < 5 and not left(ann)


def test_bombs_do_not_cost_memory(ann, cas):
    bomb = lz4.frame.compress(bytes(1 << 30))
    before = peak_memory()
    for size in (1, 1 << 20, (1 << 24) - 1):
        data = xorb(chunk_header(len(bomb), LZ4, size) + bomb)
        assert cas.put_xorb(data).status == 200
        answer = cas.put_shard(shard_file(None, segment(name_of(data), size, 0, 1)))
        assert answer.status == 400 and "does not unpack" in answer.json["error"]
    assert peak_memory() - before < 64 << 20 and not left(ann)


def peak_memory() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# -- what the client remembers ---------------------------------------------------------------------

CLIENT = """
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("learner/remembered", exist_ok=True)
content = b"".join(i.to_bytes(8, "little") for i in range(300_000))
api.upload_file(repo_id="learner/remembered", path_in_repo=sys.argv[1], path_or_fileobj=content)
"""


def test_the_client_sends_again_what_a_reset_took(run_server):
    """It keeps a list of what it sent to an address, which therefore changes with a reset."""
    environment, port = {}, 0
    for name in ("first.bin", "second.bin"):
        server = run_server(port=port)
        port = urlsplit(server.url).port
        environment = environment or server.environment()
        environment |= {"HF_TOKEN": server.write_token}
        command = [sys.executable, "-c", CLIENT, name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        assert list((server.root / "xorbs").rglob("*"))
        server.process.terminate()
        server.process.wait(20)
        if name == "first.bin":
            reset(server.root)
            assert not [p for p in (server.root / "xorbs").rglob("*") if p.is_file()]


# -- anything --------------------------------------------------------------------------------------


SHORT = xorb(chunk(b"plain"), chunk(b"packed" * 9, LZ4), chunk(b"grouped!" * 9, GROUPED_LZ4))
WHOLE = b"plain" + b"packed" * 9 + b"grouped!" * 9
SHARD = shard(shard_file(sha256(WHOLE), segment(name_of(SHORT), len(WHOLE), 0, 3)))


@given(data=mutated(SHORT), about=mutated(SHARD))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_upload_is_taken_or_refused(cas, data, about):
    """One Hub for all examples: what one of them leaves must not matter to the next."""
    store: Store = cas.client.store
    store.blobs.path(sha256(WHOLE)).unlink(missing_ok=True)
    assert cas.put_xorb(data, name_of(SHORT)).status in (200, 400)
    for body in (SHARD, about):
        answer = cas.post("/v1/shards", body)
        assert answer.status in (200, 400), answer.body
    for name in store.blobs.all():
        assert sha256(store.blobs.read(name)) == name
    assert not left(cas.client)
    assert cas.put_xorb(SHORT).status == 200 and cas.post("/v1/shards", SHARD).status == 200
    assert store.blobs.read(sha256(WHOLE)) == WHOLE
