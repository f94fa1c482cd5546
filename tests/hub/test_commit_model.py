"""Commits against a model of them: the repository is what a dictionary would be."""

import base64
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from course_lib.hub.names import RepoId
from course_lib.hub.storage.integrity import check

COMMIT = "/api/models/ann/x/commit/main"
PATHS = st.sampled_from(["a", "a/b", "a/b/c", "a/d", "é"])
CONTENTS = st.sampled_from([b"", b"1", b"22", b"long" * 30_000])
OPERATIONS = st.one_of(
    *[st.tuples(st.just("file"), PATHS, CONTENTS)] * 3,
    *[st.tuples(st.just("deletedFile"), PATHS)] * 2,
    st.tuples(st.just("deletedFolder"), PATHS),
    st.tuples(st.just("copyFile"), PATHS, PATHS),
    st.tuples(st.just("copyFile"), PATHS, PATHS, st.just("main")),
)


def line_of(operation: tuple) -> dict:
    match operation:
        case "file", path, content:
            text = base64.b64encode(content).decode()
            value = {"path": path, "content": text, "encoding": "base64"}
        case "copyFile", path, source, *revision:
            value = {"path": path, "srcPath": source}
            value |= {"srcRevision": revision[0]} if revision else {}
        case _, path:
            value = {"path": path}
    return {"key": operation[0], "value": value}


def below(files: dict[str, bytes], path: str) -> list[str]:
    return [name for name in files if name.startswith(path + "/")]


def applied(files: dict[str, bytes], operations: list[tuple]) -> dict[str, bytes] | None:
    """The files after the operations; None if one of them cannot be."""
    before, files = files, dict(files)
    for operation in operations:
        kind, path, *more = operation
        if kind == "deletedFile":
            if files.pop(path, None) is None:
                return None
        elif kind == "deletedFolder":
            if not below(files, path):
                return None
            for name in below(files, path):
                del files[name]
        else:
            source = before if len(more) == 2 else files
            content = more[0] if kind == "file" else source.get(more[0])
            ancestors = [path[:i] for i, letter in enumerate(path) if letter == "/"]
            if content is None or below(files, path) or any(a in files for a in ancestors):
                return None
            files[path] = content
    return files


MADE = ("file", "a/b", b"1")


@example(commits=[[MADE], [("deletedFile", "a/b"), ("file", "a", b"1")]])
@example(commits=[[MADE], [("deletedFile", "a/b"), ("deletedFolder", "a")]])
@example(commits=[[MADE, ("deletedFile", "a/b"), ("deletedFolder", "a")]])
@example(commits=[[MADE], [("copyFile", "a/b/c", "a/b")]])
@given(commits=st.lists(st.lists(OPERATIONS, max_size=6), max_size=4))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_repository_is_what_its_commits_made_of_it(hub, commits):
    hub.store.delete_repo(REPO) if hub.store.find_repo(REPO) else None
    hub.store.create_repo(REPO, author="ann")
    expected: dict[str, bytes] = {}
    for number, operations in enumerate(commits):
        lines = [{"key": "header", "value": {"summary": f"Change {number}"}}]
        lines += [line_of(operation) for operation in operations]
        answer = hub.ask("POST", COMMIT, body="\n".join(map(json.dumps, lines)).encode())
        after = applied(expected, operations)
        assert answer.status == (200 if after is not None else 400), answer.body
        expected = expected if after is None else after
        assert files_of(hub) == expected


REPO = RepoId("model", "ann", "x")


def files_of(hub) -> dict[str, bytes]:
    tree = hub.store.resolve(hub.store.repo(REPO), "main").tree
    found = {path: hub.store.blobs.read(f.sha256) for path, f in hub.store.trees.files(tree)}
    del found[".gitattributes"]
    return found


@pytest.fixture(autouse=True)
def sound_in_the_end(hub):
    yield
    report = check(hub.store)
    assert report.is_ok, report.problems
    assert not list(hub.store.blobs.temporary.iterdir())
