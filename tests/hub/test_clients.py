"""The unmodified clients, with nothing set but HF_ENDPOINT and a token.

Importing them takes longer than what they do, so that each group of flows shares a process; every
flow is reported as a test of its own.
"""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parent / "clients"
LARGE_FILES = {"xet": {}, "lfs": {"HF_HUB_DISABLE_XET": "1"}}


def flows(*modules: str) -> list[tuple[str, str]]:
    return [
        (module, node.name)
        for module in modules
        for node in ast.parse((CLIENTS / f"{module}.py").read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("flow_")
    ]


class Runs:
    """What the flows reported; a process is started when the first of its flows is asked for."""

    def __init__(self, server):
        self.server = server
        self.reports: dict[str, dict] = {}
        self.ends: dict[str, str] = {}

    def check(self, modules: tuple[str, ...], large: str, module: str, flow: str) -> None:
        name = f"{'-'.join(modules)}-{large}"
        if name not in self.reports:
            self.run(name, modules, LARGE_FILES[large])
        report = self.reports[name].get((module, flow))
        problem = report["problem"] if report else f"never reached; the end:\n{self.ends[name]}"
        if problem:
            pytest.fail(problem, pytrace=False)

    def run(self, name: str, modules: tuple[str, ...], settings: dict[str, str]) -> None:
        report = self.server.home / f"{name}.jsonl"
        log = self.server.home / f"{name}.log"
        command = [sys.executable, str(CLIENTS / "run_flows.py"), str(report)]
        command += [str(CLIENTS / f"{module}.py") for module in modules]
        with log.open("wb") as output:
            subprocess.run(
                command,
                cwd=self.server.home,
                env=self.server.environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=300,
            )
        lines = report.read_text().splitlines() if report.exists() else []
        found = [json.loads(line) for line in lines]
        self.reports[name] = {(line["module"], line["flow"]): line for line in found}
        self.ends[name] = log.read_text(errors="replace")[-3000:]


@pytest.fixture(scope="session")
def runs(server):
    server.push("legacy-model", {"config.json": '{"legacy": true}'})
    return Runs(server)


HUB = ("upload_flows", "hub_flows")
LIBRARIES = ("transformers_flows", "datasets_flows", "evaluate_flows")


@pytest.mark.parametrize("module, flow", flows(*HUB))
def test_huggingface_hub(runs, module, flow):
    runs.check(HUB, "xet", module, flow)


@pytest.mark.parametrize("module, flow", flows("upload_flows"))
def test_huggingface_hub_without_xet(runs, module, flow):
    runs.check(("upload_flows",), "lfs", module, flow)


@pytest.mark.parametrize("module, flow", flows("cli_flows"))
def test_hf_command(runs, module, flow):
    runs.check(("cli_flows",), "xet", module, flow)


@pytest.mark.parametrize("module, flow", flows(*LIBRARIES))
def test_libraries(runs, module, flow):
    """One process for all three: two thirds of its time are their imports."""
    runs.check(LIBRARIES, "xet", module, flow)
