"""`course lab`: the Course Hub, and JupyterLab on the course's first page."""

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from course_lib.commands.errors import UserError
from course_lib.commands.notebooks import checkout, list_notebooks, notebook_root
from course_lib.commands.terminal import Style
from course_lib.hub.client import course_home

DESCRIPTION = """\
Start the Course Hub if it does not run yet, and open the course in JupyterLab. In an installation
without a clone of the repository, the notebooks are first copied to ./course-notebooks; a notebook
that is there already is left as it is. Ctrl-C stops JupyterLab; the Hub stops by itself when it has
been idle for a while.
"""

EXAMPLES = """\
examples:
  course lab                             open the browser on the first page
  course lab --no-browser --port 9000    print the address only, for instance over SSH
  course lab --ip 0.0.0.0                let other machines in (they need the printed token)
"""

COPY_FOLDER = "course-notebooks"
SETTINGS = Path(__file__).parent / "jupyter"  # turns off JupyterLab's question about news
START_SECONDS = 60


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Describe `course lab`."""
    parser = subparsers.add_parser(
        "lab",
        help="start the Course Hub and open the course in JupyterLab",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    parser.add_argument(
        "--port", type=int, metavar="P", help="JupyterLab's port (default: a free one from 8888)"
    )
    parser.add_argument(
        "--ip", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Run JupyterLab until Ctrl-C; 0 after a clean stop."""
    require_jupyterlab()
    root, first_page = workspace(Path.cwd())
    port = choose_port(args.ip, args.port)
    token = secrets.token_urlsafe(24)
    address = f"http://{'127.0.0.1' if args.ip in ('0.0.0.0', '::', '') else args.ip}:{port}"

    style = Style.of()
    print(f"Course Hub   {style.bold(ready_hub())}", flush=True)
    log = course_home() / "lab.log"
    with jupyterlab(root, args.ip, port, token, log) as process:
        wait_until_up(process, f"{address}/api/status", token, log)
        url = f"{address}/lab/tree/{quote(first_page)}?token={token}"
        print(f"JupyterLab   {style.bold(url)}")
        if args.ip not in ("127.0.0.1", "localhost"):
            warning = f"JupyterLab listens on {args.ip}: who has this address can run code here."
            print(style.yellow(warning))
        print("Ctrl-C stops JupyterLab.", flush=True)
        if not args.no_browser:
            webbrowser.open(url)
        try:
            status = process.wait()
        except KeyboardInterrupt:
            print("\nJupyterLab stops; your notebooks are saved where they are.", flush=True)
            return 0
    if status:
        raise UserError(f"JupyterLab ended with status {status}. {last_words(log)}")
    return 0


def ready_hub() -> str:
    """The Hub that the notebooks will use, and the local one started if it is that."""
    chosen = os.environ.get("COURSE_HUB", "local")
    if chosen != "local":
        return f"{chosen} (from COURSE_HUB)"

    from course_lib.hub import client

    hub = client.ensure(progress=lambda text: print(text, flush=True))
    client.register_kernel(hub)  # it lives as long as this command does
    return hub.url


def require_jupyterlab() -> None:
    """Say what to install before anything is started."""
    import importlib.util

    if importlib.util.find_spec("jupyterlab") is None:
        raise UserError(
            "JupyterLab is not installed: run `make setup` in the repository, or "
            "`pip install jupyterlab`."
        )


def workspace(here: Path) -> tuple[Path, str]:
    """JupyterLab's root folder and the first page in it: the checkout, or a copy below `here`."""
    folder = checkout()
    if folder is not None:
        return folder, "nbs/index.ipynb"
    root = notebook_root()
    target = here / COPY_FOLDER
    copied = 0
    for source in list_notebooks(root):
        copy = target / source.relative_to(root)
        if not copy.exists():  # never over what the reader has changed
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
            copied += 1
    if copied:
        print(f"Copied {copied} notebooks to {target}")
    return target, "index.ipynb"


def choose_port(ip: str, wanted: int | None) -> int:
    """The wanted port if it is free, else an error; without a wish the first free one from 8888."""
    if wanted is not None and not 1 <= wanted <= 65535:
        raise UserError(f"--port {wanted} is not a port: choose one from 1 to 65535.", code=2)
    for port in [wanted] if wanted else range(8888, 8988):
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ip, port))
                return port
            except socket.gaierror as error:
                raise UserError(f"--ip {ip} is not an address of this machine.", 2) from error
            except PermissionError as error:
                raise UserError(f"Port {port} needs more rights: choose one above 1023.") from error
            except OSError as error:
                if error.errno == 99 or error.errno == 49:  # EADDRNOTAVAIL on Linux, on macOS
                    message = f"--ip {ip} is not an address of this machine."
                    raise UserError(message, 2) from error
    if wanted:
        raise UserError(f"Port {wanted} is taken: leave --port out, or choose another one.")
    raise UserError("Every port from 8888 to 8987 is taken: choose one with --port.")


@contextlib.contextmanager
def jupyterlab(
    root: Path, ip: str, port: int, token: str, log: Path
) -> Iterator[subprocess.Popen]:
    """A JupyterLab server that is gone when the block ends, however it ends; it writes to `log`."""
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        f"--ServerApp.ip={ip}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root}",
        "--LabApp.news_url=None",
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # containers run as root; JupyterLab would refuse
    # The token goes through the environment: command lines are visible to everyone. A session
    # of its own keeps Ctrl-C from JupyterLab, which would ask whether you are sure.
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, "JUPYTER_TOKEN": token, "JUPYTER_CONFIG_PATH": config_path()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield process
    finally:
        signal.signal(signal.SIGTERM, before)
        stop(process)


def config_path() -> str:
    """Our settings in front of the reader's own."""
    theirs = os.environ.get("JUPYTER_CONFIG_PATH")
    return os.pathsep.join(filter(None, [str(SETTINGS), theirs]))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def stop(process: subprocess.Popen, patience: float = 10.0) -> None:
    """End the server and its kernels: politely, then for good."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def last_words(log: Path) -> str:
    """Where the log is, and how it ends."""
    tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-8:]
    return f"Its log, {log}, ends:\n  " + "\n  ".join(tail or ["(nothing)"])


def wait_until_up(process: subprocess.Popen, url: str, token: str, log: Path) -> None:
    """Return when the server answers; an error if it ends first or takes too long."""
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"})
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(f"JupyterLab did not start. {last_words(log)}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            with urllib.request.urlopen(request, timeout=2) as answer:
                json.load(answer)
                return
        time.sleep(0.2)
    raise UserError(f"JupyterLab did not answer within {START_SECONDS} s. {last_words(log)}")
