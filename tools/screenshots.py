"""Pictures of the Hub for the README and the tour: `.venv/bin/python tools/screenshots.py`."""

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from course_lib.hub.background import BackgroundHub
from course_lib.zoo.catalogue import Catalogue

IMAGES = Path(__file__).resolve().parents[1] / "nbs" / "images"
MODEL = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
SHOTS = {"hub_home": "/", "hub_model": f"/{MODEL}"}
USED_BEFORE = (MODEL, "google-bert/bert-base-uncased", "spaces/evaluate-metric/accuracy")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
MAX_BYTES = 150_000


def main() -> int:
    """Take every picture from a fresh Hub with the course's own stand-ins."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        print("There is no Chromium on the path.", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, BackgroundHub(folder, 0, Catalogue()) as hub:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=OPTIONS)
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            for name in USED_BEFORE:
                page.goto(f"{hub.url}/{name}", timeout=120_000)
            for name, address in SHOTS.items():
                page.goto(hub.url + address)
                # The port of this trial is nobody's; the usual one is 8900.
                page.evaluate(
                    "for (const c of document.querySelectorAll('.address'))"
                    " c.textContent = c.textContent.replace(/:[0-9]+$/, ':8900')"
                )
                target = IMAGES / f"{name}.png"
                page.screenshot(path=target)
                with Image.open(target) as picture:  # a palette does for a page, at a third
                    small = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
                small.save(target, optimize=True)
                size = target.stat().st_size
                print(f"{target.name}: {size:,} bytes")
                if size > MAX_BYTES:
                    return 1
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
