"""Uploads over a socket with the standard library, for tests that count, kill or measure."""

import base64
import hashlib
import http.client
import json
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from urllib.parse import urlsplit

from tests.hub.xet_bytes import chunk, name_of, segment, shard, shard_file, xorb

PIECE = 1 << 20
CHUNK = 64 << 10


class Refused(Exception):
    """The Hub answered with another status than 200."""

    def __init__(self, status: int, body: bytes):
        super().__init__(f"{status}: {body[:300]!r}")
        self.status = status


class Uploader:
    """Sends files to one repository of a running Hub, each in a connection of its own."""

    def __init__(self, url: str, token: str, repo: str):
        self.host = urlsplit(url).netloc
        self.token = token
        self.repo = repo

    def ask(self, method: str, path: str, pieces: Iterable[bytes], size: int, token: str | None):
        connection = http.client.HTTPConnection(self.host, timeout=120)
        try:
            connection.putrequest(method, path)
            connection.putheader("Content-Length", str(size))
            if token:
                connection.putheader("Authorization", f"Bearer {token}")
            connection.endheaders()
            for piece in pieces:
                connection.send(piece)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise Refused(answer.status, body)
        return json.loads(body) if body else None

    def post(self, path: str, question: object):
        body = json.dumps(question).encode()
        return self.ask("POST", path, [body], len(body), self.token)

    def commit(self, *lines: bytes, **header: object) -> str:
        """The id of a commit with these lines."""
        body = b"".join(lines)
        return self.commit_pieces(len(body), cut(body), **header)

    def commit_pieces(self, size: int, pieces: Iterable[bytes], **header: object) -> str:
        """The id of a commit whose lines come in pieces, `size` bytes in all."""
        first = {"key": "header", "value": {"summary": "Add a file", **header}}
        start = json.dumps(first).encode() + b"\n"
        path = f"/api/models/{self.repo}/commit/main"
        body = chain([start], pieces)
        return self.ask("POST", path, body, len(start) + size, self.token)["commitOid"]

    def send_lfs(self, content: bytes) -> str:
        """The sha256 of a content sent as an LFS object."""
        oid = hashlib.sha256(content).hexdigest()
        self.put_lfs(oid, len(content), cut(content))
        return oid

    def put_lfs(self, oid: str, size: int, pieces: Iterable[bytes]) -> None:
        question = {"operation": "upload", "objects": [{"oid": oid, "size": size}]}
        answer = self.post(f"/{self.repo}.git/info/lfs/objects/batch", question)
        if actions := answer["objects"][0].get("actions"):
            link = urlsplit(actions["upload"]["href"])
            self.ask("PUT", f"{link.path}?{link.query}", pieces, size, None)

    def send_xet(self, content: bytes) -> str:
        """The sha256 of a content sent as a xorb and a shard."""
        oid = hashlib.sha256(content).hexdigest()
        token = self.ask("GET", f"/api/models/{self.repo}/xet-write-token/main", [], 0, self.token)
        place, token = urlsplit(token["casUrl"]).path, token["accessToken"]
        body = xorb(*map(chunk, cut(content, CHUNK)))
        count = -(-len(content) // CHUNK)
        self.ask("POST", f"{place}/v1/xorbs/default/{name_of(body)}", cut(body), len(body), token)
        body = shard(shard_file(oid, segment(name_of(body), len(content), 0, count)))
        self.ask("POST", f"{place}/v1/shards", [body], len(body), token)
        return oid


def inline(path: str, content: bytes) -> bytes:
    """A line that brings a file."""
    return b"".join(inline_pieces(path, [content]))


def inline_pieces(path: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The line in pieces; the length of each piece but the last must be a multiple of 3."""
    yield f'{{"key":"file","value":{{"path":"{path}","encoding":"base64","content":"'.encode()
    yield from map(base64.b64encode, pieces)
    yield b'"}}\n'


def large(path: str, oid: str) -> bytes:
    """A line that names a content sent before."""
    value = {"path": path, "algo": "sha256", "oid": oid}
    return json.dumps({"key": "lfsFile", "value": value}).encode() + b"\n"


def cut(data: bytes, size: int = PIECE) -> Iterator[bytes]:
    view = memoryview(data)
    return (bytes(view[start : start + size]) for start in range(0, len(data), size))


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    """Until `condition()` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
