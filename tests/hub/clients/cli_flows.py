"""The `hf` command, each time in a process of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HF = shutil.which("hf", path=str(Path(sys.executable).parent)) or "hf"
REPO = f"learner/cli-{os.getpid()}"


def hf(*arguments: str, ok: bool = True, **environment: str) -> str:
    done = subprocess.run(
        [HF, *arguments], capture_output=True, text=True, env=os.environ | environment, timeout=60
    )
    said = done.stdout + done.stderr
    assert (done.returncode == 0) == ok, said
    return said


def flow_log_in():
    token = os.environ["HF_TOKEN"]
    assert "Login successful" in hf("auth", "login", "--token", token, HF_TOKEN="")
    assert "learner" in hf("auth", "whoami", HF_TOKEN="")
    assert "Invalid user token" in hf("auth", "login", "--token", "hf_wrong", ok=False, HF_TOKEN="")


def flow_upload_list_download_delete():
    hf("repos", "create", REPO)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "sub").mkdir()
        (root / "sub" / "weights.bin").write_bytes(os.urandom(200_000))
        (root / "README.md").write_text("---\ntags: [cli]\n---\n# By hand\n")
        hf("upload", REPO, folder, ".")
        hf("repos", "tag", "create", REPO, "v1")
        assert "v1" in hf("repos", "tag", "list", REPO)
        assert REPO in hf("models", "ls", "--search", REPO.partition("/")[2], "--no-truncate")
        hf("download", REPO, "--revision", "v1", "--local-dir", str(root / "back"))
        assert (root / "back/sub/weights.bin").read_bytes() == (
            root / "sub/weights.bin"
        ).read_bytes()
    hf("repos", "delete", REPO, "--yes")
    assert "not found" in hf("download", REPO, ok=False).lower()
