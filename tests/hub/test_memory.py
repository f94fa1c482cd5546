"""Large uploads flow to the disk: the server's memory does not grow with them, nor its patience."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.uploading import Uploader, inline, inline_pieces, large

ALLOWED = 64 << 20
PIECE = 3 << 18
GIGABYTE = pytest.param(1 << 30, marks=pytest.mark.long)
BASE = os.urandom(PIECE)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Process:
    """What the system says of a process."""

    def __init__(self, pid: int):
        self.folder = Path(f"/proc/{pid}")

    def memory(self, field: str = "VmRSS") -> int:
        """Resident bytes: now, or with VmHWM the most since `forget`."""
        for line in (self.folder / "status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) << 10
        raise KeyError(field)

    def forget(self) -> None:
        (self.folder / "clear_refs").write_text("5")

    def seconds(self) -> float:
        """Of computing, in all threads."""
        fields = (self.folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def repo(run_server):
    """A fresh server's one repository, with its first uploads behind it."""
    server = run_server()
    server.push("learner/large", {"README.md": "# Large"})
    uploader = Uploader(server.url, server.write_token, "learner/large")
    for number, way in enumerate((uploader.send_lfs, uploader.send_xet)):
        uploader.commit(large(f"{number}.bin", way(os.urandom(5_000_000))))
    uploader.commit(inline("first.txt", os.urandom(5_000_000)))
    server.uploader, server.measured = uploader, Process(server.process.pid)
    server.measured.forget()
    server.before, server.started = server.measured.memory(), server.measured.seconds()
    return server


def pieces_of(size: int) -> Iterator[bytes]:
    """Quickly made; each piece is another than those before, if only in its first bytes."""
    for start in range(0, size, PIECE):
        yield (start.to_bytes(8, "little") + BASE[8:])[: size - start]


def check_memory(server) -> None:
    grown = server.measured.memory("VmHWM") - server.before
    print(f"grew by {grown / (1 << 20):.1f} MB, "
          f"computed {server.measured.seconds() - server.started:.1f} s")  # fmt: skip
    assert grown < ALLOWED


@pytest.mark.parametrize("size", [200_000_000, GIGABYTE])
def test_inline(repo, size):
    length = sum(map(len, inline_pieces("x", pieces_of(size))))
    started = time.monotonic()
    repo.uploader.commit_pieces(length, inline_pieces("x", pieces_of(size)))
    took = time.monotonic() - started
    print(f"{size / took / 1e6:.0f} MB/s")
    check_memory(repo)
    # 200 MB in 10 s. Other tests run beside this one, so that the time on the wall says less.
    assert repo.measured.seconds() - repo.started < 10 * size / 200_000_000


@pytest.mark.parametrize("size", [256_000_000, GIGABYTE])
def test_lfs(repo, size):
    digest = hashlib.sha256()
    for piece in pieces_of(size):
        digest.update(piece)
    started = time.monotonic()
    repo.uploader.put_lfs(digest.hexdigest(), size, pieces_of(size))
    print(f"{size / (time.monotonic() - started) / 1e6:.0f} MB/s")
    check_memory(repo)


CLIENT = """
import sys
from huggingface_hub import HfApi
HfApi().upload_file(repo_id="learner/large", path_in_repo="x.bin", path_or_fileobj=sys.argv[1])
"""


@pytest.mark.parametrize("size", [256_000_000, GIGABYTE])
def test_xet(repo, tmp_path, size):
    with (tmp_path / "content").open("wb") as file:  # the client would send parts once that repeat
        file.writelines(os.urandom(len(piece)) for piece in pieces_of(size))
    command = [sys.executable, "-c", CLIENT, str(tmp_path / "content")]
    subprocess.run(command, env=repo.environment(), check=True, capture_output=True)
    check_memory(repo)


def test_many_small_files_in_one_commit(repo):
    """Each waits in a file of its own, not in memory."""
    lines = [inline(f"{n // 100}/{n}.txt", b"%d" % n * 100) for n in range(1000)]
    started = time.monotonic()
    repo.uploader.commit(*lines)
    print(f"{len(lines) / (time.monotonic() - started):.0f} files/s")
    check_memory(repo)
