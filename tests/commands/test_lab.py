"""`course lab`: JupyterLab comes up on the first page, and nothing of it stays."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import course_lib
from course_lib import cli
from course_lib.commands import lab
from course_lib.commands.errors import UserError


def test_lab_starts_prints_its_address_and_stops(course_home):
    env = {**os.environ, "COURSE_HUB": "http://127.0.0.1:1"}  # no Hub of our own for this
    process = subprocess.Popen(
        [sys.executable, "-m", "course_lib.cli", "lab", "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    text = "".join(lines)
    assert "Course Hub   http://127.0.0.1:1 (from COURSE_HUB)" in text
    url = re.search(r"^JupyterLab +(\S+)$", text, re.MULTILINE)[1]
    base, token = url.split("/lab/tree/")[0], url.split("token=")[1]
    assert url.startswith("http://127.0.0.1:") and "nbs/index.ipynb" in url
    with urllib.request.urlopen(url, timeout=20) as page:
        assert page.status == 200
    with urllib.request.urlopen(f"{base}/api/kernelspecs?token={token}", timeout=20) as answer:
        assert "python3" in json.load(answer)["kernelspecs"]
    # The token is in nobody's process list.
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert token not in listing
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "JupyterLab stops" in rest
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{base}/api/status", timeout=2)


def test_lab_starts_the_hub_of_this_machine(course_home, monkeypatch):
    monkeypatch.delenv("COURSE_HUB", raising=False)
    url = lab.ready_hub()

    from course_lib.hub import client

    assert client.find().url == url


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "99999"], "--port 99999 is not a port"),
        (["--port", "TAKEN"], "is taken: leave --port out"),
        (["--ip", "203.0.113.7"], "--ip 203.0.113.7 is not an address of this machine"),
        (["--ip", "no such host"], "--ip no such host is not an address of this machine"),
    ],
)
def test_wrong_calls(arguments, words, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        arguments = [port if argument == "TAKEN" else argument for argument in arguments]
        assert cli.main(["lab", "--no-browser", *arguments]) in (1, 2)
    assert words in capsys.readouterr().err


def test_without_jupyterlab(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["lab"]) == 1
    assert "JupyterLab is not installed" in capsys.readouterr().err


def test_an_installation_copies_the_notebooks_once(tmp_path, monkeypatch, capsys):
    package = tmp_path / "site-packages" / "course_lib"
    (package / "notebooks" / "chapters").mkdir(parents=True)
    (package / "notebooks" / "index.ipynb").write_text("index")
    (package / "notebooks" / "chapters" / "a.ipynb").write_text("chapter")
    monkeypatch.setattr(course_lib, "__file__", str(package / "__init__.py"))
    here = tmp_path / "here"
    here.mkdir()
    assert lab.workspace(here) == (here / "course-notebooks", "index.ipynb")
    assert "Copied 2 notebooks" in capsys.readouterr().out
    edited = here / "course-notebooks" / "chapters" / "a.ipynb"
    edited.write_text("my own edits")
    (here / "course-notebooks" / "index.ipynb").unlink()
    lab.workspace(here)
    assert edited.read_text() == "my own edits"
    assert (here / "course-notebooks" / "index.ipynb").read_text() == "index"


def test_a_server_that_ends_at_once_is_an_error(tmp_path):
    log = tmp_path / "lab.log"
    log.write_text("reason: none\n")
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    process.wait()
    with pytest.raises(UserError, match="(?s)did not start.*reason: none"):
        lab.wait_until_up(process, "http://127.0.0.1:9/api/status", "token", log)


def test_in_a_checkout_nothing_is_copied(root, tmp_path):
    assert lab.workspace(tmp_path) == (root, "nbs/index.ipynb")
    assert list(Path(tmp_path).iterdir()) == []
