"""A Hub of this folder's own, as a process, and the clients of this process pointed at it."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub.conftest import Server, _start_server


def point(monkeypatch: pytest.MonkeyPatch, url: str, token: str, cache: Path) -> None:
    """The clients of this process ask this Hub; they read these names at every call."""
    from huggingface_hub import constants

    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its cache is chosen at the import
    monkeypatch.setenv("HF_TOKEN", token)


@pytest.fixture(scope="session")
def hub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Hub for all tests; they keep apart by the names they use."""
    home = tmp_path_factory.mktemp("server")
    running = _start_server(home / "hub", home)
    yield running
    running.process.terminate()
    running.process.wait(20)


@pytest.fixture
def api(hub_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """An HfApi of that Hub, which everything in this process now uses."""
    point(monkeypatch, hub_server.url, hub_server.write_token, tmp_path / "cache")
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub_server.url)


@pytest.fixture
def own_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Server]]:
    """Starts this test's own Hub, and starts it again, on the same port, after it was killed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started: list[Server] = []

    def start() -> Server:
        (tmp_path / "hub" / "hub.json").unlink(missing_ok=True)  # a killed one leaves it
        started.append(_start_server(tmp_path / "hub", tmp_path, port=port))
        point(monkeypatch, started[-1].url, started[-1].write_token, tmp_path / "cache")
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Hub that is dead: nobody listens on its port."""
    point(monkeypatch, "http://127.0.0.1:9", "hf_token", tmp_path / "cache")
