"""The widgets in JupyterLab, used as a reader uses them: typed into, clicked, moved by keyboard."""

import json
import re

import nbformat
import pytest
from playwright.sync_api import expect

from course_lib import cli

# Long: a JupyterLab and a kernel that imports torch for each; `make test-all` drives them.
pytestmark = [pytest.mark.browser, pytest.mark.long]
expect.set_options(timeout=30_000)  # a busy machine may take its time

TOKENIZERS = """
from tokenizers import Tokenizer, models, pre_tokenizers, processors
words = ["[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "##s", "<", ">", "script"]
split = Tokenizer(models.WordPiece({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
split.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
split.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
bytewise = Tokenizer(models.BPE({sign: n for n, sign in enumerate(letters)}, []))
bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
"""

CONTRASTS = """
root => {
  const rgb = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const lin = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const lum = c => 0.2126 * lin(c[0]) + 0.7152 * lin(c[1]) + 0.0722 * lin(c[2]);
  const over = (a, b) => [0, 1, 2].map(i => a[i] * (a[3] ?? 1) + b[i] * (1 - (a[3] ?? 1)));
  const behind = el => {
    const layers = [];
    for (; el; el = el.parentElement) layers.push(rgb(getComputedStyle(el).backgroundColor));
    return layers.reverse().reduce((page, c) => c.length ? over(c, page) : page, [255, 255, 255]);
  };
  const found = [];
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const el = walk.currentNode.parentElement;
    const text = walk.currentNode.textContent.trim();
    if (!text || ["STYLE", "TITLE"].includes(el.tagName) || !el.getClientRects().length) continue;
    if (el.closest("[disabled], .on-square")) continue;  // on-square: see test_attention_view
    const back = behind(el), style = getComputedStyle(el);
    const ink = el.closest("svg") ? style.fill : style.color;
    const [a, b] = [lum(over(rgb(ink), back)), lum(back)].sort((x, y) => y - x);
    found.push([Math.round(100 * (a + 0.05) / (b + 0.05)) / 100, text.slice(0, 40)]);
  }
  return found;
}
"""


def check_contrast(panel) -> None:
    """Every text of every widget on the page, in the light theme and in the dark one."""
    page = panel.page
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        page.locator(".lm-MenuBar-itemLabel", has_text="Settings").first.click()
        page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Theme$")).first.hover()
        page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{theme}$")).first.click()
        dark = "false" if "Dark" in theme else "true"
        page.locator(f"body[data-jp-theme-light={dark}]").wait_for(state="attached")
        page.wait_for_timeout(500)  # its style sheet is loaded after the attribute is set
        found = [pair for root in panel.locator(".course-widget").all()
                 for pair in root.evaluate(CONTRASTS)]  # fmt: skip
        assert len(found) > 5
        assert [pair for pair in found if pair[0] < 4.5] == [], theme


def test_tokens_follow_the_typing(lab):
    panel, _ = lab(TOKENIZERS, "from course_lib.widgets import TokenizerExplorer\n"
                   "TokenizerExplorer(split, bytewise, text='the cats')")  # fmt: skip
    widget = panel.locator(".course-widget")
    words, letters = (widget.locator(".widget-html-content", has_text=name)
                      for name in ("WordPiece", "BPE"))  # fmt: skip
    expect(words).to_contain_text("5 tokens: 3 from the text, 2 special")
    field = widget.get_by_label("Text")
    field.fill("<script>cat\t\"</script>")
    expect(words).to_contain_text("unknown")
    expect(letters).to_contain_text("22 tokens: 22 from the text, 0 special")
    assert words.locator("script").count() == 0
    field.press("Tab")
    assert panel.page.evaluate("document.activeElement.type") == "checkbox"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert panel.page.evaluate(outline) == "solid"
    panel.page.keyboard.press("Space")
    expect(words).not_to_contain_text("[CLS]")
    check_contrast(panel)


WEIGHTS = """
import numpy as np
from course_lib.widgets import AttentionView
scores = np.random.default_rng(0).normal(size=(2, 3, 4, 4)) + np.where(np.tri(4), 0, -np.inf)
weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
AttentionView(list(weights), ["<b>tea</b>", "is", "good", "'"])
"""


def test_heads_are_picked_by_keyboard(lab):
    panel, _ = lab(WEIGHTS)
    widget = panel.locator(".course-widget")
    caption = widget.locator(".widget-html-content", has_text="Rows look at columns")
    expect(caption).to_contain_text("layer 1 of 2, head 1 of 3")
    expect(caption).to_contain_text("Hatched is masked: a later token (6 squares)")
    heat = widget.get_by_role("img", name="Heat map")
    expect(heat).to_contain_text("<b>tea</b>")
    before = heat.inner_html()
    layer, head, token = widget.locator(".noUi-handle").all()
    layer.press("ArrowRight")
    expect(caption).to_contain_text("layer 2 of 2, head 1 of 3")
    assert heat.inner_html() != before
    head.press("ArrowLeft")
    expect(caption).to_contain_text("mean of 3 heads")
    lines = widget.get_by_role("img", name="Lines")
    everything = lines.locator("line").count()
    for _ in range(4):
        token.press("ArrowRight")
    expect(lines.locator("line")).to_have_count(4)
    assert everything > 4
    widget.locator("summary").focus()
    panel.page.keyboard.press("Enter")
    expect(widget.get_by_role("table")).to_be_visible()
    check_contrast(panel)


CHOICES = """
import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from course_lib.widgets import NextTokenExplorer
words = ["[UNK]", "tea", "is", "good", "<b>", "hot", "late"]
core = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
core.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")
def model(ids):   # the word after the last one is likely
    return -1.0 * np.abs(np.arange(7) - ids[-1] - 1)
NextTokenExplorer(model, tokenizer, "tea", count=4)
"""


def test_sliders_move_bars_and_a_click_appends(lab):
    panel, _ = lab(CHOICES)
    widget = panel.locator(".course-widget")
    text = widget.get_by_label("Text")
    rows = widget.locator(".widget-hbox:has(> button):has(.widget-html)")
    expect(rows.first).to_contain_text("48.2%")
    width = "row => row.querySelector('span[aria-hidden]').getBoundingClientRect().width"
    before = rows.first.evaluate(width)
    temperature = widget.locator(".noUi-handle").nth(0)
    for _ in range(8):
        temperature.press("ArrowLeft")
    expect(widget).to_contain_text("With temperature 0.6, no top-k, no top-p: 7 of 7 tokens")
    assert rows.first.evaluate(width) > before + 10
    top_k = widget.locator(".noUi-handle").nth(1)
    top_k.press("ArrowRight")
    expect(rows.nth(1)).to_contain_text("cut by top-k")
    top_k.press("ArrowLeft")
    for _ in range(8):
        widget.locator(".noUi-handle").nth(2).press("ArrowLeft")
    expect(rows.nth(3)).to_contain_text("cut by top-p")
    expect(rows.first.get_by_role("button")).to_have_text("is")
    rows.first.get_by_role("button").press("Enter")
    expect(text).to_have_value("tea is")
    expect(rows.first.get_by_role("button")).to_have_text("good")
    widget.get_by_role("button", name="Undo").click()
    expect(text).to_have_value("tea")
    text.fill("tea good")
    expect(rows.first.get_by_role("button")).to_have_text("<b>")
    widget.get_by_role("button", name="Draw").click()
    expect(text).not_to_have_value("tea good")
    text.fill("")
    expect(widget.get_by_role("alert")).to_contain_text("type at least one word")
    text.fill("tea")
    expect(widget.get_by_role("alert")).to_have_count(0)
    check_contrast(panel)


TRAINING = """
with Dashboard(5, title="By hand") as board:
    for step in range(1, 6):
        board.log(step, loss=1 / step, learning_rate=0.1)
    board.log(5, eval_loss=0.3, eval_accuracy=0.75)
"""


def test_the_dashboard_moves_and_is_stored_as_it_ended(lab):
    panel, path = lab("from course_lib.widgets import Dashboard\nearlier = Dashboard(9)\nearlier",
                      TRAINING, "earlier.log(3, loss=0.5)")  # fmt: skip
    first, second = panel.locator(".course-widget").all()
    expect(first).to_contain_text("step 3 of 9 (33%)")
    expect(second).to_contain_text("step 5 of 5 (100%)")
    expect(second).to_contain_text("finished")
    chart = second.get_by_role("img", name="Chart of loss")
    curve = chart.locator("polyline").first.get_attribute("points")
    handle = second.locator(".noUi-handle")
    for _ in range(10):
        handle.press("ArrowRight")
    expect(chart.locator("polyline").first).not_to_have_attribute("points", curve)
    second.locator("summary").press("Enter")
    expect(second.get_by_role("table")).to_contain_text("eval_accuracy")
    check_contrast(panel)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    stored = "".join(cells[1]["outputs"][0]["data"]["text/html"])
    assert "step 5 of 5 (100%)" in stored and "finished" in stored


QUESTIONS = """
from course_lib.widgets import Quiz, Question, Choice
Quiz(Question("What is `[PAD]`?", [Choice("a <b>word</b>", "No word."),
                                   Choice("padding", "It fills up.", right=True)]),
     Question("Which two?", [Choice("this", "Yes.", right=True), Choice("that", "No."),
                             Choice("and this", "Yes, too.", right=True)]))
"""


def test_the_quiz_is_answered_by_keyboard(lab):
    panel, _ = lab(QUESTIONS)
    widget, page = panel.locator(".course-widget"), panel.page
    expect(widget).to_contain_text("Score: 0 of 2 right")
    check = widget.get_by_role("button", name="Check answer 1")
    check.press("Enter")
    expect(widget.get_by_role("alert")).to_contain_text("nothing is chosen yet")
    widget.get_by_role("radio").first.press("Space")
    check.press("Enter")
    expect(widget).to_contain_text("✗ Wrong.")
    expect(widget).to_contain_text("✗ wrong (your choice): a <b>word</b>. No word.")
    widget.get_by_role("radio").nth(1).press("Space")
    check.press("Enter")
    expect(widget).to_contain_text("✓ Right.")
    expect(widget).to_contain_text("Score: 1 of 2 right, 0 at the first try, 1 not answered yet")
    boxes = widget.get_by_role("checkbox")
    boxes.nth(0).press("Space")
    boxes.nth(2).press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(widget).to_contain_text("Score: 2 of 2 right, 1 at the first try")
    check_contrast(panel)


COMPARED = """
from course_lib.widgets import Comparison
def label(text):
    return [{"label": "<GOOD>" if "good" in text else "BAD", "score": 0.75}]
Comparison({"label": label, "upper": str.upper, "number": int}, "a good day")
"""


def test_another_text_runs_through_all(lab):
    panel, _ = lab(COMPARED)
    widget = panel.locator(".course-widget")
    expect(widget).to_contain_text("A GOOD DAY")
    expect(widget).to_contain_text("ValueError: invalid literal")
    field = widget.get_by_label("Text")
    field.fill("12")
    field.press("Tab")
    panel.page.keyboard.press("Enter")
    expect(widget).to_contain_text("Input: 12")
    expect(widget).to_contain_text("BAD")
    assert "invalid literal" not in widget.inner_text()
    field.fill(" ")
    widget.get_by_role("button", name="Run").click()
    expect(widget.get_by_role("alert")).to_contain_text("type one, then run")
    check_contrast(panel)


def test_a_stored_notebook_that_nobody_trusts_is_readable(lab):
    """JupyterLab cleans the HTML of a notebook that did not come from its reader."""
    panel, path = lab("1")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in (WEIGHTS, QUESTIONS, TRAINING)]
    )
    notebook.cells[2].source = "from course_lib.widgets import Dashboard" + TRAINING
    stored = path.with_name("stored.ipynb")
    nbformat.write(notebook, stored)
    assert cli.main(["run", str(stored), "--save"]) == 0
    page = panel.page
    page.goto(page.url.replace(path.name, stored.name))
    panel = page.locator(".jp-NotebookPanel:visible")
    expect(panel).to_contain_text("layer 1 of 2, head 1 of 3")
    assert panel.locator(".course-widget").count() == 0
    for words in ("Heat map", "Lines", "Chart of loss"):
        image = panel.get_by_role("img", name=words)
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    expect(panel.locator("summary", has_text="Answer to 1")).to_be_visible()
    bar = panel.locator(".jp-OutputArea-output span[style*=inline-block]")
    assert bar.last.bounding_box()["width"] > 100
