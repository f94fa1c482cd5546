"""`kill -9` in the middle of uploads and commits: what was acknowledged is there, all is sound."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException

import pytest

from course_lib.hub.names import RepoId
from course_lib.hub.storage.integrity import check
from course_lib.hub.storage.store import Store
from tests.hub.uploading import Uploader, inline, large

REPO = RepoId("model", "learner", "killed")
WRITERS = 3


@dataclass
class Acknowledged:
    """What the Hub said it had."""

    commits: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # id: path and content
    contents: set[str] = field(default_factory=set)  # sha256 of uploads


def write(uploader: Uploader, name: str, rng: random.Random, done: Acknowledged) -> None:
    """Upload and commit, in the three ways, until the server is gone."""
    ways = [None, uploader.send_lfs, uploader.send_xet]
    for number in range(1_000_000):
        path, content = f"{name}/{number}.bin", rng.randbytes(rng.choice([10, 5_000, 300_000]))
        way = rng.choice(ways)
        try:
            if way:
                oid = way(content)
                done.contents.add(oid)
            line = large(path, oid) if way else inline(path, content)
            done.commits[uploader.commit(line)] = (path, content)
        except (OSError, HTTPException):  # the connection is lost
            return


def kill_while_writing(server, round_: int, rng: random.Random, done: Acknowledged) -> None:
    uploader = Uploader(server.url, server.write_token, REPO.full)
    with ThreadPoolExecutor(WRITERS) as pool:
        seeds = rng.sample(range(1 << 30), WRITERS)
        writers = [
            pool.submit(write, uploader, f"{round_}/{number}", random.Random(seed), done)
            for number, seed in enumerate(seeds)
        ]
        time.sleep(rng.uniform(0.01, 0.6))
        server.process.kill()
        server.process.wait()
        for writer in writers:
            writer.result(30)


def check_nothing_lost(store: Store, done: Acknowledged) -> None:
    report = check(store)
    assert report.is_ok, report.problems
    assert not list(store.blobs.temporary.iterdir())  # the restart cleared it
    repo = store.repo(REPO)
    history = {commit.oid: commit for commit in store.commits(repo, "main", limit=1_000_000)}
    assert history.keys() >= done.commits.keys()
    for oid, (path, content) in done.commits.items():
        for tree in (history[oid].tree, store.resolve(repo, "main").tree):
            file = store.trees.find(tree, path)
            assert file and store.blobs.read(file.sha256) == content
    for oid in done.contents:
        assert store.blobs.find(oid)
    for xorb in (store.root / "xorbs").rglob("*"):
        assert xorb.is_dir() or xorb.stat().st_size


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.long)])
def test_nothing_acknowledged_is_lost(run_server, tmp_path, kills):
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")
    rng, done = random.Random(seed), Acknowledged()
    root = tmp_path / "hub"
    Store(root).create_repo(REPO, author="learner")
    restarts = []
    for round_ in range(kills):
        (root / "hub.json").unlink(missing_ok=True)  # which the killed server left
        started = time.monotonic()
        server = run_server()
        restarts.append(time.monotonic() - started)
        check_nothing_lost(Store(root), done)
        kill_while_writing(server, round_, rng, done)
    (root / "hub.json").unlink()
    run_server()
    check_nothing_lost(Store(root), done)
    assert len(done.commits) > kills
    print(f"{len(done.commits)} commits, {len(done.contents)} uploads acknowledged; "
          f"restart {sorted(restarts)[len(restarts) // 2]:.2f} s")  # fmt: skip
    assert min(restarts) < 5
