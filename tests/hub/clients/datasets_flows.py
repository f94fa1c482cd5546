"""datasets against the Hub that HF_ENDPOINT names."""

import os

from datasets import (
    Dataset,
    DatasetDict,
    get_dataset_config_names,
    get_dataset_split_names,
    load_dataset,
    load_dataset_builder,
)
from huggingface_hub import HfApi, constants

REPO = f"learner/rows-{os.getpid()}"
api = HfApi()


def rows(start: int, stop: int) -> Dataset:
    numbers = range(start, stop)
    return Dataset.from_dict({"id": list(numbers), "text": [f"row {n}" for n in numbers]})


def flow_push_and_load():
    DatasetDict(train=rows(0, 80), test=rows(80, 100)).push_to_hub(REPO)
    found = load_dataset(REPO)
    assert {name: split.num_rows for name, split in found.items()} == {"train": 80, "test": 20}
    assert found["test"][0] == {"id": 80, "text": "row 80"}
    assert load_dataset_builder(REPO).info.features["id"].dtype == "int64"


def flow_slices():
    assert load_dataset(REPO, split="train[:10]")["id"] == list(range(10))
    assert load_dataset(REPO, split="train[50%:]+test").num_rows == 60


def flow_streaming():
    stream = load_dataset(REPO, split="train", streaming=True)
    assert [row["id"] for row in stream.skip(3).take(2)] == [3, 4]


def flow_configurations_side_by_side():
    rows(100, 110).push_to_hub(REPO, "extra", split="validation")
    assert get_dataset_config_names(REPO) == ["default", "extra"]
    assert get_dataset_split_names(REPO, "extra") == ["validation"]
    assert load_dataset(REPO, "extra", split="validation")["id"][-1] == 109
    assert load_dataset(REPO, split="test").num_rows == 20


def flow_pushing_again_replaces():
    rows(0, 7).push_to_hub(REPO, split="test")
    assert load_dataset(REPO, split="test").num_rows == 7
    assert load_dataset(REPO, split="train").num_rows == 80


def flow_several_shards_on_a_branch():
    rows(0, 50).push_to_hub(REPO + "-shards", num_shards=4, revision="wide")
    files = api.list_repo_files(REPO + "-shards", repo_type="dataset", revision="wide")
    assert sum(name.endswith(".parquet") for name in files) == 4
    assert load_dataset(REPO + "-shards", revision="wide", split="train")["id"] == list(range(50))


def flow_csv_files_by_every_address():
    repo = REPO + "-csv"
    api.create_repo(repo, repo_type="dataset")
    content = b"text,label\ngood,1\nbad,0\n"
    api.upload_file(
        path_or_fileobj=content, path_in_repo="data/train.csv", repo_id=repo, repo_type="dataset"
    )
    at = "data/train.csv"
    direct = f"{constants.ENDPOINT}/datasets/{repo}/resolve/main/{at}"
    for found in (
        load_dataset(repo, split="train"),
        load_dataset(repo, data_files=at, split="train"),
        load_dataset("csv", data_files=f"hf://datasets/{repo}/{at}", split="train"),
        load_dataset("csv", data_files=direct, split="train"),
    ):
        assert found["label"] == [1, 0]


def flow_one_part_ids_fail_in_the_client():
    """Whatever the Hub says; lessons use `owner/name`."""
    try:
        load_dataset("imdb")
    except Exception as error:
        assert "namespace/name" in str(error) or "imdb" in str(error)
    else:
        raise AssertionError("a data set came from nowhere")
