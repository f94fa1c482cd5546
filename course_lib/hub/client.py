"""Finds, starts and stops the one Course Hub of this machine, with nothing but filelock."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from course_lib.hub import process
from course_lib.hub.process import HubStartError, Progress, Waiting

__all__ = [
    "HubInfo",
    "HubStartError",
    "ask",
    "bypasses_proxy",
    "course_home",
    "ensure",
    "find",
    "hub_root",
    "register_kernel",
    "stop",
]

DEFAULT_PORT = 8900
IDLE_SECONDS = 900.0  # how long a Hub without kernels waits for a request before it ends
HEALTH_TIMEOUT = 2.0
BUSY_TIMEOUT = 20.0  # a Hub whose process lives may be busy: on two cores health can wait a while
LOCK_TIMEOUT = process.START_TIMEOUT + BUSY_TIMEOUT


@dataclass(frozen=True)
class HubInfo:
    """A running Course Hub, as its hub.json describes it."""

    url: str  # without a slash at the end
    read_token: str = field(repr=False)
    write_token: str = field(repr=False)
    pid: int
    instance: str  # names the data directory; a reset changes it
    user: str  # the owner of the two tokens
    version: str = ""


def course_home() -> Path:
    """`COURSE_HOME`, by default ~/.course: the Hub's data and a cache for each Hub."""
    return Path(os.environ.get("COURSE_HOME") or "~/.course").expanduser().absolute()


def hub_root() -> Path:
    """The data directory of this machine's Hub."""
    return course_home() / "hub"


def find(root: Path | str | None = None) -> HubInfo | None:
    """The Hub that runs on this data directory, or None; a stale hub.json counts as none."""
    info = _read_info(_folder(root))
    if info is None or not process.may_be_alive(info.pid):
        return None
    try:
        status, health = ask(f"{info.url}/healthz", timeout=HEALTH_TIMEOUT)
    except OSError:
        return None
    same = isinstance(health, dict) and health.get("instance") == info.instance
    return info if status == 200 and same and health.get("pid", info.pid) == info.pid else None


def ensure(
    root: Path | str | None = None,
    port: int | None = None,
    idle: float = IDLE_SECONDS,
    progress: Progress | None = None,
) -> HubInfo:
    """The running Hub, started if there is none. However many processes ask, one Hub starts.

    The port is `port` if given and free, else the one of last time, 8900, or any free one.
    `progress` is told, about once a second, what a wait of more than two seconds is for.
    Raises HubStartError when no Hub can be had.
    """
    folder = _folder(root)
    info = find(folder)
    if info is not None:
        return info
    waiting = Waiting(progress)
    with _lock(folder, waiting):
        return _find_patiently(folder, waiting) or _start(folder, port, idle, waiting)


def stop(root: Path | str | None = None, grace: float = 10.0) -> bool:
    """End the Hub of this data directory; False if none ran. True means that its process is gone.

    It is asked first, so that it can finish its requests, and killed after `grace` seconds.
    """
    folder = _folder(root)
    if not folder.is_dir():
        return False
    with _lock(folder, Waiting(None)):
        info = find(folder) or _read_info(folder)
        # The number in an old hub.json may meanwhile belong to any other program.
        if info is None or not process.is_hub(info.pid):
            return False
        process.end(info.pid, grace)
        (folder / "hub.json").unlink(missing_ok=True)
        return True


def register_kernel(info: HubInfo, pid: int | None = None) -> None:
    """Keep the Hub running for as long as process `pid` (this one) lives.

    Raises OSError when the Hub no longer answers, HubStartError when it refuses.
    """
    status, answer = ask(
        f"{info.url}/_course/kernels", token=info.write_token, body={"pid": pid or os.getpid()}
    )
    if status >= 400:
        raise HubStartError(f"The Course Hub at {info.url} refused this kernel: {status} {answer}")


def ask(
    url: str,
    token: str | None = None,
    body: dict | None = None,
    timeout: float = HEALTH_TIMEOUT,
) -> tuple[int, object]:
    """The status and the JSON answer (None if it is not JSON) of a GET, or of a POST of `body`.

    Redirects are not followed, so that a token reaches only the host it is meant for, and no proxy
    is used for this machine or its network. Raises OSError when there is no answer.
    """
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *args: object) -> None:
            return None

    headers = {"Accept": "application/json", "User-Agent": "course_lib"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        data = json.dumps(body).encode()
    direct = [ProxyHandler({})] if bypasses_proxy(url) else []
    opener = build_opener(Stay, *direct)
    try:
        with opener.open(Request(url, data=data, headers=headers), timeout=timeout) as response:
            status, content = response.status, response.read()
    except HTTPError as error:  # an answer all the same
        with error:
            status, content = error.code, error.read()
    except HTTPException as error:  # it answered, but not in HTTP
        raise OSError(f"{url} does not speak HTTP: {error!r}") from error
    try:
        return status, json.loads(content)
    except ValueError:
        return status, None


def bypasses_proxy(url: str) -> bool:
    """True for addresses of this machine and of its own network: a proxy cannot reach those."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False  # a name: whoever set the proxy knows best
    return address.is_loopback or address.is_private or address.is_link_local


# --- the files of a data directory ---


def _folder(root: Path | str | None) -> Path:
    return hub_root() if root is None else Path(root).expanduser().absolute()


def _read_info(folder: Path) -> HubInfo | None:
    """What hub.json says; None when there is none, or half of one."""
    path = folder / "hub.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return HubInfo(
            url=values["url"].rstrip("/"),
            pid=int(values["pid"]),
            version=str(values.get("version", "")),
            **{name: values[name] for name in ("read_token", "write_token", "instance", "user")},
        )
    except PermissionError as error:
        raise HubStartError(
            f"{path} belongs to another user. Set COURSE_HOME to a folder of your own."
        ) from error
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return None


@contextlib.contextmanager
def _lock(folder: Path, waiting: Waiting) -> Iterator[None]:
    """One process at a time starts or stops the Hub of a folder."""
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(folder / "start.lock")
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                lock.acquire(timeout=0.5, poll_interval=0.05)
                break
            except Timeout:
                waiting.say("Waiting for another process that starts the Course Hub")
                if time.monotonic() > deadline:
                    raise HubStartError(
                        f"Another process has been starting or stopping the Course Hub in {folder} "
                        "for too long. End it, or restart the machine, and try again."
                    ) from None
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise HubStartError(
            f"The Course Hub cannot keep its data in {folder} ({error.strerror}). "
            "Set COURSE_HOME to a folder that you can write to."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _find_patiently(folder: Path, waiting: Waiting) -> HubInfo | None:
    """Like `find`, but a Hub that is starting, busy or being repaired is given time."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        info = find(folder)
        if info is not None or not _is_served(folder):
            return info
        if time.monotonic() > deadline:
            last = _read_info(folder)
            which = f" (process {last.pid}, {last.url})" if last else ""
            raise HubStartError(
                f"The Course Hub{which} runs but does not answer. "
                "End it with `course hub stop` and try again."
            )
        waiting.say("The Course Hub is busy")
        time.sleep(0.1)


def _is_served(folder: Path) -> bool:
    """True if a process holds the lock of this data directory, answering or not."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / "serve.lock")  # as in server.py
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _start(folder: Path, port: int | None, idle: float, waiting: Waiting) -> HubInfo:
    memory = folder / "port"
    for candidate in dict.fromkeys([port, _remembered(memory), DEFAULT_PORT, 0]):
        if candidate is None or not process.is_free(candidate):
            continue
        command = process.serve_command(folder, candidate, idle)
        try:
            info = process.launch(command, folder, lambda: find(folder), waiting)
        except HubStartError:
            if (info := _find_patiently(folder, waiting)) is not None:
                return info  # one that was started by hand came first
            if candidate == 0 or process.is_free(candidate):
                raise
            continue  # another program took the port in between
        memory.write_text(str(urlsplit(info.url).port), encoding="utf-8")
        return info
    raise AssertionError("port 0 is always tried")


def _remembered(memory: Path) -> int | None:
    """The port of last time, so that links and open kernels find the Hub again."""
    try:
        port = int(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return port if 0 < port < 65536 else None
