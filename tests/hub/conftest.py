"""A Hub to test: inside this process for cheap questions, as a server for the real clients."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from course_lib.hub.application import Application
from course_lib.hub.names import parse_repo_id
from course_lib.hub.server import create_app
from course_lib.hub.storage.store import AddFile, Repo, Store

REPOSITORY = Path(__file__).parents[2]
SERVE = """
import json, sys
from pathlib import Path
from course_lib.hub.server import serve
sys.exit(serve(Path(sys.argv[1]), **json.loads(sys.argv[2])))
"""


@dataclass
class Answer:
    """What came back over ASGI; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> object:
        return json.loads(self.body)


@dataclass
class Client:
    """Asks an application over ASGI itself: the path goes out as it stands here, byte for byte."""

    app: Application
    token: str | None = None
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.store = self.app.hub.store

    def as_user(self, token: str | None) -> Client:
        return Client(self.app, token)

    def ask(
        self,
        method: str,
        target: str,
        *,
        json_body: object = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        path, _, query = target.partition("?")
        sent = {"host": "hub.test", **(headers or {})}
        if json_body is not None:
            body = json.dumps(json_body).encode()
            sent["content-type"] = "application/json"
        if self.token and "authorization" not in sent:
            sent["authorization"] = f"Bearer {self.token}"
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "scheme": "http",
            "server": ("hub.test", 80),
            "client": ("127.0.0.1", 1),
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in sent.items()],
        }
        return asyncio.run(_exchange(self.app, scope, body))

    def push(self, full: str, files: dict[str, bytes | str], kind: str = "model") -> Repo:
        """A repository with these files, made without the network."""
        return _push(self.store, full, files, kind)

    def get(self, target: str, **more) -> Answer:
        return self.ask("GET", target, **more)

    def post(self, target: str, json_body: object = None, **more) -> Answer:
        return self.ask("POST", target, json_body=json_body, **more)


async def _exchange(app: Application, scope: dict, body: bytes) -> Answer:
    incoming = iter([{"type": "http.request", "body": body, "more_body": False}])
    sent: list[dict] = []
    over = asyncio.Event()

    async def receive() -> dict:
        message = next(incoming, None)
        if message is None:
            await over.wait()
            return {"type": "http.disconnect"}
        return message

    async def send(message: dict) -> None:
        sent.append(message)

    await app(scope, receive, send)
    over.set()
    headers = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(m.get("body", b"") for m in sent[1:]))


@pytest.fixture
def hub(tmp_path: Path) -> Client:
    """A Hub of its own, in this process, asked by its owner."""
    app = create_app(Store(tmp_path / "hub"))
    return Client(app, app.hub.tokens.create("learner", "write", "test"))


def _push(store: Store, full: str, files: dict[str, bytes | str], kind: str) -> Repo:
    repo_id = parse_repo_id(kind, full)
    repo = store.find_repo(repo_id) or store.create_repo(repo_id, author="learner")
    operations = []
    for path, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        large = path.endswith((".bin", ".safetensors", ".parquet"))
        operations.append(AddFile(path, store.blobs.put(data), large))
    store.commit(repo, "main", operations, title="Add files", author="learner")
    return store.repo(repo_id)


@dataclass
class Server:
    """A server process on a free port."""

    root: Path
    process: subprocess.Popen
    url: str
    write_token: str
    read_token: str
    home: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def environment(self, **more: str) -> dict[str, str]:
        """Variables for a client process: this Hub, this token, a home of its own."""
        home = self.home / f"home-{next(self.numbers)}"
        home.mkdir()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "COURSE_"))}
        return kept | {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.write_token,
            "HF_HOME": str(home / "hf"),
            "HOME": str(home),
            "USERPROFILE": str(home),
            # Neither is about this Hub: both would ask a public server.
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            **more,
        }

    def push(self, full: str, files: dict[str, bytes | str], kind: str = "model") -> Repo:
        """A repository with these files, made without the network."""
        return _push(Store(self.root), full, files, kind)


def server_command(root: Path, **options: object) -> list[str]:
    return [sys.executable, "-c", SERVE, str(root), json.dumps({"port": 0, "idle": 0} | options)]


def _start_server(root: Path, home: Path, **options: object) -> Server:
    log = (home / "server.log").open("ab")
    process = subprocess.Popen(
        server_command(root, **options),
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    log.close()
    deadline = time.monotonic() + 60
    while not (root / "hub.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"no server: {(home / 'server.log').read_text()}")
        time.sleep(0.02)
    info = json.loads((root / "hub.json").read_text())
    tokens = info["write_token"], info["read_token"]
    return Server(root, process, info["url"], *tokens, home)


@pytest.fixture
def run_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers of this test's own, on `tmp_path / "hub"`; those that still run are ended."""
    started = []

    def start(**options: object) -> Server:
        started.append(_start_server(tmp_path / "hub", tmp_path, **options))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()


@pytest.fixture
def refuse_server(tmp_path: Path) -> Callable[..., str]:
    """Starts a server that must not start; returns what it says."""

    def start(**options: object) -> str:
        command = server_command(tmp_path / "hub", **options)
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    return start


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all client tests of a run; they keep apart by the names they use."""
    home = tmp_path_factory.mktemp("server")
    running = _start_server(home / "hub", home)
    yield running
    running.process.terminate()
    running.process.wait(20)
