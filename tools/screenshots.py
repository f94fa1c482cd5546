"""Pictures for the docs: `.venv/bin/python -m tools.screenshots [hub] [lab] [widgets]`."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import nbformat
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from course_lib.commands.cleaning import KERNEL
from course_lib.hub.background import BackgroundHub
from course_lib.zoo.catalogue import Catalogue
from tools.jupyter import OPTIONS, find_browser, lab_page, open_notebook, run_all, without_outputs

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "nbs" / "images"
MODEL = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
SHOTS = {"hub_home": "/", "hub_model": f"/{MODEL}"}
USED_BEFORE = (MODEL, "google-bert/bert-base-uncased", "spaces/evaluate-metric/accuracy")
MAX_BYTES = 150_000
WIDGETS_START = """
import course_lib
course_lib.start()
from transformers import AutoModel, AutoTokenizer, pipeline
from course_lib.widgets import (AttentionView, Choice, Comparison, Dashboard, NextTokenExplorer,
                                Question, Quiz, TokenizerExplorer)
bert = AutoTokenizer.from_pretrained("google-bert/bert-base-uncased")
"""
WIDGETS = {
    "tokenizer_explorer": """
from transformers import ByT5Tokenizer
TokenizerExplorer(bert, ByT5Tokenizer(), text="Unbelievably long words!",
                  names=["bert-base-uncased", "bytes"])
""",
    "attention_view": """
model = AutoModel.from_pretrained("google-bert/bert-base-uncased", attn_implementation="eager")
texts = ["The animal was too tired.", "The animal did not cross the street."]
AttentionView.from_model(model, bert, texts, layer=2, head=3)
""",
    "next_token": """
import numpy as np
text = "the cat sat on the mat and the cat ran and the dog sat on the rug and the dog ran"
ids = bert(text, add_special_tokens=False)["input_ids"]
def counted(before):   # what came after the last token in that text
    after = [b for a, b in zip(ids, ids[1:]) if a == before[-1]]
    return np.log(np.bincount(after, minlength=len(bert)) + 0.01)
NextTokenExplorer(counted, bert, "and the", temperature=0.6, top_k=4, count=6)
""",
    "dashboard": """
import time
noise = np.random.default_rng(0).normal(0, 0.05, 400)
dashboard = Dashboard(400, title="A made-up training", samples_per_step=16)
dashboard.progress.mark(0)
for step in range(1, 281):
    time.sleep(0.005)
    dashboard.log(step, loss=0.3 + 0.4 * 0.985 ** step + noise[step],
                  learning_rate=5e-5 * (1 - step / 400))
    if step % 70 == 0:
        dashboard.log(step, eval_loss=0.35 + 0.35 * 0.985 ** step,
                      eval_accuracy=0.88 - 0.4 * 0.98 ** step)
dashboard
""",
    "quiz": """
quiz = Quiz(Question("What does the attention mask hide?", [
    Choice("padding", "Padding was never written; a `0` in the mask takes it out.", right=True),
    Choice("special tokens", "`[CLS]` and `[SEP]` are seen like any other token."),
    Choice("rare words", "They are cut into pieces, and all pieces are seen.")]))
quiz.view.children[2].value = 1
quiz.view.children[3].click()
quiz
""",
    "comparison": """
sentiment = pipeline("text-classification",
                     "distilbert/distilbert-base-uncased-finetuned-sst-2-english", device="cpu")
def counting(text):
    good = sum(text.lower().count(word) for word in ("good", "wonderful", "love"))
    return [{"label": "POSITIVE" if good else "NEGATIVE", "score": 1.0 if good else 0.5}]
Comparison({"sentiment stand-in": sentiment, "counting good words": counting},
           "Not a good film.", repeats=3)
""",
}


def main() -> int:
    """Take the pictures asked for; 1 without a browser, or if one is too large to be stored."""
    parts = {"hub": picture_hub, "lab": picture_lab, "widgets": picture_widgets}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(parts)} (default: all)")
    wanted = parser.parse_args().parts or list(parts)
    if unknown := set(wanted) - set(parts):
        parser.error(f"there are no pictures of {', '.join(sorted(unknown))}")
    browser_path = find_browser()
    if browser_path is None:
        print("There is no Chromium on the path.", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    for part in wanted:
        for path in parts[part](browser_path):
            shrink(path)
            print(f"{path.name}: {path.stat().st_size:,} bytes")
    return int(any(path.stat().st_size > MAX_BYTES for path in IMAGES.glob("*.png")))


def picture_hub(browser_path: str) -> list[Path]:
    """Pages of a fresh Hub with the course's own stand-ins."""
    taken = {name: IMAGES / f"{name}.png" for name in SHOTS}
    with tempfile.TemporaryDirectory() as folder, BackgroundHub(folder, 0, Catalogue()) as hub:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=OPTIONS)
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            for name in USED_BEFORE:
                page.goto(f"{hub.url}/{name}", timeout=120_000)
            for name, address in SHOTS.items():
                page.goto(hub.url + address)
                hide_port(page)
                page.screenshot(path=taken[name])
            browser.close()
    return list(taken.values())


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


def picture_lab(browser_path: str) -> list[Path]:
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
    return [IMAGES / "lab_index.png"]


def picture_widgets(browser_path: str) -> list[Path]:
    """Each widget as JupyterLab shows it, all from one notebook."""
    taken = []
    sources = [WIDGETS_START, *WIDGETS.values()]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "widgets.ipynb"
        path.write_text(json.dumps(notebook), encoding="utf-8")
        with lab_page(path.parent, browser_path) as (page, base):
            page.set_viewport_size({"width": 1280, "height": 4000})
            open_notebook(page, base, path.name)
            run_all(page, path, seconds=600)
            for number, name in enumerate(WIDGETS):
                taken.append(IMAGES / f"widget_{name}.png")
                page.locator(".course-widget").nth(number).screenshot(path=taken[-1])
    return taken


if __name__ == "__main__":
    sys.exit(main())
