"""Run notebooks headless: each in a fresh kernel of this Python, with a callback per cell."""

import asyncio
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from course_lib.commands.errors import UserError
from course_lib.commands.notebooks import skip_reason

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class CellResult:
    """One code cell: `number` of `total`, counted over the code cells."""

    number: int
    total: int
    label: str  # its first line of code
    seconds: float = 0.0
    skipped: str | None = None  # the flag that left it out
    failed: bool = False
    cell: Any = None  # the notebook cell, with its outputs


@dataclass(frozen=True)
class Failure:
    """What stopped a notebook: the cell, and the traceback or the sentence that says why."""

    number: int
    source: str
    reason: str


@dataclass
class NotebookResult:
    path: Path
    notebook: Any = None
    seconds: float = 0.0
    cells: list[CellResult] = field(default_factory=list)
    failure: Failure | None = None

    @property
    def skipped(self) -> dict[str, int]:
        """How many cells each flag left out."""
        reasons = [cell.skipped for cell in self.cells if cell.skipped]
        return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}


OnCell = Callable[[CellResult], None]


class ThisPython(AsyncKernelManager):
    """Starts a kernel of the running interpreter, whatever kernels are registered elsewhere."""

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


def read_notebook(path: Path) -> Any:
    """The notebook at `path`; a file that is none becomes a sentence."""
    try:
        return nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, KeyError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"{path} is not a notebook that can be read: {reason}") from error


def first_line(source: str) -> str:
    """The first line of code, for a progress line: no directive, no comment."""
    lines = [line.strip() for line in source.splitlines()]
    code = [line for line in lines if line and not line.startswith("#")]
    return (code or lines or [""])[0]


def run_notebook(
    path: Path,
    *,
    notebook: Any = None,
    wanted: Iterable[str] = (),
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    on_start: OnCell | None = None,
    on_cell: OnCell | None = None,
    stop: threading.Event | None = None,
) -> NotebookResult:
    """Run the notebook at `path` in a kernel of its own and say what happened.

    `notebook` is what to run if it is not all of the file, `wanted` names the flags (slow, online,
    gpu) whose cells run too, `env` is added to the kernel's environment, `timeout` bounds the
    whole notebook in seconds. `on_start` and `on_cell` are called before and after each code cell.
    Setting `stop` from another thread ends the kernel; the result then has a failure.
    """
    notebook = notebook or read_notebook(path)
    job = _Job(notebook, set(wanted), timeout, on_start, on_cell, stop or threading.Event())
    result = NotebookResult(path=path, notebook=notebook, cells=job.results)
    started = time.perf_counter()
    result.failure = asyncio.run(job.run(cwd or path.parent, env or {}))
    result.seconds = time.perf_counter() - started
    return result


def run_many(
    paths: list[Path],
    jobs: int,
    run: Callable[[Path, threading.Event], NotebookResult],
) -> Iterator[NotebookResult]:
    """Results in the order of completion, `jobs` at a time; Ctrl-C ends the kernels first."""
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        waiting = {pool.submit(run, path, stop) for path in paths}
        try:
            while waiting:
                # A short wait, so that Ctrl-C is noticed while every worker is busy.
                done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BaseException:
            stop.set()
            for future in waiting:
                future.cancel()
            raise


@dataclass
class _Job:
    """One notebook in one kernel."""

    notebook: Any
    wanted: set[str]
    timeout: float | None
    on_start: OnCell | None
    on_cell: OnCell | None
    stop: threading.Event
    results: list[CellResult] = field(default_factory=list)

    async def run(self, cwd: Path, env: dict[str, str]) -> Failure | None:
        with tempfile.TemporaryDirectory(prefix="course-run-") as scratch, open(
            Path(scratch) / "kernel.log", "w+", encoding="utf-8", errors="replace"
        ) as log:
            # Its own profile: neither the user's start-up files nor their history take part.
            own = {"IPYTHONDIR": str(Path(scratch) / "ipython")}
            manager = ThisPython(connection_file=str(Path(scratch) / "kernel.json"))
            await manager.start_kernel(
                cwd=str(cwd), env={**os.environ, **own, **env}, stdout=log, stderr=log
            )
            client = manager.client()
            client.start_channels()
            watcher = asyncio.create_task(self._watch(manager))
            try:
                await client.wait_for_ready(timeout=60)
                return await self._cells(manager, client, log)
            except RuntimeError as error:  # it never answered
                log.seek(0)
                return Failure(0, "", f"The kernel did not start: {error}\n{log.read()[-2000:]}")
            finally:
                watcher.cancel()
                client.stop_channels()
                await manager.shutdown_kernel(now=self.stop.is_set())

    async def _watch(self, manager: AsyncKernelManager) -> None:
        while not self.stop.is_set():
            await asyncio.sleep(0.2)
        await manager.shutdown_kernel(now=True)

    async def _cells(self, manager: Any, client: Any, log: Any) -> Failure | None:
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        runner = NotebookClient(
            self.notebook,
            km=manager,
            iopub_timeout=30,
            store_widget_state=False,
            # Whole seconds, at least one: 0 would mean for ever.
            timeout_func=lambda _: deadline and max(1, round(deadline - time.monotonic())),
        )
        runner.kc = client
        runner.log.setLevel("CRITICAL")  # it would repeat what we report
        runner.reset_execution_trackers()
        code = [
            (index, cell)
            for index, cell in enumerate(self.notebook.cells)
            if cell.cell_type == "code" and cell.source.strip()
        ]
        for number, (index, cell) in enumerate(code, start=1):
            base = {"number": number, "total": len(code), "label": first_line(cell.source)}
            reason = skip_reason(cell.source, self.wanted)
            if reason:
                self._tell(CellResult(**base, skipped=reason, cell=cell))
                continue
            if self.on_start:
                self.on_start(CellResult(**base, cell=cell))
            started = time.perf_counter()
            try:
                await runner.async_execute_cell(cell, index)
                reason = None
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                reason = self._explain(error, cell, log)
            seconds = time.perf_counter() - started
            self._tell(CellResult(**base, seconds=seconds, failed=reason is not None, cell=cell))
            if reason is not None:
                return Failure(number, cell.source, reason)
        return None

    def _tell(self, result: CellResult) -> None:
        self.results.append(result)
        if self.on_cell:
            self.on_cell(result)

    def _explain(self, error: Exception, cell: Any, log: Any) -> str:
        if isinstance(error, CellExecutionError):
            shown = [out.traceback for out in cell.outputs if out.output_type == "error"]
            return "\n".join(shown[-1]) if shown else f"{error.ename}: {error.evalue}"
        if isinstance(error, CellTimeoutError):
            return f"The notebook took longer than {self.timeout:g} s and was stopped in this cell."
        if self.stop.is_set():
            return "Stopped."
        log.seek(0)
        tail = log.read()[-2000:].strip()
        return "The kernel died in this cell (out of memory, or a crash in native code)." + (
            f"\nIts last words:\n{tail}" if tail else ""
        )


def strip_ansi(text: str) -> str:
    """The text without its terminal colours."""
    return _ANSI.sub("", text)

