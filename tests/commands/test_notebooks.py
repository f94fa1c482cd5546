"""Where the notebooks are and what their cells ask for."""

import configparser
from pathlib import Path

import nbformat
import pytest

import course_lib
from course_lib.commands import notebooks
from course_lib.commands.errors import UserError


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("#| export\nx", {"export": ""}),
        ("#|eval: false\nx", {"eval": "false"}),
        ("# | hide\n\n# words\n#| slow\nx", {"hide": "", "slow": ""}),
        ("#| default_exp data.batching", {"default_exp": "data.batching"}),
        ("x\n#| export", {}),
        ("", {}),
    ],
)
def test_directives(source, found):
    assert notebooks.directives(source) == found


def test_skip_reason():
    assert notebooks.skip_reason("#| eval: false\n1", notebooks.FLAGS) == "eval: false"
    assert notebooks.skip_reason("#| eval: true\n1") is None
    assert notebooks.skip_reason("#| online\n1") == "online"
    assert notebooks.skip_reason("#| online\n1", ["online"]) is None
    assert notebooks.skip_reason("#| online\n#| slow\n1", ["online"]) == "slow"


def test_flags_are_those_of_nbdev(root):
    settings = configparser.ConfigParser(delimiters=["="], interpolation=None)
    settings.read(root / "settings.ini")
    assert tuple(settings["DEFAULT"]["tst_flags"].split()) == notebooks.FLAGS

    from course_lib.commands.cleaning import KEPT_CELL_METADATA

    assert tuple(settings["DEFAULT"]["allowed_cell_metadata_keys"].split()) == KEPT_CELL_METADATA


def test_in_a_checkout(root):
    assert notebooks.checkout() == root
    assert notebooks.notebook_root() == root / "nbs"
    assert notebooks.constraints_file() == root / "constraints.txt"


def test_in_an_installation(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "course_lib"
    package.mkdir(parents=True)
    monkeypatch.setattr(course_lib, "__file__", str(package / "__init__.py"))
    assert notebooks.checkout() is None
    assert notebooks.constraints_file() == package / "constraints.txt"
    with pytest.raises(UserError, match="notebooks are missing"):
        notebooks.notebook_root()
    (package / "notebooks").mkdir()
    assert notebooks.notebook_root() == package / "notebooks"


def test_budgets():
    assert notebooks.budget_seconds(Path("nbs/index.ipynb")) == 120
    assert notebooks.budget_seconds(Path("nbs/chapters/02_using_transformers_pt.ipynb")) == 120
    assert notebooks.budget_seconds(Path("nbs/chapters/03_fine_tuning_pt.ipynb")) == 300
    assert notebooks.budget_seconds(Path("nbs/chapters/07_translation_pt.ipynb")) == 300
    assert notebooks.budget_seconds(Path("nbs/lib/07_other.ipynb")) == 120


def test_tour_cells_end_at_the_next_heading(make_notebook):
    path = make_notebook(
        "a = 1",
        "md:## The two-minute tour\nwords",
        "b = 2",
        "md:### deeper",
        "c = 3",
        "md:## Next",
        "d = 4",
    )
    cells = notebooks.tour_cells(nbformat.read(path, as_version=4))
    assert [cell.source.splitlines()[0] for cell in cells] == [
        "## The two-minute tour", "b = 2", "### deeper", "c = 3",
    ]  # fmt: skip


def test_a_notebook_without_a_tour_says_so(make_notebook):
    notebook = nbformat.read(make_notebook("md:## Other"), as_version=4)
    with pytest.raises(UserError, match="no section “The two-minute tour”"):
        notebooks.tour_cells(notebook)


def test_resolve_takes_files_folders_and_names(make_notebook, tmp_path, root):
    one = make_notebook("1", name="folder/one.ipynb")
    two = make_notebook("2", name="folder/sub/two.ipynb")
    make_notebook("3", name="folder/_three.ipynb")
    found = notebooks.resolve([str(tmp_path / "folder"), str(one), "lib/00_checks"])
    assert found == [one, two, root / "nbs" / "lib" / "00_checks.ipynb"]
    assert notebooks.resolve(["nbs/lib/00_checks.ipynb"]) == found[2:]
