"""`course tour`: the words, the code and the answers, in order."""

import os
import pty
import subprocess
import sys

import pytest

from course_lib import cli
from course_lib.commands import tour

CELLS = (
    "raise SystemError('not part of the tour')",
    "md:## The two-minute tour\n\nSome **prose** with a [link](https://host/x).",
    "#| hide\nimport math",
    "#| echo: true\nprint('printed')\nmath.pi",
    "md:### Pictures",
    "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
    "md:The end of it.",
    "md:## Afterwards\n\nnot shown",
    "raise SystemError('not part of the tour')",
)


def test_the_tour_in_order(make_notebook, capsys):
    assert tour.play(make_notebook(*CELLS)) == 0
    out = capsys.readouterr().out
    expected = [
        "The two-minute tour",
        "Some prose with a link (https://host/x).",
        "▌ print('printed')",
        "▌ math.pi",
        "  printed",
        "  3.141592653589793",
        "Pictures",
        "▌ plt.plot([1, 2]);",
        tour.PICTURE,
        "The end of it.",
        "The tour took",
    ]
    places = [out.index(text) for text in expected]
    assert places == sorted(places)
    for absent in ("import math", "echo", "not shown", "SystemError", "\x1b["):
        assert absent not in out.replace("import matplotlib", "")


def test_a_failing_cell_stops_the_tour(make_notebook, capsys):
    path = make_notebook("md:## The two-minute tour", "1 / 0", "print('never')")
    assert tour.play(path) == 1
    said = capsys.readouterr()
    assert "ZeroDivisionError" in said.out and "never" not in said.out
    assert "course doctor" in said.err


def test_hub_and_folder_of_the_tour(make_notebook, capsys, root):
    path = make_notebook(
        "md:## The two-minute tour",
        "import os\nprint('hub', os.environ.get('COURSE_HUB'))\nprint(os.listdir('.'))",
    )
    assert tour.play(path, hub="http://127.0.0.1:1") == 0
    out = capsys.readouterr().out
    assert "hub http://127.0.0.1:1" in out and "[]" in out


def test_colours_on_a_terminal(make_notebook):
    path = make_notebook("md:## The two-minute tour", "x = 1")
    code = f"import pathlib, course_lib.commands.tour as t; t.play(pathlib.Path({str(path)!r}))"
    controller, terminal = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=terminal, env=env)
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(controller, 4096)
        except OSError:  # the other end is closed
            break
    os.close(controller)
    assert process.wait(30) == 0
    assert b"\x1b[1mThe two-minute tour\x1b[0m" in shown


def test_the_course_itself(course_home, root, capsys):
    """The promise of the README: offline, in under two minutes."""
    if not (root / "nbs" / "index.ipynb").exists():
        pytest.fail("nbs/index.ipynb is missing")
    assert cli.main(["tour"]) == 0
    out = capsys.readouterr().out
    took = next(line for line in out.splitlines() if line.startswith("The tour took "))
    assert "min" not in took or took.startswith("The tour took 1 min")
