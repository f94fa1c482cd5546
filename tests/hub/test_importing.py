"""Files of this machine as models, data sets and metrics; and out again."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from course_lib.hub.application import Hub
from course_lib.hub.cards import front_matter as cards
from course_lib.hub.errors import HubError
from course_lib.hub.names import parse_repo_id
from course_lib.hub.storage.integrity import check
from course_lib.hub.storage.store import AddFile, Store
from course_lib.hub.transfer.exporting import export_repo, locate
from course_lib.hub.transfer.importing import import_repo

METRIC = """\
import datasets
import evaluate


class Length(evaluate.Metric):
    def _info(self):
        text = datasets.Value("string")
        features = datasets.Features({"predictions": text, "references": text})
        return evaluate.MetricInfo(description="", citation="", features=features)

    def _compute(self, predictions, references):
        return {"length": sum(map(len, predictions)) / len(predictions)}
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "hub")


@pytest.fixture
def write(tmp_path: Path):
    """Write a file below `tmp_path/in` and return its path."""

    def make(name: str, content: str | bytes = "") -> Path:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def files(store: Store, name: str, kind: str = "dataset") -> dict[str, bytes]:
    repo = store.repo(parse_repo_id(kind, name))
    found = store.trees.files(store.resolve(repo, "main").tree)
    return {path: store.blobs.read(file.sha256) for path, file in found}


def card(store: Store, name: str) -> dict:
    return yaml.safe_load(cards.split(files(store, name)["README.md"].decode())[0])


def rows(store: Store, name: str, path: str) -> list[dict]:
    return pq.read_table(pa.BufferReader(files(store, name)[path])).to_pylist()


# -- models ----------------------------------------------------------------------------------------


def test_a_models_folder_comes_in_whole_and_without_litter(store, write, tmp_path):
    write("bert/config.json", "{}")
    write("bert/sub/model.safetensors", b"w" * 3000)
    write("bert/.git/HEAD", "x")
    write("bert/__pycache__/a.pyc", "x")
    write("bert/.cache/huggingface/x", "x")
    os.symlink(write("elsewhere/vocab.txt", "a\nb\n"), tmp_path / "in" / "bert" / "vocab.txt")

    done = import_repo(store, "model", "ann/bert", [tmp_path / "in" / "bert"])
    assert (done.files, done.size, done.notes) == (3, 3006, [])
    found = files(store, "ann/bert", "model")
    assert set(found) == {".gitattributes", "config.json", "sub/model.safetensors", "vocab.txt"}
    repo = store.repo(parse_repo_id("model", "ann/bert"))
    commit = store.resolve(repo, "main")
    assert commit.title == "Import bert" and commit.oid == done.commit
    assert store.entry(repo, commit, "sub/model.safetensors").large
    assert not store.entry(repo, commit, "vocab.txt").large
    assert check(store).is_ok

    assert import_repo(store, "model", "ann/bert", [tmp_path / "in" / "bert"]).commit == done.commit


def test_the_folders_own_rules_say_what_is_large(store, write, tmp_path):
    write("bert/.gitattributes", "*.txt filter=lfs\n")
    write("bert/a.txt", "a")
    write("bert/b.safetensors", "b")
    done = import_repo(store, "model", "ann/bert", [tmp_path / "in" / "bert"])
    repo = store.repo(done.repo)
    commit = store.resolve(repo, "main")
    assert store.entry(repo, commit, "a.txt").large
    assert not store.entry(repo, commit, "b.safetensors").large
    assert done.notes == ["There is no config.json: `from_pretrained` will not know this model."]


def refused(store: Store, text: str, *args, **kwargs) -> None:
    before = store.database.rows("SELECT oid FROM commits ORDER BY oid")
    with pytest.raises(HubError) as caught:
        import_repo(store, *args, **kwargs)
    assert text in caught.value.message
    assert store.database.rows("SELECT oid FROM commits ORDER BY oid") == before
    assert list((store.root / "tmp").iterdir()) == []


def test_what_cannot_be_imported_is_one_sentence_and_changes_nothing(store, write, tmp_path):
    folder = write("m/config.json", "{}").parent
    refused(store, "There is no file or folder", "model", "ann/m", [tmp_path / "no"])
    refused(store, "Repository id 'a//b' is not valid", "model", "a//b", [folder])
    refused(store, "neither configurations nor splits", "model", "ann/m", [folder], split="x")
    refused(store, "needs an owner, such as learner/m", "dataset", "m", [folder])
    twice = write("n/config.json", "{}").parent
    refused(store, "would both be config.json", "model", "ann/m", [folder, twice])
    (tmp_path / "empty").mkdir()
    refused(store, "There are no files in", "model", "ann/m", [tmp_path / "empty"])
    os.symlink(tmp_path, folder / "loop")
    refused(store, "loop is a link to a folder", "model", "ann/m", [folder])
    (folder / "loop").unlink()
    os.symlink(tmp_path / "gone", folder / "gone")
    refused(store, "gone is not a plain file", "model", "ann/m", [folder])
    (folder / "gone").unlink()
    write("m/back\\slash", "x")
    refused(store, "holds a backslash", "model", "ann/m", [folder])
    (folder / "back\\slash").unlink()
    deep = write("deep/" + "a/" * 101 + "x.txt").parents[101]
    refused(store, "goes through more than 100 folders", "model", "ann/m", [deep])
    os.mkfifo(folder / "pipe")
    refused(store, "pipe is not a plain file", "model", "ann/m", [folder])


# -- data sets -------------------------------------------------------------------------------------


def test_tables_become_splits_of_one_configuration(store, write):
    train = write(
        "reviews-train.csv", 'text,label,day\n"good, really",1,2026-01-01\nbad,0,2026-01-02\n'
    )
    test = write("reviews.test.jsonl", '{"text": "so-so", "label": 0, "day": "2026-01-03"}\n')
    done = import_repo(store, "dataset", "ann/reviews", [train, test])
    assert done.splits == {"default": ["train", "test"]}
    path = "data/train-00000-of-00001.parquet"
    assert set(files(store, "ann/reviews")) == {
        ".gitattributes", "README.md", path, "data/test-00000-of-00001.parquet"
    }  # fmt: skip
    assert rows(store, "ann/reviews", path)[0] == {
        "text": "good, really", "label": 1, "day": "2026-01-01"
    }  # fmt: skip
    assert card(store, "ann/reviews") == {
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "data/train-*"},
                    {"split": "test", "path": "data/test-*"},
                ],
            }
        ]
    }
    repo = store.repo(done.repo)
    assert store.entry(repo, store.resolve(repo, "main"), path).large


def test_a_later_import_replaces_its_split_and_leaves_the_rest(store, write):
    shards = [write(f"train{n}.parquet", _parquet({"x": [n]})) for n in range(2)]
    import_repo(store, "dataset", "ann/d", [*shards, write("test.csv", "x\n7\n")])
    raw = files(store, "ann/d")
    assert raw["data/train-00001-of-00002.parquet"] == shards[1].read_bytes()  # byte for byte

    import_repo(store, "dataset", "ann/d", [write("new.csv", "x\n8\n9\n")], split="train")
    assert set(files(store, "ann/d")) == {
        ".gitattributes", "README.md",
        "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet",
    }  # fmt: skip
    import_repo(store, "dataset", "ann/d", [write("fr.tsv", "x\ty\n1\tun\n")], config="french")
    assert [entry["config_name"] for entry in card(store, "ann/d")["configs"]] == [
        "default", "french"
    ]  # fmt: skip
    assert rows(store, "ann/d", "french/train-00000-of-00001.parquet") == [{"x": 1, "y": "un"}]
    assert len(rows(store, "ann/d", "data/train-00000-of-00001.parquet")) == 2


def _parquet(columns: dict) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def test_the_rest_of_a_card_stays_and_stale_sizes_go(store, write):
    text = (
        "---\nlicense: mit\nlanguage:\n- fr\nconfigs:\n- config_name: default\n  data_files:\n"
        "    test: data/test-*\n- config_name: other\n  data_files: data/o.parquet\n"
        "dataset_info:\n- config_name: default\n  splits: []\n- config_name: other\n---\n"
        "\n# Mine\n\nÀ moi.\n"
    )
    folder = write("d/README.md", text).parent
    write("d/data/test-00000-of-00001.parquet", _parquet({"x": [1]}))
    write("d/data/o.parquet", _parquet({"x": [1]}))
    done = import_repo(store, "dataset", "ann/d", [folder])
    assert done.splits == {"default": ["test"], "other": ["train"]}

    import_repo(store, "dataset", "ann/d", [write("train.csv", "x\n1\n")])
    found = card(store, "ann/d")
    assert (found["license"], found["language"]) == ("mit", ["fr"])
    assert found["dataset_info"] == [{"config_name": "other"}]
    assert found["configs"][0]["data_files"] == [
        {"split": "test", "path": "data/test-*"},
        {"split": "train", "path": "data/train-*"},
    ]
    assert found["configs"][1] == {"config_name": "other", "data_files": "data/o.parquet"}
    assert files(store, "ann/d")["README.md"].decode().endswith("---\n\n# Mine\n\nÀ moi.\n")


def test_a_folder_stays_as_it_is_and_names_its_splits(store, write):
    folder = write("d/train.csv", "x\n1\n").parent
    write("d/validation.csv", "x\n2\n")
    done = import_repo(store, "dataset", "ann/d", [folder])
    assert done.splits == {"default": ["train", "validation"]}
    assert files(store, "ann/d")["train.csv"] == b"x\n1\n"
    refused(store, "was imported as a folder", "dataset", "ann/d", [write("test.csv", "x\n3\n")])
    done = import_repo(store, "dataset", "ann/e", [folder], config="small")
    assert done.splits == {"small": ["train", "validation"]}


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.csv", "a,b\n1\n", "a.csv cannot be read: CSV parse error: Expected 2 columns, got 1"),
        ("a.csv", "", "a.csv cannot be read: Empty CSV file"),
        ("a.csv", "a,b\n", "a.csv has no rows"),
        ("a.csv", "a,a\n1,2\n", "two columns named 'a'"),
        ("a.csv", "text\ncaf\xe9\n".encode("latin-1"), "a.csv is not UTF-8 text: save it as UTF-8"),
        ("a.csv", "caf\xe9,b\n1,2\n".encode("latin-1"), "a.csv is not UTF-8 text"),
        ("a.jsonl", '{"a": 1}\n{"a": "x"}\n', "Column(/a) changed from number to string"),
        ("a.jsonl", '{"a": 1}\n{"a":', "a.jsonl cannot be read"),
        ("a.json", "[1, 2]", "a list, but not of objects"),
        ("a.json", "[{", "a.json cannot be read"),
        ("a.parquet", "PAR1", "a.parquet cannot be read"),
        ("a.csv.gz", "no gzip", "a.csv.gz cannot be read"),
        ("a.txt", "text", "a.txt is not a data file"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(store, write, name, content, text):
    refused(store, text, "dataset", "ann/d", [write(name, content)])


def test_tables_that_do_not_fit_together_say_why(store, write):
    one, other = write("a.csv", "x,y\n1,2\n"), write("b.csv", "x,z\n1,2\n")
    refused(store, "a.csv has the columns x (int64), y (int64)", "dataset", "ann/d", [one, other])
    one, other = write("a.parquet", _parquet({"x": [1]})), write("b.parquet", _parquet({"x": [""]}))
    refused(store, "x (string)", "dataset", "ann/d", [one, other])
    fits = [write("c.csv", "x\n1\n"), write("d.csv", "x\n1.5\n")]  # whole numbers fit among others
    import_repo(store, "dataset", "ann/e", fits)
    assert rows(store, "ann/e", "data/train-00000-of-00001.parquet") == [{"x": 1.0}, {"x": 1.5}]
    csv = write("e.csv", "x\n1\n")
    refused(store, "Split 'a b' is not valid", "dataset", "ann/d", [csv], split="a b")
    refused(store, "Configuration 'data'", "dataset", "ann/d", [csv], config="data")
    refused(store, "Configuration '../x'", "dataset", "ann/d", [csv], config="../x")


def test_a_split_of_another_format_is_refused(store, write):
    folder = write(
        "d/README.md", "---\nconfigs:\n- config_name: default\n  data_files: a.csv\n---\n"
    )
    write("d/a.csv", "x\n1\n")
    import_repo(store, "dataset", "ann/d", [folder.parent])
    refused(
        store, "Split train of default is a.csv", "dataset", "ann/d", [write("test.csv", "x\n3\n")]
    )


# -- metrics ---------------------------------------------------------------------------------------


def test_a_metric_is_a_space_with_the_tag_that_evaluate_asks_for(store, write):
    from importlib.metadata import version

    done = import_repo(store, "metric", "length", [write("mine.py", METRIC)])
    assert done.repo.full == "evaluate-metric/length" and done.repo.kind == "space"
    repo = store.repo(done.repo)
    tag = f"v{version('evaluate')}"
    assert store.resolve(repo, tag).oid == done.commit
    assert "metric" in repo.summary["tags"]
    done = import_repo(store, "metric", "length", [write("mine.py", METRIC + "\n# newer\n")])
    assert store.resolve(repo, tag).oid == done.commit  # the tag moves along
    assert import_repo(store, "metric", "ann/own", [write("own.py", METRIC)]).repo.full == "ann/own"


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("class", "is not Python (line 1)"),
        ("import os, sys\n" + METRIC, "line 1: `evaluate` reads one import a line only"),
        ("x = 1\n", "no class that is an evaluate.Metric"),
        ("x = '\0'", "is not Python"),
    ],
)
def test_a_script_that_evaluate_could_not_use_says_why(store, write, script, text):
    refused(store, text, "metric", "length", [write("length.py", script)])


# -- export ----------------------------------------------------------------------------------------


def test_export_gives_back_what_came_in(store, write, tmp_path):
    folder = write("m/config.json", "{}").parent
    write("m/deep/er/model.bin", os.urandom(2_500_000))
    import_repo(store, "model", "ann/m", [folder])
    repo = locate(store, "ann/m")
    store.create_tag(repo, "v1")
    blob = store.blobs.put(b"later")
    store.commit(repo, "main", [AddFile("later.txt", blob, False)], title="Later", author="ann")

    commit, count, size = export_repo(store, repo, tmp_path / "out", "v1")
    assert (count, size) == (3, sum(map(len, files(store, "ann/m", "model").values())) - 5)
    assert commit.oid == store.resolve(repo, "v1").oid
    for path in ("config.json", "deep/er/model.bin"):
        assert (tmp_path / "out" / path).read_bytes() == (folder / path).read_bytes()
    with pytest.raises(HubError, match="is not empty: name a new one, or add --overwrite"):
        export_repo(store, repo, tmp_path / "out")
    export_repo(store, repo, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "later.txt").read_bytes() == b"later"

    store.blobs.path(blob.sha256).write_bytes(b"wrong")
    with pytest.raises(HubError, match="later.txt is damaged: run `course hub check`"):
        export_repo(store, repo, tmp_path / "third")
    assert not (tmp_path / "third" / "later.txt").exists()
    assert not list((tmp_path / "third").rglob("*.part"))
    with pytest.raises(HubError, match="no branch, tag or commit named 'v9'"):
        export_repo(store, repo, tmp_path / "fourth", "v9")
    assert not (tmp_path / "fourth").exists()
    with pytest.raises(HubError, match="is a file: give a folder"):
        export_repo(store, repo, folder / "config.json")


def test_a_name_may_say_what_it_means(store, write):
    import_repo(store, "model", "ann/x", [write("config.json", "{}")])
    assert locate(store, "ann/x").id.kind == locate(store, "models/ann/x").id.kind == "model"
    import_repo(store, "dataset", "ann/x", [write("a.csv", "x\n1\n")])
    with pytest.raises(HubError, match="more than one thing: say models/ann/x or datasets/ann/x"):
        locate(store, "ann/x")
    assert locate(store, "datasets/ann/x").id.kind == "dataset"
    with pytest.raises(HubError, match="no space named 'ann/x'"):
        locate(store, "spaces/ann/x")


# -- the real clients ------------------------------------------------------------------------------

CLIENT = """\
import json
from datasets import get_dataset_config_names, load_dataset
import evaluate

found = {"configs": sorted(get_dataset_config_names("imp/tables"))}
for config in ("default", "french"):
    data = load_dataset("imp/tables", config)
    found[config] = {split: data[split].to_list() for split in data}
stream = load_dataset("imp/tables", "default", split="train", streaming=True)
found["stream"] = next(iter(stream))
found["folder"] = {name: rows.num_rows for name, rows in load_dataset("imp/folder").items()}
found["metric"] = evaluate.load("imported_length").compute(predictions=["ab"], references=[""])
print(json.dumps(found))
"""


def test_the_clients_open_what_was_imported_while_the_server_runs(server, write):
    store = Store(server.root)
    # A first guess at what the repository holds is cached by nobody: ask, import more, ask again.
    import_repo(store, "dataset", "imp/tables", [write("train.csv", "text,label\na,0\nb,1\n")])
    import_repo(store, "dataset", "imp/tables", [write("test.json", '[{"text": "c", "label": 1}]')])
    import_repo(
        store, "dataset", "imp/tables", [write("fr.tsv", "text\tlabel\né\t1\n")], "french", "dev"
    )
    import_repo(store, "dataset", "imp/folder", [write("f/train.csv", "x\n1\n2\n").parent])
    import_repo(store, "metric", "imported_length", [write("m.py", METRIC)])
    done = subprocess.run(
        [sys.executable, "-c", CLIENT], env=server.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "configs": ["default", "french"],
        "default": {
            "train": [{"text": "a", "label": 0}, {"text": "b", "label": 1}],
            "test": [{"text": "c", "label": 1}],
        },
        "french": {"dev": [{"text": "é", "label": 1}]},
        "stream": {"text": "a", "label": 0},
        "folder": {"train": 2},
        "metric": {"length": 2.0},
    }


# -- beside the stand-ins --------------------------------------------------------------------------


class Zoo:
    """A catalogue of one model, which counts how often it is made."""

    def __init__(self) -> None:
        self.entry = SimpleNamespace(
            repo_id=parse_repo_id("model", "ann/bert"),
            aliases=[],
            summary={},
            edition="first",
            created_at=0,
        )
        self.made = 0

    def listing(self, kind: str) -> list:
        return [self.entry] if kind == "model" else []

    def assemble(self, repo_id, store: Store) -> None:
        self.made += 1
        store.create_repo(repo_id, author="learner")


def test_what_was_imported_is_not_taken_for_a_stand_in(store, write):
    zoo = Zoo()
    hub = Hub(store, zoo)  # a server that was running before
    import_repo(store, "model", "ann/bert", [write("config.json", "{}")])
    zoo.entry.edition = "second"
    for running in (hub, Hub(store, zoo)):
        repo = asyncio.run(running.find_repo(zoo.entry.repo_id))
        assert "config.json" in dict(store.trees.files(store.resolve(repo, "main").tree))
    assert zoo.made == 0


def test_a_stand_in_is_made_once_by_whoever_is_first(store):
    zoo = Zoo()
    server, command = Hub(store, zoo), Hub(Store(store.root), zoo)
    for hub in (command, server, command):
        assert asyncio.run(hub.find_repo(zoo.entry.repo_id))
    assert zoo.made == 1
