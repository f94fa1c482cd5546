"""What a repository's first page says beside its card: facts, tags, snippets, first rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from markupsafe import Markup

from course_lib.hub.cards import front_matter as cards
from course_lib.hub.cards.splits import Splits, configurations
from course_lib.hub.errors import HubError
from course_lib.hub.names import parse_repo_id
from course_lib.hub.routing import Call
from course_lib.hub.storage.objects import File
from course_lib.hub.storage.store import Commit, Repo
from course_lib.hub.web import preview, snippets
from course_lib.hub.web.browse import has, tasks
from course_lib.hub.web.links import Links
from course_lib.hub.web.rendering import rendered_file
from course_lib.hub.web.templating import amount, count, size, words

MAX_CARD = 1_000_000  # bytes; describe.py reads no longer one
MAX_TAGS = 40
MAX_VALUES = 12  # of one fact that are shown


class Value(NamedTuple):
    text: str
    href: str = ""


@dataclass(frozen=True)
class Preview:
    """The first rows of one split, and what else there is to choose."""

    links: Links
    configs: list[str]
    splits: Splits
    config: str
    split: str
    table: preview.Table | None
    problem: str = ""

    @property
    def path(self) -> str:
        return self.splits[self.split][0]

    def address(self, config: str, split: str = "") -> str:
        query = {"config": config, **({"split": split} if split else {})}
        return f"{self.links.card}?{urlencode(query)}"


def card_page(call: Call, repo: Repo, commit: Commit) -> dict:
    """The values of the template `card.html`."""
    links = Links(repo.id)
    files = dict(call.store.trees.files(commit.tree))
    shown = _preview(call, repo, links, files) if repo.id.kind == "dataset" else None
    facts = _facts(call, repo, links, files)
    card, problem = _card(call, repo, links, files.get("README.md"))
    return {
        "preview": shown,
        "card": card,
        "card_problem": problem,
        "use": _use(repo, shown),
        "facts": facts,
        "tags": _other_tags(repo, {value.text for _, values in facts for value in values}),
    }


def _card(
    call: Call, repo: Repo, links: Links, file: File | None
) -> tuple[Markup | None, str | None]:
    """The rendered card, and why its metadata is not used."""
    if file is None:
        return None, None
    content = call.store.blobs.path(file.sha256)
    problem = None
    if not repo.summary.get("card"):
        try:
            cards.metadata(content.read_bytes()[:MAX_CARD].decode(errors="replace"))
        except cards.CardError as error:
            problem = str(error)
    return rendered_file(content, links.place()), problem


def _use(repo: Repo, shown: Preview | None) -> list[snippets.Snippet]:
    if repo.id.kind == "model":
        return snippets.model_snippets(repo)
    if repo.id.kind == "space":
        return snippets.space_snippets(repo)
    config = shown.config if shown and len(shown.configs) > 1 else None
    return snippets.dataset_snippets(repo, config, shown.splits if shown else {})


def _preview(call: Call, repo: Repo, links: Links, files: dict[str, File]) -> Preview | None:
    """The rows of the configuration and split that the address asks for, the first ones without."""
    configs = configurations(repo.summary.get("card", {}), files)
    if not configs:
        return None
    config = call.query.get("config", "")
    config = config if config in configs else next(iter(configs))
    split = call.query.get("split", "")
    split = split if split in configs[config] else next(iter(configs[config]))
    path = configs[config][split][0]
    table, problem = rows(call.store.blobs.path(files[path].sha256), path)
    return Preview(links, list(configs), configs[config], config, split, table, problem)


def rows(content: Path, name: str) -> tuple[preview.Table | None, str]:
    """The first rows of a file, or why they cannot be shown."""
    try:
        return preview.first_rows(content, name), ""
    except preview.Unreadable as error:
        return None, str(error)


def _facts(
    call: Call, repo: Repo, links: Links, files: dict[str, File]
) -> list[tuple[str, list[Value]]]:
    summary = repo.summary
    card, config = summary.get("card", {}), summary.get("config", {})
    total = sum(file.size for file in files.values())
    listing = f"/{repo.id.plural}?task="
    found = {
        "Task": [Value(words(task), listing + task) for task in tasks(repo.id.kind, summary)],
        "Library": _values(summary.get("library_name")),
        "Architecture": _values(config.get("architectures")),
        **_weights(call, files),
        "Languages": _values(card.get("language")),
        "Licence": _values(card.get("license")),
        "Base model": _links(call, "model", card.get("base_model")),
        "Trained on": _links(call, "dataset", card.get("datasets")),
        "Software kit": _values(repo.sdk),
        "Files": [Value(f"{count(len(files), 'file', 'files')}, {size(total)}", links.tree())],
    }
    return [(label, values[:MAX_VALUES]) for label, values in found.items() if values]


def _weights(call: Call, files: dict[str, File]) -> dict[str, list[Value]]:
    """How many parameters the safetensors files hold, and in which types."""
    paths = [path for path in files if path.endswith(".safetensors") and "/" not in path]
    headers = []
    for path in paths:
        try:
            headers.append(preview.tensors(call.store.blobs.path(files[path].sha256)))
        except preview.Unreadable:
            return {}  # the file's own page says what is wrong with it
    kinds = sorted({dtype for header in headers for dtype in header.dtypes})
    return {
        "Parameters": [Value(amount(sum(h.parameters for h in headers)))] if headers else [],
        "Number type": [Value(kind) for kind in kinds],
    }


def _values(found: object) -> list[Value]:
    texts = found if isinstance(found, list) else [found]
    return [Value(text) for text in texts if isinstance(text, str) and text]


def _links(call: Call, kind: str, names: object) -> list[Value]:
    """Names of repositories, with links to those that this Hub has."""
    found = []
    for value in _values(names)[:MAX_VALUES]:
        try:
            repo_id = parse_repo_id(kind, value.text)
        except HubError:  # a sentence, not a name
            found.append(value)
            continue
        found.append(Value(value.text, repo_id.url_path if has(call.hub, repo_id) else ""))
    return found


def _other_tags(repo: Repo, shown: set[str]) -> list[str]:
    """The tags that no fact says already."""
    summary = repo.summary
    said = {*shown, *tasks(repo.id.kind, summary), summary.get("config", {}).get("model_type")}
    tags = summary.get("tags", [])
    return [t for t in tags if t not in said and t.partition(":")[2] not in said][:MAX_TAGS]
