"""The lists that people browse: what is stored or can be made, searched, filtered, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from course_lib.hub.auth import Identity
from course_lib.hub.listing import Listed, all_listed
from course_lib.hub.names import KINDS, RepoId

if TYPE_CHECKING:
    from course_lib.hub.application import Hub

PAGE = 24


@dataclass(frozen=True)
class Listing:
    """One page of a list, with the numbers around it."""

    items: list[Listed]
    total: int  # of all pages
    page: int
    counts: dict[str, int]  # of each kind, for this search
    tasks: list[tuple[str, int]] = field(default_factory=list)  # of this kind, most frequent first

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // PAGE))


def tasks(kind: str, summary: dict) -> list[str]:
    """What a repository is for: a model's pipeline, a data set's task categories, a metric."""
    if kind == "model":
        return [summary["pipeline_tag"]] if summary.get("pipeline_tag") else []
    tags = summary.get("tags", [])
    if kind == "space":
        return [tag for tag in ("metric", "measurement", "comparison") if tag in tags]
    mark = "task_categories:"
    return [tag.removeprefix(mark) for tag in tags if tag.startswith(mark)]


def browse(
    hub: Hub, kind: str, who: Identity | None, search: str = "", task: str = "", page: int = 1
) -> Listing:
    """What `who` may see of `kind`, with every word of `search` and with `task`."""
    words = search.lower().split()
    found = {name: _matching(hub, name, who, words) for name in KINDS}
    chosen = [item for item in found[kind] if not task or task in tasks(kind, item.summary)]
    # What waits in the catalogue comes after what was used or pushed.
    chosen.sort(key=lambda item: (item.repo is None, -item.updated_at, item.id.full.lower()))
    page = min(max(page, 1), max(1, -(-len(chosen) // PAGE)))
    every_task = Counter(name for item in found[kind] for name in tasks(kind, item.summary))
    return Listing(
        items=chosen[(page - 1) * PAGE : page * PAGE],
        total=len(chosen),
        page=page,
        counts={name: len(items) for name, items in found.items()},
        tasks=sorted(every_task.items(), key=lambda item: (-item[1], item[0])),
    )


def _matching(hub: Hub, kind: str, who: Identity | None, words: list[str]) -> list[Listed]:
    """Those whose id, other names or tags hold every word."""
    aliases = {
        entry.repo_id: [alias.full for alias in entry.aliases]
        for entry in hub.catalogue.listing(kind)
    }

    def matches(item: Listed) -> bool:
        names = [item.id.full, *aliases.get(item.id, ()), *item.summary.get("tags", ())]
        text = " ".join(names).lower()
        return all(word in text for word in words)

    return [item for item in all_listed(hub, kind, who) if matches(item)]


def has(hub: Hub, repo_id: RepoId) -> bool:
    """Whether there is a public repository of this id or alias, stored or in the catalogue."""
    if found := hub.store.find_repo(repo_id):
        return not found.private
    return any(
        repo_id in (entry.repo_id, *entry.aliases) for entry in hub.catalogue.listing(repo_id.kind)
    )
