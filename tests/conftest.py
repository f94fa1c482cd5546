"""What every test gets: a COURSE_HOME of its own, and nothing of the machine's settings."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent

# Before anything is imported: a test never reads or writes the reader's Hub, cache or tokens.
_HOME = tempfile.mkdtemp(prefix="course-tests-")
os.environ["COURSE_HOME"] = _HOME
for _name in ("COURSE_HUB", "HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HF_TOKEN", "NO_COLOR"):
    os.environ.pop(_name, None)

# A shell that runs the tests in the background leaves SIGINT ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    """Stop the Hub that some test may have started, and remove its data."""
    if (Path(_HOME) / "hub" / "hub.json").exists():
        from course_lib.hub import client

        client.stop(Path(_HOME) / "hub")
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture
def course_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty COURSE_HOME for this test alone; a Hub started in it is stopped."""
    home = tmp_path / "course-home"
    home.mkdir()
    monkeypatch.setenv("COURSE_HOME", str(home))
    yield home
    if (home / "hub" / "hub.json").exists():
        from course_lib.hub import client

        client.stop(home / "hub")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the data that recipes are trained and measured on."""
    folder = Path(os.environ.get("COURSE_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        reason = f"no training data: {folder} does not exist, and COURSE_DATA names no other"
        (pytest.fail if os.environ.get("COURSE_DATA_REQUIRED") else pytest.skip)(reason)
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for the real data is marked `real`."""
    for item in items:
        if "data_dir" in getattr(item, "fixturenames", ()):
            item.add_marker("real")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium for tests in a browser."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium on the path (Debian: apt-get install chromium)")
    return found


@pytest.fixture
def make_notebook(tmp_path: Path) -> Callable[..., Path]:
    """Write a notebook: strings are code cells, strings that start with `md:` are Markdown."""

    def make(*sources: str, name: str = "test.ipynb") -> Path:
        notebook = nbformat.v4.new_notebook()
        for number, source in enumerate(sources):
            if source.startswith("md:"):
                cell = nbformat.v4.new_markdown_cell(source.removeprefix("md:").strip())
            else:
                cell = nbformat.v4.new_code_cell(source)
            cell["id"] = f"cell-{number}"
            notebook.cells.append(cell)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        return path

    return make
