"""The pages for people, asked without a browser."""

import json
import re
from collections import deque
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from course_lib.hub.names import RepoId
from course_lib.hub.server import create_app
from course_lib.hub.storage.store import AddFile, Store
from course_lib.hub.web import snippets
from course_lib.hub.web.browse import PAGE
from course_lib.hub.web.templating import HERE, PAGE_HEADERS, amount, size
from tests.hub.conftest import Client
from tests.hub.test_preview import SAFE, parquet

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
CARD = """---
license: apache-2.0
language: en
pipeline_tag: text-classification
base_model: ann/base
tags: [tiny]
---
# Tiny

Reads [the guide](docs/guide.md). <script>window.hit=1</script>
"""
DATA_CARD = """---
task_categories: [text-classification]
configs:
- config_name: small
  data_files: [{split: train, path: small/train.parquet}, {split: test, path: small/test.parquet}]
- config_name: words
  data_files: words/*.csv
---
# Reviews
"""
LABELS = {"label": {"_type": "ClassLabel", "names": ["bad", "good"]}}


class Page(HTMLParser):
    """The parts of a page that tests ask for."""

    def __init__(self, html: str):
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += " " * (tag == "dd")

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def addresses(self) -> list[str]:
        names = ("href", "src", "action")
        return [attrs[name] for _, attrs in self.tags for name in names if attrs.get(name)]


def look(hub: Client, address: str, status: int = 200) -> Page:
    """What an anonymous browser gets."""
    answer = hub.as_user(None).get(address, headers=HTML)
    assert answer.status == status, (address, answer.body[:300])
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for name, value in PAGE_HEADERS.items():
        assert answer.headers[name.lower()] == value
    page = Page(answer.body.decode())
    assert len(page.all("h1")) == len(page.all("main")) == 1
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    labelled = {attrs["for"] for attrs in page.all("label")}
    for field_ in page.all("input"):
        assert field_.get("type") == "hidden" or field_["id"] in labelled
    return page


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """A Hub with a model, its base, a data set, a metric, a private model and a pull request."""
    app = create_app(Store(tmp_path_factory.mktemp("pages") / "hub"))
    hub = Client(app, app.hub.tokens.create("learner", "write", "test"))
    hub.push("ann/base", {"config.json": json.dumps({"architectures": ["BertForMaskedLM"]})})
    hub.push(
        "ann/tiny",
        {
            "README.md": CARD,
            "config.json": json.dumps({"architectures": ["BertForSequenceClassification"]}),
            "model.safetensors": SAFE,
            "docs/guide.md": "# Guide\n\n[back](../README.md)",
            "docs/run.py": "def main():\n    return '<b>'\n",
            "docs/été & co.txt": "x",
            "picture.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
            "noise.bin": b"\0\1\2",
        },
    )
    hub.push(
        "ann/reviews",
        {
            "README.md": DATA_CARD,
            "small/train.parquet": parquet({"text": ["fine"] * 30, "label": [1] * 30}, LABELS),
            "small/test.parquet": parquet({"text": ["awful"], "label": [0]}, LABELS),
            "words/list.csv": "word,count\n<i>,3\n",
        },
        "dataset",
    )
    hub.push("evaluate-metric/accuracy", {"README.md": "---\ntags: [metric]\n---\n# A\n"}, "space")
    store = hub.store
    store.create_repo(RepoId("model", "ann", "secret"), author="ann", private=True)
    tiny = store.repo(RepoId("model", "ann", "tiny"))
    store.create_tag(tiny, "v1")
    store.add_alias(tiny.id, RepoId("model", "", "tiny"))
    store.create_pull(
        tiny, "Better <words>", "Says *more*. <img src=picture.svg onerror=hit()>", "ben"
    )
    words = AddFile("README.md", store.blobs.put(CARD.replace("Tiny", "Teeny").encode()), False)
    store.commit(tiny, "refs/pr/1", [words], title="Say it better", author="ben")
    return hub


def test_every_link_of_every_page_leads_somewhere(filled):
    waiting, seen = deque(["/"]), {"/"}
    pages = 0
    while waiting:
        address = waiting.popleft()
        answer = filled.as_user(None).get(address, headers=HTML)
        assert answer.status in (200, 307), (address, answer.body[:200])
        if "html" not in answer.headers.get("content-type", ""):
            continue
        pages += 1
        for found in look(filled, address).addresses:
            parts = urlsplit(found)
            assert not parts.netloc, f"{address} points outside: {found}"
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            if target and target not in seen:
                seen.add(target)
                waiting.append(target)
    assert 60 < pages < 400


def test_home_counts_kinds_and_says_how_to_connect(filled):
    page = look(filled, "/")
    assert "HF_ENDPOINT=http://hub.test" in page.text
    assert re.search(r"Models\s*2\s.*Data sets\s*1\s.*Spaces\s*1", page.text, re.S)
    assert "secret" not in page.html


@pytest.mark.parametrize(
    "query, found",
    [
        ("search=tiny", ["ann/tiny"]),
        ("search=TINY+classification", ["ann/tiny"]),
        ("search=ann", ["ann/tiny", "ann/base"]),
        ("task=fill-mask", ["ann/base"]),
        ("search=tiny&task=fill-mask", []),
        ("search=%3Cscript%3E", []),
        ("page=-1", ["ann/tiny", "ann/base"]),
        ("page=99999", ["ann/tiny", "ann/base"]),
    ],
)
def test_search_and_filter(filled, query, found):
    page = look(filled, f"/models?{query}")
    names = {urlsplit(a).path for a in page.addresses if a.startswith("/ann/")}
    assert names == {f"/{name}" for name in found}
    assert "<script>" not in page.html.replace("<script src", "")


def test_long_lists_come_in_pages_that_keep_the_search(hub):
    for number in range(PAGE + 1):
        hub.push(f"ann/model-{number}", {"README.md": "---\npipeline_tag: fill-mask\n---\n"})
    first = look(hub, "/models?search=model&task=fill-mask")
    (following,) = [a["href"] for a in first.all("a") if a.get("rel") == "next"]
    assert following == "/models?search=model&task=fill-mask&page=2"
    second = look(hub, following)
    assert len([a for a in second.addresses if a.startswith("/ann/model-")]) == 1
    assert "Page 2 of 2" in second.text


def test_what_the_catalogue_can_make_is_listed_and_made_when_opened(tmp_path):
    @dataclass
    class Entry:
        repo_id: RepoId = RepoId("model", "google-bert", "bert-base-uncased")
        aliases: list = field(default_factory=lambda: [RepoId("model", "", "bert-base-uncased")])
        summary: dict = field(
            default_factory=lambda: {"card": {}, "tags": ["en"], "pipeline_tag": "fill-mask"}
        )
        edition: str = "first"
        created_at: int = 1_700_000_000_000

    class Catalogue:
        def listing(self, kind: str) -> list:
            return [Entry()] if kind == "model" else []

        def assemble(self, repo_id: RepoId, store: Store) -> None:
            store.add_alias(store.create_repo(repo_id, author="course").id, Entry().aliases[0])

    hub = Client(create_app(Store(tmp_path / "hub"), Catalogue()))
    assert "made on first use" in look(hub, "/?task=fill-mask").text
    alias = hub.get("/bert-base-uncased?x=1", headers=HTML)
    assert (alias.status, alias.headers["location"]) == (307, "/google-bert/bert-base-uncased?x=1")
    assert "no card yet" in look(hub, "/google-bert/bert-base-uncased").text
    assert "made on first use" not in look(hub, "/").text


def test_a_model_card_with_facts_and_snippets(filled):
    page = look(filled, "/ann/tiny")
    assert "window.hit" not in page.html
    assert "/ann/tiny/blob/main/docs/guide.md" in page.addresses
    assert "/ann/base" in page.addresses
    text = " ".join(page.text.split())
    assert 'pipeline( "text-classification", model="ann/tiny", )' in text
    assert "Parameters 7" in text and "Number type F16, F32" in text
    assert "Licence apache-2.0" in text and "tiny" in text


def test_a_data_set_shows_the_rows_that_are_asked_for(filled):
    first = look(filled, "/datasets/ann/reviews")
    assert "1 · good" in first.text and "20 of 30 rows" in " ".join(first.text.split())
    assert 'load_dataset("ann/reviews", "small", split="train")' in first.text
    test = look(filled, "/datasets/ann/reviews?config=small&split=test")
    assert "0 · bad" in test.text and "1 of 1 row " in " ".join(test.text.split())
    words = look(filled, "/datasets/ann/reviews?config=words")
    assert "&lt;i&gt;" in words.html and "<i>" not in words.html
    assert look(filled, "/datasets/ann/reviews?config=x&split=y").text == first.text


def test_a_metric_says_how_to_compute_it(filled):
    assert 'evaluate.load("accuracy")' in look(filled, "/spaces/evaluate-metric/accuracy").text


def test_metadata_that_cannot_be_read_is_told(hub):
    hub.push("ann/broken", {"README.md": "---\na: [\n---\n# Still shown\n"})
    page = look(hub, "/ann/broken")
    assert "is not valid YAML" in page.text and "Still shown" in page.text


def test_files_say_when_they_changed_last(filled):
    root = look(filled, "/ann/tiny/tree/main")
    assert "initial commit" in root.text and "Add files" in root.text
    names = [
        a["href"] for a in root.all("a") if "/blob/" in a["href"] or "/tree/main/" in a["href"]
    ]
    assert names[0] == "/ann/tiny/tree/main/docs"
    inner = look(filled, "/ann/tiny/tree/main/docs")
    assert "/ann/tiny/blob/main/docs/%C3%A9t%C3%A9%20%26%20co.txt" in inner.addresses
    for start, end in (
        ("/ann/tiny/tree/main/docs/run.py", "/ann/tiny/blob/main/docs/run.py"),
        ("/ann/tiny/blob/main/docs", "/ann/tiny/tree/main/docs"),
    ):
        answer = filled.get(start, headers=HTML)
        assert (answer.status, answer.headers["location"]) == (307, end)


def test_files_are_shown_by_what_they_hold(filled):
    at = "/ann/tiny/blob/main/"
    tensors = look(filled, at + "model.safetensors").text
    assert "2 tensors" in tensors and "2 × 3" in tensors and "format" in tensors
    code = look(filled, at + "docs/run.py")
    assert '<span class="line" id="L2">' in code.html and "&lt;b&gt;" in code.html
    assert "/ann/tiny/blob/main/README.md" in look(filled, at + "docs/guide.md").addresses
    assert "/ann/tiny/resolve/main/picture.svg" in look(filled, at + "picture.svg").addresses
    assert "not text" in look(filled, at + "noise.bin").text
    rows = look(filled, "/datasets/ann/reviews/blob/main/small/train.parquet")
    assert "20 of 30 rows" in rows.text


def test_history_and_one_commit(filled):
    commits = look(filled, "/ann/tiny/commits/main")
    (newest, first) = [a for a in commits.addresses if "/commit/" in a]
    assert "Add files" in commits.text
    page = look(filled, newest)
    assert "added" in page.text and "docs/guide.md" in page.text and "+# Guide" in page.text
    assert first in page.addresses
    assert look(filled, newest[:-32]).text == page.text  # a prefix will do


def test_a_pull_request(filled):
    page = look(filled, "/ann/tiny/discussions/1")
    assert "Better &lt;words&gt;" in page.html and "<em>more</em>" in page.html
    assert "onerror" not in page.html
    assert "Say it better" in page.text and "+# Teeny" in page.text and "-# Tiny" in page.text
    assert "/ann/tiny/tree/refs%2Fpr%2F1" in page.addresses
    assert "Better" in look(filled, "/ann/tiny/discussions").text
    look(filled, "/ann/tiny/discussions/7", 404)


@pytest.mark.parametrize(
    "address, status, words",
    [
        ("/ann/nothing", 404, "No such repository here"),
        ("/ann/secret", 404, "No such repository here"),
        ("/ann/secret/tree/main", 404, "No such repository here"),
        ("/ann/tiny/tree/nowhere", 404, "No such revision here"),
        ("/ann/tiny/blob/main/nothing.txt", 404, "No such file here"),
        ("/ann/tiny/blob/main/..%2f..%2fetc", 400, "cannot be right"),
        ("/a/b/c/d", 404, "There is nothing here"),
        ("/ann/%3Cscript%3E", 400, "cannot be right"),
        ("/static/%2e%2e%2fpages.py", 404, "There is nothing here"),
        ("/static/hub.py", 404, "There is nothing here"),
    ],
)
def test_errors_are_pages_for_browsers_and_json_for_clients(filled, address, status, words):
    page = look(filled, address, status)
    assert words in page.text and "<script>" not in page.html
    answer = filled.as_user(None).get(address)
    assert answer.status == status
    assert answer.json["error"] == answer.headers["x-error-message"]


def test_a_token_opens_private_pages_to_its_bearer(filled):
    answer = filled.get("/ann/secret", headers=HTML)
    assert answer.status == 200 and b"private" in answer.body
    assert answer.headers["vary"] == "Authorization"
    assert b"ann/secret" in filled.get("/?search=secret", headers=HTML).body.replace(
        b'<span class="owner">ann/</span><span class="name">secret', b"ann/secret"
    )


def test_static_files_are_kept_and_named_by_content(hub):
    page = look(hub, "/")
    sheet = next(a["href"] for a in page.all("link") if a["rel"] == "stylesheet")
    answer = hub.get(sheet)
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    assert hub.get("/favicon.ico").headers["content-type"].startswith("image/svg+xml")


def test_pages_load_nothing_from_outside_and_run_nothing_inline():
    for path in (HERE / "templates").glob("*.html"):
        source = path.read_text()
        assert not re.search(r"\sstyle=|\son\w+=|https?://|<style|<script>", source), path.name
    for path in (HERE / "static").glob("*.??*"):
        source = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|url\(", source), path.name


def test_what_snippets_name_exists():
    package = Path(find_spec("transformers").origin).parent
    classes = (package / "models/auto/modeling_auto.py").read_text()
    pipelines = (package / "pipelines/__init__.py").read_text()
    for name, task in snippets.TASKS.items():
        assert f"class {task.model}(" in classes
        assert (f'"{name}": {{' in pipelines) == bool(task.pipeline), name


@pytest.mark.parametrize("library", ["transformers", "sentence-transformers", "keras", None])
def test_snippets_are_python(hub, library):
    card = f"---\nlibrary_name: {library}\npipeline_tag: image-classification\n---\n"
    repo = hub.push(f"ann/{library}", {"README.md": card if library else ""})
    for snippet in snippets.model_snippets(repo):
        if snippet.language == "python":
            compile(snippet.code, "snippet", "exec")
        assert repo.id.full in snippet.code


def test_colours_can_be_read():
    """WCAG AA: 4.5 : 1 for every text on every ground it stands on, light and dark."""
    css = (HERE / "static" / "hub.css").read_text()
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6})", part)) for part in css.split("@media")[:2]
    )
    grounds = ("paper", "raised", "sunken")
    pairs = [(text, ground) for text in ("ink", "soft", "accent") for ground in grounds]
    pairs += [("ink", "accent-soft"), ("paper", "accent"), ("plus", "plus-back")]
    pairs += [("minus", "minus-back"), ("plus", "paper"), ("minus", "paper")]
    pairs += [(name, g) for name in light if name.startswith("code-") for g in ("sunken", "raised")]
    for colours in (light, dark):
        for text, ground in pairs:
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_sizes_and_amounts():
    assert [size(n) for n in (0, 1, 999, 1000, 99_949, 123_456, 999_600, 5 * 10**12)] == [
        *("0 bytes", "1 byte", "999 bytes", "1.0 kB", "99.9 kB", "123 kB", "1.0 MB", "5.0 TB"),
    ]
    assert [amount(n) for n in (7, 22_713_216, 1_500_000_000)] == ["7", "22.7 M", "1.5 B"]
