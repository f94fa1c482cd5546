"""Data sets on demand: the frame, and the unmodified `datasets` client on a running Course Hub."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import yaml

from course_lib.hub.names import RepoId
from course_lib.zoo import catalogue, datasets
from course_lib.zoo.catalogue import ENTRIES, Catalogue
from course_lib.zoo.datasets import Column, Config, arrow_schema, parquet_bytes, size_category
from course_lib.zoo.glue import ENTRY as GLUE
from course_lib.zoo.imdb import ENTRY as IMDB

DATASETS = [entry for entry in ENTRIES if entry.repo_id.kind == "dataset"]

LOADING = """
import json
from datasets import get_dataset_config_names, load_dataset, load_dataset_builder
mrpc = load_dataset("nyu-mll/glue", "mrpc")
builder = load_dataset_builder("nyu-mll/glue", "stsb")
stream = load_dataset("nyu-mll/glue", "mrpc", split="test", streaming=True)
imdb = load_dataset("stanfordnlp/imdb")
mnli = load_dataset("nyu-mll/glue", "mnli")
print(json.dumps({
    "configs": get_dataset_config_names("nyu-mll/glue"),
    "rows": {"mrpc": mrpc.num_rows, "imdb": imdb.num_rows, "mnli": list(mnli)},
    "features": {name: str(mrpc["train"].features[name]) for name in mrpc["train"].features},
    "stsb": {name: value.dtype for name, value in builder.info.features.items()},
    "same": next(iter(stream)) == mrpc["test"][0],
    "names": [mrpc["train"].features["label"].int2str(n) for n in (0, 1)],
    "imdb": [imdb["test"].features["label"].names, imdb["unsupervised"].unique("label")],
    "first": mrpc["train"][0]}))
"""

SHORT = """
import json
from datasets import load_dataset
from huggingface_hub import HfApi
api = HfApi()
found = {}
for name, config in (("glue", "mrpc"), ("imdb", None)):
    found[name] = api.dataset_info(name).id
    try:
        found[f"load {name}"] = load_dataset(name, config)["train"].num_rows
    except Exception as error:
        found[f"load {name}"] = f"{type(error).__name__}: {error}"
listed = [data.id for data in api.list_datasets(filter="stand-in")]
print(json.dumps([found, listed]))
"""


def test_load_dataset(ask):
    found = ask(LOADING)
    assert set(found["configs"]) == {"cola", "mnli", "mrpc", "qnli", "sst2", "stsb"}
    assert found["rows"]["mrpc"] == {"train": 3668, "validation": 408, "test": 1725}
    assert found["rows"]["imdb"] == dict(IMDB.configs[0].splits)
    assert found["rows"]["mnli"] == list(GLUE.config_names["mnli"].splits)
    assert list(found["features"]) == ["sentence1", "sentence2", "label", "idx"]
    assert found["features"]["idx"] == "Value('int32')"
    assert found["names"] == ["not_equivalent", "equivalent"]
    assert found["stsb"]["label"] == "float32" and found["stsb"]["idx"] == "int32"
    assert found["imdb"] == [["neg", "pos"], [-1]]
    assert found["same"] and found["first"]["idx"] == 0


def test_short_ids(ask):
    """The Hub knows them; that `load_dataset` wants two parts is the client's own rule."""
    found, listed = ask(SHORT)
    assert (found["glue"], found["imdb"]) == ("nyu-mll/glue", "stanfordnlp/imdb")
    for name, rows in (("glue", 3668), ("imdb", IMDB.configs[0].splits["train"])):
        loaded = found[f"load {name}"]
        assert loaded == rows or "namespace/name" in loaded, loaded
    assert sorted(listed) == sorted(entry.repo_id.full for entry in DATASETS)


def test_the_page_shows_the_first_rows(hub):
    import urllib.request

    def page(path: str) -> str:
        request = urllib.request.Request(hub.url + path)
        request.add_header("Authorization", f"Bearer {hub.read_token}")
        return urllib.request.urlopen(request).read().decode()

    first = next(iter(GLUE.config_names["mrpc"].rows("train")))
    text = page("/datasets/nyu-mll/glue/blob/main/mrpc/train-00000-of-00001.parquet")
    assert first["sentence1"][:40] in text and "equivalent" in text
    assert "small stand-in for" in page("/datasets/nyu-mll/glue")


# -- the frame -------------------------------------------------------------------------------------


def colours(split: str):
    return [{"text": f"{split} {number}", "label": number % 2} for number in range(4)]


COLUMNS = (Column("text"), Column("label", labels=("cold", "warm")))
TOY = Config("plain", COLUMNS, {"test": 4}, colours)


def test_the_features_are_in_the_file(tmp_path):
    path = tmp_path / "test.parquet"
    path.write_bytes(parquet_bytes(TOY, "test"))
    schema = pq.read_schema(path)
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["label"] == {"names": ["cold", "warm"], "_type": "ClassLabel"}
    assert str(schema.field("label").type) == "int64"
    assert pq.read_table(path).to_pylist() == colours("test")


def test_the_card_and_the_rows_agree():
    with pytest.raises(ValueError, match=r"plain/test has 4 rows; its card promises 5"):
        parquet_bytes(replace(TOY, splits={"test": 5}), "test")


def test_types_are_as_upstream():
    columns = {config.name: {c.name: c.dtype for c in config.columns} for config in GLUE.configs}
    assert columns["stsb"]["label"] == "float32"
    assert all(types["idx"] == "int32" for types in columns.values())
    schema = arrow_schema(GLUE.config_names["stsb"].columns)
    assert str(schema.field("label").type) == "float"


@pytest.mark.parametrize(
    ("rows", "name"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10_000, "10K<n<100K"), (10**5, "100K<n<1M")],
)
def test_size_categories(rows, name):
    assert size_category(rows) == name


@pytest.mark.parametrize("entry", DATASETS, ids=lambda entry: entry.repo_id.name)
def test_a_card_says_what_is_in_it(entry):
    _, front, body = entry.card().split("---\n", 2)
    front = yaml.safe_load(front)
    assert body.splitlines()[0].startswith("**This is a small stand-in for ")
    assert front["license"] == "apache-2.0" and "stand-in" in front["tags"]
    for config, declared, info in zip(
        entry.configs, front["configs"], front["dataset_info"], strict=True
    ):
        assert declared["config_name"] == info["config_name"] == config.name
        assert {split["name"]: split["num_examples"] for split in info["splits"]} == config.splits
        assert [file["split"] for file in declared["data_files"]] == list(config.splits)
    for measurement in entry.report.measured:
        assert f"{measurement.value:.3f}" in body


@pytest.mark.parametrize("entry", DATASETS, ids=lambda entry: entry.repo_id.name)
def test_the_edition_changes_with_the_sources(entry, tmp_path, monkeypatch):
    import shutil
    from importlib.resources import files

    package = tmp_path / "zoo"
    for name in ("datasets.py", "grammar.py", *entry.made_from):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(files("course_lib.zoo") / name), package / name)
    before = entry.edition
    monkeypatch.setattr(datasets, "package_files", lambda name: package)
    assert replace(entry).edition == before
    for name in entry.made_from:
        changed = package / name
        old = changed.read_bytes()
        changed.write_bytes(old + b"\n")
        assert replace(entry).edition != before, name
        changed.write_bytes(old)


@pytest.mark.parametrize("entry", DATASETS, ids=lambda entry: entry.repo_id.name)
def test_rows_are_the_same_in_every_process(entry):
    config = entry.configs[-1]
    split = list(config.splits)[-1]
    module = entry.made_from[0].removesuffix(".py")
    code = f"""
import json, random
random.seed(7)
from course_lib.zoo.{module} import ENTRY
rows = list(ENTRY.configs[-1].rows({split!r}))
import sys
heavy = {{"torch", "tensorflow", "transformers", "datasets", "numpy.random"}} & set(sys.modules)
print(json.dumps([rows[:50], len(rows), sorted(heavy - {{"numpy.random"}})]))
"""
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    rows, count, heavy = json.loads(done.stdout)
    assert rows == list(config.rows(split))[:50] and count == config.splits[split]
    assert heavy == []


def test_generating_takes_seconds():
    for entry in DATASETS:
        started = time.process_time()
        size = sum(len(piece) for _, pieces in entry.files() for piece in pieces)
        assert time.process_time() - started < 20  # of CPU; two or three on an idle machine
        assert 0.4 < size / entry.size < 2.5


def test_the_catalogue_lists_data_sets():
    assert Catalogue().listing("dataset") == DATASETS
    assert Catalogue().find(RepoId("dataset", "", "glue")) is GLUE
    for entry in DATASETS:
        assert "stand-in" in entry.summary["tags"]
        assert "task_categories:text-classification" in entry.summary["tags"]
    assert catalogue.WITHOUT_DATA <= set(catalogue.RECIPES)
