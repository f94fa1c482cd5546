"""`make setup`: create .venv and install the course in it, saying what it does and what it costs.

Runs before anything is installed, so the standard library has to do.
"""

import argparse
import configparser
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "course-setup.json"
LOG = VENV / "course-setup.log"
PYTHONS = ("3.11", "3.12", "3.13")  # the wheels of constraints.txt exist for these
HEARTBEAT = 30  # seconds between signs of life of a long step

ADVICE = (  # what pip says, and what to do about it
    ("No space left on device", "free about 6 GB on this disk and run `make setup` again"),
    ("No matching distribution", "your package index lacks a pinned version: use the usual one"),
    ("ResolutionImpossible", "a pin of constraints.txt contradicts settings.ini: mend one of them"),
    ("ConnectionError", "check the network, then run `make setup` again: it goes on where it was"),
    ("Temporary failure in name resolution", "check the network, then run `make setup` again"),
    ("Read timed out", "the network is slow: run `make setup` again, it goes on where it was"),
    ("CERTIFICATE_VERIFY_FAILED", "set PIP_CERT to your organisation's certificate file"),
    ("ensurepip is not available", "install Python's venv package (Debian: python3-venv)"),
    ("Permission denied", "the folder .venv belongs to someone else: remove it and run again"),
)


class StepError(Exception):
    """A step that failed: which one, why, and what to do."""


def main() -> int:
    """Install what is missing; 0 when the environment is ready."""
    parser = argparse.ArgumentParser(prog="make setup", description=__doc__)
    parser.add_argument("--tensorflow", choices=("auto", "tf", "tf-cpu"), default="auto")
    args = parser.parse_args()
    try:
        python = supported_python()
        tensorflow = choose_tensorflow() if args.tensorflow == "auto" else args.tensorflow
        key = state_key(python, tensorflow)
        if is_current(key):
            print("Environment .venv is up to date.")
            return 0
        install(python, tensorflow)
        STAMP.write_text(json.dumps({"key": key, "tensorflow": tensorflow}), encoding="utf-8")
    except StepError as error:
        print(f"\nmake setup failed: {error}", file=sys.stderr)
        return 1
    return 0


def install(python: str, tensorflow: str) -> None:
    """The steps, each with its seconds and the megabytes it added."""
    extras = requirements()
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--no-input", "--progress-bar=off",
           "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")]  # fmt: skip
    steps = [
        ("Python environment .venv", [python, "-m", "venv", str(VENV)]),
        ("pip", [*pip, "--upgrade", "pip", "setuptools", "wheel"]),
        ("PyTorch", [*pip, *extras["pt"]]),
        (f"TensorFlow ({tensorflow})", [*pip, *extras[tensorflow]]),
        # seqeval is source only and wants setuptools_scm to be built: in an environment of its own.
        ("what BLEU, ROUGE and seqeval need",
         [*pip, "--build-constraint", str(ROOT / "constraints.txt"), *extras["metrics"]]),
        ("the course, JupyterLab and the libraries",
         [*pip, "--no-build-isolation", "-e", f"{ROOT}[offline,lab,metrics,training,dev]"]),
    ]  # fmt: skip
    began = time.monotonic()
    VENV.mkdir(exist_ok=True)
    STAMP.unlink(missing_ok=True)
    LOG.write_text("", encoding="utf-8")
    for number, (name, command) in enumerate(steps, start=1):
        step(f"[{number}/{len(steps)}] {name}", command)
    print(f"Ready in {time.monotonic() - began:.0f} s, {megabytes(VENV):.0f} MB in .venv.")


def step(name: str, command: list[str]) -> None:
    """Run one command with a line before and after; its output goes to the log."""
    print(f"{name} …", flush=True)
    began, before, beat = time.monotonic(), megabytes(VENV), time.monotonic()
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"\n$ {' '.join(command)}\n")
        log.flush()
        start = LOG.stat().st_size
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            time.sleep(0.1)
            if time.monotonic() - beat > HEARTBEAT:
                beat = time.monotonic()
                print(f"      still at it after {beat - began:.0f} s", flush=True)
    if process.returncode:
        said = LOG.read_bytes()[start:].decode(errors="replace").strip()
        raise StepError(explain(name, said))
    added = megabytes(VENV) - before
    print(f"      {time.monotonic() - began:.0f} s, {max(added, 0):.0f} MB", flush=True)


def explain(name: str, said: str) -> str:
    """Which step failed, the end of what it said, and what to do."""
    advice = next((todo for words, todo in ADVICE if words in said), None)
    tail = "\n".join(f"    {line}" for line in said.splitlines()[-12:])
    todo = advice or "look at the lines above and the whole log, mend it, run `make setup` again"
    return f"step {name}\n{tail}\n  What to do: {todo}.\n  Whole log: {LOG.relative_to(ROOT)}"


def supported_python() -> str:
    """The Python to build the environment with: the running one, or another one on the path."""
    if "{}.{}".format(*sys.version_info) in PYTHONS:
        # Not the one inside .venv: it may be what is to be replaced.
        return getattr(sys, "_base_executable", sys.executable)
    for version in reversed(PYTHONS):
        found = shutil.which(f"python{version}")
        if found:
            return found
    raise StepError(
        f"this is Python {platform.python_version()}, the course needs {PYTHONS[0]} to "
        f"{PYTHONS[-1]}.\n  What to do: install one of these, or name it: "
        f"make PYTHON=/path/to/python{PYTHONS[0]} setup"
    )


def choose_tensorflow() -> str:
    """`tf-cpu`, half the size, where it exists and there is no CUDA device; else `tf`."""
    small_exists = platform.machine() in ("x86_64", "AMD64") and sys.platform != "darwin"
    return "tf-cpu" if small_exists and not has_cuda() else "tf"


def has_cuda() -> bool:
    """Whether the NVIDIA driver lists a device."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    answer = subprocess.run([program, "-L"], capture_output=True, text=True)
    return answer.returncode == 0 and "GPU" in answer.stdout


def requirements() -> dict[str, list[str]]:
    """The extras of settings.ini."""
    parser = configparser.ConfigParser(delimiters=["="], interpolation=None)
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    suffix = "_requirements"
    return {
        key.removesuffix(suffix): value.split()
        for key, value in parser["DEFAULT"].items()
        if key.endswith(suffix)
    }


def state_key(python: str, tensorflow: str) -> str:
    """Changes when anything changes that decides what is installed."""
    parser = configparser.ConfigParser(delimiters=["="], interpolation=None)
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    settings = parser["DEFAULT"]
    asked = {key: settings[key] for key in sorted(settings) if "requirements" in key}
    asked["console_scripts"] = settings["console_scripts"]
    text = json.dumps([python, tensorflow, asked, str(ROOT)])
    files = b"".join((ROOT / name).read_bytes() for name in ("constraints.txt", "setup.py"))
    return hashlib.sha256(text.encode() + files).hexdigest()


def is_current(key: str) -> bool:
    """Whether the last complete installation was of just this."""
    if not STAMP.is_file() or not (VENV / "bin" / "course").exists():
        return False
    return json.loads(STAMP.read_text(encoding="utf-8")).get("key") == key


def megabytes(folder: Path) -> float:
    """The size of a folder."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            total += os.lstat(os.path.join(where, name)).st_size
    return total / 1e6


if __name__ == "__main__":
    sys.exit(main())
