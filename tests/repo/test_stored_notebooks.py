"""What is stored in every notebook: outputs a reader needs, and nothing of the machine."""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest

from course_lib.commands.cleaning import clean, dumps
from course_lib.commands.notebooks import budget_seconds, list_notebooks, skip_reason, title

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = list_notebooks(ROOT / "nbs")
HOME_PATH = re.compile(r"(?<![\w.-])/(?:root|home/\w+|Users/\w+)/")

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=title)


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture
def code(notebook):
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def test_is_valid_and_small(path, notebook):
    nbformat.validate(notebook)
    assert path.stat().st_size < 1_000_000


def test_cells_are_short(path, code):
    long = [c.source.splitlines()[0] for c in code if len(c.source.splitlines()) > 40]
    assert long == []


def test_was_executed_from_top_to_bottom(path, code):
    ran = [cell for cell in code if skip_reason(cell.source) is None]
    assert [cell.execution_count for cell in ran if cell.execution_count is None] == []
    counts = [cell.execution_count for cell in code if cell.execution_count is not None]
    assert counts == list(range(1, len(counts) + 1))
    assert any(cell.outputs for cell in ran), "stored without any output: `make execute`"


def test_no_stored_errors(path, code):
    errors = [out.ename for c in code for out in c.outputs if out.output_type == "error"]
    assert errors == []


def test_is_tidy(path, notebook):
    text = path.read_text(encoding="utf-8")
    assert dumps(clean(notebook)) == text, "run `make tidy`, or `make execute` to run it as well"


def test_no_paths_of_a_machine(path):
    text = path.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert HOME_PATH.findall(text) == []


def test_no_widget_state(path, notebook, code):
    assert "widgets" not in notebook.metadata
    kinds = {kind for cell in code for out in cell.outputs for kind in out.get("data", {})}
    assert [kind for kind in kinds if kind.startswith("application/vnd.jupyter.widget")] == []


def test_library_notebooks_import_only_from_lower_numbers(path, code):
    if path.parent.name != "lib":
        pytest.skip("chapters import what they need")
    homes = {}
    for other in list_notebooks(ROOT / "nbs" / "lib"):
        found = re.search(r"#\s*\|\s*default_exp\s+(\S+)", other.read_text(encoding="utf-8"))
        if found:
            homes["course_lib." + found[1].rstrip('\\n",')] = other.name
    later = []
    for cell in code:
        if not re.search(r"^\s*#\s*\|\s*export", cell.source, re.MULTILINE):
            continue  # a demonstration may look ahead, the library may not
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom) and homes.get(node.module or "", "") > path.name:
                later.append(node.module)
    assert later == []


def test_time_is_measured_and_within_the_budget(path):
    file = ROOT / "nbs" / "timings.json"
    seconds = json.loads(file.read_text(encoding="utf-8"))["seconds"]
    assert title(path) in seconds, "`make execute` measures it"
    assert seconds[title(path)] <= budget_seconds(path)
    assert set(seconds) <= {title(other) for other in NOTEBOOKS}
