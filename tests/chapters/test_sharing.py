"""Chapter 4: its chunks are right, it touches only the reader's own repositories, and tidies up."""

import ast
import re
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import nbformat
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.commands.runner import run_notebook
from course_lib.hub import client
from course_lib.hub.storage.store import Store

PATH = Path(__file__).resolve().parents[2] / "nbs" / "chapters" / "04_sharing.ipynb"
SOLUTION = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(PATH, as_version=4)


@pytest.fixture(scope="module")
def code(notebook) -> list[str]:
    """What runs: the code cells, and the solutions of the exercises."""
    cells = [c.source for c in notebook.cells if c.cell_type == "code" and "%pip" not in c.source]
    texts = [c.source for c in notebook.cells if "<summary>Solution" in c.source]
    return cells + ["\n".join(SOLUTION.findall(text)) for text in texts]


@pytest.fixture(scope="module")
def define(code) -> Callable[[str], Callable]:
    """A function of the notebook by its name, made without running anything else."""

    def one(name: str) -> Callable:
        space = {"np": np}
        for source in code:
            for node in ast.parse(source).body:
                if isinstance(node, ast.FunctionDef) and node.name == name:
                    exec(compile(ast.Module([node], []), str(PATH), "exec"), space)
        return space[name]

    return one


def ends(chunks: list[bytes]) -> list[int]:
    return list(accumulate(map(len, chunks)))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(64, 6000), at=st.floats(0, 1),
       new=st.binary(max_size=80))
def test_cuts_move_along_with_the_content(define, seed, size, at, new):
    cut = define("cut")
    old = np.random.default_rng(seed).bytes(size)
    place = int(at * size)
    changed = old[:place] + new + old[place:]
    before, after = cut(old, bits=6), cut(changed, bits=6)
    assert b"".join(before) == old and b"".join(after) == changed
    assert all(before) and all(after)
    # In front of the change all is as it was; 32 bytes behind it all has moved by what is new.
    assert [e for e in ends(before) if e <= place and e < size] == [
        e for e in ends(after) if e <= place and e < len(changed)
    ]
    assert [e + len(new) for e in ends(before) if e >= place + 32] == [
        e for e in ends(after) if e >= place + len(new) + 32
    ]


def test_chunks_have_the_size_that_the_text_says(define):
    content = np.random.default_rng(1).bytes(8_000_000)
    mean = len(content) / len(define("cut")(content))
    assert 65_536 * 0.7 < mean < 65_536 * 1.4      # 122 of them: within about 3 deviations


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=12), st.data())
def test_the_picture_covers_every_byte_once(define, parts, data):
    # Chunks never repeat in what the chapter draws: here a number makes each one unlike the others.
    parts = [bytes([200 + i]) + part.translate(bytes(i % 200 for i in range(256)))
             for i, part in enumerate(parts)]
    known = [part for part in parts if data.draw(st.booleans())]
    content = b"".join(parts)
    old, new = define("boxes")(content, known)
    assert sorted(content[at:at + size] for at, size in old) == sorted(known)
    assert sorted(i for at, size in old + new for i in range(at, at + size)) == [
        *range(len(content))]


WRITES = {"create_repo", "delete_repo", "upload_file", "upload_folder", "create_commit",
          "delete_file", "create_branch", "delete_branch", "create_tag", "delete_tag",
          "push_to_hub"}
OWN = {"MODEL", "KERAS", "NOTES", "WEIGHTS", "DATA", "REPO", "repo"}


def test_every_repository_that_is_written_is_the_readers_own(code):
    nodes = [node for source in code for node in ast.walk(ast.parse(source))]
    values = [ast.unparse(node) for node in nodes
              if isinstance(node, ast.JoinedStr) and "ch4-" in ast.unparse(node)]
    assert len(values) >= 7
    assert all(value[2:].startswith("{course.user}/ch4-") for value in values)
    calls = [node for node in nodes if isinstance(node, ast.Call)
             and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES]
    assert len(calls) > 25
    for call in calls:
        given = [*call.args, *(word.value for word in call.keywords)]
        target = {node.id for node in given if isinstance(node, ast.Name)} & OWN
        own_trainer = ast.unparse(call.func) == "trainer.push_to_hub"   # hub_model_id=MODEL
        assert target or own_trainer, ast.unparse(call)


def test_no_token_is_in_the_stored_notebook():
    text = PATH.read_text(encoding="utf-8")
    assert set(re.findall(r"\b(?:hf|api_org)_[A-Za-z0-9]{6,}", text)) == {"hf_mistyped"}
    assert not re.findall(r"\bcourse_[rw]_", text)


def test_each_solution_deletes_what_it_makes(code):
    solutions = [source for source in code if "REPO = " in source]
    assert len(solutions) >= 2
    assert all(source.rstrip().endswith("api.delete_repo(REPO)") for source in solutions)


@pytest.mark.long
def test_runs_twice_on_a_hub_elsewhere_and_leaves_nothing(tmp_path):
    """What only the Hub of this machine can show is left out, and all else works."""
    info = client.ensure(tmp_path / "hub")
    environment = {"COURSE_HOME": str(tmp_path / "reader"), "COURSE_HUB": info.url,
                   "COURSE_TOKEN": info.write_token, "OMP_NUM_THREADS": "1"}
    try:
        for _ in range(2):
            result = run_notebook(PATH, env=environment, timeout=600)
            assert result.failure is None, f"{result.failure.source}\n{result.failure.reason}"
            names = [repo.id.name for repo in Store(tmp_path / "hub").repos()]
            assert names and [name for name in names if name.startswith("ch4-")] == []
    finally:
        client.stop(tmp_path / "hub")
