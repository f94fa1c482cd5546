"""What `check` finds, what `gc` keeps and removes, what `reset` leaves."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.hub.auth import Tokens
from course_lib.hub.errors import HubError
from course_lib.hub.names import parse_repo_id
from course_lib.hub.storage.integrity import check
from course_lib.hub.storage.maintenance import gc, open_store, present, reset
from course_lib.hub.storage.objects import File
from course_lib.hub.storage.store import MAIN, AddFile, DeleteFile, DeleteFolder, Repo, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "hub")


def new_repo(store: Store, name: str, kind: str = "model") -> Repo:
    return store.create_repo(parse_repo_id(kind, name), author="ann")


def commit(store: Store, repo: Repo, files: dict[str, bytes], branch: str = "main") -> str:
    operations = [
        AddFile(path, store.blobs.put(data), large=path.endswith(".bin"))
        for path, data in files.items()
    ]
    return store.commit(repo, branch, operations, title="Add files", author="ann").oid


def age(store: Store, seconds: float = 7200) -> None:
    """Let all blobs and temporary files be older than they are."""
    then = time.time() - seconds
    for folder in ("blobs", "tmp", "partial"):
        for path in (store.root / folder).rglob("*"):
            if path.is_file():
                os.utime(path, (then, then))


def blobs(store: Store) -> set[str]:
    return set(store.blobs.all())


# -- check -----------------------------------------------------------------------------------------


def test_a_sound_hub_is_sound_and_counted(store):
    repo = new_repo(store, "ann/bert")
    commit(store, repo, {"config.json": b"{}", "data/weights.bin": b"w" * 5000})
    store.create_branch(repo, "dev")
    store.create_tag(repo, "v1")
    store.create_pull(repo, "Better", "", "bob")
    commit(store, repo, {"config.json": b"{ }"}, "refs/pr/1")
    new_repo(store, "ann/reviews", "dataset")

    report = check(store)
    assert report.problems == [] and report.notes == [] and report.is_ok
    assert report.counts["models"] == report.counts["datasets"] == 1
    assert report.counts["refs"] == 5 and report.counts["commits"] == 4
    assert report.counts["blobs"] == 4  # .gitattributes, two config.json, the weights
    assert report.counts["bytes"] == sum(store.blobs.find(name).size for name in blobs(store))


def damaged(store: Store, text: str) -> None:
    problems = check(store).problems
    assert any(text in problem for problem in problems), problems


def test_an_altered_blob_is_found_by_name(store):
    repo = new_repo(store, "ann/bert")
    commit(store, repo, {"data/weights.bin": b"right"})
    blob = next(b for b in blobs(store) if store.blobs.read(b) == b"right")
    store.blobs.path(blob).write_bytes(b"wrong")
    damaged(store, f"Blob {blob[:12]} is altered")
    damaged(store, "data/weights.bin")


def test_a_missing_blob_is_found_by_name(store):
    repo = new_repo(store, "ann/bert")
    oid = commit(store, repo, {"notes.txt": b"text"})
    file = store.entry(repo, store.resolve(repo, oid), "notes.txt")
    store.blobs.path(file.sha256).unlink()
    damaged(store, f"ann/bert at {oid[:8]}: notes.txt: its content, blob {file.sha256[:12]}")


def test_a_missing_folder_is_found_by_name(store):
    repo = new_repo(store, "ann/bert")
    oid = commit(store, repo, {"data/a.txt": b"a"})
    folder = store.entry(repo, store.resolve(repo, oid), "data")
    with store.database.write() as connection:
        connection.execute("DELETE FROM trees WHERE key = ?", (folder.key,))
    damaged(store, f"ann/bert at {oid[:8]}: folder data ({folder.key[:12]}) is missing")


def test_a_ref_without_its_commit_and_a_commit_without_its_parent_are_found(store):
    repo = new_repo(store, "ann/bert")
    first = store.resolve(repo, "main").oid
    second = commit(store, repo, {"a.txt": b"a"})
    third = commit(store, repo, {"b.txt": b"b"})
    with store.database.write() as connection:
        connection.execute("DELETE FROM commits WHERE oid = ?", (second,))
    damaged(store, f"ann/bert at {third[:8]}: its parent, commit {second[:8]}, is missing")
    with store.database.write() as connection:
        connection.execute("DELETE FROM commits WHERE oid = ?", (third,))
    damaged(store, f"ann/bert: {MAIN} points at commit {third[:8]}, which is missing")
    assert first not in str(check(store).problems)


def test_an_altered_commit_folder_and_main_are_found(store):
    repo = new_repo(store, "ann/bert")
    oid = commit(store, repo, {"a.txt": b"a"})
    root = store.resolve(repo, oid).tree
    with store.database.write() as connection:
        connection.execute("UPDATE commits SET author = 'eve' WHERE oid = ?", (oid,))
    damaged(store, f"ann/bert at {oid[:8]}: the commit is not what its id says")
    with store.database.write() as connection:
        connection.execute("UPDATE trees SET data = ? WHERE key = ?", (b"[]", root))
    damaged(store, f"Folder {root[:12]}: its entries are not those it was stored with")
    with store.database.write() as connection:
        connection.execute("DELETE FROM refs")
    damaged(store, "ann/bert: branch main is missing")


def test_a_file_whose_git_id_is_wrong_is_found(store):
    repo = new_repo(store, "ann/bert")
    blob = store.blobs.put(b"text")
    lying = File("0" * 40, blob.sha256, blob.size, large=False)
    store._file = lambda *args, **kwargs: lying
    store.commit(repo, "main", [AddFile("a.txt", blob, False)], title="Lie", author="eve")
    damaged(store, "a.txt: the file is not what its id says")


def test_what_does_not_belong_is_found_and_leftovers_are_noted(store):
    (store.root / "blobs" / "aa").mkdir()
    (store.root / "blobs" / "aa" / "notes.txt").write_text("mine")
    damaged(store, "blobs/aa/notes.txt does not belong there")
    (store.root / "blobs" / "aa" / "notes.txt").unlink()

    (store.root / "tmp" / "left").write_bytes(b"x" * 2000)
    store.blobs.put(b"unused")
    report = check(store)
    assert report.is_ok
    assert any("1 unfinished file (2.0 kB)" in note for note in report.notes)
    assert any("1 blob (6 bytes) that no commit refers to" in note for note in report.notes)


def test_a_database_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(HubError, match="There is no Course Hub in .*course hub start"):
        open_store(tmp_path)
    Store(tmp_path).database.connection.close()
    for name in ("hub.db-wal", "hub.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "hub.db").write_bytes(b"no database" * 1000)
    with pytest.raises(HubError, match="cannot be read .*course hub reset"):
        open_store(tmp_path)


# -- gc --------------------------------------------------------------------------------------------


def test_gc_removes_what_nothing_refers_to_and_says_how_much(store):
    keep, drop = new_repo(store, "ann/keep"), new_repo(store, "ann/drop")
    commit(store, keep, {"a.bin": b"a" * 1000, "shared.bin": b"s" * 1000})
    commit(store, drop, {"d/b.bin": b"b" * 3000, "shared.bin": b"s" * 1000})
    store.delete_repo(drop.id)
    (store.root / "tmp" / "left").write_bytes(b"x" * 500)
    (store.root / "partial").mkdir()
    (store.root / "partial" / "half").write_bytes(b"x" * 700)
    age(store)

    done = gc(store)
    assert (done.blobs, done.temporary, done.size) == (1, 2, 3000 + 500 + 700)
    assert done.folders == 2  # the last root of the repository that is gone, and d/
    assert check(store).is_ok and check(store).notes == []
    assert gc(store).size == 0


def test_gc_keeps_what_is_young_or_was_asked_for_lately(store):
    young = store.blobs.put(b"young")
    assert gc(store).blobs == 0
    asked = store.blobs.put(b"asked for")
    (store.root / "tmp" / "under way").write_bytes(b"x")
    age(store)
    (store.root / "tmp" / "under way").touch()
    store.blobs.find(asked.sha256)
    done = gc(store)
    assert (done.blobs, done.temporary) == (1, 0)
    assert asked.sha256 in blobs(store) and young.sha256 not in blobs(store)


def test_gc_keeps_every_commit_of_a_repository(store):
    repo = new_repo(store, "ann/bert")
    store.create_branch(repo, "dev")
    oid = commit(store, repo, {"d/old.bin": b"old"}, "dev")
    store.delete_ref(repo, "refs/heads/dev")
    age(store)
    gc(store)
    file = store.entry(repo, store.resolve(repo, oid), "d/old.bin")
    assert store.blobs.read(file.sha256) == b"old"


def test_gc_touches_nothing_in_a_damaged_hub(store):
    repo = new_repo(store, "ann/bert")
    oid = commit(store, repo, {"data/a.bin": b"a"})
    folder = store.entry(repo, store.resolve(repo, oid), "data")
    with store.database.write() as connection:
        connection.execute("DELETE FROM trees WHERE key = ?", (folder.key,))
    age(store)
    before = blobs(store)
    with pytest.raises(HubError, match="Nothing was removed; `course hub check`"):
        gc(store)
    assert blobs(store) == before


def test_gc_drops_xorbs_with_a_new_instance_id(store):
    folder = store.root / "xorbs" / "ann"
    folder.mkdir(parents=True)
    (folder / ("0" * 64)).write_bytes(b"x" * 4000)
    before = store.instance
    done = gc(store)
    assert (done.xorbs, done.size) == (1, 4000) and store.instance != before
    before = store.instance
    assert gc(store).xorbs == 0 and store.instance == before  # nothing gone, nothing to forget


def test_gc_shrinks_the_database(store):
    repo = new_repo(store, "ann/many")
    blob = store.blobs.put(b"x")
    files = [AddFile(f"{number:04}/{number}.bin", blob, True) for number in range(4000)]
    store.commit(repo, "main", files, title="Add files", author="ann")
    size = (store.root / "hub.db").stat().st_size
    store.delete_repo(repo.id)
    done = gc(store, grace=0)
    assert done.folders == 4002 and done.size > 500_000
    store.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (store.root / "hub.db").stat().st_size < max(size, 1_000_000) / 2


NAMES = st.sampled_from(["a", "b.bin", "d/c", "d/e/f.bin"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 2), NAMES, st.integers(0, 5)),
        st.tuples(st.just("delete"), st.integers(0, 2), NAMES),
        st.tuples(st.just("branch"), st.integers(0, 2)),
        st.tuples(st.just("unbranch"), st.integers(0, 2)),
        st.tuples(st.just("drop"), st.integers(0, 2)),
        st.tuples(st.just("upload"), st.integers(6, 9)),
        st.tuples(st.just("gc")),
    ),
    max_size=14,
)


@given(STEPS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_gc_keeps_exactly_what_any_history_refers_to(steps):
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for step in steps:
            try:
                _do(store, *step)
            except HubError as error:  # deleting what is not there
                assert error.status in (400, 404, 409)
        history = _history(store)
        gc(store, grace=0)

        report = check(store)
        assert report.problems == [] and report.notes == []
        assert _history(store) == history
        used = {sha256 for files in history.values() for sha256 in files.values()}
        assert blobs(store) - used <= _attributes(store)
        store.database.connection.close()


def _do(store: Store, what: str, *values: object) -> None:
    if what == "gc":
        gc(store, grace=0)
    elif what == "upload":
        store.blobs.put(b"%d" % values[0])
    else:
        name = parse_repo_id("model", f"ann/r{values[0]}")
        repo = store.find_repo(name) or store.create_repo(name, author="ann")
        if what == "add":
            blob = store.blobs.put(b"%d" % values[2])
            operations = [AddFile(values[1], blob, values[1].endswith(".bin"))]
            branch = "dev" if "refs/heads/dev" in store.refs(repo) else "main"
            store.commit(repo, branch, operations, title="Add", author="ann")
        elif what == "delete":
            whole = values[1].startswith("d/")
            operation = DeleteFolder("d") if whole else DeleteFile(values[1])
            store.commit(repo, "main", [operation], title="Delete", author="ann")
        elif what == "branch":
            store.create_branch(repo, "dev")
        elif what == "unbranch":
            store.delete_ref(repo, "refs/heads/dev")
        elif what == "drop":
            store.delete_repo(name)


def _history(store: Store) -> dict[tuple[str, str], dict[str, str]]:
    """The files of every commit, by reading them all."""
    found = {}
    for row in store.database.rows(
        "SELECT repos.name, oid, tree FROM commits JOIN repos ON repos.id = repo"
    ):
        files = dict(store.trees.files(row["tree"]))
        assert all(store.blobs.path(file.sha256).is_file() for file in files.values())
        found[row["name"], row["oid"]] = {path: file.sha256 for path, file in files.items()}
    return found


def _attributes(store: Store) -> set[str]:
    """The blob that every new repository begins with: it may stay without one."""
    return {sha256 for sha256 in blobs(store) if b"filter=lfs" in store.blobs.read(sha256)}


def test_commits_go_on_while_gc_runs(store):
    """With no grace at all, a commit may be refused; one that is accepted keeps its content."""
    repo = new_repo(store, "ann/bert")
    stop = threading.Event()
    failures = []

    def collect() -> None:
        other = Store(store.root)  # as another process would
        try:
            while not stop.is_set():
                gc(other, grace=0)
        except Exception as error:
            failures.append(error)

    collector = threading.Thread(target=collect)
    collector.start()
    accepted, refused = {}, 0
    deadline = time.monotonic() + 2
    number = 0
    while time.monotonic() < deadline:
        number += 1
        try:
            oid = commit(store, repo, {f"{number % 7}.bin": b"%d" % number})
            accepted[oid] = number
        except (HubError, FileNotFoundError) as error:
            assert isinstance(error, FileNotFoundError) or "no longer stored" in error.message
            refused += 1
    stop.set()
    collector.join()
    assert failures == []
    assert accepted
    assert check(store).problems == []


# -- reset -----------------------------------------------------------------------------------------


def test_reset_leaves_an_empty_hub_with_a_new_id(store):
    commit(store, new_repo(store, "ann/bert"), {"a.bin": b"a"})
    token = Tokens(store.database).create("ann", "student", "student")
    before = store.instance
    (store.root / "hub.log").write_text("kept\n")
    (store.root / "mine.txt").write_text("not the Hub's")
    store.database.connection.close()

    reset(store.root)
    fresh = open_store(store.root)
    assert fresh.repos() == [] and blobs(fresh) == set() and fresh.instance != before
    assert Tokens(fresh.database).find(token) is None
    assert (store.root / "hub.log").exists() and (store.root / "mine.txt").exists()
    assert check(fresh).is_ok


def test_reset_needs_a_hub(tmp_path):
    (tmp_path / "blobs").mkdir()
    with pytest.raises(HubError, match="There is no Course Hub"):
        reset(tmp_path)
    assert (tmp_path / "blobs").is_dir()


UPLOAD = """\
import sys
from huggingface_hub import HfApi

api = HfApi()
api.create_repo(sys.argv[1])
api.upload_file(path_or_fileobj=sys.argv[2], path_in_repo="w.bin", repo_id=sys.argv[1])
"""


def test_the_client_uploads_again_what_gc_removed(run_server, tmp_path):
    """The client remembers what it sent before: without a new instance id it would leave it out."""
    content = os.urandom(3_000_000)
    (tmp_path / "w.bin").write_bytes(content)
    server = run_server()
    environment, port = server.environment(), server.url.rpartition(":")[2]

    def upload(name: str, running) -> None:
        command = [sys.executable, "-c", UPLOAD, name, str(tmp_path / "w.bin")]
        own = {"HF_ENDPOINT": running.url, "HF_TOKEN": running.write_token}
        done = subprocess.run(command, env=environment | own, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    upload("learner/first", server)
    store = Store(server.root)
    assert list(present(store.root / "xorbs"))  # it came as Xet
    store.delete_repo(parse_repo_id("model", "learner/first"))
    assert gc(store, grace=0).xorbs_kept > 0  # the server runs
    server.process.terminate()
    server.process.wait(20)
    done = gc(store, grace=0)
    assert done.xorbs > 0 and not list(present(store.root / "xorbs"))

    upload("learner/second", run_server(port=int(port)))
    repo = store.repo(parse_repo_id("model", "learner/second"))
    file = store.entry(repo, store.resolve(repo, "main"), "w.bin")
    assert store.blobs.read(file.sha256) == content
    assert check(store).is_ok
