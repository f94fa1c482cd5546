"""Where the notebooks are, and what their cells ask of whoever runs them."""

import difflib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import course_lib
from course_lib.commands.errors import UserError

FLAGS = ("slow", "online", "gpu")  # the same as tst_flags in settings.ini
TOUR_HEADING = "The two-minute tour"
BUDGET = 120  # seconds that a notebook may take offline on two CPU cores
LONG_BUDGET = 300  # the chapters that train models
LONG_CHAPTERS = ("03_", "07_")

_DIRECTIVE = re.compile(r"^\s*#\s*\|\s*(\S.*?)\s*$")


def checkout() -> Path | None:
    """The folder of the git checkout that course_lib is imported from, None in an installation."""
    folder = Path(course_lib.__file__).resolve().parent.parent
    return folder if (folder / "settings.ini").is_file() and (folder / "nbs").is_dir() else None


def notebook_root() -> Path:
    """`nbs/` in a checkout, `course_lib/notebooks/` in an installation: setup.py's doing."""
    folder = checkout()
    if folder is not None:
        return folder / "nbs"
    packaged = Path(course_lib.__file__).resolve().parent / "notebooks"
    if packaged.is_dir():
        return packaged
    raise UserError(
        f"The notebooks are missing: {packaged} does not exist. Install course_lib again from its "
        "wheel, or work in a clone of the repository."
    )


def constraints_file() -> Path:
    """The versions that the course is tested with: in the checkout's root, or in the package."""
    folder = checkout() or Path(course_lib.__file__).resolve().parent
    return folder / "constraints.txt"


def list_notebooks(root: Path) -> list[Path]:
    """Every notebook below `root`, by path; hidden folders and names that start with _ are left."""
    found = (p for p in root.rglob("*.ipynb"))
    return sorted(
        p for p in found if not any(part[0] in "._" for part in p.relative_to(root).parts)
    )


def resolve(names: Iterable[str]) -> list[Path]:
    """Notebook files for what was typed: a file, a folder, or a notebook's name in the course."""
    paths: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = list_notebooks(path)
            if not inside:
                raise UserError(f"There is no notebook in the folder {name}.", code=2)
            paths += inside
        elif path.is_file():
            if path.suffix != ".ipynb":
                raise UserError(f"{name} is not a notebook: its name must end in .ipynb.", code=2)
            paths.append(path)
        else:
            paths.append(_by_name(name))
    return list(dict.fromkeys(path.resolve() for path in paths))


def _by_name(name: str) -> Path:
    root = notebook_root()
    known = {path.relative_to(root).as_posix(): path for path in list_notebooks(root)}
    wanted = name.removeprefix("nbs/").removesuffix(".ipynb") + ".ipynb"
    if wanted in known:
        return known[wanted]
    matches = [key for key in known if Path(key).name == wanted]
    if len(matches) == 1:
        return known[matches[0]]
    stems = [Path(key).stem for key in known]
    close = difflib.get_close_matches(Path(wanted).stem, stems, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]}?" if close else f"The course has: {', '.join(stems)}."
    raise UserError(f"There is no notebook {name!r}. {hint}", code=2)


def title(path: Path) -> str:
    """The notebook's path as a reader knows it: relative to the course if it belongs to it."""
    root = notebook_root()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def budget_seconds(path: Path) -> int:
    """How long this notebook may take, offline, on two CPU cores."""
    is_long = path.parent.name == "chapters" and path.name.startswith(LONG_CHAPTERS)
    return LONG_BUDGET if is_long else BUDGET


def known_seconds() -> dict[str, float]:
    """Measured seconds by notebook title, from timings.json; empty before the first measurement."""
    file = notebook_root() / "timings.json"
    return json.loads(file.read_text(encoding="utf-8"))["seconds"] if file.is_file() else {}


def directives(source: str) -> dict[str, str]:
    """The `#| name argument` comments that open a cell, as nbdev reads them."""
    found: dict[str, str] = {}
    for line in source.splitlines():
        match = _DIRECTIVE.match(line)
        if match:
            name, _, argument = match[1].partition(" ")
            found[name.rstrip(":")] = argument.strip()
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return found


def skip_reason(source: str, wanted: Iterable[str] = ()) -> str | None:
    """Why a cell is not run (a flag that nobody asked for, `eval: false`), or None."""
    found = directives(source)
    if found.get("eval", "").lower() == "false":
        return "eval: false"
    return next((flag for flag in FLAGS if flag in found and flag not in wanted), None)


def tour_cells(nb: Any) -> list[Any]:
    """The cells from the tour's heading to the next heading of its level."""
    headings = [
        (index, cell.source.lstrip().splitlines()[0][3:].strip())
        for index, cell in enumerate(nb.cells)
        if cell.cell_type == "markdown" and cell.source.lstrip().startswith("## ")
    ]
    start = next((index for index, text in headings if text == TOUR_HEADING), None)
    if start is None:
        raise UserError(f"The notebook has no section “{TOUR_HEADING}”.")
    end = next((index for index, _ in headings if index > start), len(nb.cells))
    return nb.cells[start:end]
