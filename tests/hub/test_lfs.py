"""Git LFS uploads: links that work once asked for, and for nothing else."""

import hashlib
import http.client
import json
import os
import time
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from course_lib.hub.api import lfs
from course_lib.hub.server import create_app
from course_lib.hub.storage.store import Store
from tests.hub.uploading import wait_for

BATCH = "/ann/x.git/info/lfs/objects/batch"
VERIFY = "/ann/x.git/info/lfs/objects/verify"
CONTENT = b"large content" * 100_000
OID = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def ann(hub):
    hub.push("ann/x", {"w.bin": b"large"})
    return hub


def batch(client, *objects: dict, path: str = BATCH, **more: object) -> list[dict]:
    question = {"operation": "upload", "transfers": ["basic", "multipart"], **more}
    answer = client.post(path, {**question, "hash_algo": "sha256", "objects": objects})
    assert answer.status == 200, answer.body
    assert answer.json["transfer"] == "basic"
    assert answer.headers["content-type"] == "application/vnd.git-lfs+json"
    return answer.json["objects"]


def link_to(client, content: bytes = CONTENT, **more) -> str:
    """The path and query of an upload link."""
    oid = hashlib.sha256(content).hexdigest()
    (row,) = batch(client, {"oid": oid, "size": len(content)}, **more)
    return row["actions"]["upload"]["href"].removeprefix("http://hub.test")


def put(client, link: str, content: bytes, **headers: str):
    return client.as_user(None).ask("PUT", link, body=content, headers=headers)


def nothing_left(client) -> bool:
    return not list(client.store.blobs.temporary.iterdir())


@pytest.mark.parametrize("prefix", ["", "datasets/", "spaces/"])
def test_an_object_goes_up_by_its_link_and_is_verified(hub, prefix):
    hub.push("ann/x", {"a": b"a"}, kind=prefix.rstrip("s/") or "model")
    link = link_to(hub, path=f"/{prefix}ann/x.git/info/lfs/objects/batch")
    assert link.startswith(f"/{prefix}ann/x.git/info/lfs/objects/{OID}?")
    question = {"oid": OID, "size": len(CONTENT)}
    verify = f"/{prefix}ann/x.git/info/lfs/objects/verify"
    assert hub.post(verify, question).status == 404
    assert put(hub, link, CONTENT).status == 200
    assert hub.store.blobs.read(OID) == CONTENT and nothing_left(hub)
    assert hub.post(verify, question).status == 200
    assert hub.post(verify, question | {"size": 3}).status == 400


def test_what_is_stored_need_not_be_sent(ann):
    stored = ann.store.blobs.put(CONTENT)
    here, wrong, new = batch(
        ann,
        {"oid": OID, "size": stored.size},
        {"oid": OID, "size": 3},
        {"oid": "0" * 64, "size": 3},
    )
    assert here == {"oid": OID, "size": stored.size}
    assert wrong["error"]["code"] == 422 and "actions" not in wrong
    assert set(new["actions"]) == {"upload", "verify"}


def test_links_are_of_no_use_for_anything_else(ann):
    ann.push("ann/y", {"a": b"a"})
    link = link_to(ann)
    size, expires = f"size={len(CONTENT)}", int(time.time()) + lfs.LINK_SECONDS
    altered = [
        link.replace(OID, "0" * 64),
        link.replace("/ann/x.git", "/ann/y.git"),
        link.replace("/ann/x.git", "/datasets/ann/x.git"),
        link.replace(size, "size=5"),
        link.replace("expires=", "expires=9"),
        link[:-1] + ("0" if link[-1] != "0" else "1"),
        link.partition("&key=")[0],
        link.replace("&key=", "&key=%ff"),
        link.partition("?")[0],
        link.partition("?")[0] + f"?{size}&expires={expires}&key=",
        link.partition("?")[0] + f"?size=5_0&expires={expires}&key=x",
        link.partition("?")[0] + f"?size=-5&expires={'9' * 30}&key=x",
    ]
    for wrong in altered:
        answer = put(ann, wrong, CONTENT)
        assert answer.status == 403 and "upload link" in answer.json["error"], wrong
    assert ann.store.blobs.find(OID) is None and nothing_left(ann)


def test_a_link_expires(ann, monkeypatch):
    link = link_to(ann)
    later = time.time() + lfs.LINK_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    answer = put(ann, link, CONTENT)
    assert answer.status == 403 and "expired" in answer.json["error"]


def test_two_hubs_do_not_trust_each_others_links(ann, tmp_path):
    other = type(ann)(create_app(Store(tmp_path / "other")))
    other.push("ann/x", {"w.bin": b"large"})
    assert put(other, link_to(ann), CONTENT).status == 403


WRONG = [CONTENT[:-1], CONTENT + b"x", b"x" + CONTENT[1:], b""]


@pytest.mark.parametrize("content", WRONG, ids=["shorter", "longer", "other", "empty"])
def test_the_content_must_be_what_was_announced(ann, content):
    answer = put(ann, link_to(ann), content, **{"content-length": str(len(content))})
    same_size = len(content) == len(CONTENT)
    assert answer.status == 400
    assert ("sha256" if same_size else "were announced") in answer.json["error"]
    assert ann.store.blobs.find(OID) is None and nothing_left(ann)


@pytest.mark.parametrize("content", WRONG, ids=["shorter", "longer", "other", "empty"])
def test_so_must_a_content_that_comes_in_chunks(ann, content):
    answer = put(ann, link_to(ann), content)
    longer = len(content) > len(CONTENT)
    assert answer.status == (413 if longer else 400)
    assert ("connection" in answer.headers) == longer  # which closes it, whatever else may come
    assert ann.store.blobs.find(OID) is None and nothing_left(ann)


def test_more_than_the_disk_holds_is_refused_before_it_is_sent(ann):
    (row,) = batch(ann, {"oid": OID, "size": 1 << 52})
    link = row["actions"]["upload"]["href"].removeprefix("http://hub.test")
    answer = put(ann, link, b"", **{"content-length": str(1 << 52)})
    assert answer.status == 413 and "disk has" in answer.json["error"]


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"operation": "download"}, "Only uploads"),
        ({"transfers": ["multipart"]}, "the LFS transfer 'basic' only"),
        ({"transfers": "basic"}, "the LFS transfer 'basic' only"),
        ({"hash_algo": "sha1"}, "by their sha256 only"),
        ({"objects": {"oid": OID}}, "must be a list"),
        ({"objects": [{"oid": OID, "size": 1}] * 1001}, "up to 1,000 objects"),
        ({"objects": [{"oid": OID.upper(), "size": 1}]}, "its sha256 as oid"),
        ({"objects": [{"oid": 3, "size": 1}]}, "its sha256 as oid"),
        ({"objects": [{"oid": OID, "size": "1"}]}, "its size in bytes"),
        ({"objects": [{"oid": OID, "size": 1 << 70}]}, "its size in bytes"),
        ({"objects": [OID]}, "its sha256 as oid"),
    ],
)
def test_a_wrong_batch_is_refused(ann, change, expected):
    question = {"operation": "upload", "objects": [{"oid": OID, "size": 1}], **change}
    answer = ann.post(BATCH, question)
    assert answer.status == 400 and expected in answer.json["error"]


def test_a_batch_needs_a_token_that_may_write(ann):
    question = {"operation": "upload", "objects": [{"oid": OID, "size": 1}]}
    for path in (BATCH, VERIFY):
        assert ann.as_user(None).post(path, question).status == 401
        for user, role in (("learner", "read"), ("bob", "student")):
            client = ann.as_user(ann.app.hub.tokens.create(user, role, "test"))
            assert client.post(path, question).status == 403
        missing = ann.post(path.replace("/x.git", "/none.git"), question)
        assert (missing.status, missing.headers["x-error-code"]) == (404, "RepoNotFound")


# -- over a socket ---------------------------------------------------------------------------------


def connect(server, link: str, size: int) -> http.client.HTTPConnection:
    """A request whose body is still to come; without a size, it comes in chunks."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.putrequest("PUT", link)
    name, value = ("Content-Length", str(size)) if size else ("Transfer-Encoding", "chunked")
    connection.putheader(name, value)
    connection.endheaders()
    return connection


def server_link(server, name: str, content: bytes) -> str:
    server.push(name, {"a": b"a"})
    oid = hashlib.sha256(content).hexdigest()
    question = {"operation": "upload", "objects": [{"oid": oid, "size": len(content)}]}
    request = Request(
        f"{server.url}/{name}.git/info/lfs/objects/batch",
        json.dumps(question).encode(),
        {"Authorization": f"Bearer {server.write_token}"},
    )
    with urlopen(request) as answer:
        href = json.load(answer)["objects"][0]["actions"]["upload"]["href"]
    return href.removeprefix(server.url)


def test_a_client_that_goes_away_leaves_nothing(server):
    content = os.urandom(4_000_000)
    link = server_link(server, "learner/goes-away", content)
    for size in (len(content), 0):
        connection = connect(server, link, size)
        half = content[: len(content) // 2]
        connection.send(half if size else b"%x\r\n%b\r\n" % (len(half), half))
        wait_for(lambda: any((server.root / "tmp").iterdir()))
        connection.close()
        wait_for(lambda: not any((server.root / "tmp").iterdir()))


def test_a_body_longer_than_its_link_is_cut_off(server):
    content = os.urandom(100_000)
    connection = connect(server, server_link(server, "learner/too-long", content), 0)
    sent = 0
    with pytest.raises(OSError):
        for _ in range(2000):  # 200 MB, of which the server takes next to nothing
            connection.send(b"%x\r\n%b\r\n" % (len(content), content))
            sent += len(content)
    assert sent < 20_000_000
    wait_for(lambda: not any((server.root / "tmp").iterdir()))
