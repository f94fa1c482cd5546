"""huggingface_hub against the Hub that HF_ENDPOINT names: all but uploads."""

import os
import threading
import time
import urllib.parse
import urllib.request

from common import api, fails, fresh, numbers, read
from huggingface_hub import (
    CommitOperationAdd,
    DatasetCard,
    HfApi,
    ModelCard,
    auth_check,
    get_safetensors_metadata,
    hf_hub_download,
    metadata_update,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._oauth_device import poll_device_token, request_device_code

# -- repositories ----------------------------------------------------------------------------------


def flow_repositories_are_made_found_and_deleted():
    for kind in ("model", "dataset", "space"):
        repo = fresh(kind)
        again = api.create_repo(repo, repo_type=kind, exist_ok=True, space_sdk="gradio")
        assert again.repo_id == repo and again.repo_type == kind
        with fails(HfHubHTTPError, "already created", 409):
            api.create_repo(repo, repo_type=kind, space_sdk="gradio")
        assert api.repo_exists(repo, repo_type=kind)
        assert api.repo_info(repo, repo_type=kind).id == repo
        assert api.list_repo_files(repo, repo_type=kind) == [".gitattributes"]
        api.delete_repo(repo, repo_type=kind)
        assert not api.repo_exists(repo, repo_type=kind)
        api.delete_repo(repo, repo_type=kind, missing_ok=True)
        with fails(RepositoryNotFoundError):
            api.delete_repo(repo, repo_type=kind)


def flow_a_name_alone_means_the_callers_namespace():
    url = api.create_repo(f"alone-{os.getpid()}", exist_ok=True)
    assert url.repo_id == f"learner/alone-{os.getpid()}"


def flow_renamed_repositories_keep_their_old_id():
    old = fresh()
    api.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id=old)
    api.move_repo(old, old + "-new")
    assert api.model_info(old).id == old + "-new"
    assert read(old, "a.txt") == b"x"
    with fails(RepositoryNotFoundError):
        api.move_repo("learner/not-there", "learner/anywhere")


def flow_private_repositories_are_hidden():
    repo = fresh()
    api.update_repo_settings(repo, private=True)
    assert api.model_info(repo).private
    auth_check(repo)
    with fails(RepositoryNotFoundError):
        HfApi(token=False).model_info(repo)
    with fails(RepositoryNotFoundError):
        auth_check(repo, token=False)
    api.update_repo_settings(repo, private=False, gated=False)
    assert HfApi(token=False).model_info(repo).id == repo


def flow_whoami_and_bad_tokens():
    assert api.whoami()["name"] == "learner"
    with fails(HfHubHTTPError, "Invalid", 401):
        HfApi(token="hf_wrong").whoami()
    with fails(HfHubHTTPError, "token", 401):
        HfApi(token=False).create_repo("learner/anonymous")
    auth_check(fresh())


# -- looking around --------------------------------------------------------------------------------


def flow_branches_tags_and_history():
    repo = fresh()
    api.upload_file(path_or_fileobj=b"main", path_in_repo="a.txt", repo_id=repo)
    api.create_branch(repo, branch="feature/x")
    api.create_branch(repo, branch="feature/x", exist_ok=True)
    with fails(HfHubHTTPError, "already exists", 409):
        api.create_branch(repo, branch="feature/x")
    api.upload_file(
        path_or_fileobj=b"branch", path_in_repo="a.txt", repo_id=repo, revision="feature/x"
    )
    assert read(repo, "a.txt", revision="feature/x") == b"branch"
    assert read(repo, "a.txt") == b"main"
    api.create_tag(repo, tag="v1", revision="feature/x", tag_message="first")
    with fails(HfHubHTTPError, "already exists", 409):
        api.create_tag(repo, tag="v1")
    refs = api.list_repo_refs(repo, include_pull_requests=True)
    assert {b.name for b in refs.branches} == {"main", "feature/x"}
    assert [t.ref for t in refs.tags] == ["refs/tags/v1"] and refs.pull_requests == []
    assert refs.tags[0].target_commit == api.model_info(repo, revision="v1").sha
    assert len(api.list_repo_commits(repo, revision="v1", formatted=True)) == 3
    api.delete_branch(repo, branch="feature/x")
    api.delete_tag(repo, tag="v1")
    with fails(RevisionNotFoundError):
        api.delete_tag(repo, tag="v1")
    with fails(RevisionNotFoundError):
        api.list_repo_commits(repo, revision="feature/x")
    sha = api.model_info(repo).sha
    assert api.model_info(repo, revision=sha[:7]).sha == sha


def flow_folders_and_files_are_listed():
    repo = fresh("dataset")
    kind = {"repo_type": "dataset"}
    contents = {"a.txt": b"a", "data/b.txt": b"bb", "data/deep/c.bin": b"c" * 2000}
    add = [CommitOperationAdd(path, content) for path, content in contents.items()]
    api.create_commit(repo, add, commit_message="Add", **kind)
    top = {e.path: e for e in api.list_repo_tree(repo, **kind)}
    assert top.keys() == {".gitattributes", "a.txt", "data"}
    every = {e.path: e for e in api.list_repo_tree(repo, recursive=True, expand=True, **kind)}
    assert every["data/deep/c.bin"].lfs.size == 2000
    assert every["data"].last_commit.title == "Add"
    inner = [e.path for e in api.list_repo_tree(repo, "data/deep", **kind)]
    assert inner == ["data/deep/c.bin"]
    found = api.get_paths_info(repo, ["a.txt", "missing", "data"], **kind)
    assert [e.path for e in found] == ["a.txt", "data"]
    assert found[0].blob_id == top["a.txt"].blob_id
    info = api.dataset_info(repo, files_metadata=True)
    assert {s.rfilename: s.size for s in info.siblings}["data/deep/c.bin"] == 2000
    with fails(RemoteEntryNotFoundError):
        list(api.list_repo_tree(repo, "nowhere", **kind))
    with fails(EntryNotFoundError):
        hf_hub_download(repo, "nowhere.txt", **kind)
    with fails(RevisionNotFoundError):
        hf_hub_download(repo, "a.txt", revision="nowhere", **kind)
    with fails(RepositoryNotFoundError):
        hf_hub_download("learner/nowhere", "a.txt")
    assert not api.file_exists(repo, "nowhere.txt", **kind)
    assert not api.revision_exists(repo, "nowhere", **kind)


def flow_lists_are_searched_and_filtered():
    repo, other = fresh(), fresh("dataset")
    mark = f"mark-{os.getpid()}-{next(numbers)}"
    card = f"---\npipeline_tag: fill-mask\nlicense: mit\ntags: [{mark}]\n---\n# Card\n"
    api.upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=repo)
    found = list(api.list_models(filter=mark))
    assert [m.id for m in found] == [repo] and found[0].pipeline_tag == "fill-mask"
    name = repo.partition("/")[2]
    assert repo in [m.id for m in api.list_models(search=name)]
    ids = [m.id for m in api.list_models(author="learner", pipeline_tag="fill-mask")]
    assert repo in ids
    assert [m.id for m in api.list_models(filter=[mark, "license:mit"], full=True)] == [repo]
    assert not list(api.list_models(author="nobody"))
    one = next(iter(api.list_models(filter=mark, expand=["cardData", "sha", "siblings"])))
    assert one.card_data.license == "mit" and one.sha and one.siblings and one.tags is None
    assert other in [d.id for d in api.list_datasets(search=other.partition("/")[2])]
    assert len(list(api.list_models(limit=1))) == 1
    assert api.model_info(repo, expand=["downloads"]).downloads == 0
    assert mark in str(api.get_model_tags())


def flow_one_part_ids():
    assert read("legacy-model", "config.json") == b'{"legacy": true}'
    assert api.model_info("legacy-model").author is None


# -- cards and the rest ----------------------------------------------------------------


def flow_cards():
    repo = fresh()
    ModelCard("---\nlicense: mit\nlanguage: en\n---\n# A model\n").push_to_hub(repo)
    assert ModelCard.load(repo).data.license == "mit"
    metadata_update(repo, {"pipeline_tag": "fill-mask", "tags": ["demo"]})
    info = api.model_info(repo)
    assert info.pipeline_tag == "fill-mask" and "demo" in info.tags
    assert info.card_data.license == "mit"
    metadata_update(repo, {"license": "apache-2.0"}, overwrite=True, create_pr=True)
    assert ModelCard.load(repo).data.license == "mit"
    with fails(ValueError, "Invalid metadata"):
        api.upload_file(path_or_fileobj=b"---\na: [\n---\n", path_in_repo="README.md", repo_id=repo)
    data = fresh("dataset")
    DatasetCard("---\nlanguage: [de]\n---\n# Data\n").push_to_hub(data, repo_type="dataset")
    assert data in [d.id for d in api.list_datasets(filter="language:de")]


def flow_tensors_are_described_without_downloading_them():
    repo = fresh()
    header = b'{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
    content = len(header).to_bytes(8, "little") + header + bytes(24)
    api.upload_file(path_or_fileobj=content, path_in_repo="model.safetensors", repo_id=repo)
    found = get_safetensors_metadata(repo)
    assert found.parameter_count == {"F32": 6}


def flow_what_is_not_offered_fails_at_once_and_says_so():
    repo = fresh()
    for call in (
        lambda: api.super_squash_history(repo),
        lambda: list(api.list_lfs_files(repo)),
        lambda: api.unlike(repo),
        lambda: api.create_collection("x"),
        lambda: api.get_space_runtime("learner/space"),
        lambda: list(api.list_models(apps="ollama")),
    ):
        began = time.perf_counter()
        with fails(HfHubHTTPError, "does not offer", 501):
            call()
        assert time.perf_counter() - began < 2


def flow_login_on_a_page():
    device = request_device_code()
    page = urllib.request.urlopen(device["verification_uri_complete"]).read().decode()
    assert device["user_code"] in page
    fields = {"code": device["user_code"], "token": os.environ["HF_TOKEN"]}
    threading.Timer(
        0.2,
        urllib.request.urlopen,
        [device["verification_uri"], urllib.parse.urlencode(fields).encode()],
    ).start()
    token = poll_device_token(device)["access_token"]
    assert token != os.environ["HF_TOKEN"] and HfApi(token=token).whoami()["name"] == "learner"
