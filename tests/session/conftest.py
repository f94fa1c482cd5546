"""Homes of their own, fresh Pythons, a stand-in for a remote Hub."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from course_lib.hub import client, process
from tests.session.surroundings import hub_processes, plain_environment

FAKE_HUB = Path(__file__).with_name("fake_hub.py")


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A COURSE_HOME whose Hub, the real one, runs for all tests that only need one."""
    home = tmp_path_factory.mktemp("shared")
    client.ensure(home / "hub", port=0)
    yield home
    client.stop(home / "hub")
    assert not hub_processes(home / "hub")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A COURSE_HOME of its own, in this process too; its Hub does not outlive the test."""
    for name in set(os.environ) - set(plain_environment()):
        monkeypatch.delenv(name)
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "course"))
    monkeypatch.setenv("HOME", str(tmp_path))
    yield tmp_path / "course"
    client.stop()
    assert not hub_processes(client.hub_root())


@pytest.fixture
def fake_hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`client` starts the fake Hub instead of the real one; the value is its data directory."""

    def command(folder: Path, port: int, idle: float) -> list[str]:
        serve = [sys.executable, "-S", str(FAKE_HUB), "hub", "serve", "--root", str(folder)]
        return [*serve, "--host", "127.0.0.1", "--port", str(port), "--idle", str(idle)]

    monkeypatch.setattr(process, "serve_command", command)
    return client.hub_root()


Python = Callable[..., str]


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """Runs code in a fresh Python with a plain environment; returns what it printed."""

    def run(code: str, *, fails: bool = False, **env: object) -> str:
        (tmp_path / "script.py").write_text(code)
        done = subprocess.run(
            [sys.executable, tmp_path / "script.py"],
            env=plain_environment() | {"HOME": str(tmp_path)} | {k: str(v) for k, v in env.items()},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return (done.stderr if fails else done.stdout).strip()

    return run


class RemoteHub:
    """Answers GET requests from `answers`: path without query -> (status, JSON value)."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object]] = {}
        self.users: dict[str, str] = {}  # token -> user
        self.seen: list[tuple[str, str | None]] = []  # path, token
        remote = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                token = (self.headers["Authorization"] or "").removeprefix("Bearer ") or None
                remote.seen.append((self.path, token))
                status, value = remote.answer(self.path.partition("?")[0], token)
                content = json.dumps(value).encode()
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", str(value))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        serve = {"target": self.server.serve_forever, "args": (0.02,), "daemon": True}
        threading.Thread(**serve).start()

    def answer(self, path: str, token: str | None) -> tuple[int, object]:
        if path == "/api/whoami-v2":
            known = token in self.users
            return (200, {"name": self.users[token]}) if known else (401, {"error": "who?"})
        return self.answers.get(path, (404, {"error": "not here"}))


@pytest.fixture
def remote() -> Iterator[RemoteHub]:
    """A server on another port, which a test makes a classroom's Hub, a mirror or the real Hub."""
    hub = RemoteHub()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()
