"""A wheel carries everything that the course needs outside its repository."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from course_lib.commands.notebooks import list_notebooks


@pytest.fixture(scope="module")
def names(wheel) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_file_of_the_package_is_in_it(names, files, root):
    package = [path.relative_to(root) for path in files if path.is_relative_to(root / "course_lib")]
    missing = {path.as_posix() for path in package} - names
    assert missing == set()
    kinds = {path.suffix for path in package}
    assert ".html" in kinds and ".css" in kinds  # the Hub's pages
    assert any(name.startswith("course_lib/hub/web/templates/") for name in names)


def test_the_weights_are_in_it(names):
    weights = [name for name in names if name.startswith("course_lib/zoo/weights/")]
    assert any(name.endswith(".safetensors") for name in weights)


def test_the_notebooks_and_the_pins_are_in_it(names, root):
    notebooks = list_notebooks(root / "nbs")
    expected = {
        "course_lib/notebooks/" + path.relative_to(root / "nbs").as_posix() for path in notebooks
    }
    assert expected <= names
    assert "course_lib/constraints.txt" in names


def test_nothing_else_is_in_it(names):
    foreign = {name.split("/")[0] for name in names} - {"course_lib"}
    assert all(name.startswith("course_lib-") and name.endswith(".dist-info") for name in foreign)
    assert not any("__pycache__" in name or ".ipynb_checkpoints" in name for name in names)


def test_the_command_is_declared(wheel):
    with zipfile.ZipFile(wheel) as archive:
        points = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "course = course_lib.cli:main" in archive.read(points).decode()


def test_unpacked_it_finds_its_notebooks(wheel, tmp_path):
    """Quick: the package from the wheel, beside the libraries that are here already."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-P", "-m", "course_lib.cli"]
    done = subprocess.run(
        [*command, "run", "00_checks"], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    where = "from course_lib.commands.notebooks import notebook_root; print(notebook_root())"
    found = subprocess.run(
        [sys.executable, "-P", "-c", where], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert Path(found.stdout.strip()) == tmp_path / "site" / "course_lib" / "notebooks"


@pytest.mark.long
def test_in_a_clean_environment_the_tour_runs(wheel, root, tmp_path):
    """Minutes: a real environment outside the checkout, installed from the wheel alone."""
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    pins = str(root / "constraints.txt")
    pip = [str(binaries / "python"), "-m", "pip", "install", "-q", "-c", pins]
    subprocess.run([*pip, "--upgrade", "pip"], check=True, cwd=tmp_path)
    subprocess.run([*pip, f"{wheel}[pt,offline]"], check=True, cwd=tmp_path)
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env |= {"COURSE_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    work = tmp_path / "work"
    work.mkdir()

    def course(*arguments: str) -> str:
        command = [str(binaries / "course"), *arguments]
        done = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        assert "The tour took" in course("tour")
        assert "installed in" in course("doctor")
        assert "passed:" in course("run", "02_using_transformers_pt")
    finally:
        subprocess.run([str(binaries / "course"), "hub", "stop"], env=env, cwd=work)
        shutil.rmtree(tmp_path / "venv")
