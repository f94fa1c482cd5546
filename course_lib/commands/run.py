"""`course run`: notebooks without a browser, each in a fresh kernel of its own."""

import argparse
import json
import os
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from course_lib.commands.errors import UserError
from course_lib.commands.notebooks import FLAGS, known_seconds, notebook_root, resolve, title
from course_lib.commands.terminal import Style, seconds_text, shorten

if TYPE_CHECKING:
    from course_lib.commands.runner import CellResult, NotebookResult

DESCRIPTION = """\
Run notebooks without a browser, each in a fresh kernel of this Python. One notebook prints a line
for each cell, several print a line for each notebook. A cell that fails is shown with its source
and its traceback, and the exit status is 1.
"""

EXAMPLES = """\
examples:
  course run 02_using_transformers_pt        a notebook of the course, by its name
  course run my.ipynb --hub online           a file of yours, against the real Hub
  course run nbs --jobs 2 --timings          every notebook in a folder, two at a time
  course run nbs/chapters --save             run, then store the tidied outputs
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Describe `course run`."""
    parser = subparsers.add_parser(
        "run",
        help="run notebooks without a browser, with a line per cell",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "notebooks", nargs="+", metavar="NOTEBOOK", help="a file, a folder, or a notebook's name"
    )
    parser.add_argument(
        "--hub", metavar="HUB", help="COURSE_HUB for the kernels: local, online, or a URL"
    )
    parser.add_argument(
        "--with",
        dest="wanted",
        action="append",
        choices=FLAGS,
        default=[],
        help="run the cells that carry this flag too (may be given again)",
    )
    parser.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="notebooks at a time (default: 1)"
    )
    parser.add_argument(
        "--timeout", type=positive, metavar="S", help="seconds that one notebook may take"
    )
    parser.add_argument("--save", action="store_true", help="store the tidied outputs in the file")
    parser.add_argument("--timings", action="store_true", help="end with a table, slowest first")
    parser.add_argument(
        "--timings-file", type=Path, metavar="FILE", help="write seconds per notebook as JSON"
    )


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def run(args: argparse.Namespace) -> int:
    """Run the notebooks; 0 if every cell of every notebook ran, else 1."""
    from course_lib.commands.runner import run_many, run_notebook

    paths = by_expected_time(resolve(args.notebooks))
    reporter = Reporter(paths, Style.of())
    jobs = min(args.jobs, len(paths))

    def one(path: Path, stop: threading.Event) -> "NotebookResult":
        return run_notebook(
            path,
            wanted=args.wanted,
            env=kernel_environment(args.hub, jobs),
            timeout=args.timeout,
            on_cell=reporter.cell if len(paths) == 1 else None,
            stop=stop,
        )

    reporter.start()
    results = []
    for result in run_many(paths, jobs, one):
        results.append(result)
        if args.save and result.failure is None:
            save(result)
        reporter.notebook(result, len(results))
    reporter.end(results)
    if args.timings:
        reporter.table(results)
    if args.timings_file:
        write_timings(args.timings_file, results)
    return 1 if any(result.failure for result in results) else 0


def by_expected_time(paths: list[Path]) -> list[Path]:
    """The slowest first, as measured before: then the last job does not run alone for long."""
    known = known_seconds()
    return sorted(paths, key=lambda path: -known.get(title(path), 0.0))


def kernel_environment(hub: str | None, jobs: int) -> dict[str, str]:
    """What is added to a kernel's environment: its Hub, and its share of the processors."""
    env = {"COURSE_HUB": hub} if hub else {}
    if jobs > 1:
        threads = str(max(1, (os.cpu_count() or 1) // jobs))
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
            env[name] = os.environ.get(name, threads)
    return env


def save(result: "NotebookResult") -> None:
    """Store the notebook with its tidied outputs, all at once."""
    from course_lib.commands.cleaning import clean, dumps

    temporary = result.path.with_name(f".{result.path.name}.saving")
    try:
        temporary.write_text(dumps(clean(result.notebook)), encoding="utf-8")
        os.replace(temporary, result.path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(
            f"{result.path} could not be saved ({error.strerror}): copy the notebook to a folder "
            "that you may write to, and run it there."
        ) from error


def write_timings(file: Path, results: list["NotebookResult"]) -> None:
    """Seconds by notebook title, sorted, with one decimal; other notebooks' entries stay."""
    seconds = json.loads(file.read_text(encoding="utf-8"))["seconds"] if file.is_file() else {}
    if file.parent.resolve() == notebook_root():  # nbs/timings.json: forget what is gone
        seconds = {name: took for name, took in seconds.items() if (file.parent / name).is_file()}
    seconds |= {title(result.path): round(result.seconds, 1) for result in results}
    content = {"seconds": dict(sorted(seconds.items()))}
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


class Reporter:
    """What `course run` prints while it works."""

    def __init__(self, paths: list[Path], style: Style) -> None:
        self.paths, self.style = paths, style
        self.name_width = max(len(title(path)) for path in paths)

    def start(self) -> None:
        if len(self.paths) == 1:
            print(self.style.bold(title(self.paths[0])), flush=True)
        else:
            print(self.style.bold(f"{len(self.paths)} notebooks"), flush=True)

    def cell(self, cell: "CellResult") -> None:
        """One line: which cell, how long, how it went, how it starts."""
        place = f"{cell.number:>4}/{cell.total}"
        label = shorten(cell.label, 64)
        if cell.skipped:
            line = self.style.dim(f"{place}          –  skipped ({cell.skipped})  {label}")
        else:
            mark = self.style.red("failed") if cell.failed else self.style.green("ok")
            line = f"{place}  {cell.seconds:7.2f} s  {mark}  {label}"
        print(line, flush=True)

    def notebook(self, result: "NotebookResult", number: int) -> None:
        """One line for a finished notebook among several; always the details of a failure."""
        if len(self.paths) > 1:
            mark = self.style.red("failed") if result.failure else self.style.green("ok")
            name = f"{title(result.path):<{self.name_width}}"
            count = f"{number:>{len(str(len(self.paths)))}}/{len(self.paths)}"
            print(
                f"{count}  {name}  {result.seconds:7.1f} s  {mark}{self._skipped(result)}",
                flush=True,
            )
        if result.failure:
            self.failure(result)

    def failure(self, result: "NotebookResult") -> None:
        from course_lib.commands.runner import strip_ansi

        failure = result.failure
        assert failure is not None
        reason = failure.reason if self.style.on else strip_ansi(failure.reason)
        if failure.source:
            print(f"\nCell {failure.number} of {title(result.path)} failed:\n")
            print(textwrap.indent(failure.source, "    ") + "\n")
        print(reason.rstrip() + "\n", flush=True)

    def end(self, results: list["NotebookResult"]) -> None:
        """The last line: how many of what, in how long."""
        failed = [result for result in results if result.failure]
        if len(self.paths) == 1:
            result = results[0]
            ran = sum(not cell.skipped for cell in result.cells)
            outcome = "failed after" if failed else "passed:"
            print(f"{outcome} {plural(ran, 'cell')} in {seconds_text(result.seconds)}"
                  f"{self._skipped(result)}")
        elif failed:
            names = ", ".join(title(result.path) for result in failed)
            print(f"{len(failed)} of {plural(len(results), 'notebook')} failed: {names}")
        else:
            print(f"passed: {plural(len(results), 'notebook')}")

    def table(self, results: list["NotebookResult"]) -> None:
        """The slowest notebooks, or the slowest cells of the only one."""
        if len(results) == 1:
            ran = [cell for cell in results[0].cells if not cell.skipped]
            ran.sort(key=lambda cell: -cell.seconds)
            rows = [(cell.seconds, f"cell {cell.number}", cell.label) for cell in ran[:10]]
        else:
            rows = sorted(((r.seconds, title(r.path), "") for r in results), reverse=True)
        print("\nslowest first")
        for seconds, name, label in rows:
            line = f"{seconds:8.1f} s  {name:<{self.name_width if len(results) > 1 else 8}}"
            print(f"{line}  {shorten(label, 56)}".rstrip())

    @staticmethod
    def _skipped(result: "NotebookResult") -> str:
        if not result.skipped:
            return ""
        reasons = ", ".join(f"{count} {reason}" for reason, count in result.skipped.items())
        return f"  (skipped: {reasons})"


def plural(count: int, noun: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
