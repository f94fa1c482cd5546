"""What the store is asked: repositories, refs, history, files."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from course_lib.hub import errors
from course_lib.hub.names import RepoId
from course_lib.hub.storage.blobs import BlobStore
from course_lib.hub.storage.database import Database
from course_lib.hub.storage.objects import Entry
from course_lib.hub.storage.records import Commit, Repo
from course_lib.hub.storage.trees import Trees


class Reader:
    """A Hub's data directory, as far as it is read."""

    def __init__(self, root: Path | str):
        self.root = Path(root)
        # Private repositories and the key that signs upload links are no other user's business.
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.blobs = BlobStore(self.root)
        self.database = Database(self.root / "hub.db")
        self.trees = Trees(self.database)

    @property
    def instance(self) -> str:
        """Changes when the Hub is reset: clients key their upload caches by it."""
        return self.database.meta("instance")

    def find_repo(self, repo: RepoId) -> Repo | None:
        """The repository of this id, or of an alias with this name."""
        if found := self._find(repo):
            return found
        row = self.database.one(
            "SELECT repos.* FROM aliases JOIN repos ON repos.id = aliases.repo "
            "WHERE aliases.kind = ? AND full_name = ?",
            repo.kind,
            repo.full,
        )
        return Repo.from_row(row) if row else None

    def repo(self, repo: RepoId) -> Repo:
        if found := self.find_repo(repo):
            return found
        raise errors.repo_not_found(repo.full)

    def repos(self, kind: str | None = None) -> list[Repo]:
        """All repositories, or those of one kind, last changed first."""
        query = "SELECT * FROM repos WHERE ? IS NULL OR kind = ? ORDER BY updated_at DESC, id DESC"
        return [Repo.from_row(row) for row in self.database.rows(query, kind, kind)]

    def refs(self, repo: Repo) -> dict[str, str]:
        """Full names (`refs/heads/main`, `refs/tags/v1`, `refs/pr/1`) and the commits they mean."""
        rows = self.database.rows(
            "SELECT name, oid FROM refs WHERE repo = ? ORDER BY name", repo.key
        )
        return {row["name"]: row["oid"] for row in rows}

    def ref_name(self, repo: Repo, revision: str) -> str | None:
        """The full name of the ref that `revision` means: branch before tag, then names in full."""
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if self.database.one("SELECT 1 FROM refs WHERE repo = ? AND name = ?", repo.key, name):
                return name
        return None

    def resolve(self, repo: Repo, revision: str) -> Commit:
        """The commit that a branch, tag, full ref, commit id or unique prefix of one names."""
        rows = self.database.rows(
            "SELECT commits.* FROM refs JOIN commits USING (repo, oid) "
            "WHERE repo = ? AND name IN (?, ?, ?) ORDER BY name LIKE 'refs/heads/%' DESC LIMIT 1",
            *(repo.key, f"refs/heads/{revision}", f"refs/tags/{revision}", revision),
        )
        if not rows and 4 <= len(revision) <= 40 and not set(revision) - set("0123456789abcdef"):
            rows = self.database.rows(
                "SELECT * FROM commits WHERE repo = ? AND oid >= ? AND oid < ? LIMIT 2",
                repo.key,
                revision,
                revision + "g",
            )
        if len(rows) != 1:
            raise errors.revision_not_found(repo.id.full, revision)
        return Commit.from_row(rows[0])

    def pulls(self, repo: Repo) -> list[sqlite3.Row]:
        return self.database.rows("SELECT * FROM pulls WHERE repo = ? ORDER BY number", repo.key)

    def commits(self, repo: Repo, revision: str, offset: int = 0, limit: int = 50) -> list[Commit]:
        """The history of `revision`, newest first."""
        rows = self.database.rows(
            "WITH RECURSIVE history(oid, depth) AS (SELECT ?, 0 UNION ALL "
            "SELECT commits.parent, depth + 1 FROM history JOIN commits "
            "ON commits.repo = ? AND commits.oid = history.oid WHERE commits.parent IS NOT NULL) "
            "SELECT commits.* FROM history JOIN commits "
            "ON commits.repo = ? AND commits.oid = history.oid ORDER BY depth LIMIT ? OFFSET ?",
            *(self.resolve(repo, revision).oid, repo.key, repo.key, limit, offset),
        )
        return [Commit.from_row(row) for row in rows]

    def entry(self, repo: Repo, commit: Commit, path: str) -> Entry:
        """The file or folder at `path`; 404 if there is none."""
        if found := self.trees.find(commit.tree, path):
            return found
        raise errors.entry_not_found(path, commit.oid)

    def _find(self, repo: RepoId) -> Repo | None:
        row = self.database.one(
            "SELECT * FROM repos WHERE kind = ? AND namespace = ? AND name = ?", *repo
        )
        return Repo.from_row(row) if row else None
