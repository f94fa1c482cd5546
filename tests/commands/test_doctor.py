"""`course doctor`: fine, not fine, what to do; and it never gives up half way."""

import importlib.metadata
import shutil
import sys
from collections import namedtuple

import pytest

from course_lib import cli
from course_lib.commands import doctor
from course_lib.commands.doctor import Check


def lines(capsys) -> dict[str, str]:
    """The report's lines by the name of their check."""
    report = [line for line in capsys.readouterr().out.splitlines() if line[:1] in "✓✗–"]
    return {line[2:21].strip(): line for line in report if line}


def group(name: str) -> dict[str, Check]:
    return {check.name: check for check in getattr(doctor, name)()}


def test_the_report_of_this_machine(course_home, capsys):
    status = cli.main(["doctor"])
    report = lines(capsys)
    wrong = [line for line in report.values() if line.startswith("✗")]
    assert status == (1 if wrong else 0)
    for name in ("machine", "Python", "transformers", "device", "disk", "Course Hub"):
        assert name in report
    assert report["transformers"].startswith("✓")


def test_exit_status_and_advice(monkeypatch, capsys):
    def report():
        yield Check("a", "good")
        yield Check("b", "bad", "wrong", "do this")
        yield Check("c", "not installed", "absent", "pip install c")

    monkeypatch.setattr(doctor, "checks", report)
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "✓ a" in out and "✗ b" in out and "– c" in out
    assert "→ do this" in out and "1 thing needs attention." in out


def test_optional_things_do_not_fail_it(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "checks", lambda: iter([Check("c", "none", "absent", "pip")]))
    assert cli.main(["doctor"]) == 0
    assert "All fine." in capsys.readouterr().out


def fake_versions(monkeypatch, **changed):
    """Other versions than the installed ones; None: not installed."""
    real = importlib.metadata.version
    names = {name.replace("_", "-"): version for name, version in changed.items()}

    def version(name):
        found = names.get(doctor.canonical(name), real(name) if name not in names else None)
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr("course_lib.commands.doctor.metadata.version", version)


def test_a_version_outside_the_range_is_wrong(monkeypatch):
    fake_versions(monkeypatch, transformers="4.57.0")
    check = group("libraries")["transformers"]
    assert check.state == "wrong"
    assert "4.57.0, the course needs" in check.detail and "transformers" in check.todo


def test_a_version_in_the_range_is_fine_and_the_tested_one_is_named(monkeypatch):
    fake_versions(monkeypatch, transformers="5.9.0")
    check = group("libraries")["transformers"]
    assert check == Check("transformers", "5.9.0 (tested with 5.23.0)")


def test_missing_libraries(monkeypatch):
    fake_versions(monkeypatch, datasets=None, torch=None, tensorflow=None, tensorflow_cpu=None,
                  keras=None, nh3=None)  # fmt: skip
    found = group("libraries")
    assert found["datasets"].state == "wrong" and "pip install" in found["datasets"].todo
    assert found["torch"].state == "absent" and "course_lib[pt]" in found["torch"].todo
    assert found["tensorflow"].state == "absent" and "tensorflow-cpu" not in found
    assert found["nh3"].state == "wrong"  # it has no line of its own until it is missing


def test_two_tensorflows(monkeypatch):
    fake_versions(monkeypatch, tensorflow="2.21.0", tensorflow_cpu="2.21.0")
    assert group("libraries")["two TensorFlows"].state == "wrong"


def test_an_old_python(monkeypatch):
    version = namedtuple("version", "major minor")(3, 9)
    monkeypatch.setattr(sys, "version_info", version)
    check = group("python")["Python"]
    assert check.state == "wrong" and "3.11 to 3.13" in check.todo


def test_little_memory_and_disk(monkeypatch, course_home):
    monkeypatch.setattr(doctor, "memory_gb", lambda: (8.0, 0.5))
    usage = namedtuple("usage", "total used free")(10, 9, 1e9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    found = group("space")
    assert found["memory"].state == "wrong" and "close other programs" in found["memory"].todo
    assert found["disk"].state == "wrong" and "COURSE_HOME" in found["disk"].todo


def test_a_broken_base_encoder(monkeypatch):
    from course_lib.zoo import base

    monkeypatch.setitem(base.SHA256, "model.safetensors", "0" * 64)
    check = group("models")["base encoder"]
    assert check.state == "wrong" and "sha256" in check.detail and "pip install" in check.todo


def test_the_running_hub(course_home):
    assert "not running" in group("hub")["Course Hub"].detail

    from course_lib.hub import client

    info = client.ensure()
    assert info.url in group("hub")["Course Hub"].detail


def test_a_check_that_breaks_becomes_a_line(monkeypatch):
    def broken():
        raise RuntimeError("half installed\nand more")
        yield

    monkeypatch.setattr(doctor, "devices", broken)
    found = {check.name: check for check in doctor.checks()}
    assert found["broken"].detail == "could not be checked (RuntimeError: half installed)"
    assert "disk" in found  # the rest of the report goes on


def test_colab_is_recognised(monkeypatch):
    assert not doctor.in_colab()
    monkeypatch.setattr("course_lib.commands.doctor.util.find_spec", lambda name: object())
    assert doctor.in_colab()
    assert "Google Colab" in group("machine")["machine"].detail


@pytest.mark.parametrize(
    ("script", "card"),
    [
        ("echo 'GPU 0: NVIDIA H200 (UUID: GPU-1)'", "NVIDIA H200"),
        ("exit 0", None),
        ("echo 'driver/library version mismatch'; exit 18", None),
    ],
)
def test_nvidia_card(script, card, monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert doctor.nvidia_card() == card
