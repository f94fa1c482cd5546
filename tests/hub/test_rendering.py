"""Cards from strangers: what they may show, what they cannot do, how long they can take."""

import time
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.hub.web.rendering import (
    ATTRIBUTES,
    MAX_SECONDS,
    MAX_TEXT,
    TAGS,
    Place,
    rendered_file,
    sanitise,
    slug,
    to_html,
)
from tests.hub.sample_attacks import ATTACKS

PLACE = Place("/ann/bert/blob/main/", "/ann/bert/resolve/main/")
OURS = {"class", "rel", "aria-hidden", "tabindex"}  # attributes with values from a fixed list


class Reader(HTMLParser):
    """The tags and attributes of a page, as any reader would find them."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.found.extend((tag, name, value or "") for name, value in attrs)

    def handle_comment(self, data: str) -> None:
        self.tags.append("!--")

    def handle_decl(self, decl: str) -> None:
        self.tags.append("!")

    handle_pi = unknown_decl = handle_decl


def assert_harmless(html: str) -> None:
    page = Reader(html)
    assert set(page.tags) <= TAGS
    for tag, name, value in page.found:
        assert name in ATTRIBUTES.get(tag, set()) | ATTRIBUTES["*"] | OURS
        if name == "href":
            assert urlsplit(value).scheme in ("", "http", "https", "mailto")
            assert value.startswith(("/", "#card-", "http://", "https://", "mailto:"))
            assert not value.startswith("//")
        if name == "src":
            assert value.startswith(("/", "data:image/")) and not value.startswith("//")
        if name == "id":
            assert value.startswith("card-")


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_come_out_harmless(attack):
    assert_harmless(to_html(attack, PLACE))
    assert_harmless(sanitise(attack, PLACE))


PIECES = st.sampled_from(
    [
        *("<", ">", "</", "/>", '"', "'", "`", "=", " ", "\n", "\n\n", "&", ";", "#", "!--", "-->"),
        *("script", "style", "img", "svg", "math", "a", "b", "p", "table", "td", "form", "iframe"),
        *("title", "textarea", "noscript", "template", "mglyph", "mtext", "details", "object"),
        *(" onerror", " onclick", " href", " src", " srcdoc", " style", " id", " class", " width"),
        *("javascript:", "data:text/html,", "//evil", "\\\\evil", "&#x6a;avascript:", "..", "/x"),
        *("[a](", "](", "![", ")", "*", "**", "~~", "|", "-|-", "# ", "> ", "- ", "```", "    "),
        *("alert(1)", "\x00", "\x01", "\u2028", "\ud800", "é", "]]>", "<![CDATA[", "<?", "<!x"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=40).map("".join))
def test_anything_comes_out_harmless(text):
    assert_harmless(to_html(text.encode(errors="replace").decode(), PLACE))
    assert_harmless(sanitise(text.encode(errors="replace").decode(), PLACE))


@pytest.mark.parametrize(
    "written, address",
    [
        ("docs/use.md", "/ann/bert/blob/main/docs/use.md"),
        ("./use.md?x=1#part", "/ann/bert/blob/main/use.md"),
        ("a%20b.md", "/ann/bert/blob/main/a%20b.md"),
        ("docs/../use.md", "/ann/bert/blob/main/use.md"),
        ("../../api/whoami-v2", None),
        ("/datasets/nyu-mll/glue", "/datasets/nyu-mll/glue"),
        ("#How it works", "#card-how-it-works"),
        ("//evil.example/x", "https://evil.example/x"),
        ("/\\evil.example", "//evil.example"),
        ("https://example.org/a", "https://example.org/a"),
        ("mailto:ann@example.org", "mailto:ann@example.org"),
        ("javascript:alert(1)", None),
        ("java\nscript:alert(1)", None),
        ("\x01javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("file:///etc/passwd", None),
        ("http://[", None),
    ],
)
def test_links_lead_into_the_repository_or_openly_out_of_it(written, address):
    html = sanitise(f'<a href="{written}">x</a>', PLACE)
    found = [value for _, name, value in Reader(html).found if name == "href"]
    if address == "//evil.example":
        address = "https://evil.example"
    assert found == ([address] if address else [])


def test_pictures_come_from_the_repository_alone():
    pixel = "data:image/png;base64,iVBORw0KGgo="
    page = Reader(
        to_html(
            f"![a](img/a.png) ![b](https://x.example/b.png) ![c]({pixel}) "
            "<img src='data:image/svg+xml;base64,PHN2Zz4='> "
            "![e](//x.example/e.png) ![f](../../f.png)",
            PLACE,
        )
    )
    assert page.tags.count("img") == 6
    assert [v for _, name, v in page.found if name == "src"] == [
        "/ann/bert/resolve/main/img/a.png",
        pixel,
    ]


def test_a_text_in_a_folder_links_beside_itself():
    place = Place(PLACE.page, PLACE.file, "docs")
    html = to_html("[up](../README.md) [beside](use.md) ![p](p.png)", place)
    addresses = [value for _, name, value in Reader(html).found if name in ("href", "src")]
    assert addresses == [
        "/ann/bert/blob/main/README.md",
        "/ann/bert/blob/main/docs/use.md",
        "/ann/bert/resolve/main/docs/p.png",
    ]


def test_headings_begin_below_the_page_title_and_can_be_linked():
    html = to_html("# One\n\n###### Six\n\n## One\n\n<h1>Raw</h1>", PLACE)
    page = Reader(html)
    assert [tag for tag in page.tags if tag[0] == "h"] == ["h2", "h6", "h3", "h2"]
    assert [v for _, n, v in page.found if n == "id"] == ["card-one", "card-six", "card-one-1"]
    assert [v for _, n, v in page.found if n == "href"] == ["#card-one", "#card-six", "#card-one-1"]
    assert slug("What's new, 2.0?") == "whats-new-20"


def test_tables_code_and_details():
    html = to_html(
        "|a|b|\n|:-|-:|\n|1|~~2~~|\n\n```python\ndef f(): ...\n```\n\n"
        "<details><summary>More</summary>\n\n**inside**\n\n</details>",
        PLACE,
    )
    assert '<td align="left">1</td>' in html and '<td align="right"><s>2</s></td>' in html
    assert '<span class="k">def</span>' in html
    assert "<summary>More</summary>" in html and "<strong>inside</strong>" in html


def test_metadata_is_not_part_of_the_text(tmp_path):
    content = tmp_path / "card"
    content.write_text("---\ntags: [x]\n---\n# Title\n")
    html = rendered_file(content, PLACE)
    assert "Title" in html and "tags" not in html


def test_a_long_text_is_shown_as_written():
    html = to_html("<script>" + "x" * MAX_TEXT, PLACE)
    assert "longer than 200,000 characters" in html
    assert "&lt;script&gt;" in html and "<script>" not in html


SLOW = {
    "brackets": "[" * 150_000,
    "pictures": "![" * 75_000,
    "quotes": "> a\n" * 50_000,
    "table": "a|b\n-|-\n" + "|\n" * 95_000,
    "deep": "<div>" * 40_000,
    "ends": "<div>" * 15_000 + "</p>" * 15_000,
    "styles": "<p>" + "".join(f"<b id={i}>" for i in range(3000)) + "</p>" + "<p>x</p>" * 3000,
    "attributes": "<b " + " ".join(f"a{i}=1" for i in range(25_000)) + ">",
    "comments": "<!--" * 50_000,
}


@pytest.mark.parametrize("name", SLOW)
def test_no_text_takes_long(name):
    started = time.monotonic()
    html = to_html(SLOW[name], PLACE)
    # Room for a busy machine: without the limits some of these take minutes or all memory.
    assert time.monotonic() - started < MAX_SECONDS + 4
    assert len(html) < 12 * len(SLOW[name])
