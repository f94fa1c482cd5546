"""`course hub check`: whether all that the Hub keeps is there and is what it was.

Every file is read again and hashed, and every id is worked out again as git would: nothing is
taken on trust.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from course_lib.hub.progress import bar, count_text, size_text
from course_lib.hub.storage import objects
from course_lib.hub.storage.blobs import CHUNK
from course_lib.hub.storage.maintenance import ALWAYS_KEPT, PARTIAL, present
from course_lib.hub.storage.objects import Entry, File, Folder
from course_lib.hub.storage.store import MAIN, Store

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass
class Report:
    """What a check found. `problems` are damage, `notes` are not."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        return not self.problems


def check(store: Store) -> Report:
    """Verify the database, every reference and every blob of a Hub; a server may run meanwhile."""
    checker = _Checker(store)
    try:
        checker.read()
    except sqlite3.DatabaseError as error:
        checker.report.problems.append(f"The database cannot be read ({error}).")
        return checker.report
    checker.repositories()
    checker.contents()
    checker.leftovers()
    return checker.report


class _Checker:
    def __init__(self, store: Store):
        self.store = store
        self.report = Report()
        self.expected: dict[str, dict[File, str]] = {}  # by sha256: what refers to it, and where
        self.visited: set[str] = set()  # folders that some commit holds
        self.roots: dict[str, str | None] = {}  # git's id of a folder by its key

    def problem(self, text: str) -> None:
        self.report.problems.append(text)

    # -- the database --------------------------------------------------------------------------

    def read(self) -> None:
        """One consistent view of the database; hashing the contents can take minutes after it."""
        connection = self.store.database.connection
        for (line,) in connection.execute("PRAGMA integrity_check"):
            if line != "ok":
                self.problem(f"The database is damaged: {line}.")
        connection.execute("BEGIN")
        try:
            for row in connection.execute("PRAGMA foreign_key_check"):
                self.problem(f"A row of {row[0]} belongs to a repository that is not there.")
            self.repos = self.store.repos()
            self.refs = {repo.key: self.store.refs(repo) for repo in self.repos}
            self.pulls = {repo.key: self.store.pulls(repo) for repo in self.repos}
            self.commits: dict[int, dict[str, sqlite3.Row]] = {repo.key: {} for repo in self.repos}
            for row in connection.execute("SELECT * FROM commits"):
                self.commits.setdefault(row["repo"], {})[row["oid"]] = row
            self.folders = {
                row["key"]: entries
                for row in connection.execute("SELECT key, CAST(data AS BLOB) AS data FROM trees")
                if (entries := self._folder(row["key"], row["data"])) is not None
            }
        finally:
            connection.execute("COMMIT")

    def _folder(self, key: str, data: bytes) -> dict[str, Entry] | None:
        if hashlib.sha256(data).hexdigest() != key:
            self.problem(f"Folder {key[:12]}: its entries are not those it was stored with.")
            return None
        return objects.load_tree(data)

    # -- references ----------------------------------------------------------------------------

    def repositories(self) -> None:
        for repo in sorted(self.repos, key=lambda repo: repo.id):
            name = repo.id.prefix + repo.id.full
            commits, refs = self.commits[repo.key], self.refs[repo.key]
            self.report.counts[repo.id.plural] += 1
            self.report.counts["refs"] += len(refs)
            self.report.counts["commits"] += len(commits)
            if MAIN not in refs:
                self.problem(f"{name}: branch main is missing.")
            for row in self.pulls[repo.key]:
                if f"refs/pr/{row['number']}" not in refs:
                    self.problem(f"{name}: pull request {row['number']} has no branch.")
            for ref, oid in refs.items():
                if oid not in commits:
                    self.problem(f"{name}: {ref} points at commit {oid[:8]}, which is missing.")
            for commit in commits.values():
                self._commit(name, commit, commits)
        self.report.counts["folders"] = len(self.visited)

    def _commit(self, name: str, commit: sqlite3.Row, commits: dict[str, sqlite3.Row]) -> None:
        place = f"{name} at {commit['oid'][:8]}"
        parent = commit["parent"]
        if parent is not None and parent not in commits:
            self.problem(f"{place}: its parent, commit {parent[:8]}, is missing.")
        tree = self._tree(place, "", commit["tree"])
        if tree is None:
            return
        title, message = commit["title"], commit["message"]
        text = f"{title}\n\n{message}" if message else title
        seconds = commit["created_at"] // 1000
        if objects.commit_oid(tree, parent, commit["author"], seconds, text) != commit["oid"]:
            self.problem(f"{place}: the commit is not what its id says.")

    def _tree(self, place: str, path: str, key: str) -> str | None:
        """Git's id of a folder, looked into the first time; None if it is missing."""
        if key in self.visited:
            return self.roots[key]
        self.visited.add(key)
        entries = self.folders.get(key)
        if entries is None:
            self.problem(f"{place}: folder {path or '/'} ({key[:12]}) is missing.")
            self.roots[key] = None
            return None
        for name, entry in entries.items():
            full = f"{path}/{name}" if path else name
            if isinstance(entry, Folder):
                found = self._tree(place, full, entry.key)
                if found is not None and found != entry.oid:
                    self.problem(f"{place}: folder {full} is not what its id says.")
            else:
                self.expected.setdefault(entry.sha256, {}).setdefault(entry, f"{place}: {full}")
        self.roots[key] = objects.tree_oid(entries)
        return self.roots[key]

    # -- contents ------------------------------------------------------------------------------

    def contents(self) -> None:
        """Read and hash every blob: those that commits refer to, and those that none does."""
        found = dict(self._blobs())
        unused = found.keys() - self.expected.keys() - {ALWAYS_KEPT}
        for sha256, uses in sorted(self.expected.items()):
            if sha256 not in found and not self.store.blobs.path(sha256).is_file():
                place = next(iter(uses.values()))
                self.problem(f"{place}: its content, blob {sha256[:12]}, is missing.")
        with bar("Checking contents", sum(found.values())) as progress:
            for sha256, size in sorted(found.items()):
                self._blob(sha256, size, progress.update)
        self.report.counts["blobs"], self.report.counts["bytes"] = len(found), sum(found.values())
        if unused:
            size = size_text(sum(found[sha256] for sha256 in unused))
            self.report.notes.append(
                f"{count_text(len(unused), 'blob')} ({size}) that no commit refers to: "
                "`course hub gc` removes them once they are an hour old."
            )

    def _blobs(self) -> Iterator[tuple[str, int]]:
        for path, stat in present(self.store.blobs.folder):
            if _SHA256.match(path.name) and path == self.store.blobs.path(path.name):
                yield path.name, stat.st_size
            else:
                self.problem(f"{path.relative_to(self.store.root)} does not belong there.")

    def _blob(self, sha256: str, size: int, advance: object) -> None:
        uses = self.expected.get(sha256, {})
        place = next(iter(uses.values()), "used by nothing")
        # Git hashes a length first, so one pass serves only files of the length that is expected.
        lengths = {file.size for file in uses if not file.large} & {size}
        try:
            found, oid = _hashes(self.store.blobs.path(sha256), next(iter(lengths), None), advance)
        except FileNotFoundError:
            if uses:
                self.problem(f"{place}: its content, blob {sha256[:12]}, is missing.")
            return
        except OSError as error:
            self.problem(f"Blob {sha256[:12]} cannot be read ({error.strerror}); {place}.")
            return
        if found != sha256:
            self.problem(f"Blob {sha256[:12]} is altered: its content has {found[:12]}; {place}.")
            return
        for file, where in uses.items():
            expected = objects.large_file(file.blob).oid if file.large else oid
            if file.size != size:
                self.problem(f"{where}: {size:,} bytes are stored, {file.size:,} were committed.")
            elif file.oid != expected:
                self.problem(f"{where}: the file is not what its id says.")

    def leftovers(self) -> None:
        """What is neither a blob nor the database; none of it is damage."""
        folders = [self.store.root / name for name in ("tmp", PARTIAL)]
        sizes = [stat.st_size for folder in folders for _, stat in present(folder)]
        if sizes:
            files = count_text(len(sizes), "unfinished file")
            self.report.notes.append(
                f"{files} ({size_text(sum(sizes))}) of uploads under way or interrupted: "
                "`course hub gc` removes them once they are an hour old."
            )
        unused = len(self.folders.keys() - self.visited)
        if unused:
            folders = count_text(unused, "folder")
            self.report.notes.append(
                f"{folders} that no commit refers to: `course hub gc` removes them."
            )


def _hashes(path: Path, size: int | None, advance: object) -> tuple[str, str | None]:
    """The sha256 of a file and, if its length is given, git's id of it; read once."""
    content = hashlib.sha256()
    git = None
    if size is not None:
        git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            content.update(piece)
            if git:
                git.update(piece)
            advance(len(piece))
    return content.hexdigest(), git.hexdigest() if git else None
