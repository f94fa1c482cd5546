"""The course's first page in JupyterLab, as a reader runs it: from the menu, in a browser."""

import pytest

from tools.jupyter import lab_page, open_notebook, run_all, without_outputs

pytestmark = pytest.mark.browser


def test_the_first_page_runs_to_its_end(root, tmp_path, chromium):
    notebook = without_outputs(root / "nbs" / "index.ipynb", tmp_path / "index.ipynb")
    with lab_page(tmp_path, chromium) as (page, base):
        open_notebook(page, base, notebook.name)
        cells = run_all(page, notebook)
        assert not page.locator("text=Would you like to").count()  # no question before the lesson
        outputs = [output for cell in cells for output in cell["outputs"]]
        assert [o["evalue"] for o in outputs if o["output_type"] == "error"] == []
        card = next(o for o in outputs if "text/html" in o.get("data", {}))
        assert "Course Hub on this machine" in "".join(card["data"]["text/html"])
        assert "POSITIVE" in str(outputs) and "{'accuracy': 0.75}" in str(outputs)
