"""Assembled stand-ins, and scripts that ask a Hub for them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib.hub import client
from course_lib.zoo.assembly import write_files
from course_lib.zoo.catalogue import ENTRIES


@pytest.fixture(scope="session")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of every model, by its short name: folders as `from_pretrained` takes them."""
    root = tmp_path_factory.mktemp("assembled")
    models = [entry for entry in ENTRIES if entry.repo_id.kind == "model"]
    for entry in models:
        write_files(entry.files(), root / entry.repo_id.name)
    return {entry.repo_id.name: root / entry.repo_id.name for entry in models}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A Course Hub on an empty folder."""
    root = tmp_path_factory.mktemp("course") / "hub"
    yield client.ensure(root, idle=120)
    client.stop(root)


@pytest.fixture
def ask(hub, tmp_path):
    """Run a script with nothing set but the endpoint and a cache of its own."""

    def run(code: str):
        names = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")
        environment = {name: os.environ[name] for name in names if name in os.environ}
        environment |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.read_token}
        environment |= {"HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
        environment |= {"HF_UPDATE_DOWNLOAD_COUNTS": "0"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run
