"""`course tour`: the index notebook's tour, played in the terminal."""

import argparse
import shutil
import sys
import tempfile
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.commands.notebooks import directives, notebook_root, tour_cells
from course_lib.commands.terminal import Style, render_markdown, seconds_text

if TYPE_CHECKING:
    from course_lib.commands.runner import CellResult

DESCRIPTION = """\
Play the two-minute tour of the course here, in the terminal: its words, its code, and what the code
answers. It runs for real, in a fresh kernel, on the Course Hub unless you name another.
"""

EXAMPLES = """\
examples:
  course tour                   offline, with the stand-in models
  course tour --hub online      the same cells on the real Hub
"""

PICTURE = "[a picture: `course lab` shows it]"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Describe `course tour`."""
    parser = subparsers.add_parser(
        "tour",
        help="play the two-minute tour in this terminal",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--hub", metavar="HUB", help="local, online, or the URL of a Hub")


def run(args: argparse.Namespace) -> int:
    """Play the tour; 0 if every cell of it ran, else 1."""
    return play(notebook_root() / "index.ipynb", args.hub)


def play(path: Path, hub: str | None = None) -> int:
    """Play the tour section of the notebook at `path`."""
    from course_lib.commands.runner import read_notebook, run_many, run_notebook

    notebook = read_notebook(path)
    notebook.cells = tour_cells(notebook)
    player = Player(notebook.cells, Style.of())

    def one(path: Path, stop: threading.Event) -> Any:
        # An empty folder: the tour needs nothing but the installed package.
        with tempfile.TemporaryDirectory(prefix="course-tour-") as folder:
            return run_notebook(
                path,
                notebook=notebook,
                env={"COURSE_HUB": hub} if hub else {},
                cwd=Path(folder),
                on_start=player.before,
                on_cell=player.after,
                stop=stop,
            )

    result = next(run_many([path], 1, one))
    if result.failure:
        player.failed(result.failure.reason)
        return 1
    player.finish(result.seconds)
    return 0


class Player:
    """Prints the tour as it goes."""

    def __init__(self, cells: list[Any], style: Style) -> None:
        self.cells, self.style = cells, style
        self.width = min(88, shutil.get_terminal_size((88, 24)).columns)
        self.shown = 0  # cells of the notebook that are on the screen

    def before(self, result: "CellResult") -> None:
        """The prose up to a code cell, and its code."""
        at = next(index for index, cell in enumerate(self.cells) if cell is result.cell)
        self._prose(until=at)
        self.shown = at + 1
        if "hide" not in directives(result.cell.source):
            print(self._code(result.cell.source) + "\n", flush=True)
        if self.style.on:
            print(self.style.dim("running …"), end="", flush=True)

    def after(self, result: "CellResult") -> None:
        """What the cell showed."""
        if self.style.on:
            print("\r\x1b[K", end="")
        if result.skipped or result.failed:
            return
        texts = [output_text(output, self.width, self.style) for output in result.cell.outputs]
        text = "\n".join(filter(None, texts))
        if text:
            print(textwrap.indent(text, "  ") + "\n", flush=True)

    def failed(self, reason: str) -> None:
        from course_lib.commands.runner import strip_ansi

        print(reason if self.style.on else strip_ansi(reason), flush=True)
        print("The tour stopped here. `course doctor` checks this machine.", file=sys.stderr)

    def finish(self, seconds: float) -> None:
        self._prose(until=len(self.cells))
        took = self.style.green(f"The tour took {seconds_text(seconds)}.")
        print(f"{took} `course lab` opens the course in your browser.")

    def _prose(self, until: int) -> None:
        for cell in self.cells[self.shown : until]:
            if cell.cell_type == "markdown":
                print(render_markdown(cell.source, self.width, self.style) + "\n", flush=True)
        self.shown = until

    def _code(self, source: str) -> str:
        """The code behind a rule, without the comments that only nbdev reads."""
        lines = source.splitlines()
        while lines and (directives(lines[0]) or not lines[0].strip()):
            lines.pop(0)
        bar = self.style.blue("▌ ")
        return "\n".join(bar + self.style.bold(line) for line in lines)


def output_text(output: Any, width: int, style: Style) -> str:
    """One output of a cell as text: what was printed, a value, or a word about a picture."""
    from course_lib.commands.cleaning import tidy_stream

    if output.output_type == "stream":
        return tidy_stream(output.text, []).rstrip()
    data = output.get("data", {})
    if any(mime.startswith("application/vnd.jupyter.widget") for mime in data):
        return ""  # a progress bar: a terminal would keep its first state
    if any(mime.startswith("image/") for mime in data):
        return PICTURE
    if "text/markdown" in data:
        return render_markdown(data["text/markdown"], width, style)
    text = data.get("text/plain", "").rstrip()
    return "" if text.startswith("<IPython.core.display.") else text
