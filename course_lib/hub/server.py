"""The server process: one for each data directory, from its lock to its last request."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from course_lib import __version__
from course_lib.hub.api import (
    absent,
    content,
    device,
    discussions,
    files,
    info,
    lfs,
    login,
    refs,
    repos,
    uploads,
    xet,
)
from course_lib.hub.application import Application, Catalogue, Hub
from course_lib.hub.auth import OWNER
from course_lib.hub.process import may_be_alive
from course_lib.hub.routing import Router
from course_lib.hub.storage.store import Store
from course_lib.hub.students import StudentsError, enroll
from course_lib.hub.web import pages
from course_lib.hub.web.pages import error_page

log = logging.getLogger("course_lib.hub")

# In the order in which their routes are tried: pages come last, `/{id}` matches almost anything.
ROUTES = [
    *(*content.routes, *login.routes, *device.routes, *repos.routes, *absent.routes),
    *(*info.routes, *files.routes, *refs.routes, *discussions.routes),
    *(*uploads.routes, *lfs.routes, *xet.routes, *pages.routes),
]
MACHINE = "course-hub"  # the label of the two tokens that each start makes anew
STOP_SECONDS = 5  # that requests have to end when the server is told to stop
KEEP_ALIVE = 75  # seconds; longer than clients keep a connection, so that they close it first


class ServeError(RuntimeError):
    """The server cannot start; the text says why and what to do."""


def create_app(store: Store, catalogue: Catalogue | None = None) -> Application:
    """The web application on a data directory."""
    return Application(Hub(store, catalogue), Router(ROUTES), error_page)


def serve(
    root: Path,
    host: str = "127.0.0.1",
    port: int = 8900,
    idle: float = 900.0,
    catalogue: Catalogue | None = None,
    students: Path | None = None,
) -> int:
    """Run a Hub on the data directory `root` until it is told to stop; returns the exit status.

    With `idle` seconds above 0 it stops by itself when no request came for so long and no
    registered kernel lives. Port 0 means a free one; `root/hub.json` says which.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    root = Path(root).expanduser().absolute()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _only_server(root), listen(host, port) as listening:
            _serve(root, listening, idle, catalogue, students)
    except (ServeError, StudentsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


@contextlib.contextmanager
def _only_server(root: Path):
    lock = FileLock(root / "serve.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ServeError(
            f"A Course Hub runs on {root} already. Use it, or stop it with `course hub stop`."
        ) from error
    try:
        yield
    finally:
        lock.release()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; `ServeError` if it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # On Windows SO_REUSEADDR, which this would set elsewhere, lets two servers share a port.
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise ServeError(
            f"Cannot listen on {host} port {port}: {_reason(error)}. "
            "Choose another with --port, or --port 0 for any free one."
        ) from error
    # Connections inherit this. Without it, an answer's body waits 40 ms for the client to
    # acknowledge its headers: asyncio sets it only where the socket names its protocol.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) and number > 0 else str(error)


def _serve(
    root: Path,
    listening: socket.socket,
    idle: float,
    catalogue: Catalogue | None,
    students: Path | None,
) -> None:
    store = Store(root)
    store.blobs.clear_temporary()
    app = create_app(store, catalogue)
    if students is not None:
        target = root / "students.csv"
        count = enroll(app.hub.tokens, Path(students), target)
        print(f"The tokens of {count} students are in {target}")
    server = _Server(app, idle)
    # uvicorn takes these signals over while it runs, and passes on what it got when it has ended.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    info = _introduce(root, listening, app.hub)
    try:
        server.run(sockets=[listening])
    finally:
        _forget(root, info)
    log.info("stopped")


class _Server(uvicorn.Server):
    """uvicorn, and an eye on whether anyone still needs this Hub."""

    def __init__(self, app: Application, idle: float):
        # httptools where it is installed, else h11, which comes with uvicorn.
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        super().__init__(config)
        self.hub = app.hub
        self.idle = idle

    async def main_loop(self) -> None:
        watch = asyncio.ensure_future(self._watch()) if self.idle > 0 else None
        try:
            await super().main_loop()
        finally:
            if watch:
                watch.cancel()

    async def _watch(self) -> None:
        while not is_idle(self.hub, self.idle):
            await asyncio.sleep(min(self.idle / 4, 5.0))
        log.info("nobody needed this Hub for %.0f s", self.idle)
        self.should_exit = True


def is_idle(hub: Hub, seconds: float) -> bool:
    """Whether no request came for so long and no registered kernel lives."""
    hub.kernels = {pid for pid in hub.kernels if may_be_alive(pid)}
    quiet = time.monotonic() - hub.last_request
    return not hub.active and not hub.kernels and quiet > seconds


def _introduce(root: Path, listening: socket.socket, hub: Hub) -> dict:
    """Make this start's tokens, write hub.json, say where the Hub is."""
    host, port = listening.getsockname()[:2]
    address = ipaddress.ip_address(host.partition("%")[0])
    local = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    hub.tokens.revoke(MACHINE)
    info = {
        "url": f"http://{local}:{port}",
        "read_token": hub.tokens.create(OWNER, "read", MACHINE),
        "write_token": hub.tokens.create(OWNER, "write", MACHINE),
        "pid": os.getpid(),
        "instance": hub.store.instance,
        "user": OWNER,
        "version": __version__,
    }
    temporary = root / ".hub.json.new"
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(info, file)
    os.replace(temporary, root / "hub.json")
    if not address.is_loopback:
        print(
            f"WARNING: listening on {host}: everyone who can reach this machine can read this "
            "Hub's public repositories, and with a token write to it. There is no encryption.",
            file=sys.stderr,
        )
    print(f"Course Hub at {info['url']} (data in {root})", flush=True)
    return info


def _forget(root: Path, info: dict) -> None:
    """Remove hub.json, unless another server has written its own."""
    path = root / "hub.json"
    with contextlib.suppress(FileNotFoundError, ValueError):
        if json.loads(path.read_text())["pid"] == info["pid"]:
            path.unlink()
