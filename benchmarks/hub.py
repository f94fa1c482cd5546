"""How fast the Course Hub moves files, next to a plain copy of the same bytes on the same disk.

    python benchmarks/hub.py [--megabytes 200] [--rounds 3]

Each round measures every way once, so that what else the machine does falls on all of them alike.
Nothing fails here; read the ratios.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

# What one `from_pretrained` asks for before it loads: most of it is not there.
HEADS = (
    "config.json added_tokens.json chat_template.jinja special_tokens_map.json tokenizer.json "
    "tokenizer_config.json model.safetensors model.safetensors.index.json generation_config.json"
).split()
REPO = "learner/benchmark"


@contextmanager
def server(folder: Path):
    """A Hub on an empty directory; gives its hub.json."""
    command = [sys.executable, "-m", "course_lib.hub", "serve", "--root", str(folder / "hub")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, "--port", "0", "--idle", "0"], stdout=log, stderr=log)
    try:
        while not (folder / "hub" / "hub.json").exists():
            if process.poll() is not None:
                raise SystemExit((folder / "log").read_text())
            time.sleep(0.05)
        yield json.loads((folder / "hub" / "hub.json").read_text())
    finally:
        process.terminate()
        process.wait()


def plain_copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def download(url: str, target: Path) -> None:
    with urllib.request.urlopen(url) as answer, target.open("wb") as file:
        shutil.copyfileobj(answer, file, 1 << 20)
        os.fsync(file.fileno())


def upload(info: dict, source: Path, xet: bool) -> None:
    from huggingface_hub import HfApi, constants

    constants.HF_HUB_DISABLE_XET = not xet
    HfApi(info["url"], info["write_token"]).upload_file(
        path_or_fileobj=source, path_in_repo="model.safetensors", repo_id=REPO
    )


def heads(info: dict, threads: int, each: int) -> tuple[float, float]:
    """Requests a second over kept connections, and the median seconds of one."""
    place = urlsplit(info["url"])
    requests = [
        f"HEAD /{REPO}/resolve/main/{name} HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Authorization: Bearer {info['read_token']}\r\n\r\n".encode()
        for name in HEADS
    ]
    seconds: list[float] = []

    def ask() -> None:
        with socket.create_connection((place.hostname, place.port)) as connection:
            for number in range(each):
                began, answer = time.perf_counter(), b""
                connection.sendall(requests[number % len(requests)])
                while not answer.endswith(b"\r\n\r\n"):
                    answer += connection.recv(65536)
                seconds.append(time.perf_counter() - began)

    workers = [threading.Thread(target=ask) for _ in range(threads)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(seconds) / (time.perf_counter() - began), statistics.median(seconds)


def timed(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def measure(info: dict, folder: Path, megabytes: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, a number a round."""
    source, target = folder / "source", folder / "target"
    address = f"{info['url']}/{REPO}/resolve/main/model.safetensors"
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, action in {
            "plain copy": lambda: plain_copy(source, target),
            "upload, LFS": lambda: upload(info, source, xet=False),
            "download": lambda: download(address, target),
            "upload, Xet": lambda: upload(info, source, xet=True),
        }.items():
            if name.startswith(("plain", "upload")):  # content that nobody has seen
                with source.open("wb") as file:
                    for _ in range(megabytes):
                        file.write(os.urandom(1_000_000))
            found.setdefault(name, []).append(timed(action))
        assert target.stat().st_size == source.stat().st_size
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=200, help="size of the file (200)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each way is taken (3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as info:
        os.environ["HF_HOME"] = str(Path(name) / "hf")
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        from huggingface_hub import HfApi

        HfApi(info["url"], info["write_token"]).create_repo(REPO)
        found = measure(info, Path(name), options.megabytes, options.rounds)
        rates = {way: options.megabytes / statistics.median(s) for way, s in found.items()}
        print(f"{'way':<14}{'MB/s':>8}{'of a plain copy':>18}")
        for way, rate in rates.items():
            print(f"{way:<14}{rate:>8.0f}{rate / rates['plain copy']:>17.0%}")
        print(f"\n{'HEAD':<14}{'a second':>8}{'median':>18}")
        for threads in (1, 8):
            rate, median = heads(info, threads, 2000 // threads)
            print(f"{threads} at once{'':<5}{rate:>8.0f}{median * 1000:>15.2f} ms")


if __name__ == "__main__":
    main()
