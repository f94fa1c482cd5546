"""`course hub`, from the command line in: what it prints, what it leaves, how it ends."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course_lib import cli
from course_lib.hub import client
from course_lib.hub.names import parse_repo_id
from course_lib.hub.storage.store import Store

SUBCOMMANDS = "serve start stop status list import export sync env check gc reset".split()


@pytest.fixture
def hub(course_home: Path, capsys):
    """Run `course hub …` here; gives exit status and both outputs."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main(["hub", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out, err

    return run


@pytest.fixture
def serve(tmp_path: Path):
    """Run `course hub serve --no-zoo` on a folder; all are stopped in the end."""
    running = []

    def start(root: Path, *arguments: str) -> client.HubInfo:
        command = [sys.executable, "-m", "course_lib.cli", "hub", "serve", "--no-zoo"]
        command += ["--root", str(root), "--port", "0", *arguments]
        log = (tmp_path / "serve.log").open("ab")
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        running.append(process)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if info := client.find(root):
                return info
            time.sleep(0.05)
        raise AssertionError((tmp_path / "serve.log").read_text())

    yield start
    for process in running:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, (tmp_path / "serve.log").read_text()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "reviews-train.csv"
    path.write_text("text,label\ngood,1\nbad,0\n")
    return path


def one_line(err: str) -> bool:
    return err.startswith("course: ") and len(err.splitlines()) == 1


def test_every_subcommand_has_a_summary_and_an_example(hub):
    status, out, _ = hub("--help")
    assert status == 0
    for name in SUBCOMMANDS:
        assert f"    {name} " in out
        status, text, _ = hub(name, "--help")
        assert status == 0
        assert f"course hub {name}" in text.split("example:")[1]
        assert max(map(len, text.splitlines())) <= 100
    assert hub()[0] == 2
    assert hub("serve", "--port", "70000")[0] == hub("serve", "--idle", "-1")[0] == 2


def test_the_parser_costs_nothing():
    code = (
        "import sys; from course_lib.cli import main; main(['hub', '--help'])\n"
        "heavy = {'starlette', 'pyarrow', 'huggingface_hub', 'torch', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert out.splitlines()[-1] == "[]"


def test_import_list_check_export_gc_reset(hub, table, tmp_path, course_home):
    root = course_home / "hub"
    status, out, _ = hub("import", "dataset", "ann/reviews", table)
    assert status == 0
    assert "Imported 2 files" in out and "into datasets/ann/reviews." in out
    assert "configuration default: train" in out and f"It is in {root}." in out
    model = tmp_path / "bert"
    model.mkdir()
    (model / "config.json").write_text("{}")
    assert hub("import", "model", "ann/bert", model)[0] == 0

    status, out, _ = hub("list", "--no-zoo")
    assert status == 0
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["model", "ann/bert"], ["dataset", "ann/reviews"]
    ]  # fmt: skip
    rows = json.loads(hub("list", "models", "--json", "--no-zoo")[1])
    assert [(row["id"], row["files"], row["made"]) for row in rows] == [("ann/bert", 2, True)]

    status, out, _ = hub("check")
    assert status == 0
    assert (
        "Checked 1 model, 1 dataset, 2 branches and tags, 4 commits, 4 files (" in out
        and "All is well" in out
    )
    assert json.loads(hub("check", "--json")[1])["ok"] is True

    status, out, _ = hub("export", "ann/bert", tmp_path / "out")
    assert status == 0 and "Wrote 2 files" in out
    assert (tmp_path / "out" / "config.json").read_text() == "{}"

    store = Store(root)
    store.delete_repo(parse_repo_id("dataset", "ann/reviews"))
    status, out, _ = hub("gc", "--grace", "0")
    assert status == 0 and out.startswith("Freed ") and "2 blobs, 2 folders" in out

    status, out, err = hub("reset")  # no terminal to ask
    assert status == 2 and one_line(err) and "1 repository" in err and "--yes" in err
    assert hub("reset", "--yes")[0] == 0
    assert hub("list", "--no-zoo")[1].startswith("The Course Hub holds nothing yet")


def test_a_stand_in_is_made_for_export(hub, course_home, tmp_path):
    Store(course_home / "hub")
    status, out, err = hub("export", "spaces/evaluate-metric/accuracy", tmp_path / "out")
    assert status == 0, err
    assert (tmp_path / "out" / "accuracy.py").is_file()
    assert hub("check")[0] == 0


def test_reset_asks_and_takes_no_for_an_answer(hub, table, monkeypatch):
    hub("import", "dataset", "ann/reviews", table)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    asked = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or "no")
    status, out, _ = hub("reset")
    assert (status, out) == (1, "Nothing was deleted.\n") and "Delete 1 repository in" in asked[0]
    assert "ann/reviews" in hub("list", "--no-zoo")[1]
    monkeypatch.setattr("builtins.input", lambda text: "yes")
    assert hub("reset")[0] == 0
    assert "ann/reviews" not in hub("list", "--no-zoo")[1]


def test_damage_is_named_and_ends_with_1(hub, table, course_home):
    hub("import", "dataset", "ann/reviews", table)
    store = Store(course_home / "hub")
    repo = store.repo(parse_repo_id("dataset", "ann/reviews"))
    path = "data/train-00000-of-00001.parquet"
    file = store.entry(repo, store.resolve(repo, "main"), path)
    store.blobs.path(file.sha256).write_bytes(b"x" * file.size)
    status, out, _ = hub("check")
    assert status == 1
    assert f"Blob {file.sha256[:12]} is altered" in out and path in out and "1 problem:" in out
    status, out, _ = hub("check", "--json")
    assert status == 1 and path in json.loads(out)["problems"][0]


def test_a_damaged_hub_is_no_traceback(hub, table, course_home, tmp_path):
    hub("import", "dataset", "ann/reviews", table)
    store = Store(course_home / "hub")
    with store.database.write() as connection:
        connection.execute("DELETE FROM trees")
    for arguments in (("list", "--no-zoo"), ("export", "ann/reviews", tmp_path / "out"), ("gc",)):
        status, _, err = hub(*arguments)
        assert status == 1 and one_line(err) and "course hub check" in err
    assert hub("check")[0] == 1
    store.database.set_meta("version", "99")
    status, _, err = hub("check")
    assert status == 1 and one_line(err) and "has format 99" in err
    assert hub("reset", "--yes")[0] == 0
    assert hub("check")[0] == 0


def test_mistakes_are_one_sentence(hub, tmp_path, table):
    for arguments, text in [
        (("check",), "There is no Course Hub in"),
        (("gc",), "There is no Course Hub in"),
        (("reset", "--yes"), "There is no Course Hub in"),
        (("env",), "run `course hub start` first"),
        (("import", "model", "a//b", tmp_path), "is not valid"),
        (("import", "dataset", "ann/x", tmp_path / "none.csv"), "There is no file or folder"),
        (("sync", "ann/x", "--from", "http://127.0.0.1:9"), "cannot be reached"),
        (("export", "ann/none", tmp_path / "out", "--no-zoo"), "no model or dataset or space"),
        (("serve", "--host", "no such host", "--no-zoo"), "Cannot listen on"),
        (("serve", "--port", "0", "--students", tmp_path / "none.csv", "--no-zoo"), "none.csv"),
    ]:
        status, _, err = hub(*arguments)
        assert status == 1, (arguments, err)
        assert text in err and len([line for line in err.splitlines() if text in line]) == 1


def test_status_says_what_there_is(hub, table, course_home):
    status, out, _ = hub("status")
    assert status == 3 and "not running" in out and "nothing yet" in out
    hub("import", "dataset", "ann/reviews", table)
    found = json.loads(hub("status", "--json")[1])
    assert found["running"] is False and found["repositories"] == {"datasets": 1}
    assert found["bytes"]["files"] > 0 and found["root"] == str(course_home / "hub")


def test_a_server_for_a_class(hub, serve, table, tmp_path):
    root = tmp_path / "class"
    names = tmp_path / "names.csv"
    names.write_text("name\nAnn\nBob Smith\n")
    info = serve(root, "--students", str(names))

    status, out, _ = hub("status", "--root", root)
    assert status == 0 and f"running at {info.url}" in out
    status, out, _ = hub("import", "dataset", "ann/reviews", table, "--root", root)
    assert f"See it at {info.url}/datasets/ann/reviews" in out
    assert client.ask(f"{info.url}/api/datasets/ann/reviews")[0] == 200

    with (root / "students.csv").open() as file:
        tokens = {row["user"]: row["token"] for row in csv.DictReader(file)}
    assert set(tokens) == {"ann", "bob-smith"}
    if os.name != "nt":
        assert (root / "students.csv").stat().st_mode & 0o077 == 0

    def create(user: str, owner: str) -> int:
        body = {"name": "mine", "organization": owner}
        return client.ask(f"{info.url}/api/repos/create", tokens[user], body)[0]

    assert create("ann", "ann") == 200 and create("ann", "bob-smith") == 403

    status, out, err = hub("reset", "--yes", "--root", root)
    assert status == 1 and one_line(err) and "is running: end it with `course hub stop`" in err
    folder = root / "xorbs" / "x"
    folder.mkdir(parents=True)
    (folder / "y").write_bytes(b"x" * 2000)
    out = hub("gc", "--root", root)[1]
    assert "2.0 kB of upload pieces stay while the Hub runs" in out
    assert hub("check", "--root", root)[0] == 0
    status, out, _ = hub("env", "--root", root)
    if os.name != "nt":
        script = (
            out + '\necho "$HF_ENDPOINT $HF_TOKEN $HF_HUB_DISABLE_TELEMETRY ${HF_HUB_CACHE-none}"'
        )
        done = subprocess.run(
            ["sh", "-eu", "-c", script], capture_output=True, text=True,
            env=os.environ | {"HF_HUB_CACHE": "/other"},
        )  # fmt: skip
        assert done.stdout.split() == [info.url, info.write_token, "1", "none"]
    assert "set -gx HF_ENDPOINT '" + info.url in hub("env", "--root", root, "--shell", "fish")[1]
    powershell = hub("env", "--root", root, "--shell", "powershell")[1]
    assert f"$env:HF_TOKEN = '{info.write_token}'" in powershell

    assert hub("stop", "--root", root)[1] == "The Course Hub is stopped.\n"
    assert hub("stop", "--root", root)[1] == "No Course Hub is running.\n"


def test_sync_from_another_course_hub(hub, serve, table, tmp_path, course_home):
    root = tmp_path / "other"
    hub("import", "dataset", "ann/reviews", table, "--root", root)
    info = serve(root)
    status, out, err = hub("sync", "ann/reviews", "--from", info.url)
    assert status == 0 and out.startswith("ann/reviews: main changed, 2 files ("), err
    status, out, _ = hub("sync", "datasets/ann/reviews", "--from", info.url)
    assert (status, out) == (0, "ann/reviews: nothing new in 1 branch or tag.\n")
    here, there = Store(course_home / "hub"), Store(root)
    name = parse_repo_id("dataset", "ann/reviews")
    assert [
        dict(store.trees.files(store.resolve(store.repo(name), "main").tree))
        for store in (here, there)
    ][0] == dict(there.trees.files(there.resolve(there.repo(name), "main").tree))


def test_start_runs_one_in_the_background(hub, course_home):
    status, out, _ = hub("start", "--port", "0", "--idle", "60")
    info = client.find()
    assert status == 0 and out == f"The Course Hub runs now: {info.url}\n"
    assert hub("start")[1] == f"The Course Hub runs already: {info.url}\n"
    assert "stand-in, made on first use" in hub("list")[1]
    assert hub("stop")[1] == "The Course Hub is stopped.\n"
    assert client.find() is None
