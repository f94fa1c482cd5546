"""What no file of the repository holds: secrets, machines, registries, star imports, weight."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

SECRETS = {
    "Hugging Face token": r"\bhf_[A-Za-z]{20,}\b",
    "Course Hub token": r"\bcourse_[rws]_[A-Za-z0-9_-]{16,}",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{20,}",
    "cloud key": r"\bAKIA[0-9A-Z]{16}\b",
    "API key": r"\bsk-[A-Za-z0-9_-]{24,}",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "token in a URL": r"[?&]token=[A-Za-z0-9_-]{20,}",
}
# In pieces: this file must not hold the names that it looks for.
REGISTRIES = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"))]
REGISTRIES += ["registry" + ".npmjs", "deb" + ".debian.org", "download" + ".pytorch.org"]
TEXT = {".py", ".ipynb", ".md", ".toml", ".ini", ".txt", ".cfg", ".html", ".css", ".js", ".json",
        ".sh", ".yml", ".yaml", ".csv", ".svg", ".in", ""}  # fmt: skip


@pytest.fixture(scope="session")
def texts(files, root) -> dict[str, str]:
    """The text files by their name."""
    return {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for path in files
        if path.suffix in TEXT
    }


@pytest.mark.parametrize("kind", SECRETS)
def test_no_secrets(kind, texts):
    pattern = re.compile(SECRETS[kind])
    found = {name: match[0][:12] for name, text in texts.items() if (match := pattern.search(text))}
    assert found == {}


def test_no_registry_is_named(texts):
    found = [(name, host) for name, text in texts.items() for host in REGISTRIES if host in text]
    assert found == []


def test_no_folder_of_this_machine(texts, root):
    places = [f"{root}/", f"{Path.home()}/"]
    found = [name for name, text in texts.items() if any(place in text for place in places)]
    assert found == []


def sources(path: Path, text: str) -> list[str]:
    """The Python code of a file, cell by cell in a notebook."""
    if path.suffix == ".py":
        return [text]
    cells = nbformat.reads(text, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def star_imports(source: str) -> list[str]:
    # A cell may hold magics, which are no Python: they are not looked at.
    lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError:
        return re.findall(r"^\s*from \S+ import \*", source, re.MULTILINE)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [node.module or "." for node in nodes if any(name.name == "*" for name in node.names)]


def test_no_star_imports(texts):
    found = {
        name: stars
        for name, text in texts.items()
        if name.endswith((".py", ".ipynb"))
        for source in sources(Path(name), text)
        if (stars := star_imports(source))
    }
    assert found == {}


def test_the_weights_are_light(files, root):
    sizes = {
        path.relative_to(root).as_posix(): path.stat().st_size
        for path in files
        if "zoo/weights/" in path.as_posix()
    }
    assert sum(sizes.values()) <= 45_000_000, sizes


def test_no_other_file_is_big(files, root):
    big = [
        path.relative_to(root).as_posix()
        for path in files
        if path.stat().st_size > 1_000_000 and "zoo/weights/" not in path.as_posix()
    ]
    assert big == []


def test_style(root):
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "."]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
