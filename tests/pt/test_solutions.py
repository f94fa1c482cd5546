"""The folded solutions of the exercises run, after just those cells that they build on."""

import builtins
import re
import symtable
from pathlib import Path

import nbformat
import pytest

from course_lib.commands.runner import run_notebook

CHAPTERS = Path(__file__).resolve().parents[2] / "nbs" / "chapters"
SOLUTION = re.compile(r"<summary>Solution</summary>(.*?)</details>", re.DOTALL)
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)  # %pip and the like are no Python


def solutions(notebook) -> list[str]:
    """The code of every folded solution, in order."""
    folded = (
        match[1]
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for match in SOLUTION.finditer(cell.source)
    )
    return ["\n".join(CODE.findall(text)) for text in folded]


def names(source: str) -> tuple[set[str], set[str]]:
    """What the code defines at its top level, and what it reads from elsewhere."""
    table = symtable.symtable(MAGIC.sub(r"\1pass", source), "cell", "exec")
    defined = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    scopes, read = [table], set()
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        read |= {s.get_name() for s in scope.get_symbols()
                 if s.is_referenced() and (s.is_global() or scope is table)}
    return defined, read - defined - set(dir(builtins))


def needed_cells(notebook, source: str) -> list[int]:
    """The cells that define what `source` reads: for each name the last one, and so on."""
    cells = [(i, c) for i, c in enumerate(notebook.cells) if c.cell_type == "code"]
    parts = {i: names(cell.source) for i, cell in cells}
    start = next(i for i, cell in cells if "start()" in cell.source)
    needed: set[int] = {start}
    queue = [(len(notebook.cells), name) for name in sorted(names(source)[1])]
    while queue:
        before, name = queue.pop()
        found = next((i for i in sorted(parts, reverse=True)
                      if i < before and name in parts[i][0]), None)
        if found is not None and found not in needed:
            needed.add(found)
            queue += [(found, other) for other in parts[found][1]]
    return sorted(needed)


def chapters() -> list[Path]:
    found = sorted(CHAPTERS.glob("*.ipynb"))
    return [path for path in found if solutions(nbformat.read(path, as_version=4))]


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_solutions_run(path):
    notebook = nbformat.read(path, as_version=4)
    codes = solutions(notebook)
    assert all(codes), "a solution without code"
    wanted = needed_cells(notebook, "\n".join(codes))
    cells = [notebook.cells[i] for i in wanted]
    assert len(cells) < len(notebook.cells) / 4, "the solutions need too much of the chapter"
    cells += [nbformat.v4.new_code_cell(code) for code in codes]
    notebook.cells = cells
    result = run_notebook(path, notebook=notebook, timeout=240)
    assert result.failure is None, f"{result.failure.source}\n{result.failure.reason}"
    assert sum(not cell.skipped for cell in result.cells) == len(cells)
