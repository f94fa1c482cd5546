"""`course doctor`: what this machine has, line by line, and what to do about the rest."""

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

from course_lib.commands.notebooks import checkout, constraints_file
from course_lib.commands.terminal import Style

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DESCRIPTION = """\
Check this machine for the course, one line for each thing: ✓ fine, ✗ not fine (with what to do),
and – for something optional that is not installed. The exit status is 0 if nothing is wrong.
"""

EXAMPLES = """\
example:
  course doctor              look for the ✗, do what the line below it says, run it again
"""

PYTHONS = ((3, 11), (3, 13))  # every wheel of constraints.txt exists for these
MEMORY_GB = 4
DISK_GB = 3
SHOWN = (  # a line each; the other libraries share one
    "transformers",
    "datasets",
    "tokenizers",
    "huggingface-hub",
    "evaluate",
    "numpy",
    "torch",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "jupyterlab",
)
TRACKS = {  # what an optional library is for, by the extra that brings it
    "pt": "the PyTorch track",
    "tf": "the Keras track",
    "tf-cpu": "the Keras track",
    "offline": "working offline",
    "lab": "`course lab`",
    "metrics": "BLEU, ROUGE and seqeval",
    "training": "hyperparameter search and TensorBoard",
}


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    detail: str
    state: str = "fine"  # "fine", "wrong", or "absent": optional and not there
    todo: str = ""

    @classmethod
    def unless(cls, wrong: bool, name: str, detail: str, todo: str) -> "Check":
        """Fine, unless `wrong`: then with what to do."""
        return cls(name, detail, "wrong", todo) if wrong else cls(name, detail)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Describe `course doctor`."""
    subparsers.add_parser(
        "doctor",
        help="check this machine: versions, devices, disk, Hub, models",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(args: argparse.Namespace) -> int:
    """Print every check as it is done; 0 if none is wrong, else 1."""
    style = Style.of()
    marks = {"fine": style.green("✓"), "wrong": style.red("✗"), "absent": style.dim("–")}
    wrong = 0
    for check in checks():
        wrong += check.state == "wrong"
        print(f"{marks[check.state]} {check.name:<18} {check.detail}")
        if check.todo:
            print(f"  {'':<18} {style.yellow('→')} {check.todo}")
        sys.stdout.flush()
    things = "thing needs" if wrong == 1 else "things need"
    print(f"\n{wrong} {things} attention." if wrong else "\nAll fine.")
    return 1 if wrong else 0


def checks() -> Iterator[Check]:
    """Every check, in the order of the report. One that breaks becomes a line, not a traceback."""
    groups: list[Callable[[], Iterator[Check]]] = [
        machine,
        python,
        libraries,
        devices,
        space,
        hub,
        models,
    ]
    for group in groups:
        try:
            yield from group()
        except Exception as error:  # the doctor must finish whatever state the machine is in
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            todo = "install the course again: `make setup`, or pip with its extras"
            yield Check(group.__name__, f"could not be checked ({reason})", "wrong", todo)


def machine() -> Iterator[Check]:
    """The system, and whether this is Colab."""
    where = "Google Colab" if in_colab() else f"{platform.system()} {platform.machine()}"
    yield Check("machine", f"{where}, {os.cpu_count()} processors")
    folder = checkout()
    place = f"clone in {folder}" if folder else f"installed in {constraints_file().parent}"
    yield Check("course_lib", f"{metadata.version('course_lib')}, {place}")


def in_colab() -> bool:
    """Whether this Python is Colab's."""
    try:
        return util.find_spec("google.colab") is not None
    except ModuleNotFoundError:
        return False


def python() -> Iterator[Check]:
    """The interpreter's version."""
    low, high = PYTHONS
    yield Check.unless(
        not low <= sys.version_info[:2] <= high,
        "Python",
        f"{platform.python_version()} in {sys.prefix}",
        f"use Python {low[0]}.{low[1]} to {high[0]}.{high[1]}: the libraries exist for these",
    )


def libraries() -> Iterator[Check]:
    """Installed versions against the accepted ranges and the tested pins."""
    from packaging.requirements import Requirement

    pins = tested_versions()
    required: dict[str, tuple[Requirement, str]] = {}
    for text in metadata.requires("course_lib") or []:
        requirement = Requirement(text)
        extra = extra_of(requirement)
        if extra not in ("all", "dev"):  # the first holds no name of its own, the second is ours
            required.setdefault(canonical(requirement.name), (requirement, extra))
    if {"tensorflow", "tensorflow-cpu"} & set(filter(installed, required)):
        # One of the two is there, so the other one is not missing.
        for name in ("tensorflow", "tensorflow-cpu"):
            if not installed(name):
                required.pop(name, None)
    else:
        required.pop("tensorflow-cpu", None)
    found = {name: library(name, *entry, pins.get(name)) for name, entry in required.items()}
    others = [check for name, check in found.items() if name not in SHOWN]
    for name in SHOWN:
        if name in found:
            yield found[name]
    yield from (check for check in others if check.state != "fine")
    fine = sum(check.state == "fine" for check in others)
    yield Check("other libraries", f"{fine} of {len(others)} installed in accepted versions")
    if installed("tensorflow") and installed("tensorflow-cpu"):
        detail = "tensorflow and tensorflow-cpu overwrite each other"
        todo = "pip uninstall tensorflow tensorflow-cpu, then install one of them"
        yield Check("two TensorFlows", detail, "wrong", todo)


def library(name: str, requirement: "Requirement", extra: str, pin: str | None) -> Check:
    """One library's line: missing, outside its range, or fine."""
    version = installed(name)
    command = f'pip install "{requirement.name}{requirement.specifier}"'
    if version is None:
        if not extra:
            return Check(name, "not installed", "wrong", command)
        return Check(name, f"not installed; for {TRACKS[extra]}", "absent",
                     f'pip install "course_lib[{extra}]"')
    if not requirement.specifier.contains(version, prereleases=True):
        return Check(name, f"{version}, the course needs {requirement.specifier}", "wrong", command)
    same = pin is None or version.split("+")[0] == pin
    return Check(name, version if same else f"{version} (tested with {pin})")


def extra_of(requirement: "Requirement") -> str:
    """The extra that a requirement belongs to, "" for the core."""
    for extra in metadata.metadata("course_lib").get_all("Provides-Extra") or []:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            if requirement.marker.evaluate({"extra": extra}):
                return extra
    return ""


def tested_versions() -> dict[str, str]:
    """The pins of constraints.txt, by canonical name."""
    lines = constraints_file().read_text(encoding="utf-8").splitlines()
    pins = (line.partition("==") for line in lines if line and not line.startswith("#"))
    return {canonical(name): version.strip() for name, _, version in pins}


def canonical(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name.strip())


def installed(name: str) -> str | None:
    """A distribution's version, None if it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def devices() -> Iterator[Check]:
    """Accelerators, as the driver and as PyTorch see them."""
    card = nvidia_card()
    if installed("torch") is None:
        yield Check("device", card or "CPU")
        return
    import torch

    if torch.cuda.is_available():
        yield Check("device", f"CUDA: {torch.cuda.get_device_name(0)}")
    elif torch.backends.mps.is_available():
        yield Check("device", "Apple GPU (mps)")
    elif card:
        yield Check("device", f"CPU, although there is {card}", "wrong",
                    "this PyTorch cannot use the card: install a CUDA build of it")
    else:
        yield Check("device", "CPU (enough for everything offline)")


def nvidia_card() -> str | None:
    """The first NVIDIA card that the driver lists."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    answer = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20)
    lines = answer.stdout.strip().splitlines() if answer.returncode == 0 else []
    return lines[0].partition(" (UUID")[0].partition(": ")[2] if lines else None


def space() -> Iterator[Check]:
    """Memory and disk."""
    total, free = memory_gb()
    if total is not None:
        yield Check.unless(
            total < MEMORY_GB or (free is not None and free < MEMORY_GB / 2),
            "memory",
            f"{total:.1f} GB" + (f", {free:.1f} GB free" if free is not None else ""),
            f"close other programs: a chapter that trains needs {MEMORY_GB / 2:g} GB free",
        )

    from course_lib.hub.client import course_home

    home = course_home()
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    left = shutil.disk_usage(existing).free / 1e9
    yield Check.unless(
        left < DISK_GB,
        "disk",
        f"{left:.1f} GB free for {home}",
        f"free some space, or set COURSE_HOME to a folder on a disk with {DISK_GB} GB",
    )
    if not os.access(existing, os.W_OK):
        yield Check("COURSE_HOME", f"{home} cannot be written", "wrong",
                    "set COURSE_HOME to a folder of yours")


def memory_gb() -> tuple[float | None, float | None]:
    """Total and free memory; None where the system does not say."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError, AttributeError):
        return None, None
    table = Path("/proc/meminfo")
    if not table.exists():
        return total, None
    values = dict(line.split(":") for line in table.read_text().splitlines())
    return total, int(values["MemAvailable"].split()[0]) * 1024 / 1e9


def hub() -> Iterator[Check]:
    """Whether a Course Hub runs, and which one the notebooks would use."""
    from course_lib.hub import client

    running = client.find()
    if running:
        yield Check("Course Hub", f"runs at {running.url}, healthy")
    else:
        yield Check("Course Hub", "not running; it starts when a notebook needs it")
    chosen = os.environ.get("COURSE_HUB")
    if chosen:
        yield Check("COURSE_HUB", f"{chosen} is what `start()` will use")


def models() -> Iterator[Check]:
    """The base encoder that the stand-in models are made from."""
    from course_lib.zoo import base

    try:
        for name in base.SHA256:
            base.base_file(name)
    except base.BaseEncoderError as error:
        detail, _, todo = str(error).rpartition(". ")
        missing = installed(base.PACKAGE) is None
        yield Check("base encoder", detail, "absent" if missing else "wrong", todo)
    else:
        files = " and ".join(base.SHA256)
        yield Check("base encoder", f"{base.VERSION}, sha256 of {files} as published")
