"""What a stored notebook keeps, and what it does not."""

import sys
from pathlib import Path

import nbformat
import pytest

from course_lib import cli
from course_lib.commands.cleaning import clean, dumps, machine_paths, tidy_stream, tidy_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain\ntext\n", "plain\ntext\n"),
        ("0%\r50%\rdone\n", "done\n"),
        ("abc\b\b\bx\n", "x\n"),
        ("\x1b[1mbold\x1b[0m\n", "bold\n"),
        ("\r  0%|   | 0/9 [00:00<?]\r100%|███| 9/9 [00:01<00:00, 9.0it/s]\nafter\n", "after\n"),
        ("Map: 100%|███| 3668/3668 [00:00<00:00, 9999.9 examples/s]\n", ""),
        ("12it [00:00, 99.9it/s]\n", ""),
        ("Generating train split: 36 examples [00:00, 12.1 examples/s]\n", ""),
        ("2026-01-01 10:00:00.123456: I tensorflow/core/x.cc:1] hello\nok\n", "ok\n"),
        ("accuracy 75% of | all\n", "accuracy 75% of | all\n"),
        ("list [00:12] is no bar\n", "list [00:12] is no bar\n"),
    ],
)
def test_streams(text, expected):
    assert tidy_stream(text, []) == expected


def test_a_bar_on_stdout_is_kept_as_it_ended():
    assert tidy_stream("\r 0%| |\r100%|█| 9/9 [00:01]\n", [], keep_bars=True) == (
        "100%|█| 9/9 [00:01]\n"
    )


def test_machine_paths_are_replaced(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("COURSE_HOME", "/home/ada/somewhere/course")
    paths = machine_paths()
    checkout = Path(__file__).resolve().parents[2]
    cases = {
        "/home/ada/file.txt": "~/file.txt",
        "/home/adam/file.txt": "/home/adam/file.txt",
        "/home/ada/somewhere/course/hub/x": "~/.course/hub/x",
        f"{checkout}/nbs/x.ipynb": "course/nbs/x.ipynb",
        f"{sys.prefix}/lib/site-packages/torch/nn.py:3: W": "site-packages/torch/nn.py:3: W",
        "File /usr/lib/python3/dist-packages/x.py": "File site-packages/x.py",
        "/tmp/ipykernel_12/345.py:1: UserWarning": "cell:1: UserWarning",
        "https://host/home/ada": "https://host/home/ada",
        "<object object at 0x7f00aa>": "<object object>",
    }
    assert {text: tidy_text(text, paths) for text in cases} == cases


def test_a_run_notebook_is_stored_tidy_and_twice_the_same(make_notebook):
    path = make_notebook(
        "import sys, tempfile, warnings\nfrom pathlib import Path",
        "print('a'); print('\\r  0%| | 0/1 [00:00]\\r100%|█| 1/1 [00:00]', file=sys.stderr)",
        "Path.home() / 'x', sys.executable, tempfile.gettempdir() + '/tmpab12'",
        "warnings.warn('careful')",
        "object()",
        "import ipywidgets\nipywidgets.IntSlider()",
        "from IPython.display import HTML, display\ndisplay(HTML('<b>kept</b>'))\nprint('x')\n1",
        "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);",
    )
    assert cli.main(["run", str(path), "--save"]) == 0
    first = path.read_text()
    notebook = nbformat.reads(first, as_version=4)
    nbformat.validate(notebook)
    texts = [str(cell.outputs) for cell in notebook.cells]
    assert "0%" not in texts[1] and "'a\\n'" in texts[1]
    assert str(Path.home()) + "/" not in first and sys.prefix not in first
    assert "~/x" in texts[2] and "/tmp/folder" in texts[2]
    assert "cell:1: UserWarning: careful" in texts[3]
    assert "'<object>'" in texts[4]
    assert notebook.cells[5].outputs == []  # a live widget is nothing on a page
    assert "<b>kept</b>" in texts[6]
    assert "image/png" in texts[7]
    assert [cell.execution_count for cell in notebook.cells] == list(range(1, 9))
    assert set(notebook.metadata) == {"kernelspec"}
    assert all(cell.metadata == {} for cell in notebook.cells)
    assert [cell.id for cell in notebook.cells] == [f"cell-{n}" for n in range(8)]
    # Neither tidying again nor running again changes a byte.
    assert dumps(clean(nbformat.reads(first, as_version=4))) == first
    assert cli.main(["run", str(path), "--save"]) == 0
    assert path.read_text() == first


def test_nbdev_clean_finds_nothing_but_the_counts(make_notebook):
    from execnb.nbio import nb2str, read_nb
    from nbdev.clean import clean_nb

    path = make_notebook("print(1)", "2")
    assert cli.main(["run", str(path), "--save"]) == 0
    ours = read_nb(path)
    theirs = read_nb(path)
    clean_nb(theirs, allowed_cell_metadata_keys=["tags"])
    for cell in ours.cells:
        cell["execution_count"] = None
        for output in cell["outputs"]:
            if "execution_count" in output:
                output["execution_count"] = None
    assert nb2str(ours) == nb2str(theirs)


def test_ids_are_made_stable_and_unique():
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell("1"), nbformat.v4.new_code_cell("1")]
    for cell in notebook.cells:
        cell["id"] = "same"
    ids = [cell.id for cell in clean(notebook).cells]
    assert ids[0] == "same" and ids[1] != "same"
    assert [cell.id for cell in clean(notebook).cells] == ids


def test_widget_state_and_foreign_metadata_go():
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.widgets = {"state": {}}
    notebook.metadata.colab = {"provenance": []}
    cell = nbformat.v4.new_code_cell("1")
    cell.metadata.update(tags=["kept"], execution={"start": 1}, collapsed=True)
    notebook.cells = [cell]
    cleaned = clean(notebook)
    assert set(cleaned.metadata) == {"kernelspec"}
    assert cleaned.cells[0].metadata == {"tags": ["kept"]}


def test_a_notebook_that_cannot_be_written_is_a_sentence(make_notebook, monkeypatch, capsys):
    path = make_notebook("1")
    before = path.read_bytes()

    def refuse(source, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.replace", refuse)
    assert cli.main(["run", str(path), "--save"]) == 1
    assert "could not be saved (Permission denied)" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["test.ipynb"]
