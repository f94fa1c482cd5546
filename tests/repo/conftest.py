"""The files of the repository, and a wheel built from them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def files(root: Path) -> list[Path]:
    """Every file that belongs to the repository: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    found = [root / name for name in listing.split("\0") if name]
    return [path for path in found if path.is_file()]  # one may be deleted and not committed yet


@pytest.fixture(scope="session")
def wheel(files: list[Path], root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy: nothing of the build is left in the working tree."""
    source = tmp_path_factory.mktemp("source")
    for path in files:
        target = source / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation",
               "--disable-pip-version-check", "-w", str(source / "dist"), str(source)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((source / "dist").glob("*.whl"))
