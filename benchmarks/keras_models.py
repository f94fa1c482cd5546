"""course_lib.tf beside transformers on PyTorch and keras-hub: training, inference, writing.

    python benchmarks/keras_models.py [--rounds 12] [--only train ...] [--without compile] [--write]
    python benchmarks/keras_models.py --setup-keras-hub

Every candidate runs in a process of its own (keras_workers.py). They take turns: each round asks
all of them for the same work, one after the other, so that whatever else the machine does falls on
all of them alike. Ratios are taken within a round; the tables hold medians. All read the same
checkpoints, with random weights; before anything is timed, logits have to agree within 0.001 and
texts token for token. keras-hub lives in an environment of its own, which --setup-keras-hub makes
in the user's cache; without it, it is left out. --write stores benchmarks/results/keras_models.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from keras_jobs import (
    BATCH,
    HOWS,
    NAMES,
    NEW_TOKENS,
    PROMPT,
    PYTORCH,
    SOURCE,
    TEXTS,
    Job,
    Kind,
    batches,
    groups,
    label,
)

HERE = Path(__file__).resolve().parent
WORKERS, RESULTS = HERE / "keras_workers.py", HERE / "results" / "keras_models.md"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
HUB = CACHE / "course-benchmarks" / "keras-hub"


class Worker:
    """A process with one candidate."""

    def __init__(self, kind: Kind, folder: Path, args: argparse.Namespace) -> None:
        framework, how, threads = kind
        threads = threads or args.threads
        spec = {"framework": framework, "how": how, "threads": threads, "folder": str(folder)}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "HF_HUB_OFFLINE": "1",
                 "OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
        python = str(args.keras_hub) if framework == "hub" else sys.executable
        self.log = (folder / f"{framework}-{how}-{threads}.log").open("a+")
        self.process = subprocess.Popen(
            [python, str(WORKERS), json.dumps(spec)], stdin=subprocess.PIPE, text=True, bufsize=1,
            stdout=subprocess.PIPE, stderr=self.log, env=os.environ | quiet)  # fmt: skip
        self.hello = self.read()

    def read(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.log.seek(0)
        return {"error": f"its process ended: {self.log.read().strip()[-300:]}"}

    def ask(self, **order: Any) -> dict[str, Any]:
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
        except BrokenPipeError:
            pass  # `read` says so
        return self.read()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


def agree(job: Job, kind: Kind, answer: Any, expected: Any) -> str | None:
    """What is wrong with an answer; None if nothing is."""
    answer, expected = np.asarray(answer), np.asarray(expected)
    if job.order["work"] == "sample":
        same = answer.shape == expected.shape
        return None if same else f"texts of shape {answer.shape}, not {expected.shape}"
    if answer.shape != expected.shape:
        return f"an answer of shape {answer.shape}, not {expected.shape}"
    if expected.dtype.kind == "f":
        apart = float(np.abs(answer - expected).max())
        return None if apart < 1e-3 else f"logits differ by {apart:.2g}"
    equal = float((answer == expected).mean())
    return None if equal == 1.0 else f"{equal:.0%} of the tokens are PyTorch's"


def measure(job: Job, workers: dict[Kind, Worker], args: argparse.Namespace,
            notes: list[str]) -> None:  # fmt: skip
    """Fill `job.found`: first step, seconds of every round, memory."""
    expected = None
    for kind in job.kinds:
        if kind not in workers:
            continue
        began = workers[kind].ask(do="begin", **job.order)
        problem = began.get("error")
        if problem is None:
            expected = began["answer"] if expected is None else expected
            problem = agree(job, kind, began["answer"], expected)
            if problem is not None and kind[0] == "ours":
                raise SystemExit(f"{job.title}: {label(kind)}: {problem}")
        if problem is not None:
            notes.append(f"{job.title}: {label(kind)}: {problem}.")
        if "error" not in began:
            job.found[kind] = {"first": began["first"], "rounds": []}
            workers[kind].ask(do="run", steps=1)  # for warming up
    once = workers[job.kinds[0]].ask(do="run", steps=1)["seconds"]
    steps = max(1, round(args.seconds / once))
    for number in range(args.rounds):
        for kind in list(job.found)[:: 1 if number % 2 else -1]:
            taken = workers[kind].ask(do="run", steps=steps)["seconds"]
            job.found[kind]["rounds"].append(taken / steps)
    for kind, found in job.found.items():
        found["megabytes"] = workers[kind].ask(do="memory")["megabytes"]


def ratio(job: Job, kind: Kind, other: Kind | None) -> str:
    """How many times as fast as another candidate: the median of the rounds."""
    if other not in job.found:
        return ""
    pairs = zip(job.found[other]["rounds"], job.found[kind]["rounds"], strict=True)
    return f"{statistics.median(one / two for one, two in pairs):.2f}"


def best(job: Job, framework: str) -> Kind | None:
    """The quickest way of a framework with all threads."""
    kinds = [kind for kind in job.found if kind[0] == framework and kind[2] is None]
    return min(kinds, key=lambda kind: statistics.median(job.found[kind]["rounds"]), default=None)


def table(jobs: list[Job], unit: str) -> list[str]:
    """Everything measured, a row for each candidate."""
    lines = [f"| work | candidate | {unit} | × PyTorch eager | × best keras-hub | first step, s "
             "| peak memory, MB |", "|---|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    for job in jobs:
        hub = best(job, "hub")
        for kind, found in job.found.items():
            speed = job.amount / statistics.median(found["rounds"])
            cells = [job.title, label(kind), f"{speed:.1f}", ratio(job, kind, PYTORCH),
                     ratio(job, kind, hub), f"{found['first']:.1f}",
                     f"{found['megabytes']:.0f}"]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def summary(jobs: list[Job]) -> list[str]:
    """Our best against the others."""
    lines = ["| work | course_lib.tf, its best way | × PyTorch eager | × torch.compile "
             "| × best keras-hub |", "|---|---|---:|---:|---:|"]  # fmt: skip
    for job in jobs:
        ours = best(job, "ours")
        if ours is not None:
            others = (PYTORCH, ("torch", "compile", None), best(job, "hub"))
            ratios = [ratio(job, ours, other) or "–" for other in others]
            lines.append(f"| {' | '.join([job.title, HOWS[ours[1]], *ratios])} |")
    return lines


def machine(args: argparse.Namespace, loads: list[float], versions: dict[str, str]) -> str:
    """Where it was measured."""
    info = Path("/proc/cpuinfo")
    model = platform.processor() or platform.machine()
    if info.exists():
        found = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = found[0].split(":")[1].strip() if found else model
    packages = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return (f"{model}, {os.cpu_count()} cores, {args.threads} threads for each candidate; Python "
            f"{platform.python_version()}, {packages}. {args.rounds} rounds that take turns, "
            f"medians; ratios are taken within a round. Load of the machine over a minute: "
            f"{loads[0]:.1f} before, {loads[-1]:.1f} after (one candidate works at a time, so "
            f"that {args.threads} is a quiet machine).")  # fmt: skip


def setup_hub() -> None:
    """An environment with keras-hub, outside the repository; instant the second time."""
    python = HUB / "bin" / "python"
    probe = [str(python), "-c", "import keras_hub, safetensors, tensorflow"]
    if python.exists() and subprocess.run(probe, capture_output=True).returncode == 0:
        return
    print(f"keras-hub goes to {HUB}; this takes minutes.", flush=True)
    version = importlib.metadata.version  # Keras's: TensorFlow's package has several names
    packages = ["keras-hub", f"keras=={version('keras')}", "tensorflow", "safetensors"]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(HUB)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages],
                       check=True)  # fmt: skip
    except subprocess.CalledProcessError as error:
        print(f"That failed, keras-hub is left out: {error}", file=sys.stderr)


def run_all(chosen: dict[str, list[Job]], args: argparse.Namespace) -> str:
    """Measure; the report."""
    notes, imports, versions = [], {}, {}
    loads = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "batches.npz", **batches())
        subprocess.run([sys.executable, str(HERE / "keras_jobs.py"), name], check=True,
                       stderr=subprocess.DEVNULL, env=os.environ | {"HF_HUB_OFFLINE": "1"})
        for jobs in chosen.values():
            kinds = dict.fromkeys(kind for job in jobs for kind in job.kinds
                                  if kind == PYTORCH or kind[1] not in args.without)
            workers: dict[Kind, Worker] = {}
            try:
                for kind in kinds:
                    if kind[0] == "hub" and not args.keras_hub.exists():
                        continue
                    workers[kind] = worker = Worker(kind, folder, args)
                    if "error" in worker.hello:
                        raise SystemExit(f"{label(kind)}: {worker.hello['error']}")
                    imports.setdefault(NAMES[kind[0]], []).append(worker.hello["import"])
                    side = " (keras-hub's environment)" if kind[0] == "hub" else ""
                    versions |= {f"{key}{side}": value
                                 for key, value in worker.hello["versions"].items()
                                 if versions.get(key) != value}  # fmt: skip
                for job in jobs:
                    began = time.monotonic()
                    measure(job, workers, args, notes)
                    print(f"{job.title}: {time.monotonic() - began:.0f} s", flush=True)
            finally:
                for worker in workers.values():
                    worker.close()
    if not args.keras_hub.exists():
        notes.append("keras-hub is not installed: --setup-keras-hub does it.")
    loads.append(os.getloadavg()[0])
    return report(chosen, args, loads, versions, imports, notes)


def report(chosen: dict[str, list[Job]], args: argparse.Namespace, loads: list[float],
           versions: dict[str, str], imports: dict[str, list[float]], notes: list[str]) -> str:
    """The tables and what has to be said about them."""
    jobs = [job for group in chosen.values() for job in group]
    texts = [job for job in jobs if "length" not in job.order]
    lines = ["# Models in Keras beside PyTorch and keras-hub", "",
             "`make bench-keras` wrote this; see the top of benchmarks/keras_models.py for how it "
             "measures. More than 1 is faster.", "", *summary(jobs), "",
             machine(args, loads, versions), ""]  # fmt: skip
    if len(texts) < len(jobs):
        lines += [f"## A classifier of the base encoder's size, batch {BATCH}", "",
                  "BERT with 6 layers, 384 wide, 12 heads, 1536 inside, 30522 tokens. Rows have "
                  "half to all of the length, the rest is padding with its mask. Training is "
                  "forward, backward and AdamW with dropout 0.1.", "",
                  *table([job for job in jobs if job not in texts], "examples/s"), ""]  # fmt: skip
    if texts:
        lines += [f"## Writing {NEW_TOKENS} tokens, batch {TEXTS}", "",
                  f"GPT-2 with 6 layers, 384 wide, 6 heads, 8000 tokens, from prompts of {PROMPT} "
                  f"tokens; Marian with 6 + 6 such layers, from texts of up to {SOURCE} tokens. No "
                  "text ends early. All compile for these widths exactly. keras-hub takes no left "
                  "padding and has no Marian.", "",
                  *table(texts, "tokens/s"), ""]  # fmt: skip
    taken = "; ".join(f"{name} {statistics.median(times):.1f} s" for name, times in imports.items())
    lines += ["The first step has the tracing and the compiling in it, not the loading. The peak "
              "is the process's so far: imports, loading, and the work of the rows above that it "
              f"did too. Imports: {taken}.", ""]  # fmt: skip
    lines += [f"- {note}" for note in notes]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Print the report; with --write store it too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=0.6, help="of PyTorch in each round")
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--only", nargs="+", choices=groups(), help="some of the work")
    parser.add_argument("--without", nargs="+", choices=HOWS, default=[], help="leave ways out")
    parser.add_argument("--keras-hub", type=Path, default=HUB / "bin" / "python",
                        metavar="PYTHON", help="of an environment that has it")  # fmt: skip
    parser.add_argument("--setup-keras-hub", action="store_true", help="make that environment")
    parser.add_argument("--write", action="store_true", help=f"store {RESULTS.name}")
    args = parser.parse_args()
    if args.setup_keras_hub:
        return setup_hub()
    found = run_all({k: v for k, v in groups().items() if k in (args.only or groups())}, args)
    print(found)
    if args.write:
        RESULTS.write_text(found)


if __name__ == "__main__":
    main()
