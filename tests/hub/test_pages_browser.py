"""The pages in Chromium: on a phone, by keyboard, and against scripts."""

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

import pytest

from course_lib.hub.web.rendering import Place, to_html
from tests.hub.conftest import Server
from tests.hub.sample_attacks import ATTACKS
from tests.hub.test_preview import SAFE, parquet

pytestmark = pytest.mark.browser
OPTIONS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
CARD = """---
pipeline_tag: fill-mask
library_name: transformers
---
# A model with a rather long title that has to be wrapped on a telephone

| a wide table | with | several | columns | and | more | of | them | than | fit |
|-|-|-|-|-|-|-|-|-|-|
| 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | an_unbroken_word_that_goes_on_and_on |

```python
print("a line of code that is longer than the screen of a telephone is wide, by some characters")
```

averyveryveryveryveryveryveryveryveryveryveryveryverylongwordwithoutanyplacetobreakitatall

![a picture from elsewhere](https://pictures.example/a.png)
"""
NAME = "browser/a-model-with-quite-a-long-name-as-models-often-have-them"
PHONE = {"width": 375, "height": 700}
# A script element made from inside the page.
SCRIPT = "Object.assign(document.createElement('script'), {%s: 'window.hit = 1'})"
RUN = "window.hit = 1; document.title = 'hit'; fetch('/api/hit')"


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=OPTIONS)


@pytest.fixture(scope="module")
def hub(server: Server) -> Server:
    server.push(NAME, {"README.md": CARD, "config.json": "{}", "model.safetensors": SAFE})
    server.push(NAME, {"code.py": "x = '" + "wide " * 100 + "'\n", "README.md": CARD + "More.\n"})
    columns = {f"column_{i}": ["some words " * 30] for i in range(8)}
    files = {"README.md": "# Rows", "train.parquet": parquet(columns)}
    server.push("browser/rows", files, "dataset")
    evil = {f"evil.{kind}": f"<script>{RUN}</script>" for kind in ("html", "htm", "xml", "js")}
    evil["evil.svg"] = (
        f'<svg xmlns="http://www.w3.org/2000/svg" onload="{RUN}"><script>{RUN}</script></svg>'
    )
    evil["README.md"] = "\n\n".join(ATTACKS).replace("\x00", "") + "\n\n# The end"
    server.push("browser/evil", evil)
    return server


@contextmanager
def opened(browser, hub: Server, **options: object) -> Iterator:
    """A page, and a list of all that a console, a crash or an outside request would say."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda r: r.url.startswith((hub.url, "data:")) or page.said.append(r.url))
    yield page
    context.close()


PAGES = [
    "/",
    "/datasets?search=browser",
    "/models?search=nothing-like-this",
    f"/{NAME}",
    "/datasets/browser/rows",
    f"/{NAME}/tree/main",
    f"/{NAME}/blob/main/README.md",
    f"/{NAME}/blob/main/code.py",
    f"/{NAME}/blob/main/model.safetensors",
    f"/{NAME}/commits/main",
    f"/{NAME}/discussions",
    "/browser/evil",
    "/browser/missing",
]


@pytest.mark.parametrize("width", [320, 375, 1280])
def test_pages_fit_load_nothing_from_outside_and_say_nothing(browser, hub, width):
    scheme = "dark" if width == 375 else "light"
    size = {"width": width, "height": 700}
    with opened(browser, hub, viewport=size, color_scheme=scheme) as page:
        for address in PAGES:
            page.goto(hub.url + address)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{address} is {wide} pixels too wide"
            said, page.said = page.said, []
            missing = address == "/browser/missing"
            assert len(said) == missing and all("404" in text for text in said), (address, said)


def test_commits_show_their_lines_on_a_phone(browser, hub):
    with opened(browser, hub, viewport=PHONE) as page:
        page.goto(f"{hub.url}/{NAME}/commits/main")
        page.get_by_role("link", name="Add files").first.click()
        assert page.locator(".diff .plus", has_text="+More.").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_search_by_keyboard(browser, hub):
    with opened(browser, hub) as page:
        page.goto(hub.url)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        assert page.get_by_text("Skip to content").bounding_box()["x"] >= 0
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.type") == "search"
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.keyboard.type("quite-a-long")
        page.keyboard.press("Enter")
        page.wait_for_url("**/models?search=quite-a-long")
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.closest('.repos') !== null"):
                break
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/{NAME}")
        page.keyboard.type("a/b")  # typed outside the field: only "/" moves there
        assert page.locator("[data-find]").input_value() == "b"
        assert page.said == []


def test_a_snippet_is_copied(browser, hub):
    rights = ["clipboard-read", "clipboard-write"]
    with opened(browser, hub, permissions=rights) as page:
        page.goto(f"{hub.url}/{NAME}")
        page.get_by_role("button", name="Copy").last.click()
        page.get_by_text("Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == f"hf download {NAME}"


def test_every_page_works_without_its_script(browser, hub):
    with opened(browser, hub, java_script_enabled=False) as page:
        page.goto(f"{hub.url}/{NAME}")
        assert page.get_by_role("button").count() == 0
        page.get_by_role("searchbox").fill("long")
        page.keyboard.press("Enter")
        page.wait_for_url("**/models?search=long")


def test_the_sanitiser_alone_stops_every_attack(browser, hub):
    """Without any policy around the text. As written, many of the attacks run here."""
    place = Place("/a/blob/main/", "/a/resolve/main/")
    assert hits(browser, hub, [to_html(attack, place) for attack in ATTACKS]) == []
    assert len(hits(browser, hub, ATTACKS)) >= 15, "too weak to show anything"


def hits(browser, hub: Server, texts: list[str]) -> list[str]:
    """The texts that ran a script, each loaded in a frame of its own and every link focused."""
    frames = (f'<iframe srcdoc="{escape("<main>" + text + "</main>")}"></iframe>' for text in texts)
    with opened(browser, hub) as page:
        page.set_content("".join(frames), wait_until="load")
        top = page.main_frame.child_frames
        assert len(top) == len(texts)
        for frame in top:
            frame.evaluate("for (const a of document.querySelectorAll('a')) a.focus()")
        ran = [frame.evaluate("window.hit === 1 || window.hit === '1'") for frame in top]
    return [text for text, hit in zip(texts, ran, strict=True) if hit]


def test_a_card_full_of_attacks_is_only_a_card(browser, hub):
    with opened(browser, hub) as page:
        page.goto(f"{hub.url}/browser/evil")
        assert page.evaluate("window.hit") is None
        assert "hit" not in page.title()
        assert page.locator("main form, main iframe, main svg, main [style]").count() == 0
        assert page.said == []


def test_the_policy_alone_stops_a_script(browser, hub):
    """Had something come through the sanitiser, the browser would still not run or fetch it."""
    with opened(browser, hub) as page:
        refused = []
        page.on("requestfailed", lambda request: refused.append((request.url, request.failure)))
        page.goto(f"{hub.url}/{NAME}")
        page.evaluate(
            "main.innerHTML = '<img src=/none.png onerror=\"window.hit = 1\">'"
            " + '<img src=https://pictures.example/x.png>'"
        )
        page.evaluate(f"document.body.append({SCRIPT % 'textContent'})")
        page.wait_for_timeout(200)
        assert page.evaluate("window.hit") is None
        assert refused == [("https://pictures.example/x.png", "csp")]
        assert sum("Content Security Policy" in text for text in page.said) >= 3


@pytest.mark.parametrize("kind", ["html", "htm", "xml", "js", "svg"])
def test_a_stored_file_runs_nothing_when_opened(browser, hub, kind):
    with opened(browser, hub) as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        try:
            page.goto(f"{hub.url}/browser/evil/resolve/main/evil.{kind}")
        except Exception as error:  # what a browser cannot show is downloaded
            assert "Download is starting" in str(error)
        page.wait_for_timeout(100)
        assert not any("/api/hit" in url for url in asked)
        assert page.evaluate("window.hit") is None and page.title() != "hit"
        page.goto(f"{hub.url}/browser/evil/blob/main/evil.{kind}")
        assert page.evaluate("window.hit") is None and page.title() != "hit"


def test_a_stored_script_is_not_taken_for_one(browser, hub):
    """`script-src 'self'` would let the Hub's own files run: their type keeps them from it."""
    with opened(browser, hub) as page:
        page.goto(f"{hub.url}/{NAME}")
        address = "/browser/evil/resolve/main/evil.js"
        page.evaluate(f"document.body.append({SCRIPT % 'src'})".replace("window.hit = 1", address))
        page.wait_for_timeout(200)
        assert any("MIME type" in text for text in page.said)
