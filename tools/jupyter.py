"""JupyterLab in a headless Chromium: opens a notebook, runs all of it, reads what was stored."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from course_lib.commands import lab

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextlib.contextmanager
def lab_page(notebooks: Path, browser_path: str, width: int = 1280) -> Iterator[tuple[Page, str]]:
    """A browser page and the address of a JupyterLab on a folder of notebooks."""
    port, token = lab.choose_port("127.0.0.1", None), secrets.token_urlsafe(16)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "lab.log"
        with lab.jupyterlab(notebooks, "127.0.0.1", port, token, log) as process:
            base = f"http://127.0.0.1:{port}"
            lab.wait_until_up(process, f"{base}/api/status", token, log)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=browser_path, args=OPTIONS)
                page = browser.new_page(viewport={"width": width, "height": 900})
                page.goto(f"{base}/lab?token={token}&reset")
                yield page, base
                browser.close()


def open_notebook(page: Page, base: str, name: str) -> None:
    """Show a notebook with its kernel started."""
    page.goto(f"{base}/lab/tree/{name}")
    page.locator(".jp-NotebookPanel:visible .jp-Cell").first.wait_for(timeout=60_000)
    # Before its kernel is connected a notebook would answer "Run All" with a question.
    page.get_by_text("| Idle").wait_for(timeout=60_000)


def run_all(page: Page, path: Path, seconds: float = 180) -> list[dict]:
    """Run every cell as a reader would, from the menu; the code cells as they were then stored."""
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
    page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
    deadline = time.monotonic() + seconds
    ran: list[int | None] = []
    settled = 0  # times that it was saved since the kernel had nothing more to do
    while time.monotonic() < deadline:
        page.wait_for_timeout(1000)
        page.keyboard.press("Control+s")
        try:
            cells = code_cells(path)
        except json.JSONDecodeError:  # JupyterLab is writing it at this moment
            continue
        ran = [cell["execution_count"] for cell in cells if "".join(cell["source"]).strip()]
        failed = any(o["output_type"] == "error" for cell in cells for o in cell["outputs"])
        if failed or settled > 1:
            return cells
        # A cell has its number when it begins; its outputs come later.
        settled += None not in ran and page.get_by_text("| Idle").is_visible()
    raise TimeoutError(f"{path.name} did not finish within {seconds:.0f} s: {ran}")


def code_cells(path: Path) -> list[dict]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def without_outputs(source: Path, target: Path) -> Path:
    """A copy of a notebook as it is before its first run."""
    notebook = json.loads(source.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(notebook), encoding="utf-8")
    return target


def find_browser() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)
