"""Finding, starting and stopping a Hub, against a fake one that can misbehave."""

import json
import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from course_lib.hub import client, process
from course_lib.hub.client import HubInfo, HubStartError
from tests.session.surroundings import hub_processes


def write_info(root: Path, **changes: object) -> dict:
    info = {
        "url": "http://127.0.0.1:9",
        "read_token": "course_r_x",
        "write_token": "course_w_x",
        "pid": os.getpid(),
        "instance": "fake",
        "user": "learner",
    } | changes
    root.mkdir(parents=True, exist_ok=True)
    (root / "hub.json").write_text(json.dumps(info))
    return info


def starts(root: Path) -> list[list[str]]:
    """Process id, port and idle seconds of each start."""
    return [line.split() for line in (root / "starts.txt").read_text().splitlines()]


@pytest.fixture
def taken() -> int:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_homes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.course_home() == home
    assert client.hub_root() == home / "hub"
    monkeypatch.setenv("COURSE_HOME", "~/elsewhere")
    assert client.course_home() == Path.home() / "elsewhere"
    monkeypatch.delenv("COURSE_HOME")
    assert client.course_home() == Path.home() / ".course"


def test_ensure_starts_once_and_then_finds(fake_hub: Path) -> None:
    assert client.find() is None
    info = client.ensure(idle=123)
    assert info == client.ensure() == client.find()
    assert (info.user, info.instance, info.write_token) == ("learner", "fake", "course_w_fake")
    [(pid, _, idle)] = starts(fake_hub)
    assert (int(pid), idle) == (info.pid, "123")


def test_tokens_are_not_in_the_repr(fake_hub: Path) -> None:
    info = client.ensure()
    assert "course_w_fake" not in repr(info) and "course_r_fake" not in repr(info)


def test_the_hub_is_apart_from_the_kernel(fake_hub: Path) -> None:
    pid = client.ensure().pid
    assert os.getsid(pid) == pid != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull
    assert os.readlink(f"/proc/{pid}/fd/1") == str(fake_hub / "hub.log")


def test_register_kernel(fake_hub: Path) -> None:
    info = client.ensure()
    client.register_kernel(info)
    client.register_kernel(info, 4321)
    lines = (fake_hub / "kernels.txt").read_text().splitlines()
    assert lines == [f"/_course/kernels {os.getpid()}", "/_course/kernels 4321"]
    wrong = HubInfo(**{**vars(info), "write_token": "course_w_wrong"})
    with pytest.raises(HubStartError, match="refused this kernel: 401"):
        client.register_kernel(wrong)


def test_many_at_once_start_one(fake_hub: Path) -> None:
    with ThreadPoolExecutor(10) as pool:
        infos = set(pool.map(lambda _: client.ensure(), range(10)))
    assert len(infos) == 1 and len(starts(fake_hub)) == 1


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"url": 1}', '{"url": "http://127.0.0.1:1", "pid": "x"}'],
)
def test_half_a_hub_json_is_none(fake_hub: Path, content: str) -> None:
    fake_hub.mkdir(parents=True)
    (fake_hub / "hub.json").write_text(content)
    assert client.find() is None
    assert client.ensure().instance == "fake"


def test_stale_process_is_dead(fake_hub: Path) -> None:
    info = client.ensure()
    os.kill(info.pid, signal.SIGKILL)
    while client.find() is not None:
        time.sleep(0.01)
    assert (fake_hub / "hub.json").exists()
    again = client.ensure()
    assert again.pid != info.pid
    assert again.url == info.url  # where open notebooks look for it


def test_stale_nobody_listens(home: Path) -> None:
    write_info(client.hub_root())
    assert client.find() is None


def test_stale_another_hub_has_the_port(fake_hub: Path) -> None:
    info = client.ensure()
    write_info(fake_hub, url=info.url, pid=info.pid, instance="an older one")
    assert client.find() is None
    write_info(fake_hub, url=info.url, pid=os.getpid())  # the right one, but another start of it
    assert client.find() is None
    write_info(fake_hub, url=info.url, pid=info.pid)
    assert client.find() is not None


def test_stale_something_else_has_the_port(home: Path, remote: object) -> None:
    for answer in [(200, []), (200, {"instance": 5}), (500, {"instance": "fake"}), (404, None)]:
        remote.answers["/healthz"] = answer
        write_info(client.hub_root(), url=remote.url)
        assert client.find() is None


def test_stale_listener_that_never_answers(home: Path, taken: int) -> None:
    write_info(client.hub_root(), url=f"http://127.0.0.1:{taken}")
    began = time.monotonic()
    assert client.find() is None
    assert time.monotonic() - began < 3


def test_a_foreign_process_with_the_old_number_is_left_alone(home: Path) -> None:
    write_info(client.hub_root())  # the number is now this test's
    assert client.stop() is False


def test_the_port_of_last_time_then_the_usual_then_any(
    fake_hub: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    monkeypatch.setattr(client, "DEFAULT_PORT", free)
    assert client.ensure().url == f"http://127.0.0.1:{free}"
    client.stop()
    monkeypatch.setattr(client, "DEFAULT_PORT", taken)
    assert client.ensure().url == f"http://127.0.0.1:{free}"  # remembered
    client.stop()
    (fake_hub / "port").write_text(str(taken))
    url = client.ensure().url
    assert url not in (f"http://127.0.0.1:{free}", f"http://127.0.0.1:{taken}")
    assert starts(fake_hub)[-1][1] == "0"


def test_a_wish_for_a_port(fake_hub: Path, taken: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    assert client.ensure(port=free).url == f"http://127.0.0.1:{free}"
    client.stop()
    (fake_hub / "port").write_text("no number")
    assert not client.ensure(port=taken).url.endswith(f":{taken}")


def test_a_port_lost_in_between(
    fake_hub: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = process.is_free
    answers = iter([True])  # it looked free a moment ago
    monkeypatch.setattr(process, "is_free", lambda port: next(answers, None) or really(port))
    info = client.ensure(port=taken)
    assert not info.url.endswith(f":{taken}")
    assert [port for _, port, _ in starts(fake_hub)][0] == str(taken)


def test_a_hub_that_dies_says_why(fake_hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub.mkdir(parents=True)
    (fake_hub / "hub.log").write_text("a line of last week\n")
    monkeypatch.setenv("FAKE_HUB", "dies")
    with pytest.raises(HubStartError) as caught:
        client.ensure()
    message = str(caught.value)
    assert "ended with code 1" in message and str(fake_hub / "hub.log") in message
    assert "the disk is full" in message and "last week" not in message
    assert len(starts(fake_hub)) == 1  # trying once more would not help


def test_a_hub_that_never_answers(fake_hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_HUB", "silent")
    monkeypatch.setattr(process, "START_TIMEOUT", 0.5)
    with pytest.raises(HubStartError, match=r"did not answer within 0.5 s.*\n  \(nothing\)$"):
        client.ensure()
    assert not hub_processes(fake_hub)


def test_a_hub_whose_folder_names_another(fake_hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_HUB", "foreign")
    monkeypatch.setattr(process, "START_TIMEOUT", 0.5)
    with pytest.raises(HubStartError, match="did not answer"):
        client.ensure()


def test_a_busy_hub_is_waited_for_not_doubled(
    fake_hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = client.ensure()
    monkeypatch.setattr(client, "HEALTH_TIMEOUT", 0.2)
    os.kill(info.pid, signal.SIGSTOP)
    try:
        assert client.find() is None
        monkeypatch.setattr(client, "BUSY_TIMEOUT", 0.5)
        with pytest.raises(HubStartError, match="runs but does not answer.*course hub stop"):
            client.ensure()
        monkeypatch.setattr(client, "BUSY_TIMEOUT", 20)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.ensure)
            time.sleep(0.5)
            os.kill(info.pid, signal.SIGCONT)
            assert waiting.result(10) == info
    finally:
        os.kill(info.pid, signal.SIGCONT)
    assert len(starts(fake_hub)) == 1


def test_a_hub_that_somebody_starts_by_hand_is_waited_for(
    fake_hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_hub.mkdir(parents=True)
    monkeypatch.setenv("FAKE_HUB", "slow")
    command = process.serve_command(fake_hub, 0, 900)
    with subprocess.Popen(command) as by_hand:
        while not (fake_hub / "serve.lock").exists():
            time.sleep(0.01)
        monkeypatch.delenv("FAKE_HUB")
        assert client.ensure().pid == by_hand.pid
        client.stop()
    assert len(starts(fake_hub)) == 1


def test_one_by_hand_that_comes_first(fake_hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had the folder's lock before ours, and answers only after ours has given up."""
    fake_hub.mkdir(parents=True)
    really, asked = client._is_served, iter([False])  # nobody had the lock a moment ago
    monkeypatch.setattr(
        client, "_is_served", lambda root: next(asked, None) is None and really(root)
    )
    monkeypatch.setenv("FAKE_HUB", "slow")
    with subprocess.Popen(process.serve_command(fake_hub, 0, 900)) as by_hand:
        while not (fake_hub / "serve.lock").exists():
            time.sleep(0.01)
        assert client.ensure().pid == by_hand.pid
        client.stop()
    assert len(starts(fake_hub)) == 2


def test_progress_only_when_it_takes_long(fake_hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    client.ensure(progress=said.append)
    client.stop()
    assert said == []
    monkeypatch.setenv("FAKE_HUB", "slow")
    monkeypatch.setattr(process, "QUIET_SECONDS", 0.5)
    client.ensure(progress=said.append)
    assert said[0].startswith("Starting the Course Hub (") and 2 <= len(said) <= 4


def test_stop(fake_hub: Path) -> None:
    assert client.stop() is False
    info = client.ensure()
    assert client.stop() is True
    assert not hub_processes(fake_hub) and not (fake_hub / "hub.json").exists()
    assert client.find() is None and client.stop() is False
    with pytest.raises(OSError):
        client.register_kernel(info)


def test_stop_kills_what_does_not_listen(fake_hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_HUB", "stubborn")
    client.ensure()
    assert client.stop(grace=0.3) is True
    assert not hub_processes(fake_hub)


def test_stop_ends_a_hub_that_hangs(fake_hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = client.ensure()
    monkeypatch.setattr(client, "HEALTH_TIMEOUT", 0.2)
    os.kill(info.pid, signal.SIGSTOP)  # a stopped process does not even take a SIGTERM
    assert client.stop(grace=0.3) is True
    assert not hub_processes(fake_hub)


def test_no_zombie_is_left(fake_hub: Path) -> None:
    pid = client.ensure().pid
    client.stop()
    assert not Path(f"/proc/{pid}").exists()


def test_a_folder_that_cannot_be_written(home: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    home.write_text("a file where the folder should be")
    with pytest.raises(HubStartError, match="Set COURSE_HOME to a folder that you can write to"):
        client.ensure()
    home.unlink()


def test_a_long_log_is_put_aside(fake_hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_LIMIT", 10)
    fake_hub.mkdir(parents=True)
    (fake_hub / "hub.log").write_text("more than ten bytes\n")
    client.ensure()
    assert (fake_hub / "hub.log.1").read_text() == "more than ten bytes\n"
    assert (fake_hub / "hub.log").read_text() == ""


def test_proxies_are_bypassed(fake_hub: Path, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            monkeypatch.setenv(name, f"http://127.0.0.1:{taken}")
    assert client.ensure() == client.find()


@pytest.mark.parametrize(
    "url, direct",
    [
        ("http://127.0.0.1:8900", True),
        ("http://localhost:8900", True),
        ("http://hub.localhost", True),
        ("http://[::1]:8900", True),
        ("http://192.168.1.20:8900", True),
        ("http://10.0.0.5", True),
        ("https://huggingface.co", False),
        ("http://8.8.8.8", False),
        ("http://classroom:8900", False),
    ],
)
def test_which_hosts_go_around_a_proxy(url: str, direct: bool) -> None:
    assert client.bypasses_proxy(url) is direct


def test_a_token_does_not_follow_a_redirect(remote: object) -> None:
    remote.answers["/api/whoami"] = (302, f"{remote.url}/elsewhere")
    status, _ = client.ask(f"{remote.url}/api/whoami", token="course_w_secret")
    assert status == 302 and [path for path, _ in remote.seen] == ["/api/whoami"]


def test_something_that_is_not_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:

        def greet() -> None:
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"220 mail server ready\r\n")
            connection.close()

        pool.submit(greet)
        with pytest.raises(OSError, match="does not speak HTTP"):
            client.ask(f"http://127.0.0.1:{server.getsockname()[1]}/healthz")
