"""Ids as git itself makes them."""

import os
import shutil
import subprocess

import pytest

from course_lib.hub.storage.objects import Blob, blob_oid, dump_tree, large_file, load_tree, pointer
from course_lib.hub.storage.store import AddFile, DeleteFile

FILES = {
    "README.md": b"# Card\n",
    "a/b/c.txt": b"deep",
    "a-b": b"sorts before the folder a",
    "a.txt": b"sorts before it too",
    "empty": b"",
    "\u00fc/\u732b.txt": b"names in UTF-8",
}


@pytest.fixture
def git(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("no git on the path")
    folder = tmp_path / "checkout"
    folder.mkdir()

    def run(*arguments: str, **environment: str) -> str:
        env = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=env | environment, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    run("init", "--quiet")
    run.folder = folder
    return run


def test_a_history_has_the_ids_that_git_gives_it(hub, git):
    repo = hub.push("ann/bert", FILES)
    store = hub.store
    more = [AddFile("a/new.bin", store.blobs.put(b"w" * 999), True), DeleteFile("empty")]
    store.commit(repo, "main", more, title="Change", message="Why\n\nBecause.", author="ann")
    oid = None
    for commit in reversed(store.commits(repo, "main")):
        for path in git.folder.iterdir():
            if path.name != ".git":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path, file in store.trees.files(commit.tree):
            target = git.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            content = pointer(file.blob) if file.large else store.blobs.read(file.sha256)
            target.write_bytes(content)
        git("add", "--all", "--force", ".")
        tree = git("write-tree")
        who = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in {
                "NAME": commit.author,
                "EMAIL": f"{commit.author}@course.hub",
                "DATE": f"{commit.created_at // 1000} +0000",
            }.items()
        }
        text = f"{commit.title}\n\n{commit.message}" if commit.message else commit.title
        parent = ["-p", oid] if oid else []
        oid = git("commit-tree", tree, *parent, "-m", text, **who)
        assert commit.oid == oid
    assert oid == store.resolve(repo, "main").oid
    assert len(store.commits(repo, "main")) == 3


def test_a_small_files_id_is_gits():
    assert blob_oid(5, [b"he", b"llo"]) == "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"


def test_a_large_file_is_known_to_git_by_its_pointer():
    blob = Blob("ab" * 32, 12345)
    assert pointer(blob).splitlines() == [
        b"version https://git-lfs.github.com/spec/v1", b"oid sha256:" + b"ab" * 32, b"size 12345",
    ]  # fmt: skip
    file = large_file(blob)
    assert file.oid == blob_oid(len(pointer(blob)), [pointer(blob)]) and file.etag == blob.sha256


def test_folders_are_stored_in_one_form(hub):
    repo = hub.push("ann/bert", FILES)
    tree = hub.store.resolve(repo, "main").tree
    entries = hub.store.trees.load(tree)
    assert load_tree(dump_tree(entries)) == entries
    assert dump_tree(dict(reversed(entries.items()))) == dump_tree(entries)
