"""The Course Hub under load: large files beside a plain copy, and many small requests at once.

    python benchmarks/hub_stress.py [--megabytes 256] [--seconds 60] [--output FILE.md]

Every round moves the same bytes in every way, one after the other, so that whatever else the
machine does falls on all of them alike; ratios are taken within a round. The copy and all uploads
end on the disk (fsync). Another round begins only if there is time for it. Nothing fails here.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

REPO = "learner/stress"
PIECE = 1 << 20
INLINE_FILES = 32  # each small enough to come inside the commit
PACKAGES = ("uvicorn", "httptools", "starlette", "huggingface_hub", "hf-xet")
# What one `from_pretrained` asks for before it loads: most of it is not there.
HEADS = (
    "config.json added_tokens.json chat_template.jinja special_tokens_map.json tokenizer.json "
    "tokenizer_config.json model.safetensors model.safetensors.index.json generation_config.json"
).split()


class Hub:
    """A running Hub, asked over plain HTTP or with the client."""

    def __init__(self, info: dict):
        from huggingface_hub import HfApi

        self.url, self.token = info["url"], info["write_token"]
        self.api = HfApi(self.url, self.token)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.url).netloc)

    def ask(self, connection: http.client.HTTPConnection, method: str, path: str, body=None):
        connection.request(method, path, body, {"Authorization": f"Bearer {self.token}"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status not in (200, 404):
            raise SystemExit(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content


@contextmanager
def running(folder: Path) -> Iterator[Hub]:
    """A Hub on an empty directory."""
    command = [sys.executable, "-m", "course_lib.hub", "serve", "--root", str(folder / "hub")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--port", "0", "--idle", "0", "--no-zoo"], stdout=log, stderr=log
        )
    try:
        while not (folder / "hub" / "hub.json").exists():
            if process.poll() is not None:
                raise SystemExit((folder / "log").read_text())
            time.sleep(0.05)
        yield Hub(json.loads((folder / "hub" / "hub.json").read_text()))
    finally:
        process.terminate()
        process.wait()


# -- large files -----------------------------------------------------------------------------------


def plain_copy(hub: Hub, source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def plain_get(hub: Hub, source: Path, target: Path) -> None:
    connection = hub.connect()
    connection.request("GET", f"/{REPO}/resolve/main/model.bin")
    with connection.getresponse() as answer, target.open("wb") as file:
        shutil.copyfileobj(answer, file, PIECE)
        os.fsync(file.fileno())


def client_download(hub: Hub, source: Path, target: Path) -> None:
    shutil.rmtree(target.parent / "fetched", ignore_errors=True)
    hub.api.hf_hub_download(REPO, "model.bin", local_dir=target.parent / "fetched")


def plain_put(hub: Hub, source: Path, target: Path) -> None:
    """An LFS object by its link, its sha256 worked out before as the client does it."""
    with source.open("rb") as file:
        oid = hashlib.file_digest(file, "sha256").hexdigest()
    objects = [{"oid": oid, "size": source.stat().st_size}]
    question = json.dumps({"operation": "upload", "objects": objects})
    connection = hub.connect()
    answer = hub.ask(connection, "POST", f"/{REPO}.git/info/lfs/objects/batch", question)
    link = urlsplit(json.loads(answer)["objects"][0]["actions"]["upload"]["href"])
    connection.putrequest("PUT", f"{link.path}?{link.query}")
    connection.putheader("Content-Length", str(objects[0]["size"]))
    connection.endheaders()
    with source.open("rb") as file:
        while piece := file.read(PIECE):
            connection.send(piece)
    if (status := connection.getresponse().status) != 200:
        raise SystemExit(f"The upload was answered with {status}.")


def client_upload(hub: Hub, source: Path, xet: bool) -> None:
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_XET = not xet
    hub.api.upload_file(repo_id=REPO, path_in_repo="model.bin", path_or_fileobj=source)


def client_inline(hub: Hub, source: Path, target: Path) -> None:
    from huggingface_hub import CommitOperationAdd

    size = source.stat().st_size // INLINE_FILES
    with source.open("rb") as file:
        adds = [CommitOperationAdd(f"{n}.txt", file.read(size)) for n in range(INLINE_FILES)]
    hub.api.create_commit(REPO, adds, commit_message="Many files")


Way = Callable[[Hub, Path, Path], None]
WAYS: dict[str, Way] = {
    "plain copy": plain_copy,
    "LFS upload, plain PUT": plain_put,
    "LFS upload, client": lambda hub, source, target: client_upload(hub, source, xet=False),
    "Xet upload, client": lambda hub, source, target: client_upload(hub, source, xet=True),
    f"{INLINE_FILES} files in one commit, client": client_inline,
    "download, plain GET": plain_get,
    "download, client": client_download,
}


def move_files(hub: Hub, folder: Path, size: int, deadline: float) -> list[dict[str, float]]:
    """Seconds of each way, a dictionary a round."""
    source, target = folder / "source", folder / "target"
    rounds: list[dict[str, float]] = []
    began, longest = time.monotonic(), 0.0
    while not rounds or began + longest < deadline:
        rounds.append({})
        for name, way in WAYS.items():
            if not name.startswith("download"):  # uploads of what the Hub has cost nothing
                with source.open("wb") as file:
                    file.writelines(os.urandom(PIECE) for _ in range(size // PIECE))
            started = time.perf_counter()
            way(hub, source, target)
            rounds[-1][name] = time.perf_counter() - started
        longest = max(longest, time.monotonic() - began)
        began = time.monotonic()
    return rounds


# -- small requests --------------------------------------------------------------------------------


def heads(hub: Hub, connections: int, seconds: float) -> tuple[float, float]:
    """Requests a second over kept connections, and the time within which 99 of 100 are answered."""

    def ask() -> list[float]:
        connection, times = hub.connect(), []
        while time.perf_counter() < end:
            began = time.perf_counter()
            name = HEADS[len(times) % len(HEADS)]
            hub.ask(connection, "HEAD", f"/{REPO}/resolve/main/{name}")
            times.append(time.perf_counter() - began)
        return times

    end = time.perf_counter() + seconds
    with ThreadPoolExecutor(connections) as pool:
        asking = [pool.submit(ask) for _ in range(connections)]
        times = [took for one in asking for took in one.result()]
    return len(times) / seconds, statistics.quantiles(times, n=100)[98]


def heads_beside(hub: Hub, source: Path, seconds: float) -> tuple[float, float]:
    """The same while a large file comes in."""
    with ThreadPoolExecutor(1) as pool:
        uploading = pool.submit(plain_put, hub, source, source)
        found = heads(hub, 1, seconds)
        uploading.result()
    return found


def commits(hub: Hub, writers: int, seconds: float) -> tuple[float, float]:
    """Commits of one small file a second, all to one branch."""

    def write(writer: int) -> list[float]:
        connection, times = hub.connect(), []
        while time.perf_counter() < end:
            began = time.perf_counter()
            path = f"{writer}/{len(times)}.txt"
            value = {"path": path, "content": "YWJj", "encoding": "base64"}
            lines = {"key": "header", "value": {"summary": path}}, {"key": "file", "value": value}
            body = "\n".join(map(json.dumps, lines))
            hub.ask(connection, "POST", f"/api/models/{REPO}/commit/main", body)
            times.append(time.perf_counter() - began)
        return times

    end = time.perf_counter() + seconds
    with ThreadPoolExecutor(writers) as pool:
        times = [took for one in pool.map(write, range(writers)) for took in one]
    return len(times) / seconds, statistics.quantiles(times, n=100)[98]


# -- the tables ------------------------------------------------------------------------------------


def file_table(rounds: list[dict[str, float]], size: int) -> Iterator[str]:
    yield f"{size / 1e6:.0f} MB, median of {len(rounds)} rounds:"
    yield ""
    yield "| way | MB/s | times a plain copy |"
    yield "|---|---:|---:|"
    for name in WAYS:
        rate = size / 1e6 / statistics.median(took[name] for took in rounds)
        ratio = statistics.median(took[name] / took["plain copy"] for took in rounds)
        yield f"| {name} | {rate:.0f} | {ratio:.1f} |"


def request_table(hub: Hub, source: Path) -> Iterator[str]:
    source.write_bytes(b"".join(os.urandom(PIECE) for _ in range(source.stat().st_size // PIECE)))
    yield "| requests | a second | 99 % within |"
    yield "|---|---:|---:|"
    for name, (rate, slowest) in {
        "HEADs of a model load, 1 connection": heads(hub, 1, 3),
        "HEADs of a model load, 8 connections": heads(hub, 8, 3),
        "HEADs, 1 connection, beside an LFS upload": heads_beside(hub, source, 2),
        "commits of one file, 1 writer": commits(hub, 1, 3),
        "commits of one file, 8 writers to one branch": commits(hub, 8, 3),
    }.items():
        yield f"| {name} | {rate:.0f} | {slowest * 1000:.1f} ms |"


def machine() -> str:
    versions = (f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"{system}, Python {platform.python_version()}, {', '.join(versions)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=256, help="size of the file (256)")
    parser.add_argument("--seconds", type=float, default=60, help="for large files (60)")
    parser.add_argument("--output", type=Path, help="write the tables to this file too")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        os.environ |= {"HF_HOME": f"{name}/hf", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        folder, size = Path(name), options.megabytes * PIECE
        with running(folder) as hub:
            hub.api.create_repo(REPO)
            rounds = move_files(hub, folder, size, began + options.seconds)
            lines = [*file_table(rounds, size), "", *request_table(hub, folder / "source")]
    text = "\n".join([*lines, "", machine() + ".", ""])
    print(text, f"({time.monotonic() - began:.0f} s)", sep="\n")
    if options.output:
        command = f"python benchmarks/hub_stress.py --megabytes {options.megabytes}"
        options.output.write_text(f"# The Course Hub under load\n\n`{command}`\n\n{text}")


if __name__ == "__main__":
    main()
