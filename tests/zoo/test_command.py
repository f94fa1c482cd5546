"""`course zoo`: what it prints, what it makes, and how it fails."""

import json

import pytest

from course_lib.cli import main
from course_lib.hub.names import parse_repo_id
from course_lib.hub.storage.store import Store
from course_lib.zoo import base, catalogue
from course_lib.zoo.catalogue import ENTRIES
from course_lib.zoo.recipes import Measurement, Report


def run(capsys, *argv: str) -> tuple[int, str, str]:
    code = main(["zoo", *argv])
    out, err = capsys.readouterr()
    return code, out, err


def test_help_reads_well(capsys):
    for argv in ((), ("list",), ("card",), ("assemble",), ("build",)):
        code, out, _ = run(capsys, *argv, "--help")
        assert code == 0 and out.startswith("usage: course zoo")
    assert "course zoo assemble" in run(capsys, "--help")[1]


def test_without_an_action_it_says_which_there_are(capsys):
    code, _, err = run(capsys)
    assert code == 2 and "ACTION" in err


def test_list(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0
    for entry in ENTRIES:
        assert entry.repo_id.full in out and entry.stands_for in out
    assert "accuracy 0." in out and "recipe      sentiment" in out


def test_the_table_of_the_readme(capsys, root):
    code, out, _ = run(capsys, "list", "--markdown")
    assert code == 0 and len(out.splitlines()) == len(ENTRIES) + 2
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert out in readme, "put what `course zoo list --markdown` prints into nbs/index.ipynb"


@pytest.mark.parametrize("name", ["bert-base-cased", "google-bert/bert-base-cased", "glue"])
def test_card(name, capsys):
    code, out, _ = run(capsys, "card", name)
    assert code == 0 and out.startswith("---\n") and "stand-in for" in out


@pytest.mark.parametrize("argv", [("card", "gpt5"), ("assemble", "gpt5")])
def test_an_unknown_id(argv, capsys):
    code, out, err = run(capsys, *argv)
    assert (code, out) == (1, "")
    assert err.startswith("course: There is no stand-in for 'gpt5'. `course zoo list`")


def test_assemble_one(capsys, tmp_path):
    code, out, err = run(capsys, "assemble", "accuracy", "f1", "--root", str(tmp_path))
    assert code == 0 and out.startswith("2 stand-ins in ")
    assert "accuracy" in err  # the bar names what is being made
    ids = {repo.id.full for repo in Store(tmp_path).repos()}
    assert ids == {"evaluate-metric/accuracy", "evaluate-metric/f1"}


def test_assemble_into_a_hub_that_runs(capsys, course_home):
    from course_lib.hub import client

    info = client.ensure(course_home / "hub", idle=60)
    code, out, _ = run(capsys, "assemble", "f1")
    assert code == 0 and "1 stand-in in" in out
    status, answer = client.ask(f"{info.url}/api/spaces/evaluate-metric/f1", token=info.read_token)
    assert status == 200 and answer["id"] == "evaluate-metric/f1"


def test_assemble_without_the_base_encoder(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(base, "package_file", lambda name: tmp_path / name)
    code, out, err = run(capsys, "assemble", "bert-base-uncased", "--root", str(tmp_path / "hub"))
    assert (code, out) == (1, "")
    assert err.startswith("course: model.safetensors is missing from the package")
    assert not (tmp_path / "hub").exists()


def test_build_an_unknown_recipe(capsys, tmp_path):
    code, _, err = run(capsys, "build", "soup", "--data", str(tmp_path))
    assert code == 1 and "the recipes are " + ", ".join(catalogue.RECIPES) in err


def test_build_without_the_data(capsys, tmp_path):
    argv = ("build", "sentiment", "--data", str(tmp_path), "--out", str(tmp_path / "out"))
    code, _, err = run(capsys, *argv)
    assert code == 1 and "Name the folder of data sets with --data" in err


def test_only_recipes_that_read_data_ask_for_the_folder(capsys, tmp_path, monkeypatch):
    code, _, err = run(capsys, "build", "sentiment", "--out", str(tmp_path / "out"))
    assert code == 1 and "reads data sets: name their folder with --data" in err
    assert not (tmp_path / "out").exists()
    told = {}

    def recipe(data, folder, say, work):
        told.update(data=data)
        return [
            Report("glue", 0, 1.0, {}, [Measurement("accuracy", 0.75, "mrpc: riddles", "x", 8)])
        ]

    monkeypatch.setattr("course_lib.zoo.glue.build", recipe)
    code, out, _ = run(capsys, "build", "glue", "--out", str(tmp_path / "out"))
    assert code == 0 and told == {"data": None} and "mrpc: riddles" in out


def test_build_shows_what_was_measured(capsys, tmp_path, course_home, monkeypatch):
    """The command around a recipe that takes no time."""
    seen = {}

    def recipe(data, folder, say, work):
        seen.update(data=data, folder=folder, work=work)
        say("step 1 of 1")
        (folder / "quick.json").write_text(json.dumps({}))
        return [Report("quick", 3, 1.5, {}, [Measurement("accuracy", 0.875, "riddles", "x", 8)])]

    monkeypatch.setitem(catalogue.RECIPES, "quick", "course_lib.zoo.encoders:quick")
    monkeypatch.setattr("course_lib.zoo.encoders.quick", recipe, raising=False)
    code, out, _ = run(
        capsys, "build", "quick", "--data", str(tmp_path), "--out", str(tmp_path / "out")
    )
    assert code == 0 and (tmp_path / "out" / "quick.json").exists()
    assert seen["work"] == course_home / "recipes"
    assert "step 1 of 1" in out and "accuracy   0.8750  on 8 riddles" in out


def test_short_ids_after_assembling(capsys, tmp_path):
    run(capsys, "assemble", "distilbert-base-uncased", "--root", str(tmp_path))
    store = Store(tmp_path)
    repo = store.repo(parse_repo_id("model", "distilbert-base-uncased"))
    assert repo.id.full == "distilbert/distilbert-base-uncased"
