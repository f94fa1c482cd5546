"""The modules are what the notebooks say, and every way of breaking that is noticed."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tools.export_check import export, find_problems

SETTINGS = """\
[DEFAULT]
repo = course_lib
lib_name = course_lib
version = 0.1.0
min_python = 3.11
license = apache2
lib_path = course_lib
nbs_path = nbs
recursive = True
description = test
author = test
author_email = test
keywords = test
user = test
branch = main
title = test
status = 3
copyright = test
language = English
custom_sidebar = False
jupyter_hooks = False
"""


def write_notebook(path: Path, *sources: str) -> None:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"c{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project in step with its notebooks, with one hand-written module."""
    (tmp_path / "settings.ini").write_text(SETTINGS)
    (tmp_path / "course_lib" / "hub").mkdir(parents=True)
    (tmp_path / "course_lib" / "__init__.py").write_text('__version__ = "0.1.0"\n')
    (tmp_path / "course_lib" / "hub" / "__init__.py").write_text("")
    (tmp_path / "course_lib" / "hub" / "server.py").write_text("def serve(): ...\n")
    write_notebook(tmp_path / "nbs" / "a.ipynb", "#| default_exp a", "#| export\nx = 1")
    export(tmp_path)
    assert find_problems(tmp_path) == []
    return tmp_path


def test_the_repository_is_in_step(root):
    assert find_problems(root) == []


def test_an_edited_module(project):
    module = project / "course_lib" / "a.py"
    module.write_text(module.read_text().replace("x = 1", "x = 2"))
    assert find_problems(project) == ["course_lib/a.py is not what its notebook makes of it"]


def test_a_new_notebook_without_its_module(project):
    write_notebook(project / "nbs" / "b.ipynb", "#| default_exp b", "#| export\ny = 1")
    assert "course_lib/b.py is missing: a notebook makes it" in find_problems(project)


def test_a_module_whose_notebook_is_gone(project):
    write_notebook(project / "nbs" / "b.ipynb", "#| default_exp b", "#| export\ny = 1")
    export(project)
    assert find_problems(project) == []
    (project / "nbs" / "b.ipynb").unlink()
    problems = find_problems(project)
    assert "course_lib/b.py is left over: no notebook makes it any more" in problems


def test_two_notebooks_with_one_module(project):
    write_notebook(project / "nbs" / "lib" / "c.ipynb", "#| default_exp a", "#| export\nz = 1")
    problems = find_problems(project)
    assert "a is written by 2 notebooks: nbs/a.ipynb, nbs/lib/c.ipynb" in problems


def test_a_cell_exported_into_a_foreign_module(project):
    write_notebook(project / "nbs" / "d.ipynb", "#| default_exp d", "#| export a\nz = 1")
    assert any("exports a cell into a" in problem for problem in find_problems(project))


def test_a_stale_index(project):
    index = project / "course_lib" / "_modidx.py"
    index.write_text(index.read_text() + "# edited\n")
    assert find_problems(project) == ["course_lib/_modidx.py is not what its notebook makes of it"]


def test_the_command_says_what_to_do(root, project):
    (project / "course_lib" / "a.py").unlink()
    code = (
        "import sys; from pathlib import Path; from tools import export_check as c\n"
        f"c.ROOT = Path({str(project)!r}); sys.exit(c.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 1
    assert "course_lib/a.py is missing" in done.stdout and "What to do:" in done.stdout


def test_nbdev_test_runs_a_single_notebook(root):
    code = "from nbdev.test import nbdev_test; nbdev_test('nbs/lib/00_checks.ipynb')"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0 and "Success." in done.stdout, done.stderr
