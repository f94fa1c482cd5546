"""Copies of another Hub: a Course Hub in a process of its own, read through the real client."""

import os
import threading
from pathlib import Path

import pytest

from course_lib.hub.errors import HubError
from course_lib.hub.names import parse_repo_id
from course_lib.hub.storage.integrity import check
from course_lib.hub.storage.store import AddFile, DeleteFile, DeleteFolder, Repo, Store
from course_lib.hub.transfer import downloading
from course_lib.hub.transfer.syncing import sync_repo


@pytest.fixture
def here(tmp_path: Path) -> Store:
    return Store(tmp_path / "here")


@pytest.fixture
def there(server) -> Store:
    return Store(server.root)


@pytest.fixture(autouse=True)
def a_token_that_is_not_for_this(monkeypatch):
    """It would be refused: what is left of it in the environment must not be sent."""
    monkeypatch.setenv("HF_TOKEN", "hf_meant_for_another_hub")
    monkeypatch.setattr(downloading, "PAUSE", 0.0)


def put(store: Store, repo: Repo, changes: dict[str, bytes | None], branch: str = "main") -> str:
    """Commit files; None removes one, or a folder if the path ends with a slash."""
    operations = []
    for path, content in changes.items():
        if content is not None:
            large = path.endswith(".bin")
            operations.append(AddFile(path, store.blobs.put(content), large))
        else:
            operations.append(DeleteFolder(path) if path.endswith("/") else DeleteFile(path))
    return store.commit(repo, branch, operations, title="Change", author="ann").oid


def make(store: Store, name: str, changes: dict[str, bytes | None], kind: str = "model") -> Repo:
    repo = store.create_repo(parse_repo_id(kind, name), author="ann")
    put(store, repo, changes)
    return repo


def files(store: Store, name: str, revision: str = "main", kind: str = "model") -> dict:
    """Paths with sha256 and git id: whatever a clone of the revision would hold."""
    repo = store.repo(parse_repo_id(kind, name))
    return dict(store.trees.files(store.resolve(repo, revision).tree))


WEIGHTS = os.urandom(9_000_000)


def test_everything_comes_once_and_then_only_what_changed(server, there, here):
    repo = make(there, "sync/bert", {"config.json": b"{}", "sub/w.bin": WEIGHTS})
    there.create_tag(repo, "v1")
    put(there, repo, {"README.md": b"# BERT\n", "same.json": b"{}"})
    there.create_branch(repo, "dev")
    put(there, repo, {"dev.txt": b"dev", "sub/": None}, "dev")

    done = sync_repo(here, "sync/bert", server.url + "/")
    assert done.changed == ["main", "dev", "v1"] and done.refs == 3 and done.notes == []
    # .gitattributes and config.json are there from the start or twice, so they come once at most.
    assert done.files == 4 and done.size == 9_000_000 + 2 + 7 + 3
    for revision in ("main", "dev", "v1"):
        assert files(here, "sync/bert", revision) == files(there, "sync/bert", revision)
    blob = files(here, "sync/bert")["sub/w.bin"].sha256
    assert here.blobs.read(blob) == WEIGHTS
    assert check(here).problems == [] and check(here).notes == []
    copied = here.refs(here.repo(repo.id))
    assert set(copied) == {"refs/heads/main", "refs/heads/dev", "refs/tags/v1"}

    done = sync_repo(here, "sync/bert", server.url)
    assert (done.changed, done.files, here.refs(here.repo(repo.id))) == ([], 0, copied)

    there.delete_ref(repo, "refs/tags/v1")
    put(there, repo, {"config.json": b'{"a": 1}', "README.md": None, "sub/": None, "sub": b"file"})
    there.create_tag(repo, "v1")  # a tag that moved
    put(there, repo, {"same.json": None, "same.json/x": b"{}"})
    done = sync_repo(here, "sync/bert", server.url)
    assert done.changed == ["main", "v1"]
    assert done.files == 2  # config.json and sub; same.json/x has a content that is here
    for revision in ("main", "dev", "v1"):
        assert files(here, "sync/bert", revision) == files(there, "sync/bert", revision)
    assert check(here).problems == []
    assert len(here.commits(here.repo(repo.id), "main")) == 3  # the first, and two syncs


def test_data_sets_and_one_revision(server, there, here):
    repo = make(there, "sync/rows", {"a.csv": b"x\n1\n"}, "dataset")
    there.create_tag(repo, "v1")
    first = there.resolve(repo, "v1").oid
    put(there, repo, {"a.csv": b"x\n2\n"})
    there.create_branch(repo, "wip/x")

    done = sync_repo(here, "sync/rows", server.url, revision="v1")
    assert done.changed == ["v1"] and done.repo.kind == "dataset"
    assert set(files(here, "sync/rows", "main", "dataset")) == {".gitattributes"}
    done = sync_repo(here, "datasets/sync/rows", server.url, revision="wip/x")
    assert done.changed == ["wip/x"]
    done = sync_repo(here, "sync/rows", server.url, revision=first[:9])
    assert done.changed == [first[:9]]
    done = sync_repo(here, "sync/rows", server.url, revision=first)
    assert done.changed == [first[:7]]
    for revision in ("v1", "wip/x", first[:9], first[:7]):
        expected = files(there, "sync/rows", revision, "dataset")
        assert files(here, "sync/rows", revision, "dataset") == expected
    with pytest.raises(HubError, match="sync/rows at http.* has no such branch, tag or commit"):
        sync_repo(here, "sync/rows", server.url, revision="v9")


def test_work_done_here_is_kept_in_the_history(server, there, here):
    repo = make(there, "sync/kept", {"a.txt": b"a"})
    sync_repo(here, "sync/kept", server.url)
    mine = here.repo(repo.id)
    oid = put(here, mine, {"mine.txt": b"mine"})
    here.create_branch(mine, "mine")
    sync_repo(here, "sync/kept", server.url)
    assert files(here, "sync/kept") == files(there, "sync/kept")
    assert "mine.txt" in files(here, "sync/kept", "mine")
    assert oid in [commit.oid for commit in here.commits(mine, "main")]


def starts(monkeypatch, change=None) -> list[int]:
    """Where each request for a file begins; `change(start, pieces)` may spoil what it brings."""
    found = []
    request = downloading.Downloader._request

    def watched(self, file, start):
        found.append(start)
        pieces = request(self, file, start)
        return change(start, pieces) if change else pieces

    monkeypatch.setattr(downloading.Downloader, "_request", watched)
    return found


def test_a_large_file_goes_on_where_it_stopped(server, there, here, monkeypatch):
    repo = make(there, "sync/large", {"w.bin": WEIGHTS})
    sha256 = files(there, "sync/large")["w.bin"].sha256
    (here.root / "partial").mkdir()
    (here.root / "partial" / sha256).write_bytes(WEIGHTS[:4_000_000])
    found = starts(monkeypatch)
    sync_repo(here, "sync/large", server.url)
    assert found == [4_000_000]
    assert files(here, "sync/large") == files(there, "sync/large")
    assert list((here.root / "partial").iterdir()) == []
    assert check(here).problems == []
    assert repo.id == here.repo(repo.id).id


def test_a_connection_that_breaks_is_made_anew(server, there, here, monkeypatch):
    make(there, "sync/broken", {"w.bin": WEIGHTS})
    library = downloading.http_library()

    def break_off(start, pieces):
        yield next(pieces)
        if start < 5_000_000:
            raise library.ReadError("cable pulled")
        yield from pieces

    found = starts(monkeypatch, break_off)
    sync_repo(here, "sync/broken", server.url)
    assert len(found) > 3 and found == sorted(found)
    assert files(here, "sync/broken") == files(there, "sync/broken")


def test_one_that_stays_broken_can_be_run_again(server, there, here, monkeypatch):
    make(there, "sync/dead", {"w.bin": WEIGHTS, "a.txt": b"a"})
    library = downloading.http_library()

    def dead(start, pieces):
        if start == 0:
            yield next(pieces)
        raise library.ReadError("cable pulled")

    with monkeypatch.context() as patch:
        starts(patch, dead)
        with pytest.raises(HubError, match="broke off .*cable pulled.*: run the command again"):
            sync_repo(here, "sync/dead", server.url)
    assert check(here).problems == []
    found = starts(monkeypatch)
    sync_repo(here, "sync/dead", server.url)
    assert max(found) > 0  # it went on with the large file
    assert files(here, "sync/dead") == files(there, "sync/dead")


def test_altered_content_is_not_taken(server, there, here, monkeypatch):
    make(there, "sync/altered", {"w.bin": WEIGHTS})
    make(there, "sync/altered2", {"a.txt": b"right"})
    with monkeypatch.context() as patch:
        starts(patch, lambda start, pieces: (b"\0" * len(piece) for piece in pieces))
        for name in ("sync/altered", "sync/altered2"):
            with pytest.raises(HubError, match="is not what its Hub says it is"):
                sync_repo(here, name, server.url)
        assert list((here.root / "partial").iterdir()) == []
        assert list((here.root / "tmp").iterdir()) == []
    sync_repo(here, "sync/altered", server.url)
    assert files(here, "sync/altered") == files(there, "sync/altered")


def test_a_private_repository_needs_a_token_and_stays_private(server, there, here):
    repo = make(there, "sync/secret", {"w.bin": WEIGHTS})
    there.update_repo(repo.id, private=True)
    with pytest.raises(HubError, match="no repository 'sync/secret', or none that the token may"):
        sync_repo(here, "sync/secret", server.url)
    sync_repo(here, "sync/secret", server.url, token=server.read_token)
    assert here.repo(repo.id).private


def test_an_alias_leads_to_the_same_repository_here(server, there, here):
    repo = make(there, "sync/named", {"a.txt": b"a"})
    there.add_alias(repo.id, parse_repo_id("model", "sync-old-name"))
    done = sync_repo(here, "sync-old-name", server.url)
    assert done.repo.full == "sync/named"
    assert here.repo(parse_repo_id("model", "sync-old-name")).id.full == "sync/named"


def test_a_metric_comes_as_a_space(server, there, here):
    there.create_repo(parse_repo_id("space", "sync/metric"), author="ann", sdk="static")
    done = sync_repo(here, "spaces/sync/metric", server.url)
    assert done.repo.kind == "space" and here.repo(done.repo).sdk == "static"


def test_what_cannot_be_synced_is_one_sentence(server, there, here):
    make(there, "sync/both", {"a.txt": b"a"})
    make(there, "sync/both", {"a.txt": b"a"}, "dataset")
    for name, url, text in [
        ("sync/none", server.url, "has no repository 'sync/none'"),
        ("sync/both", server.url, "say models/sync/both or datasets/sync/both"),
        ("sync/both", "127.0.0.1:8900", "is not an address: give http://"),
        ("sync/both", "http://127.0.0.1:9", "http://127.0.0.1:9 cannot be reached"),
        ("a b", server.url, "Repository id 'a b' is not valid"),
    ]:
        with pytest.raises(HubError) as caught:
            sync_repo(here, name, url)
        assert text in caught.value.message
    assert here.repos() == []


def test_one_sync_at_a_time(server, there, here, monkeypatch):
    make(there, "sync/slow", {"w.bin": WEIGHTS})
    begun, go_on = threading.Event(), threading.Event()

    def wait(start, pieces):
        begun.set()
        go_on.wait(20)
        yield from pieces

    starts(monkeypatch, wait)
    first = threading.Thread(target=sync_repo, args=(here, "sync/slow", server.url))
    first.start()
    assert begun.wait(20)
    with pytest.raises(HubError, match="Another sync of this Hub is running"):
        sync_repo(here, "sync/slow", server.url)
    go_on.set()
    first.join()
    assert files(here, "sync/slow") == files(there, "sync/slow")
