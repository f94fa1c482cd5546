"""README.md is the index notebook, with links that work from the root."""

import nbformat
import pytest

from tools.readme import move_links, readme_text


def test_the_readme_is_in_step_with_the_index(root):
    expected = readme_text(root / "nbs" / "index.ipynb")
    assert (root / "README.md").read_text(encoding="utf-8") == expected, "run `make readme`"


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("[a](chapters/a.ipynb)", "[a](nbs/chapters/a.ipynb)"),
        ("![a](../docs/a.png)", "![a](docs/a.png)"),
        ("[a](../LICENSE)", "[a](LICENSE)"),
        ("[a](https://host/a)", "[a](https://host/a)"),
        ("[a](#here)", "[a](#here)"),
        ("<img src='../docs/a.png'>", "<img src='docs/a.png'>"),
        ("```\n[a](code.md)\n```", "```\n[a](code.md)\n```"),
    ],
)
def test_links_are_moved(text, moved):
    assert move_links(text, "nbs") == moved


def test_what_a_reader_of_the_readme_sees(tmp_path):
    notebook = nbformat.v4.new_notebook()
    stream = nbformat.v4.new_output("stream", name="stdout", text="printed\n")
    noise = nbformat.v4.new_output("stream", name="stderr", text="warning\n")
    value = nbformat.v4.new_output(
        "execute_result", data={"text/plain": "'value'", "text/html": "<b>value</b>"}
    )
    picture = nbformat.v4.new_output(
        "display_data", data={"text/plain": "<Figure size 1x1>", "image/png": "aGVsbG8="}
    )
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_markdown_cell("for notebooks", metadata={"tags": ["notebook-only"]}),
        nbformat.v4.new_code_cell("#| hide\nsecret = 1"),
        nbformat.v4.new_code_cell(
            "#| echo: true\nshown = 1", outputs=[stream, noise, value, picture]
        ),
    ]
    nbformat.write(notebook, tmp_path / "index.ipynb")
    text = readme_text(tmp_path / "index.ipynb")
    assert "# Title" in text and "```python\nshown = 1\n```" in text
    assert "    printed" in text and "    'value'" in text
    for absent in ("secret", "echo", "for notebooks", "warning", "<b>", "Figure", "png"):
        assert absent not in text
