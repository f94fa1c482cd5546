"""The server as a process: one for each directory, no orphans, no secrets in its log."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from course_lib.hub.server import is_idle


def ask(server, path, token=None, body=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(server.url + path, data, headers), timeout=10) as answer:
        return json.load(answer)


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_hub_json_says_all_that_is_needed_to_its_owner_only(run_server):
    server = run_server()
    info = json.loads((server.root / "hub.json").read_text())
    assert info.keys() == {
        "url", "read_token", "write_token", "pid", "instance", "user", "version",
    }  # fmt: skip
    assert info["pid"] == server.process.pid == ask(server, "/healthz")["pid"]
    assert ask(server, "/healthz")["instance"] == info["instance"]
    assert ask(server, "/api/whoami-v2", info["read_token"])["name"] == info["user"]
    if os.name != "nt":
        assert stat.S_IMODE((server.root / "hub.json").stat().st_mode) == 0o600
        assert stat.S_IMODE(server.root.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_it_stops_when_told_and_takes_hub_json_along(run_server, name):
    server = run_server()
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        idle.recv(1000)
        began = time.monotonic()
        server.process.send_signal(getattr(signal, name))
        assert server.process.wait(20) == 0
    assert time.monotonic() - began < 5, "an idle connection must not hold it"
    assert not (server.root / "hub.json").exists()


def test_a_directory_has_one_server(run_server, refuse_server):
    server = run_server()
    said = refuse_server()
    assert len(said.splitlines()) == 1 and "runs on" in said and "course hub stop" in said
    assert ask(server, "/healthz")["status"] == "ok"


def test_a_taken_port_is_named(refuse_server):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refuse_server(port=port)
    assert len(said.splitlines()) == 1 and str(port) in said and "--port 0" in said


def test_a_killed_server_leaves_nothing_that_stops_the_next(run_server):
    first = run_server()
    (first.root / "tmp" / "half-an-upload").write_bytes(b"x")
    first.process.kill()
    first.process.wait()
    (first.root / "hub.json").rename(first.root / "stale.json")
    second = run_server()
    assert ask(second, "/healthz")["pid"] == second.process.pid
    assert not list((second.root / "tmp").iterdir())
    with pytest.raises(HTTPError, match="401"):  # the tokens of the last start have ended
        ask(second, "/api/whoami-v2", first.write_token)


def test_it_leaves_the_hub_json_of_another_server_alone(run_server):
    server = run_server()
    other = json.loads((server.root / "hub.json").read_text()) | {"pid": 1}
    (server.root / "hub.json").write_text(json.dumps(other))
    server.process.terminate()
    server.process.wait(20)
    assert json.loads((server.root / "hub.json").read_text()) == other


def test_it_stops_when_no_kernel_lives_and_nobody_asks(run_server):
    server = run_server(idle=0.4)
    kernel = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ask(server, "/_course/kernels", server.write_token, {"pid": kernel.pid})
    time.sleep(1.2)
    assert server.process.poll() is None, "a kernel lives"
    kernel.communicate(b"\n")
    assert server.process.wait(20) == 0
    assert not (server.root / "hub.json").exists()


def test_a_request_in_progress_keeps_it(hub):
    shared = hub.app.hub
    shared.last_request = time.monotonic() - 100
    assert is_idle(shared, 50) and not is_idle(shared, 150)
    shared.active = 1
    assert not is_idle(shared, 50)


def test_all_interfaces_come_with_a_warning(run_server):
    server = run_server(host="0.0.0.0")
    assert server.url.startswith("http://127.0.0.1:")
    assert ask(server, "/healthz")["status"] == "ok"
    assert "WARNING: listening on 0.0.0.0" in (server.home / "server.log").read_text()


def test_the_log_has_no_secrets(run_server, tmp_path):
    names = tmp_path / "names.csv"
    names.write_text("Ann Lee\n")
    server = run_server(students=str(names))
    for path in ("/nowhere?token=tell-nobody", "/api/whoami-v2"):
        with pytest.raises(HTTPError):
            ask(server, path, "unknown-token")
    ask(server, "/api/whoami-v2", server.write_token)
    server.process.terminate()
    server.process.wait(20)
    log = (server.home / "server.log").read_text()
    assert "Course Hub at http://127.0.0.1:" in log and "students.csv" in log
    student = (server.root / "students.csv").read_text().split(",")[-1].strip()
    for secret in (server.write_token, server.read_token, student, "unknown-token", "tell-nobody"):
        assert secret not in log


def test_broken_requests_are_answered_and_forgotten(run_server):
    server = run_server()
    port = int(server.url.rpartition(":")[2])
    for rubbish in (b"\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n", b""):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(rubbish)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100)[:12] in (b"HTTP/1.1 400", b"")
    assert ask(server, "/healthz")["status"] == "ok"
    assert "Traceback" not in (server.home / "server.log").read_text()
