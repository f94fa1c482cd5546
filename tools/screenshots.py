"""Pictures for the README: `.venv/bin/python -m tools.screenshots`."""

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from course_lib.hub.background import BackgroundHub
from course_lib.zoo.catalogue import Catalogue
from tools.jupyter import OPTIONS, find_browser, lab_page, open_notebook, run_all, without_outputs

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "nbs" / "images"
MODEL = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
SHOTS = {"hub_home": "/", "hub_model": f"/{MODEL}"}
USED_BEFORE = (MODEL, "google-bert/bert-base-uncased", "spaces/evaluate-metric/accuracy")
MAX_BYTES = 150_000


def main() -> int:
    """Take every picture; 1 if there is no browser, or if a picture is too large to be stored."""
    browser_path = find_browser()
    if browser_path is None:
        print("There is no Chromium on the path.", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    picture_hub(browser_path)
    picture_lab(browser_path)
    for path in sorted(IMAGES.glob("*.png")):
        shrink(path)
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    return int(any(path.stat().st_size > MAX_BYTES for path in IMAGES.glob("*.png")))


def picture_hub(browser_path: str) -> None:
    """Pages of a fresh Hub with the course's own stand-ins."""
    with tempfile.TemporaryDirectory() as folder, BackgroundHub(folder, 0, Catalogue()) as hub:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=OPTIONS)
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            for name in USED_BEFORE:
                page.goto(f"{hub.url}/{name}", timeout=120_000)
            for name, address in SHOTS.items():
                page.goto(hub.url + address)
                hide_port(page)
                page.screenshot(path=IMAGES / f"{name}.png")
            browser.close()


def hide_port(page: Page) -> None:
    """The port of this trial is nobody's; the usual one is 8900."""
    page.evaluate(
        "for (const c of document.querySelectorAll('.address'))"
        " c.textContent = c.textContent.replace(/:[0-9]+$/, ':8900')"
    )


def shrink(path: Path) -> None:
    """A palette does for a page, at a third of the size."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
    small.save(path, optimize=True)


def picture_lab(browser_path: str) -> None:
    """The course's first page in JupyterLab, run to its end; the view is on the first answers."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = without_outputs(ROOT / "nbs" / "index.ipynb", Path(folder) / "index.ipynb")
        with lab_page(Path(folder), browser_path) as (page, base):
            open_notebook(page, base, notebook.name)
            run_all(page, notebook)
            view = page.locator(".jp-NotebookPanel .jp-WindowedPanel-outer").first
            view.evaluate("panel => { panel.scrollTop = 880 }")
            page.wait_for_timeout(1000)
            page.screenshot(path=IMAGES / "lab_index.png")


if __name__ == "__main__":
    sys.exit(main())
