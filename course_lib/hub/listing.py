"""Which repositories there are: those that were pushed, and stand-ins not yet assembled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from course_lib.hub.application import Hub
from course_lib.hub.auth import Identity
from course_lib.hub.errors import bad_request
from course_lib.hub.names import RepoId, shown
from course_lib.hub.storage.store import Repo

# Downloads, likes and trends are not counted here: sorted by those, the newest come first.
SORTS = ("lastModified", "createdAt", "downloads", "likes", "trendingScore")


@dataclass(frozen=True, slots=True)
class Listed:
    """A repository as lists know it; `repo` is None while it waits in the catalogue."""

    id: RepoId
    summary: dict  # see describe.py
    created_at: int
    updated_at: int
    repo: Repo | None

    @property
    def private(self) -> bool:
        return self.repo is not None and self.repo.private

    @property
    def gated(self) -> str | bool:
        return (self.repo and self.repo.gated) or False

    @property
    def sdk(self) -> str | None:
        return (self.repo and self.repo.sdk) or self.summary["card"].get("sdk")


def listed(repo: Repo) -> Listed:
    return Listed(repo.id, repo.summary, repo.created_at, repo.updated_at, repo)


def all_listed(hub: Hub, kind: str, identity: Identity | None = None) -> list[Listed]:
    """What `identity` may see of one kind."""
    waiting = {
        entry.repo_id: entry
        for entry in hub.catalogue.listing(kind)
        if not hub.is_assembled(entry.repo_id)
    }
    found = [
        listed(repo)
        for repo in hub.store.repos(kind)
        if repo.id not in waiting
        and (not repo.private or (identity is not None and identity.may_read(repo)))
    ]
    for entry in waiting.values():
        moment = entry.created_at
        found.append(Listed(entry.repo_id, entry.summary, moment, moment, None))
    return found


def select(
    items: Iterable[Listed],
    *,
    search: Iterable[str] = (),
    author: str | None = None,
    tags: Iterable[str] = (),
    pipeline_tag: str | None = None,
    gated: bool | None = None,
    sort: str = SORTS[0],
) -> list[Listed]:
    """Those that match everything asked for, newest first.

    `search` are words in the id, `tags` are whole tags; case does not matter in either.
    """
    if sort not in SORTS:
        raise bad_request(f"Lists are sorted by one of {', '.join(SORTS)}, not by {shown(sort)}.")
    words = [word.lower() for text in search for word in text.split()]
    wanted = {tag.lower() for tag in tags}
    moment = "created_at" if sort == "createdAt" else "updated_at"
    found = [
        item
        for item in items
        if all(word in item.id.full.lower() for word in words)
        and (author is None or item.id.namespace.lower() == author.lower())
        and wanted <= {tag.lower() for tag in item.summary["tags"]}
        and (pipeline_tag is None or item.summary.get("pipeline_tag") == pipeline_tag)
        and (gated is None or bool(item.gated) == gated)
    ]
    return sorted(found, key=lambda item: (-getattr(item, moment), item.id.full))
