"""What the server writes down holds none of its secrets."""

import json
import os
import socket
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from course_lib.hub.storage.store import Store
from tests.hub.uploading import Refused, Uploader, inline, large

CLIENT = """
import io
from huggingface_hub import HfApi
api = HfApi()
api.whoami()
api.upload_file(repo_id="learner/secret", path_in_repo="x.bin", path_or_fileobj=b"xet")
api.upload_file(repo_id="learner/secret", path_in_repo="l.bin", path_or_fileobj=io.BytesIO(b"lfs"))
"""


def test_no_token_key_or_secret_is_in_the_log(run_server, tmp_path):
    server = run_server()
    server.push("learner/secret", {"README.md": "# Secret"})
    uploader = Uploader(server.url, server.write_token, "learner/secret")
    link, cas = link_of(uploader), cas_of(uploader)
    for way in (uploader.send_lfs, uploader.send_xet):
        uploader.commit(large("w.bin", way(os.urandom(1000))))
    subprocess.run([sys.executable, "-c", CLIENT], env=server.environment(), check=True)
    provoke(server, uploader, link, cas)

    secrets = {
        server.write_token,
        server.read_token,
        cas["accessToken"],
        key_of(link),
        Store(server.root).database.meta("secret"),
    }
    assert all(len(secret) > 20 for secret in secrets)
    for token in secrets - {key_of(link)}:
        assert token not in link and token not in cas["casUrl"]
    server.process.terminate()
    server.process.wait(20)
    log = (tmp_path / "server.log").read_text()
    assert "failed" in log and "stopped" in log  # it did write
    for secret in secrets:
        assert secret not in log and secret[:20] not in log
    assert "key=" not in log and "Bearer" not in log


def key_of(link: str) -> str:
    return parse_qs(urlsplit(link).query)["key"][0]


def link_of(uploader: Uploader) -> str:
    objects = [{"oid": "0" * 64, "size": 3}]
    question = {"operation": "upload", "objects": objects}
    answer = uploader.post(f"/{uploader.repo}.git/info/lfs/objects/batch", question)
    return answer["objects"][0]["actions"]["upload"]["href"]


def cas_of(uploader: Uploader) -> dict:
    path = f"/api/models/{uploader.repo}/xet-write-token/main"
    return uploader.ask("GET", path, [], 0, uploader.token)


def provoke(server, uploader: Uploader, link: str, cas: dict) -> None:
    """Refusals, broken requests, a fault of the server's own: each with a secret in its hands."""
    target = urlsplit(link)
    place = urlsplit(cas["casUrl"]).path
    for method, path, body, token in (
        ("PUT", f"{target.path}?{target.query}", b"bad", None),
        ("PUT", f"{target.path}?{target.query}x", b"bad", None),
        ("POST", f"{place}/v1/shards", b"no shard", cas["accessToken"]),
        ("POST", f"{place}x/v1/shards", b"no shard", cas["accessToken"]),
        ("GET", "/api/whoami-v2", b"", server.write_token + "x"),
        ("POST", "/api/models/learner/secret/commit/main", b"{", server.write_token),
    ):
        with pytest.raises(Refused):
            uploader.ask(method, path, [body], len(body), token)
    host, port = uploader.host.split(":")
    with socket.create_connection((host, int(port))) as connection:  # no HTTP at all
        connection.send(f"\x00 {server.write_token}\r\n\r\n".encode())
        connection.recv(1000)
    (server.root / "tmp").rename(server.root / "tmp.away")
    try:
        with pytest.raises(Refused) as caught:
            uploader.commit(inline("x", bytes(100_000)))
        assert caught.value.status == 500
        with pytest.raises(Refused):
            uploader.ask("PUT", f"{target.path}?{target.query}", [b"bad"], 3, None)
        with pytest.raises(Refused):
            uploader.ask("POST", f"{place}/v1/shards", [b"x"], 1, cas["accessToken"])
    finally:
        (server.root / "tmp.away").rename(server.root / "tmp")
    assert json.loads((server.root / "hub.json").read_text())["pid"] == server.process.pid
