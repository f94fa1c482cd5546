"""`make readme`: README.md from nbs/index.ipynb, with links that work from the root."""

import argparse
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import MarkdownExporter

from course_lib.commands.notebooks import directives

ROOT = Path(__file__).resolve().parent.parent
NOTICE = "<!-- Made from nbs/index.ipynb by `make readme`: edit that notebook, not this file. -->"
LINK = re.compile(r"""(\]\(|(?:src|href)=["'])([^)"'\s]+)""")
FENCE = re.compile(r"^(```.*?^```\s*?$)", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Write README.md, or with --check only say whether it is in step with the notebook."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if they differ")
    args = parser.parse_args()
    text = readme_text(ROOT / "nbs" / "index.ipynb")
    target = ROOT / "README.md"
    same = target.is_file() and target.read_text(encoding="utf-8") == text
    if args.check:
        print("README.md is in step." if same else "README.md is out of step: run `make readme`.")
        return 0 if same else 1
    if not same:
        target.write_text(text, encoding="utf-8")
        print("README.md written.")
    return 0


def readme_text(path: Path) -> str:
    """The notebook as Markdown: hidden cells left out, outputs as text, links from the root."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.language_info = {"name": "python"}  # for the fences
    notebook.cells = [cell for cell in notebook.cells if not is_hidden(cell)]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = without_directives(cell.source)
            cell.outputs = [output for output in map(as_text, cell.outputs) if output]
    body, _ = MarkdownExporter().from_notebook_node(notebook)
    body = re.sub(r"\n{3,}", "\n\n", body).strip()
    folder = path.parent.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else "."
    return f"{NOTICE}\n\n{move_links(body, folder)}\n"


def is_hidden(cell: Any) -> bool:
    """Cells that only the notebook needs: `#| hide`, or a Markdown cell tagged `notebook-only`."""
    if "notebook-only" in cell.metadata.get("tags", []):
        return True
    return cell.cell_type == "code" and "hide" in directives(cell.source)


def without_directives(source: str) -> str:
    """The code without the comments that only nbdev reads."""
    return re.sub(r"^\s*#\s*\|.*\n?", "", source, flags=re.MULTILINE).strip()


def as_text(output: Any) -> Any:
    """The output with nothing but its plain text, None if it has none worth showing."""
    if output.output_type == "stream":
        return output if output.name == "stdout" else None
    text = output.get("data", {}).get("text/plain", "")
    if not text or text.startswith(("<IPython.", "<Figure ")):
        return None
    output.data = nbformat.from_dict({"text/plain": text})
    return output


def move_links(text: str, folder: str) -> str:
    """Relative links of a file in `folder`, rewritten for the folder above; code is left alone."""

    def moved(match: re.Match[str]) -> str:
        opening, target = match.groups()
        if re.match(r"[a-z][a-z+.-]*:|#|/", target):
            return match[0]
        return opening + posixpath.normpath(posixpath.join(folder, target))

    parts = FENCE.split(text)
    return "".join(part if i % 2 else LINK.sub(moved, part) for i, part in enumerate(parts))


if __name__ == "__main__":
    sys.exit(main())
