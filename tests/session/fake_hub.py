"""A Course Hub's outward behaviour, and ways to misbehave: `fake_hub.py hub serve …`.

The variable FAKE_HUB says how: `dies` with a last word, is `silent`, is `slow` to start,
is `stubborn` when asked to end, `foreign` (its hub.json names another instance).
"""

import argparse
import fcntl
import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODE = os.environ.get("FAKE_HUB", "")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/healthz":
            return self.answer(404, {"error": "not here"})
        health = {"status": "ok", "instance": "fake", "version": "0", "pid": os.getpid()}
        self.answer(200, health)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != "Bearer course_w_fake":
            return self.answer(401, {"error": "who are you?"})
        with (Path(self.server.root) / "kernels.txt").open("a") as file:
            file.write(f"{self.path} {body['pid']}\n")
        self.answer(200, {})

    def answer(self, status: int, value: dict) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs=2)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--idle", type=float)
    args = parser.parse_args()
    with (args.root / "starts.txt").open("a") as file:
        file.write(f"{os.getpid()} {args.port} {args.idle:g}\n")
    if MODE == "dies":
        print("first line of the log")
        sys.exit("the disk is full")
    lock = (args.root / "serve.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("a Hub runs here already")
    if MODE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if MODE == "slow":
        time.sleep(2.6)
    server = ThreadingHTTPServer((args.host, args.port), Handler)
    server.root = args.root
    info = {
        "url": f"http://{args.host}:{server.server_port}",
        "read_token": "course_r_fake",
        "write_token": "course_w_fake",
        "pid": os.getpid(),
        "instance": "another" if MODE == "foreign" else "fake",
        "user": "learner",
        "version": "0",
    }
    if MODE == "silent":
        time.sleep(60)
    (args.root / "hub.json").write_text(json.dumps(info))
    server.serve_forever()


main()
