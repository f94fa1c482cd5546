"""What changed between commits, against the plain way of finding it."""

import random

import pytest

from course_lib.hub.names import parse_repo_id
from course_lib.hub.storage.history import Change, changes, last_changes, line_changes
from course_lib.hub.storage.store import AddFile, DeleteFile, Repo, Store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "hub")


@pytest.fixture
def repo(store) -> Repo:
    return store.create_repo(parse_repo_id("model", "ann/bert"), author="ann")


def commit(store: Store, repo: Repo, files: dict[str, bytes | None]):
    operations = [
        DeleteFile(path) if data is None else AddFile(path, store.blobs.put(data), False)
        for path, data in files.items()
    ]
    return store.commit(repo, "main", operations, title=f"{files}", author="ann")


def test_added_changed_removed_and_moved_into_a_folder(store, repo):
    one = commit(store, repo, {"a": b"1", "b/c": b"2", "b/d": b"3", "same/x": b"4"})
    two = commit(store, repo, {"a": b"9", "b/c": None, "b/d": None})
    three = commit(store, repo, {"b": b"now a file", "a": None})
    found = [(c.path, c.kind) for c in changes(store.trees, one.tree, two.tree)]
    assert found == [("a", "changed"), ("b/c", "removed"), ("b/d", "removed")]
    found = [(c.path, c.kind) for c in changes(store.trees, one.tree, three.tree)]
    assert found == [("a", "removed"), ("b", "added"), ("b/c", "removed"), ("b/d", "removed")]
    first = [c.path for c in changes(store.trees, None, one.tree)]
    assert first == [".gitattributes", "a", "b/c", "b/d", "same/x"]


def test_random_histories_agree_with_the_plain_way(store, repo):
    rng = random.Random(7)
    names = ["a", "b", "f/a", "f/b", "f/g/a"]
    state: dict[str, bytes] = {}
    changed: dict[str, str] = {}  # the last commit of each path and folder
    for number in range(60):
        path = rng.choice(names)
        drop = path in state and rng.random() < 0.3
        before = dict(state)
        state.pop(path) if drop else state.__setitem__(path, b"%d" % rng.randrange(3))
        if state == before:
            continue
        made = commit(store, repo, {path: None if drop else state[path]})
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            changed["/".join(parts[:depth])] = made.oid
        parent = store.resolve(repo, made.parent)
        assert [c.path for c in changes(store.trees, parent.tree, made.tree)] == [path]
        if number % 5:
            continue
        for folder in ("", "f", "f/g"):
            found = last_changes(store, repo, made, folder)
            found.pop(".gitattributes", None)
            paths = {f"{folder}/{name}".strip("/"): c.oid for name, c in found.items()}
            inside = [path for path in state if not folder or path.startswith(folder + "/")]
            depth = len(folder.split("/")) if folder else 0
            shown = {"/".join(path.split("/")[: depth + 1]) for path in inside}
            assert paths == {path: changed[path] for path in shown}


def test_what_lies_too_far_back_is_left_out(store, repo):
    commit(store, repo, {"old": b"1"})
    for number in range(5):
        head = commit(store, repo, {"new": b"%d" % number})
    assert set(last_changes(store, repo, head, limit=3)) == {"new"}
    assert set(last_changes(store, repo, head)) == {"new", "old", ".gitattributes"}


def test_lines(store, repo):
    old = commit(store, repo, {"a": b"one\ntwo\n", "bin": b"\xff", "long": b"x\n" * 601})
    new = commit(store, repo, {"a": b"one\n2\n", "bin": b"\xfe", "long": b"y\n" * 601})
    found = {c.path: c for c in changes(store.trees, old.tree, new.tree)}
    lines = line_changes(store.blobs, found["a"])
    assert [line for line in lines if line[0] != "@"] == [(" ", "one"), ("-", "two"), ("+", "2")]
    assert line_changes(store.blobs, found["bin"]) is None
    assert line_changes(store.blobs, found["long"]) is None
    added = Change("a", None, found["a"].new)
    assert [mark for mark, _ in line_changes(store.blobs, added)] == ["@", "+", "+"]
