"""Devices: what is found without loading a framework, on machines of every kind."""

import ctypes
import os
import platform
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from course_lib import devices


class Nvml:
    """A driver's management library with so many devices."""

    def __init__(self, count: int, status: int = 0) -> None:
        self.count, self.status, self.open = count, status, 0

    def nvmlInit_v2(self) -> int:
        self.open += self.status == 0
        return self.status

    def nvmlDeviceGetCount_v2(self, pointer: object) -> int:
        pointer._obj.value = self.count
        return 0

    def nvmlShutdown(self) -> int:
        self.open -= 1
        return 0


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Describe a machine: `machine(torch="cuda = '12.8'", gpus=1, system="linux")`."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def describe(
        torch: str | None = "cuda: str | None = None",
        gpus: int | None = 0,
        system: str = "linux",
        processor: str = "x86_64",
        files: tuple[str, ...] = (),
    ) -> None:
        spec = None
        if torch is not None:
            (tmp_path / "version.py").write_text(f"__version__ = '2.13.0'\n{torch}\n")
            spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
        nvml = Nvml(gpus or 0)

        def load(name: str) -> Nvml:
            if gpus is None:
                raise OSError("no such library")
            return nvml

        monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: spec)
        monkeypatch.setattr(ctypes, "CDLL", load)
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setattr(platform, "machine", lambda: processor)
        monkeypatch.setattr(os.path, "exists", lambda path: path in files)

    return describe


CUDA = "cuda: str | None = '12.8'\nhip: str | None = None"
HIP = "cuda = None\nhip = '6.4.1'"


@pytest.mark.parametrize(
    "expected, description",
    [
        ("cuda", {"torch": CUDA, "gpus": 2}),
        ("cuda", {"torch": "cuda = '11.8'", "gpus": 1}),
        ("cpu", {"torch": CUDA, "gpus": 0}),
        ("cpu", {"torch": CUDA, "gpus": None}),  # no driver
        ("cpu", {"gpus": 1}),  # a CPU build
        ("cuda", {"torch": None, "gpus": 1}),  # TensorFlow alone
        ("cpu", {"torch": None, "gpus": None}),
        ("cuda", {"torch": HIP, "files": ("/dev/kfd",)}),
        ("cpu", {"torch": HIP}),
        ("mps", {"system": "darwin", "processor": "arm64"}),
        ("cpu", {"system": "darwin", "processor": "x86_64"}),
        ("cpu", {"system": "darwin", "processor": "arm64", "torch": None}),
    ],
)
def test_machines(machine: object, expected: str, description: dict) -> None:
    machine(**description)
    assert devices.find_device() == expected


@pytest.mark.parametrize("hidden", ["", "-1", " "])
def test_hidden_devices(machine: object, monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    machine(torch=CUDA, gpus=1)
    assert devices.find_device() == "cuda"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert devices.find_device() == "cpu"


def test_the_driver_is_left_as_it_was(machine: object, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(3)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: nvml)
    assert devices.nvidia_devices() == 3 and nvml.open == 0
    broken = Nvml(3, status=9)  # the driver is not loaded
    monkeypatch.setattr(ctypes, "CDLL", lambda name: broken)
    assert devices.nvidia_devices() == 0 and broken.open == 0


@pytest.mark.parametrize(
    "cuda, mps, expected", [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_an_imported_torch_knows_best(
    machine: object, monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str
) -> None:
    machine(torch=CUDA, gpus=1)
    torch = SimpleNamespace(
        manual_seed=None,
        cuda=SimpleNamespace(is_available=lambda: cuda),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert devices.find_device() == expected


def test_a_torch_without_a_version_file(machine: object, tmp_path: Path) -> None:
    machine(gpus=1)
    (tmp_path / "version.py").unlink()
    assert devices.torch_builds() is None


def test_looking_loads_no_framework(python: object) -> None:
    code = "import sys\nfrom course_lib.devices import find_device\nprint(find_device())\n"
    code += "print({'torch', 'tensorflow', 'numpy'} & set(sys.modules))"
    device, loaded = python(code).splitlines()
    assert device in ("cuda", "mps", "cpu") and loaded == "set()"
