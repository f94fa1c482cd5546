"""Many writers at once: every acknowledged commit is in one line of history, with its content."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from course_lib.hub.names import RepoId
from course_lib.hub.storage.integrity import check
from course_lib.hub.storage.store import Store
from tests.hub.uploading import Refused, Uploader, inline, large

WRITERS, COMMITS = 8, 6


def write(uploader: Uploader, name: str, careful: bool) -> dict[str, tuple[str, bytes]]:
    """Commit several times; a careful writer names the head that it builds on. By id: the file."""
    made = {}
    for number in range(COMMITS):
        path, content = f"{name}/{number}.bin", os.urandom(20_000)
        line = large(path, uploader.send_lfs(content)) if number % 2 else inline(path, content)
        oid = commit_on_head(uploader, line) if careful else uploader.commit(line)
        made[oid] = path, content
    return made


def commit_on_head(uploader: Uploader, line: bytes) -> str:
    while True:
        info = uploader.ask("GET", f"/api/models/{uploader.repo}", [], 0, uploader.token)
        try:
            return uploader.commit(line, parentCommit=info["sha"])
        except Refused as error:
            if error.status != 412:
                raise


def test_commits_of_many_writers_stand_in_one_line(server):
    repo = server.push("learner/many-writers", {"README.md": "# Many"})
    uploader = Uploader(server.url, server.write_token, repo.id.full)
    store = Store(server.root)
    start = store.resolve(repo, "main").oid
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, uploader, f"w{n}", n % 2 == 0) for n in range(WRITERS)]
        made = {oid: row for writer in writers for oid, row in writer.result(60).items()}
    assert len(made) == WRITERS * COMMITS

    history = store.commits(repo, "main", limit=10_000)
    line = [commit.oid for commit in history]
    assert set(line[: line.index(start)]) == made.keys()
    for child, parent in zip(history, history[1:], strict=False):
        assert child.parent == parent.oid and child.created_at >= parent.created_at
        new = set(store.trees.files(child.tree)) - set(store.trees.files(parent.tree))
        if child.oid in made:  # each brought its own file and kept the others'
            path, content = made[child.oid]
            assert {(name, store.blobs.read(file.sha256)) for name, file in new} == {
                (path, content)
            }
    assert len(list(store.trees.files(history[0].tree))) == WRITERS * COMMITS + 2


def test_the_same_content_from_many_writers(server):
    repo = server.push("learner/same-content", {"README.md": "# Same"})
    uploader = Uploader(server.url, server.write_token, repo.id.full)
    content = os.urandom(3_000_000)
    ways = [uploader.send_lfs, uploader.send_xet] * (WRITERS // 2)
    with ThreadPoolExecutor(WRITERS) as pool:
        oids = set(pool.map(lambda way: way(content), ways))
        heads = set(pool.map(lambda n: uploader.commit(large("same.bin", *oids)), range(WRITERS)))
    assert oids == {hashlib.sha256(content).hexdigest()} and len(heads) == 1
    assert Store(server.root).blobs.read(*oids) == content


CLIENTS = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from huggingface_hub import HfApi, hf_hub_download
api, repo = HfApi(), sys.argv[1]
contents = {f"{n}.{kind}": os.urandom(50_000) for n in range(8) for kind in ("bin", "txt")}
def upload(item):
    return api.upload_file(repo_id=repo, path_in_repo=item[0], path_or_fileobj=item[1]).oid
with ThreadPoolExecutor(8) as pool:
    oids = list(pool.map(upload, contents.items()))
history = [commit.commit_id for commit in api.list_repo_commits(repo)]
assert len(set(oids)) == 16 and set(oids) <= set(history), (oids, history)
for path, content in contents.items():
    assert open(hf_hub_download(repo, path), "rb").read() == content, path
"""


def test_real_clients_at_once(server):
    repo = server.push("learner/many-clients", {"README.md": "# Many"})
    done = subprocess.run(
        [sys.executable, "-c", CLIENTS, repo.id.full],
        env=server.environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_nothing_is_damaged_in_the_end(server):
    """After whatever the tests of this run did to their common server."""
    report = check(Store(server.root))
    assert report.is_ok, report.problems
    assert Store(server.root).find_repo(RepoId("model", "learner", "many-writers"))
