"""Which way files are sent, and commits: over HTTP, and with the client."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from course_lib.hub.names import RepoId
from course_lib.hub.storage.objects import blob_oid
from course_lib.hub.storage.store import LARGE_SIZE, MAIN, Store
from tests.hub.uploading import Refused, Uploader, inline, wait_for

REPO = RepoId("model", "ann", "x")
COMMIT = "/api/models/ann/x/commit/main"
PREUPLOAD = "/api/models/ann/x/preupload/main"


def body_of(*lines: tuple[str, dict], summary: str = "Change", **header: object) -> bytes:
    rows = [("header", {"summary": summary, **header}), *lines]
    return b"".join(json.dumps({"key": k, "value": v}).encode() + b"\n" for k, v in rows)


def added(path: str, content: bytes) -> tuple[str, dict]:
    text = base64.b64encode(content).decode()
    return "file", {"path": path, "content": text, "encoding": "base64"}


def deleted(path: str) -> tuple[str, dict]:
    return "deletedFolder" if path.endswith("/") else "deletedFile", {"path": path}


def files_of(client, revision: str = "main") -> dict[str, bytes]:
    store = client.store
    repo = store.find_repo(REPO)
    tree = store.resolve(repo, revision).tree
    return {path: store.blobs.read(f.sha256) for path, f in store.trees.files(tree)}


@pytest.fixture
def ann(hub):
    """A Hub with one repository, ann/x."""
    hub.push("ann/x", {"a.txt": "one", "data/b.txt": "two", "w.bin": b"large"})
    return hub


def left(client) -> list[str]:
    return list(client.store.blobs.temporary.iterdir())


# -- the question before the upload ----------------------------------------------------------------


def ask(client, *files: dict, **more: object) -> list[dict]:
    answer = client.post(PREUPLOAD, {"files": list(files), **more})
    assert answer.status == 200, answer.body
    return answer.json["files"]


def test_size_and_name_decide_how_a_file_is_sent(ann):
    sizes = {
        "README.md": (LARGE_SIZE, "regular"),
        "train.csv": (LARGE_SIZE + 1, "lfs"),
        "x/model.safetensors": (1, "lfs"),
        "data/train.parquet": (300, "lfs"),
        "empty.bin": (0, "regular"),
    }
    rows = ask(ann, *({"path": path, "size": size} for path, (size, _) in sizes.items()))
    assert [(row["path"], row["uploadMode"]) for row in rows] == [
        (path, mode) for path, (_, mode) in sizes.items()
    ]
    assert all(row["shouldIgnore"] is False and "oid" not in row for row in rows)


def test_what_the_repository_has_is_named_by_the_id_that_the_client_computes(ann):
    text, large, other = ask(
        ann,
        {"path": "a.txt", "size": 3},
        {"path": "w.bin", "size": 5},
        {"path": "data", "size": 3},
    )
    assert text["oid"] == blob_oid(3, [b"one"])
    assert large["oid"] == ann.store.blobs.put(b"large").sha256
    assert "oid" not in other
    # A large file that becomes an empty one: the id that git has is its pointer's, of no use here.
    assert "oid" not in ask(ann, {"path": "w.bin", "size": 0})[0]


def test_the_repositorys_own_attributes_and_ignored_files_count(ann):
    ann.push("ann/x", {".gitattributes": "*.txt filter=lfs\n", ".gitignore": "*.log\n"})
    rows = ask(ann, *({"path": p, "size": 1} for p in ("a.txt", "w.bin", "a.log")))
    assert [row["uploadMode"] for row in rows] == ["lfs", "regular", "regular"]
    assert [row["shouldIgnore"] for row in rows] == [False, False, True]
    rows = ask(ann, {"path": "a.log", "size": 1}, {"path": "b.tmp", "size": 1}, gitIgnore="*.tmp")
    assert [row["shouldIgnore"] for row in rows] == [False, True]


@pytest.mark.parametrize(
    "question, expected",
    [
        ([], "must be a JSON object, not list"),
        ({}, 'must hold a list of "files"'),
        ({"files": [{"path": "a", "size": 1}] * 257}, "up to 256 files"),
        ({"files": [{"path": "a"}]}, "needs a path and its size"),
        ({"files": [{"path": "a", "size": -1}]}, "needs a path and its size"),
        ({"files": [{"path": "a", "size": True}]}, "needs a path and its size"),
        ({"files": [{"path": ["a"], "size": 1}]}, "needs a path and its size"),
        ({"files": ["a"]}, "needs a path and its size"),
        ({"files": [{"path": "../a", "size": 1}]}, "not a plain relative path"),
        ({"files": [], "gitIgnore": 3}, "gitIgnore must be the text"),
        ({"files": [], "gitIgnore": "a\n" * 2000}, ".gitignore is too long"),
    ],
)
def test_a_wrong_question_is_refused(ann, question, expected):
    answer = ann.post(PREUPLOAD, question)
    assert answer.status == 400 and expected in answer.json["error"]


def test_a_question_is_json_of_a_bounded_length(ann):
    assert ann.ask("POST", PREUPLOAD, body=b"{").status == 400
    assert ann.ask("POST", PREUPLOAD, body=b"\xff{}").status == 400
    assert ann.ask("POST", PREUPLOAD, body=b"[" * 200_000).status == 400
    assert ann.ask("POST", PREUPLOAD, body=b" " * (5 << 20)).status == 413


# -- who may ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PREUPLOAD, COMMIT])
def test_writing_needs_a_token_that_may(ann, path):
    tokens = ann.app.hub.tokens
    body = body_of(added("new", b"new"))
    for user, role, status in (("learner", "read", 403), ("bob", "student", 403)):
        answer = ann.as_user(tokens.create(user, role, "test")).ask("POST", path, body=body)
        assert answer.status == status, (role, answer.body)
    assert ann.as_user(None).ask("POST", path, body=body).status == 401
    assert "new" not in files_of(ann)
    allowed = ann.as_user(tokens.create("ann", "student", "test")).ask("POST", COMMIT, body=body)
    assert allowed.status == 200


@pytest.mark.parametrize("path", [PREUPLOAD, COMMIT])
def test_what_is_not_there_is_said_in_the_header(ann, path):
    for wrong, code in (("ann/none", "RepoNotFound"), ("ann/x", "RevisionNotFound")):
        target = path.replace("ann/x", wrong).replace("main", "none")
        answer = ann.ask("POST", target, body=body_of())
        assert (answer.status, answer.headers["x-error-code"]) == (404, code)


# -- the commit ------------------------------------------------------------------------------------


def test_a_commit_applies_its_lines_in_order(ann):
    sha256 = ann.store.blobs.put(b"uploaded before").sha256
    body = body_of(
        deleted("a.txt"),
        added("a.txt", b"three"),
        ("copyFile", {"path": "c/a.txt", "srcPath": "a.txt", "srcRevision": "main"}),
        ("copyFile", {"path": "c/new.txt", "srcPath": "a.txt"}),
        deleted("data/"),
        ("lfsFile", {"path": "data/large.bin", "algo": "sha256", "oid": sha256, "size": 15}),
        ("lfsFile", {"path": "data/copy.bin", "algo": "sha256", "oid": sha256}),
        deleted("w.bin"),
        summary="Rearrange",
        description="A long story",
    )
    answer = ann.ask("POST", COMMIT, body=body)
    assert answer.status == 200
    oid = answer.json["commitOid"]
    assert answer.json == {
        "success": True,
        "commitOid": oid,
        "commitUrl": f"http://hub.test/ann/x/commit/{oid}",
        "hookOutput": "",
    }
    files = files_of(ann)
    del files[".gitattributes"]
    assert files == {
        "a.txt": b"three",
        "c/a.txt": b"one",
        "c/new.txt": b"three",
        "data/large.bin": b"uploaded before",
        "data/copy.bin": b"uploaded before",
    }
    commit = ann.store.resolve(ann.store.repo(REPO), "main")
    assert (commit.oid, commit.title, commit.message) == (oid, "Rearrange", "A long story")
    assert commit.author == "learner" and not left(ann)


@pytest.mark.parametrize("cut", [5, 7, 40])
def test_a_commit_on_the_head_it_names(ann, cut):
    head = ann.store.resolve(ann.store.repo(REPO), "main").oid
    body = body_of(added("new", b"new"), parentCommit=head[:cut])
    assert ann.ask("POST", COMMIT, body=body).status == 200


def test_a_commit_on_another_head_is_refused_until_it_is_made_anew(ann):
    head = ann.store.resolve(ann.store.repo(REPO), "main").oid
    first = body_of(added("a.txt", b"mine"), parentCommit=head)
    second = body_of(added("a.txt", b"yours"), parentCommit=head)
    made = ann.ask("POST", COMMIT, body=first)
    blobs = set(ann.store.blobs.all())
    refused = ann.ask("POST", COMMIT, body=second)
    assert refused.status == 412 and "The branch has moved" in refused.json["error"]
    assert files_of(ann)["a.txt"] == b"mine"
    assert set(ann.store.blobs.all()) == blobs and not left(ann)
    # A client that missed the answer sends the same again: nothing changes, the answer is the same.
    assert ann.ask("POST", COMMIT, body=first).json == made.json


def test_the_same_content_again_makes_no_commit(ann):
    first = ann.ask("POST", COMMIT, body=body_of(added("a.txt", b"new")))
    again = ann.ask("POST", COMMIT, body=body_of(added("a.txt", b"new"), summary="Again"))
    assert again.json == first.json


WRONG = {
    "deleting what is not there": ([deleted("none.txt")], "A file with this name doesn't exist"),
    "a folder that is not there": ([deleted("none/")], "A folder with this name doesn't exist"),
    "a file as a folder": ([deleted("a.txt/")], "A folder with this name doesn't exist"),
    "below a file": ([added("a.txt/b", b"x")], "'a.txt' is a file"),
    "over a folder": ([added("data", b"x")], "it is a folder"),
    "unknown content": (
        [("lfsFile", {"path": "x.bin", "algo": "sha256", "oid": "0" * 64, "size": 1})],
        "upload it before the commit",
    ),
    "another size": (
        [("lfsFile", {"path": "x.bin", "algo": "sha256", "oid": None, "size": 1})],
        "1 bytes, its content has 5",
    ),
    "copying nothing": ([("copyFile", {"path": "x", "srcPath": "none"})], "Cannot copy 'none'"),
    "copying a folder": ([("copyFile", {"path": "x", "srcPath": "data"})], "Cannot copy 'data'"),
    "a path outside": ([added("../x", b"x")], "not a plain relative path"),
    "not JSON": ([("file", {})], "lacks content, encoding, path"),
}


@pytest.mark.parametrize("as_pull", [False, True])
@pytest.mark.parametrize("name", WRONG)
def test_a_commit_that_is_wrong_in_its_last_line_leaves_nothing(ann, name, as_pull):
    lines, expected = WRONG[name]
    for _, value in lines:
        if "oid" in value and value["oid"] is None:
            value["oid"] = ann.store.blobs.put(b"large").sha256
    before = files_of(ann), set(ann.store.blobs.all())
    body = body_of(added("fine.txt", b"fine"), added("long.txt", bytes(200_000)), *lines)
    answer = ann.ask("POST", COMMIT + "?create_pr=1" * as_pull, body=body)
    assert answer.status == 400 and expected in answer.json["error"]
    assert (files_of(ann), set(ann.store.blobs.all())) == before and not left(ann)
    assert not ann.store.pulls(ann.store.repo(REPO))


def test_a_pull_request_holds_its_commit_and_leaves_main_alone(ann):
    answer = ann.ask("POST", COMMIT + "?create_pr=1", body=body_of(added("pr.txt", b"pr")))
    assert answer.json["pullRequestUrl"] == "http://hub.test/ann/x/discussions/1"
    assert "pr.txt" not in files_of(ann) and files_of(ann, "refs/pr/1")["pr.txt"] == b"pr"
    more = COMMIT.replace("main", "refs%2Fpr%2F1")
    assert ann.ask("POST", more, body=body_of(added("more.txt", b"more"))).status == 200
    assert files_of(ann, "refs/pr/1").keys() - files_of(ann) == {"pr.txt", "more.txt"}


def test_commits_go_to_branches_only(ann):
    repo = ann.store.repo(REPO)
    ann.store.create_branch(repo, "feature/x")
    ann.store.create_tag(repo, "v1")
    head = ann.store.refs(repo)[MAIN]
    body = body_of(added("new", b"new"))
    branch = COMMIT.replace("main", "feature%2Fx")
    assert ann.ask("POST", branch, body=body).status == 200
    assert ann.ask("POST", branch + "?create_pr=1", body=body).status == 400
    for target in ("v1", head, "refs%2Ftags%2Fv1"):
        answer = ann.ask("POST", COMMIT.replace("main", target), body=body)
        assert (answer.status, answer.headers["x-error-code"]) == (404, "RevisionNotFound")


def test_a_commit_whose_sender_goes_away_is_no_commit(server):
    repo = server.push("learner/gone", {"a.txt": "one"})
    uploader = Uploader(server.url, server.write_token, repo.id.full)
    line = inline("b.txt", bytes(3_000_000))
    for size in (len(line) + 1, 2 * len(line)):
        with pytest.raises(RuntimeError):
            uploader.commit_pieces(size, half_of(line, server.root))
        wait_for(lambda: not any((server.root / "tmp").iterdir()))
    assert Store(server.root).resolve(repo, "main").title == "Add files"


def test_a_refusal_reaches_a_client_that_is_still_sending(server):
    repo = server.push("learner/refused", {"a.txt": "one"})
    uploader = Uploader(server.url, server.write_token, repo.id.full)
    for line in (b"{}\n", inline("../x", b"x"), inline("x", b"x") + b"\xff\n"):
        with pytest.raises(Refused) as caught:
            uploader.commit(line, inline("b.txt", bytes(30_000_000)))
        assert caught.value.status == 400


def half_of(line: bytes, root: Path) -> Iterator[bytes]:
    """Almost all of a line; then, when it is on its way to the disk, an end without warning."""
    yield line[:-1]
    wait_for(lambda: any((root / "tmp").iterdir()))
    yield line[-1:]
    raise RuntimeError("gone")


# -- with the client -------------------------------------------------------------------------------

CLIENT = """
import io, os, sys
from pathlib import Path
from huggingface_hub import (CommitOperationAdd as Add, CommitOperationCopy as Copy,
                             CommitOperationDelete as Delete, HfApi, hf_hub_download)
from huggingface_hub.errors import BadRequestError, HfHubHTTPError
api, repo, folder = HfApi(), sys.argv[1], Path(sys.argv[2])
api.create_repo(repo)
numbers = b"".join(i.to_bytes(4, "little") for i in range(400_000))
contents = {"a.txt": b"text", "model.safetensors": os.urandom(3_000_000), "zeros.bin": bytes(10**6),
            "data/numbers.npy": numbers, "empty.bin": b"", "data/long.csv": b"1,2,3\\n" * 1_800_000}
for path, content in contents.items():
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(content)
(folder / ".gitignore").write_text("*.log\\n")
(folder / "noise.log").write_text("not to be seen")
info = api.upload_folder(repo_id=repo, folder_path=folder)
def holds(expected, revision="main"):
    found = set(api.list_repo_files(repo, revision=revision)) - {".gitattributes", ".gitignore"}
    assert found == set(expected), found ^ set(expected)
    for path, content in expected.items():
        got = Path(hf_hub_download(repo, path, revision=revision)).read_bytes()
        assert got == content, path
holds(contents)
large = {f.path for f in api.list_repo_tree(repo, recursive=True) if getattr(f, "lfs", None)}
assert large == {"model.safetensors", "zeros.bin", "data/numbers.npy", "data/long.csv"}, large

contents["b.bin"] = b"from a file object" * 100
api.upload_file(repo_id=repo, path_in_repo="b.bin", path_or_fileobj=io.BytesIO(contents["b.bin"]))
api.create_commit(repo, commit_message="Rearrange", operations=[
    Copy("model.safetensors", "copy.safetensors"), Copy("a.txt", "copy.txt"), Delete("zeros.bin"),
    Add("a.txt", b"new text"), Delete("data/"), Add("data/again.bin", numbers)])
contents |= {"copy.safetensors": contents["model.safetensors"], "copy.txt": b"text",
             "a.txt": b"new text", "data/again.bin": numbers}
for gone in ("zeros.bin", "data/numbers.npy", "data/long.csv"):
    del contents[gone]
holds(contents)

head = api.model_info(repo).sha
api.create_commit(repo, [Add("c.txt", b"c")], commit_message="Mine", parent_commit=head)
try:
    api.create_commit(repo, [Add("c.txt", b"d")], commit_message="Yours", parent_commit=head)
    raise AssertionError("a commit on an old head went through")
except HfHubHTTPError as error:
    assert error.response.status_code == 412 and "The branch has moved" in str(error)
try:
    api.create_commit(repo, [Delete("none.txt")], commit_message="Delete nothing")
    raise AssertionError("a missing file was deleted")
except BadRequestError as error:
    assert "A file with this name doesn't exist" in str(error)
contents["c.txt"] = b"c"
holds(contents)

pull = api.create_commit(repo, [Add("pr.bin", b"pr")], commit_message="Offer", create_pr=True)
assert pull.pr_num == 1 and pull.pr_revision == "refs/pr/1"
holds(contents | {"pr.bin": b"pr"}, "refs/pr/1")
holds(contents)
"""


@pytest.mark.parametrize("xet", [True, False], ids=["xet", "lfs"])
def test_the_client_uploads_copies_deletes_and_minds_conflicts(server, tmp_path, xet):
    more = {} if xet else {"HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, f"learner/uploads-{xet}".lower(), str(tmp_path)],
        env=server.environment(**more), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert not list((server.root / "tmp").iterdir())
