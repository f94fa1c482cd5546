"""The Hub as a process of this machine: starting it apart, recognising it, ending it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

START_TIMEOUT = 60.0
QUIET_SECONDS = 2.0  # a wait shorter than this shows nothing
LOG_LIMIT = 5_000_000  # bytes; a longer log is put aside when a Hub starts

Progress = Callable[[str], None]
T = TypeVar("T")

# Hubs that this process started: kept, so that a dead one is noticed and leaves no zombie.
_started: dict[int, subprocess.Popen] = {}


class HubStartError(RuntimeError):
    """The Course Hub of this machine cannot be had; the message says why and what to do."""


class Waiting:
    """Tells `progress` what a long wait is for: after two seconds, then once a second."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.began = time.monotonic()
        self.next = self.began + QUIET_SECONDS

    def say(self, what: str) -> None:
        now = time.monotonic()
        if self.progress and now >= self.next:
            self.next = now + 1
            self.progress(f"{what} ({now - self.began:.0f} s) …")


def serve_command(folder: Path, port: int, idle: float) -> list[str]:
    """The command line of a Hub."""
    if not sys.executable:
        raise HubStartError("This Python does not know its own program (sys.executable is empty).")
    # -P: a folder is no place to import from only because the Hub works in it.
    serve = [sys.executable, "-P", "-m", "course_lib.hub", "serve"]
    return [*serve, "--root", str(folder), "--host", "127.0.0.1", "--port", str(port),
            "--idle", f"{idle:g}"]  # fmt: skip


def launch(
    command: list[str],
    folder: Path,
    find: Callable[[], T | None],  # gives the Hub once it answers
    waiting: Waiting,
) -> T:
    """Start a Hub and wait until it answers; HubStartError with its last words if it never does."""
    log = folder / "hub.log"
    begin = _prepare_log(log)
    child = _spawn(command, folder, log)
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        found = find()
        if found is not None:
            return found
        if child.poll() is not None:
            raise HubStartError(_obituary(f"ended with code {child.returncode}", log, begin))
        waiting.say("Starting the Course Hub")
        time.sleep(0.03)
    child.kill()
    child.wait()
    raise HubStartError(_obituary(f"did not answer within {START_TIMEOUT:g} s", log, begin))


def _obituary(how: str, log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        words = file.read().decode(errors="replace").strip().splitlines()[-15:]
    said = "\n  ".join(words) if words else "(nothing)"
    return f"The Course Hub did not start: its process {how}. Its log, {log}, ends:\n  {said}"


def _prepare_log(log: Path) -> int:
    """Put a long log aside; returns where the next lines will begin."""
    size = log.stat().st_size if log.exists() else 0
    if size > LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
        return 0
    return size


def _spawn(command: list[str], folder: Path, log: Path) -> subprocess.Popen:
    """Start the Hub apart from this process: closing a notebook must not end it."""
    package_home = str(Path(__file__).resolve().parents[2])  # the same course_lib as here
    path = os.pathsep.join(filter(None, [package_home, os.environ.get("PYTHONPATH")]))
    apart: dict = {"start_new_session": True}
    if os.name == "nt":
        apart = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            **apart,
        )
    _started[process.pid] = process
    return process


def is_free(port: int) -> bool:
    """True if a server could take this port of 127.0.0.1."""
    with socket.socket() as probe:
        if os.name == "nt":  # there, the plain option would allow two servers on one port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
    return True


def may_be_alive(pid: int) -> bool:
    """False if there is no such process; True if there is one, be it one that has just ended."""
    if pid in _started and _started[pid].poll() is not None:
        return False
    if os.name == "nt":
        return _is_alive_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_alive_on_windows(pid: int) -> bool:
    """There, os.kill(pid, 0) would end the process instead of looking whether it is there."""
    import ctypes

    kernel32 = ctypes.windll.kernel32
    handle = kernel32.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return kernel32.GetLastError() == 5  # access denied: it is somebody else's
    code = ctypes.c_ulong()
    kernel32.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel32.CloseHandle(handle)
    return code.value == 259  # STILL_ACTIVE


def is_hub(pid: int) -> bool:
    """True if the process lives and is a Course Hub, by its command line."""
    if not may_be_alive(pid):
        return False
    if sys.platform == "linux":
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            return False
    else:
        query = f"(Get-CimInstance Win32_Process -Filter 'ProcessId={pid}').CommandLine"
        powershell = ["powershell", "-NoProfile", "-Command", query]
        command = powershell if os.name == "nt" else ["ps", "-o", "command=", "-p", str(pid)]
        line = subprocess.run(command, capture_output=True, text=True).stdout
    return "hub serve" in line  # a dead one that nobody has waited for has an empty line


def end(pid: int, grace: float) -> None:
    """End the Hub with this process id: ask, wait `grace` seconds, then kill."""
    kill = getattr(signal, "SIGKILL", signal.SIGTERM)  # on Windows the first one kills
    try:
        for sign, patience in ((signal.SIGTERM, grace), (kill, 5.0)):
            os.kill(pid, sign)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                if not is_hub(pid):
                    if pid in _started:  # a child of this process leaves a zombie until waited for
                        _started[pid].wait(patience)
                    return
                time.sleep(0.03)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise HubStartError(f"The Course Hub (process {pid}) belongs to another user.") from error
    raise HubStartError(f"The Course Hub (process {pid}) cannot be ended; restart the machine.")
