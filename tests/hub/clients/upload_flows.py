"""Uploads and downloads with huggingface_hub; they run twice, over Xet and over LFS."""

import io
import tempfile
import threading
import urllib.request
from pathlib import Path

from common import api, fails, fresh, random_bytes, read
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    HfFileSystem,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)


def flow_files_come_back_as_they_went():
    repo = fresh()
    big = random_bytes(3_000_000, 1) + bytes(2_000_000) + b"text " * 400_000
    contents = {
        "small.txt": b"hello",
        "empty.txt": b"",
        "data/weights.bin": big,
        "z\u00fc.md": b"u",
    }
    for path, content in contents.items():
        info = api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=repo)
        assert read(repo, path, revision=info.oid) == content
    assert sorted(api.list_repo_files(repo)) == sorted([".gitattributes", *contents])
    with tempfile.TemporaryDirectory() as folder:  # from a path, and from an open file
        path = Path(folder) / "more.bin"
        path.write_bytes(big[::-1])
        api.upload_file(path_or_fileobj=path, path_in_repo="path.bin", repo_id=repo)
        with path.open("rb") as file:
            api.upload_file(path_or_fileobj=file, path_in_repo="object.bin", repo_id=repo)
        api.upload_file(path_or_fileobj=io.BytesIO(big), path_in_repo="io.bin", repo_id=repo)
    assert read(repo, "path.bin") == read(repo, "object.bin") == big[::-1]
    assert read(repo, "io.bin") == big


def flow_an_upload_that_changes_nothing_makes_no_commit():
    repo = fresh()
    for content in (b"same", b"same" * 100_000):
        name = "a.txt" if len(content) < 9 else "a.bin"
        api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=repo)
        before = api.list_repo_commits(repo)
        api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=repo)
        assert [c.commit_id for c in api.list_repo_commits(repo)] == [c.commit_id for c in before]


def flow_folders():
    repo = fresh("dataset")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "deep" / "er").mkdir(parents=True)
        for number in range(20):
            (root / "deep" / f"{number}.txt").write_text(str(number))
        (root / "deep" / "er" / "big.bin").write_bytes(random_bytes(1_000_000, 2))
        (root / "skip.log").write_text("no")
        api.upload_folder(
            folder_path=root, repo_id=repo, repo_type="dataset", ignore_patterns="*.log"
        )
        local = Path(snapshot_download(repo, repo_type="dataset"))
        found = {p.relative_to(local).as_posix() for p in local.rglob("*") if p.is_file()}
        assert found == {p.relative_to(root).as_posix() for p in root.rglob("*.[tb]*")} | {
            ".gitattributes"
        }
        assert (local / "deep/er/big.bin").read_bytes() == random_bytes(1_000_000, 2)
        (root / "deep" / "3.txt").unlink()
        api.upload_folder(
            folder_path=root / "deep",
            path_in_repo="deep",
            repo_id=repo,
            repo_type="dataset",
            delete_patterns="*.txt",
        )
        assert not api.file_exists(repo, "deep/3.txt", repo_type="dataset")
        assert api.file_exists(repo, "deep/4.txt", repo_type="dataset")
    some = Path(snapshot_download(repo, repo_type="dataset", allow_patterns="deep/1*.txt"))
    assert (some / "deep/11.txt").read_text() == "11"
    api.delete_folder("deep", repo_id=repo, repo_type="dataset")
    assert api.list_repo_files(repo, repo_type="dataset") == [".gitattributes"]


def flow_a_download_goes_on_where_it_stopped():
    repo, content = fresh(), random_bytes(2_000_000, 3)
    api.upload_file(path_or_fileobj=content, path_in_repo="a.bin", repo_id=repo)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(hf_hub_download(repo, "a.bin", local_dir=folder))
        assert path.read_bytes() == content
    url = f"{api.endpoint}/{repo}/resolve/main/a.bin"
    asked = urllib.request.Request(url, headers={"Range": "bytes=1500000-"})
    with urllib.request.urlopen(asked) as answer:
        assert answer.status == 206 and answer.read() == content[1_500_000:]


def flow_commits_add_delete_and_copy():
    repo, big = fresh(), random_bytes(300_000, 4)
    add = [
        CommitOperationAdd("keep.txt", b"keep"),
        CommitOperationAdd("gone.txt", b"gone"),
        CommitOperationAdd("dir/a.bin", big),
        CommitOperationAdd("dir/b.txt", b"b"),
    ]
    first = api.create_commit(repo, add, commit_message="Add", commit_description="four files")
    assert first.oid == api.model_info(repo).sha
    change = [
        CommitOperationCopy("keep.txt", "copy.txt"),
        CommitOperationCopy("dir/a.bin", "copy.bin"),
        CommitOperationDelete("gone.txt"),
        CommitOperationDelete("dir/", is_folder=True),
    ]
    api.create_commit(repo, change, commit_message="Change", parent_commit=first.oid)
    assert sorted(api.list_repo_files(repo)) == [
        ".gitattributes", "copy.bin", "copy.txt", "keep.txt",
    ]  # fmt: skip
    assert read(repo, "copy.bin") == big and read(repo, "copy.txt") == b"keep"
    assert read(repo, "gone.txt", revision=first.oid) == b"gone"
    title, message = api.list_repo_commits(repo)[1].title, api.list_repo_commits(repo)[1].message
    assert (title, message) == ("Add", "four files")


def flow_commits_that_cannot_be_made():
    repo = fresh()
    head = api.model_info(repo).sha
    api.upload_file(path_or_fileobj=b"1", path_in_repo="a.txt", repo_id=repo)
    with fails(HfHubHTTPError, "moved", 412):
        api.create_commit(
            repo, [CommitOperationAdd("b.txt", b"2")], commit_message="x", parent_commit=head
        )
    with fails(BadRequestError, "A file with this name doesn't exist"):
        api.delete_file("missing.txt", repo_id=repo)
    with fails(RevisionNotFoundError):
        api.upload_file(path_or_fileobj=b"", path_in_repo="c", repo_id=repo, revision="gone")
    with fails(RepositoryNotFoundError):
        api.upload_file(path_or_fileobj=b"1", path_in_repo="c", repo_id="learner/not-there")
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", "a.txt"]


def flow_eight_writers_at_once():
    repo = fresh()
    futures = [
        api.upload_file(
            path_or_fileobj=f"{number}".encode() * (1 + 50_000 * (number % 2)),
            path_in_repo=f"{number}.{'bin' if number % 2 else 'txt'}",
            repo_id=repo,
            run_as_future=True,
        )
        for number in range(4)
    ]
    threads = [
        threading.Thread(
            target=HfApi().create_commit,
            args=(repo, [CommitOperationAdd(f"t{number}.txt", b"t")]),
            kwargs={"commit_message": f"thread {number}"},
        )
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for waiting in [*threads, *futures]:
        waiting.join() if isinstance(waiting, threading.Thread) else waiting.result()
    assert len(api.list_repo_files(repo)) == 9 and len(api.list_repo_commits(repo)) == 9


# -- pull requests and the file system ------------------------------------------------------------


def flow_pull_requests():
    repo = fresh()
    add = [CommitOperationAdd("pr.txt", b"one")]
    made = api.create_commit(repo, add, commit_message="Propose", create_pr=True)
    assert made.pr_num == 1 and made.pr_revision == "refs/pr/1"
    assert read(repo, "pr.txt", revision="refs/pr/1") == b"one"
    assert not api.file_exists(repo, "pr.txt")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "more.bin").write_bytes(b"m" * 5000)
        Path(folder, "more.txt").write_text("more")
        second = api.upload_folder(repo_id=repo, folder_path=folder, create_pr=True)
    assert "/discussions/2" in second.pr_url
    assert read(repo, "more.bin", revision="refs/pr/2") == b"m" * 5000
    draft = api.create_pull_request(repo, title="By hand", description="later")
    details = api.get_discussion_details(repo, draft.num)
    assert (details.title, details.status, details.is_pull_request) == ("By hand", "open", True)
    api.upload_file(
        path_or_fileobj=b"x", path_in_repo="x", repo_id=repo, revision=details.git_reference
    )
    refs = api.list_repo_refs(repo, include_pull_requests=True).pull_requests
    assert [r.ref for r in refs] == ["refs/pr/1", "refs/pr/2", "refs/pr/3"]
    with fails(HfHubHTTPError, "does not offer", 501):
        list(api.get_repo_discussions(repo))


def flow_the_file_system_reads_writes_and_seeks():
    repo, content = fresh("dataset"), random_bytes(1_500_000, 5)
    fs = HfFileSystem()
    root = f"datasets/{repo}"
    with fs.open(f"{root}/data/numbers.bin", "wb") as file:
        file.write(content)
    with fs.open(f"{root}/notes.txt", "w") as file:
        file.write("line\n" * 3)
    assert fs.read_text(f"{root}/notes.txt") == "line\n" * 3
    assert sorted(fs.ls(root, detail=False)) == [
        f"{root}/.gitattributes", f"{root}/data", f"{root}/notes.txt",
    ]  # fmt: skip
    assert fs.glob(f"{root}/**/*.bin") == [f"{root}/data/numbers.bin"]
    assert fs.info(f"{root}/data/numbers.bin")["size"] == len(content)
    with fs.open(f"{root}/data/numbers.bin", block_size=2**16) as file:
        file.seek(1_000_000)
        assert file.read(1000) == content[1_000_000:1_001_000]
        file.seek(-10, 2)
        assert file.read() == content[-10:]
    assert fs.cat_ranges([f"{root}/data/numbers.bin"] * 2, [0, 500], [10, 600]) == [
        content[:10], content[500:600],
    ]  # fmt: skip
    fs.cp_file(f"{root}/data/numbers.bin", f"{root}/copy.bin")
    fs.rm(f"{root}/data", recursive=True)
    assert not fs.exists(f"{root}/data/numbers.bin") and fs.exists(f"{root}/copy.bin")
    api.create_branch(repo, branch="a/b", repo_type="dataset")
    assert fs.exists(f"{root}@a%2Fb/notes.txt")
    with fails(FileNotFoundError):
        fs.open(f"{root}/nowhere.txt").read()
