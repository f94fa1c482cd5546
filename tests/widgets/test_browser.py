"""The widgets in JupyterLab, used as a reader uses them: typed into, clicked, moved by keyboard."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

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
    if (el.closest("[disabled]")) continue;
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
