"""Colours, escaping, and the output that a page without a kernel shows."""

import json
import re
import subprocess
import sys

import nbformat
import nh3
import numpy as np
import pytest

from course_lib import cli, widgets
from course_lib.widgets import static

# How colours look to readers without one kind of cone (Machado and others, 2009, severity 1).
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def lab(colour: str, seen_as: list | None = None) -> np.ndarray:
    """CIE L*a*b* of a colour, as a reader with that kind of sight sees it."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    rgb = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    rgb = np.clip(rgb if seen_as is None else np.array(seen_as) @ rgb, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722],
                    [0.0193, 0.1192, 0.9505]]) @ rgb / [0.9505, 1, 1.089]  # fmt: skip
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", [None, *BLINDNESS])
def test_curves_are_told_apart(sight):
    seen = [lab(colour, BLINDNESS.get(sight)) for colour, _ in static.SERIES]
    distances = [np.linalg.norm(a - b) for n, a in enumerate(seen) for b in seen[:n]]
    assert min(distances) > 12  # 2.3 is just noticeable


def test_no_curve_is_told_by_its_colour_alone():
    dashes = [dash for _, dash in static.SERIES]
    assert len(set(dashes)) == len(dashes)


def test_text_on_tints_and_graphics_on_both_pages_have_contrast():
    assert all(static.contrast(static.INK, tint) >= 4.5 for tint in static.TINTS)
    for page in ("#FFFFFF", "#111111"):  # JupyterLab's light and dark
        assert all(static.contrast(colour, page) >= 3 for colour, _ in static.SERIES)


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\" onload='x'", "&amp;", "\x00"])
def test_nothing_becomes_markup(text):
    outputs = [static.escape(text), static.code(f"`{text}`"), static.code(text)]
    outputs += [static.drawing([], 1, 1, text, live) for live in (True, False)]
    for output in outputs:
        assert "<script" not in output and "\x00" not in output
        assert re.search(r"\son\w+=['\"]", output) is None


def test_an_error_is_shown_and_forgotten():
    class Broken(static.Interactive):
        def static(self):
            return ""

        def build(self):
            return []

    widget = Broken()
    assert widget.view.children[-1].value == ""
    widget.respond(lambda: {}["<key>"])()
    shown = widget.view.children[-1].value
    assert 'role="alert"' in shown and "KeyError" in shown and "&lt;key&gt;" in shown
    widget.respond(lambda: None)()
    assert widget.view.children[-1].value == ""


CELLS = {
    "import numpy as np\nfrom tokenizers import Tokenizer, models, pre_tokenizers\n"
    "words = Tokenizer(models.WordLevel({'[UNK]': 0, 'tea': 1}, unk_token='[UNK]'))\n"
    "words.pre_tokenizer = pre_tokenizers.Whitespace()": [],
    "from course_lib.widgets import TokenizerExplorer\nTokenizerExplorer(words, text='tea <b>')":
        ["tea", "4–5", "unknown", "4 tokens"],
    "from course_lib.widgets import AttentionView\n"
    "AttentionView([np.full((1, 2, 2, 2), 0.5)], ['tea', '<b>'])":
        ["layer 1 of 1, head 1 of 2", "Nothing is masked", "tea 0.50"],
    "from course_lib.widgets import Quiz, Question, Choice\nQuiz(Question('What is tea?', ["
    "Choice('a drink', 'It is.', True), Choice('a <b>', 'It is not.')]))":
        ["What is tea?", "✓ right", "✗ wrong", "It is not."],
    "from course_lib.widgets import Comparison\nComparison({'up': str.upper, 'int': int}, 'tea')":
        ["TEA", "ValueError: invalid literal", "1 of 2 failed"],
    "from course_lib.widgets import Dashboard\nboard = Dashboard(2)\nwith board:\n"
    "    board.log(1, loss=0.5)\n    board.log(2, loss=0.25)":
        ["step 2 of 2 (100%)", "finished", "0.25"],
}  # fmt: skip


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A notebook of widgets as `course run --save` stores it."""
    path = tmp_path_factory.mktemp("stored") / "widgets.ipynb"
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    assert cli.main(["run", str(path), "--save"]) == 0
    return path


def test_a_stored_notebook_has_no_widget_but_every_answer(stored):
    from nbconvert import HTMLExporter

    text = stored.read_text(encoding="utf-8")
    assert static.VIEW not in text and "model_id" not in text
    notebook = nbformat.reads(text, as_version=4)
    assert "widgets" not in notebook.metadata
    page, _ = HTMLExporter().from_notebook_node(notebook)
    for cell, facts in zip(notebook.cells, CELLS.values(), strict=True):
        data = [output["data"] for output in cell.outputs]
        assert len(data) == (1 if facts else 0)
        for fact in facts:
            assert fact in data[0]["text/html"] and fact in page
        assert not facts or data[0]["text/plain"].strip()


def test_a_strict_page_leaves_the_facts(stored):
    """GitHub takes style sheets, styles and SVG out of a notebook."""
    notebook = nbformat.read(stored, as_version=4)
    tags = {"div", "span", "b", "i", "small", "code", "table", "thead", "tbody", "tr", "th", "td",
            "ul", "li", "br"}  # fmt: skip
    for cell, facts in zip(notebook.cells, CELLS.values(), strict=True):
        for output in cell.outputs:
            left = nh3.clean(output["data"]["text/html"], tags=tags, attributes={})
            text = re.sub(r"<[^>]+>", "", left)
            assert all(fact in text for fact in facts)


def test_while_the_view_is_there_but_its_state_is_not_the_html_is_shown(stored):
    """A notebook that JupyterLab saved, read elsewhere."""
    from nbconvert import HTMLExporter

    notebook = nbformat.read(stored, as_version=4)
    output = notebook.cells[1].outputs[0]
    output["data"][static.VIEW] = {"version_major": 2, "version_minor": 0, "model_id": "gone"}
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert "4 tokens" in page


def test_importing_loads_no_framework_and_no_widgets():
    code = ("import sys, json, course_lib.widgets\nfor m in ('static', 'tokenizer_explorer', "
            "'attention_view', 'next_token', 'dashboard', 'quiz', 'comparison'): "
            "__import__('course_lib.widgets.' + m)\n"
            "print(json.dumps([m for m in ('torch', 'tensorflow', 'keras', 'transformers', "
            "'ipywidgets', 'IPython', 'matplotlib') if m in sys.modules]))")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_every_name_is_found_and_no_other():
    for name in widgets.__all__:
        assert getattr(widgets, name).__name__ == name
    assert set(widgets.__all__) <= set(dir(widgets))
    with pytest.raises(AttributeError, match="no attribute 'Quizz'"):
        _ = widgets.Quizz
