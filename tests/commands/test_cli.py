"""The `course` command: help, exit statuses, and mistakes that become sentences."""

import importlib
import os
import signal
import subprocess
import sys
import time

import pytest

from course_lib import cli
from course_lib.commands.errors import UserError


def course(*arguments: str, **kwargs) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "course_lib.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **kwargs)


def test_help_is_quick_and_loads_no_subcommand():
    code = (
        "import sys, time; began = time.perf_counter()\n"
        "from course_lib.cli import main\n"
        "status = main(['--help'])\n"
        "loaded = [m for m in sys.modules if m.startswith('course_lib.commands.')]\n"
        "print(status, loaded, time.perf_counter() - began)"
    )
    seconds = []
    for _ in range(3):
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
        status, loaded, took = out.splitlines()[-1].split(" ")
        assert (status, loaded) == ("0", "[]")
        seconds.append(float(took))
    assert min(seconds) < 0.5


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_subcommand_has_help_with_an_example(name, capsys):
    assert cli.main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"usage: course {name}" in out
    assert "example" in out and f"course {name} " in out.split("example")[1]


def test_help_lists_every_subcommand_in_lines_that_fit(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"    {name} " in out for name in cli.COMMANDS)
    assert max(map(len, out.splitlines())) <= 100


def test_no_subcommand_prints_help_and_is_a_wrong_call(capsys):
    assert cli.main([]) == 2
    assert "commands:" in capsys.readouterr().out


def test_unknown_subcommand_names_the_known_ones(capsys):
    assert cli.main(["tuor"]) == 2
    error = capsys.readouterr().err
    assert "tuor" in error and "tour" in error and "Traceback" not in error


def test_version(capsys):
    from course_lib import __version__

    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"course {__version__}\n"


@pytest.mark.parametrize(
    ("error", "sentence", "status"),
    [
        (UserError("The port is taken."), "The port is taken.", 1),
        (UserError("No such notebook.", code=2), "No such notebook.", 2),
        (FileNotFoundError(2, "No such file or directory", "x.csv"), "x.csv: No such file", 1),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "torch is not installed", 1),
    ],
)
def test_mistakes_become_one_sentence(error, sentence, status, monkeypatch, capsys):
    def fail(args):
        raise error

    monkeypatch.setattr("course_lib.commands.doctor.run", fail)
    assert cli.main(["doctor"]) == status
    said = capsys.readouterr().err
    assert said.startswith("course: ") and sentence in said and said.count("\n") == 1


@pytest.mark.parametrize(("module", "name"), cli.SPOKEN_ERRORS.items())
def test_the_errors_of_hub_and_zoo_become_one_sentence(module, name, monkeypatch, capsys):
    kind = getattr(importlib.import_module(module), name)
    error = kind.__new__(kind)
    monkeypatch.setattr(kind, "__str__", lambda self: "There is no model 'x/y'.")

    def fail(args):
        raise error

    monkeypatch.setattr("course_lib.commands.doctor.run", fail)
    assert cli.main(["doctor"]) == 1
    assert capsys.readouterr().err == "course: There is no model 'x/y'.\n"


def test_a_bug_keeps_its_traceback(monkeypatch):
    def fail(args):
        raise ZeroDivisionError

    monkeypatch.setattr("course_lib.commands.doctor.run", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def test_ctrl_c_exits_130_with_a_word(make_notebook):
    path = make_notebook("import time\ntime.sleep(60)")
    process = subprocess.Popen(
        [sys.executable, "-m", "course_lib.cli", "run", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()  # the notebook's name: it is under way
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert error.strip() == "Stopped."


def test_a_closed_pipe_is_no_traceback(make_notebook):
    path = make_notebook(*["1"] * 30)
    command = f'"{sys.executable}" -m course_lib.cli run "{path}" | head -n 1'
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=60, env=os.environ
    )
    assert done.stdout == "test.ipynb\n"
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
