"""`make setup` and `make test`: what they decide, and what they say when something fails."""

import os
import shutil
import subprocess
import sys

import pytest

from tools import install, tasks


@pytest.fixture
def venv(tmp_path, monkeypatch):
    """An environment folder of this test's own."""
    folder = tmp_path / ".venv"
    (folder / "bin").mkdir(parents=True)
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "VENV", folder)
    monkeypatch.setattr(install, "LOG", folder / "setup.log")
    monkeypatch.setattr(install, "STAMP", folder / "stamp.json")
    return folder


def test_a_step_says_how_long_and_how_much(venv, capsys):
    code = f"open({str(venv / 'file')!r}, 'wb').write(bytes(3_000_000))"
    install.step("[1/5] PyTorch", [sys.executable, "-c", code])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[1/5] PyTorch …"
    assert lines[1].strip() == "0 s, 3 MB"


@pytest.mark.parametrize(
    ("said", "todo"),
    [
        ("OSError: [Errno 28] No space left on device", "free about 6 GB"),
        ("ERROR: No matching distribution found for torch==2.13.0", "your package index"),
        ("urllib3: Temporary failure in name resolution", "check the network"),
        ("something never seen", "look at the lines above"),
    ],
)
def test_a_failed_step_says_which_why_and_what_to_do(said, todo, venv):
    command = [sys.executable, "-c", f"print({said!r}); raise SystemExit(1)"]
    with pytest.raises(install.StepError) as caught:
        install.step("[3/5] PyTorch", command)
    message = str(caught.value)
    assert "step [3/5] PyTorch" in message and said in message and todo in message


def test_a_failed_setup_leaves_no_stamp(venv, monkeypatch, capsys):
    def fail(name, command):
        raise install.StepError(f"step {name}")

    monkeypatch.setattr(install, "step", fail)
    monkeypatch.setattr(install, "state_key", lambda *args: "key")
    monkeypatch.setattr(
        install, "requirements", lambda: dict.fromkeys(("pt", "tf", "tf-cpu", "metrics"), ())
    )
    monkeypatch.setattr(sys, "argv", ["install.py"])
    install.STAMP.write_text('{"key": "other"}')
    assert install.main() == 1
    assert "make setup failed: step [1/6] Python environment" in capsys.readouterr().err
    assert not install.STAMP.exists()


def test_the_second_time_does_nothing(venv, monkeypatch, capsys):
    monkeypatch.setattr(install, "state_key", lambda *args: "key")
    monkeypatch.setattr(install, "install", lambda *args: pytest.fail("installed again"))
    monkeypatch.setattr(sys, "argv", ["install.py"])
    (venv / "bin" / "course").write_text("")
    install.STAMP.write_text('{"key": "key"}')
    assert install.main() == 0
    assert capsys.readouterr().out == "Environment .venv is up to date.\n"


def test_the_key_changes_with_what_is_installed(tmp_path, monkeypatch, root):
    for name in ("settings.ini", "constraints.txt", "setup.py"):
        shutil.copy(root / name, tmp_path / name)
    monkeypatch.setattr(install, "ROOT", tmp_path)
    first = install.state_key("python3", "tf-cpu")
    assert install.state_key("python3", "tf-cpu") == first
    assert install.state_key("python3", "tf") != first
    settings = tmp_path / "settings.ini"
    settings.write_text(settings.read_text().replace("title =", "title = Another"))
    assert install.state_key("python3", "tf-cpu") == first  # nothing else is installed for that
    settings.write_text(settings.read_text().replace("torch>=2.6", "torch>=2.7"))
    assert install.state_key("python3", "tf-cpu") != first


@pytest.mark.parametrize(
    ("machine", "system", "cuda", "chosen"),
    [
        ("x86_64", "linux", False, "tf-cpu"),
        ("x86_64", "linux", True, "tf"),
        ("aarch64", "linux", False, "tf"),
        ("arm64", "darwin", False, "tf"),
    ],
)
def test_which_tensorflow(machine, system, cuda, chosen, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(install, "has_cuda", lambda: cuda)
    assert install.choose_tensorflow() == chosen


def test_an_unsupported_python_finds_another_one_or_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 8))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(install.StepError, match="(?s)needs 3.11 to 3.13.*make PYTHON="):
        install.supported_python()
    other = tmp_path / "python3.12"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert install.supported_python() == str(other)


def test_make_help_lists_every_target(root):
    help_text = subprocess.run(["make", "-s"], cwd=root, capture_output=True, text=True).stdout
    for target in ("setup", "course", "tour", "test", "test-all", "test-real", "lint", "readme",
                   "execute", "clean"):  # fmt: skip
        assert f"make {target} " in help_text


def test_notebooks_over_their_budget():
    seconds = {
        "index.ipynb": 100.0,
        "chapters/03_fine_tuning_pt.ipynb": 590.0,
        "chapters/02_using_transformers_pt.ipynb": 250.0,
    }
    assert tasks.over_budget(seconds) == [
        "chapters/02_using_transformers_pt.ipynb took 250 s, its budget is 120 s"
    ]


def test_steps_count_and_report(capfd):
    steps = tasks.Steps(2)
    assert steps.run("the first", [sys.executable, "-c", "print('working')"], "nothing")
    assert not steps.run("the second", [sys.executable, "-c", "raise SystemExit(3)"], "mend it")
    out = capfd.readouterr().out
    assert "[1/2] the first\nworking\n      passed in 0 s" in out
    assert "[2/2] the second\n      FAILED: the second\n      What to do: mend it" in out
    assert steps.failed == ["the second"]


def test_tasks_have_a_home_of_their_own(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "somebody's")
    monkeypatch.setenv("COURSE_HOME", "/nowhere")
    with tasks.own_home():
        home = os.environ["COURSE_HOME"]
        assert os.path.isdir(home) and os.listdir(home) == []
        assert "HF_TOKEN" not in os.environ
    assert not os.path.exists(home)


def test_the_ci_script_runs_make_test(root):
    script = root / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("exec make test")
    subprocess.run(["bash", "-n", str(script)], check=True)
