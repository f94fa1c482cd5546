"""`course run`: what runs, what is skipped, what is printed, what is stored."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from course_lib import cli


def outputs(path: Path) -> list[list[dict]]:
    return [cell.outputs for cell in nbformat.read(path, as_version=4).cells]


def test_one_line_for_each_cell(make_notebook, capsys):
    path = make_notebook("md:# Title", "import math", "# a comment\nmath.pi", "")
    assert cli.main(["run", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "test.ipynb"
    assert lines[1].startswith("   1/2 ") and lines[1].endswith("ok  import math")
    assert lines[2].startswith("   2/2 ") and lines[2].endswith("ok  math.pi")
    assert lines[3].startswith("passed: 2 cells in ")


def test_a_failure_shows_the_cell_and_the_traceback(make_notebook, capsys):
    path = make_notebook("x = 0", "# the culprit\n1 / x", "never = 'run'")
    assert cli.main(["run", str(path)]) == 1
    out = capsys.readouterr().out
    assert "Cell 2 of test.ipynb failed:" in out
    assert "    # the culprit\n    1 / x" in out
    assert "ZeroDivisionError: division by zero" in out
    assert "never" not in out
    assert "\x1b[" not in out  # no colours where no terminal is


def test_a_failing_run_saves_nothing(make_notebook):
    path = make_notebook("print(1)", "1 / 0")
    before = path.read_bytes()
    assert cli.main(["run", str(path), "--save"]) == 1
    assert path.read_bytes() == before


def test_flagged_cells_are_skipped_unless_asked_for(make_notebook, capsys):
    path = make_notebook(
        "#| online\nprint('net')", "#| slow\n1 / 0", "#| eval: false\n1 / 0", "#| gpu\n1 / 0", "2"
    )
    assert cli.main(["run", str(path)]) == 0
    out = capsys.readouterr().out
    assert "(skipped: 1 online, 1 slow, 1 eval: false, 1 gpu)" in out
    assert cli.main(["run", str(path), "--with", "online", "--save"]) == 0
    assert outputs(path)[0][0]["text"] == "net\n"


def test_skipped_cells_keep_their_stored_outputs(make_notebook):
    path = make_notebook("#| gpu\n1 / 0", "2")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text="from afar")]
    nbformat.write(notebook, path)
    assert cli.main(["run", str(path), "--save"]) == 0
    assert outputs(path)[0][0]["text"] == "from afar"


def test_hub_reaches_the_kernel(make_notebook):
    path = make_notebook("import os\nos.environ['COURSE_HUB']")
    assert cli.main(["run", str(path), "--hub", "http://127.0.0.1:1", "--save"]) == 0
    assert outputs(path)[0][0]["data"]["text/plain"] == "'http://127.0.0.1:1'"


def test_the_kernel_is_this_python_in_a_fresh_process(make_notebook, tmp_path, monkeypatch):
    # A registered kernel of the same name must not get in the way.
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {"argv": ["/bin/false"], "display_name": "wrong", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    path = make_notebook(
        "import os, sys",
        "assert sys.executable == " + repr(sys.executable),
        f"assert os.getpid() != {os.getpid()}",
        f"assert os.getcwd() == {str(tmp_path)!r}",
        "assert 'torch' not in sys.modules",
        f"assert not get_ipython().ipython_dir.startswith({str(Path.home())!r})",
    )
    assert cli.main(["run", str(path)]) == 0


def test_several_notebooks_each_a_line_and_a_summary(make_notebook, tmp_path, capsys):
    make_notebook("import time; time.sleep(0.5)", name="many/a.ipynb")
    make_notebook("1 / 0", name="many/b.ipynb")
    make_notebook("2", name="many/.ipynb_checkpoints/c.ipynb")
    timings = tmp_path / "timings.json"
    status = cli.main(
        ["run", str(tmp_path / "many"), "--jobs", "2", "--timings", "--timings-file", str(timings)]
    )
    assert status == 1
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "2 notebooks"
    assert "a.ipynb" in out and "ok" in out and "Cell 1 of b.ipynb failed:" in out
    assert "1 of 2 notebooks failed: b.ipynb" in out
    assert "slowest first" in out
    assert set(json.loads(timings.read_text())["seconds"]) == {"a.ipynb", "b.ipynb"}


def test_timings_of_some_notebooks_leave_the_others(make_notebook, tmp_path, monkeypatch):
    make_notebook("1", name="nbs/a.ipynb")
    make_notebook("2", name="nbs/b.ipynb")
    timings = tmp_path / "nbs" / "timings.json"
    timings.write_text(json.dumps({"seconds": {"b.ipynb": 7.5, "gone.ipynb": 3.0}}))
    for module in ("run", "notebooks"):
        name = f"course_lib.commands.{module}.notebook_root"
        monkeypatch.setattr(name, lambda: (tmp_path / "nbs").resolve())
    path = str(tmp_path / "nbs" / "a.ipynb")
    assert cli.main(["run", path, "--timings-file", str(timings)]) == 0
    seconds = json.loads(timings.read_text())["seconds"]
    assert list(seconds) == ["a.ipynb", "b.ipynb"] and seconds["b.ipynb"] == 7.5


def test_jobs_share_the_processors(make_notebook, tmp_path):
    for name in ("a", "b"):
        make_notebook("import os\nprint(os.environ['OMP_NUM_THREADS'])", name=f"two/{name}.ipynb")
    assert cli.main(["run", str(tmp_path / "two"), "--jobs", "2", "--save"]) == 0
    share = max(1, (os.cpu_count() or 1) // 2)
    assert outputs(tmp_path / "two" / "a.ipynb")[0][0]["text"] == f"{share}\n"


def test_two_notebooks_at_a_time_share_no_state(make_notebook, tmp_path):
    make_notebook("import os, json\nos.environ['LEAK'] = '1'\njson.leak = 1", name="s/a.ipynb")
    make_notebook(
        "import os, json\nassert 'LEAK' not in os.environ and not hasattr(json, 'leak')",
        name="s/b.ipynb",
    )
    assert cli.main(["run", str(tmp_path / "s")]) == 0


def test_timeout_stops_the_notebook_and_says_so(make_notebook, capsys):
    path = make_notebook("import time", "time.sleep(60)")
    began = time.monotonic()
    assert cli.main(["run", str(path), "--timeout", "2"]) == 1
    assert time.monotonic() - began < 20
    out = capsys.readouterr().out
    assert "took longer than 2 s" in out and "time.sleep(60)" in out


def test_a_dead_kernel_is_reported(make_notebook, capsys):
    path = make_notebook("import os, signal", "os.kill(os.getpid(), signal.SIGKILL)")
    assert cli.main(["run", str(path)]) == 1
    assert "The kernel died in this cell" in capsys.readouterr().out


def test_an_interrupted_run_leaves_no_kernel(make_notebook, tmp_path):
    path = make_notebook(
        f"import os\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))",
        "import time\ntime.sleep(60)",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "course_lib.cli", "run", str(path)], stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no_such_notebook"], "There is no notebook 'no_such_notebook'"),
        (["00_check"], "Did you mean 00_checks?"),
        (["EMPTY"], "There is no notebook in the folder"),
        (["TEXT"], "is not a notebook: its name must end in .ipynb"),
        (["BROKEN"], "is not a notebook that can be read"),
        (["x", "--jobs", "0"], "must be at least 1"),
        (["x", "--jobs", "two"], "invalid positive value"),
    ],
)
def test_wrong_calls(arguments, words, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "broken.ipynb").write_text("{")
    places = {"EMPTY": "empty", "TEXT": "a.txt", "BROKEN": "broken.ipynb"}
    arguments = [str(tmp_path / places[a]) if a in places else a for a in arguments]
    assert cli.main(["run", *arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


def test_a_notebook_of_the_course_by_its_name(capsys):
    assert cli.main(["run", "00_checks"]) == 0
    assert capsys.readouterr().out.startswith("lib/00_checks.ipynb\n")
