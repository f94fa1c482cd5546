"""`course hub sync`: a copy of repositories of another Hub, the real one or a classroom's.

Each branch and tag becomes one commit here with exactly the files it has there; what lies between
is not copied. A second sync asks for the refs, and only for what changed. Large files are kept
while they come, so that an interrupted sync goes on where it stopped, and every file is checked
against the id that the other Hub gave for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from course_lib.hub.application import take_over
from course_lib.hub.auth import OWNER
from course_lib.hub.errors import HubError, conflict
from course_lib.hub.names import RepoId, check_ref
from course_lib.hub.storage.objects import File, Folder
from course_lib.hub.storage.store import (
    AddFile,
    Commit,
    DeleteFile,
    DeleteFolder,
    Operation,
    Repo,
    Store,
)
from course_lib.hub.transfer.downloading import Downloader, Wanted
from course_lib.hub.transfer.upstream import HEADS, TAGS, Source, explained


@dataclass
class Synced:
    """What a sync of one repository did."""

    repo: RepoId
    refs: int = 0  # that were looked at
    changed: list[str] = field(default_factory=list)  # branches and tags that moved
    files: int = 0  # that were downloaded
    size: int = 0  # their bytes
    notes: list[str] = field(default_factory=list)


def sync_repo(
    store: Store,
    name: str,
    upstream: str,
    token: str | None = None,
    revision: str | None = None,
) -> Synced:
    """Copy `name` (`ann/bert`, `datasets/ann/reviews`) with its branches and tags from `upstream`.

    With `revision` only that branch or tag is copied; a commit becomes a tag named by its first
    characters. Here, branches and tags that the other Hub does not have stay, and so does the
    history of those that are replaced.
    """
    with _alone(store), explained(upstream, name):
        source = Source(upstream, name, token)
        return _Mirror(store, source).run(revision)


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """One sync at a time works on a directory: two would download the same files."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(store.root / "sync.lock", timeout=0):
            yield
    except Timeout:
        raise conflict("Another sync of this Hub is running: wait for it to end.") from None


class _Mirror:
    """Brings a repository of this Hub to the state of a source."""

    def __init__(self, store: Store, source: Source):
        self.store = store
        self.source = source
        self.done = Synced(source.repo_id)
        self.copies: dict[str, str] = {}  # by commit there: the commit here

    def run(self, revision: str | None) -> Synced:
        refs = self._wanted(revision)
        repo = self._repo()
        self.done.repo = repo.id
        self.done.refs = len(refs)
        for ref, commit in refs.items():
            before = self.store.refs(repo).get(ref)
            if ref.startswith(HEADS):
                self._branch(repo, ref.removeprefix(HEADS), commit)
            else:
                self._tag(repo, ref.removeprefix(TAGS), commit)
            if self.store.refs(repo).get(ref) != before:
                self.done.changed.append(ref.split("/", 2)[2])
        take_over(self.store, repo.id, self.source.asked)
        return self.done

    def _wanted(self, revision: str | None) -> dict[str, str]:
        """The refs to copy, and the commits they have there."""
        refs = self.source.refs()
        if revision is not None:
            full = next((ref for ref in (HEADS + revision, TAGS + revision) if ref in refs), None)
            if full:
                return {full: refs[full]}
            commit = self.source.commit(revision)
            name = revision if commit.startswith(revision) and len(revision) < 40 else commit[:7]
            return {TAGS + name: commit}
        for ref in list(refs):
            try:
                check_ref(ref.split("/", 2)[2])
            except HubError as error:
                self.done.notes.append(f"Left out: {error.message}")
                del refs[ref]
        return refs

    def _repo(self) -> Repo:
        """The repository here, made if need be; the id that was asked for leads to it too."""
        repo_id, asked = self.source.repo_id, self.source.asked
        repo = self.store.find_repo(repo_id)
        if repo is None:
            repo = self.store.create_repo(
                repo_id, author=OWNER, private=self.source.private, sdk=self.source.sdk
            )
        if self.store.find_repo(asked) is None:
            self.store.add_alias(repo.id, asked)
        return repo

    def _branch(self, repo: Repo, name: str, commit: str) -> None:
        head = self._head(repo, HEADS + name)
        if head is None:
            self.store.create_branch(repo, name, self.copies.get(commit))
            head = self._head(repo, HEADS + name)
        if not self._is_copy(head, commit):
            head = self._snapshot(repo, name, commit)
        self.copies[commit] = head.oid

    def _tag(self, repo: Repo, name: str, commit: str) -> None:
        here = self._head(repo, TAGS + name)
        if here and self._is_copy(here, commit):
            return
        if commit not in self.copies:
            # Commits are made on branches, so this one gets a branch for a moment.
            branch = f"sync-{secrets.token_hex(8)}"
            self.store.create_branch(repo, branch)
            try:
                self.copies[commit] = self._snapshot(repo, branch, commit).oid
            finally:
                self.store.delete_ref(repo, HEADS + branch)
        if here and here.oid == self.copies[commit]:
            return
        if here:
            self.store.delete_ref(repo, TAGS + name)
        self.store.create_tag(repo, name, self.copies[commit])

    def _head(self, repo: Repo, ref: str) -> Commit | None:
        oid = self.store.refs(repo).get(ref)
        return self.store.resolve(repo, oid) if oid else None

    def _is_copy(self, head: Commit, commit: str) -> bool:
        return head.title == self._title() and head.message == commit

    def _title(self) -> str:
        return f"Sync from {self.source.url}"

    def _snapshot(self, repo: Repo, branch: str, commit: str) -> Commit:
        """A commit on `branch` that holds the files of `commit` there, and no others."""
        wanted = self.source.files(commit)
        head = self.store.resolve(repo, HEADS + branch)
        here = dict(self.store.trees.walk(head.tree))
        downloader = Downloader(self.store, self.source.token)
        contents = downloader.fetch(wanted, self._known(repo))
        self.done.files += downloader.files
        self.done.size += downloader.size
        return self.store.commit(
            repo,
            HEADS + branch,
            [
                *_removals(here, wanted),
                *(
                    AddFile(path, contents[path], file.sha256 is not None)
                    for path, file in wanted.items()
                    if not _same(here.get(path), file)
                ),
            ],
            title=self._title(),
            message=commit,
            author=OWNER,
        )

    def _known(self, repo: Repo) -> dict[str, File]:
        """Small files that are here already, by git id, so that they need not come again."""
        found = {}
        for oid in set(self.store.refs(repo).values()):
            tree = self.store.resolve(repo, oid).tree
            found |= {file.oid: file for _, file in self.store.trees.files(tree)}
        return found


def _same(entry: File | Folder | None, file: Wanted) -> bool:
    return isinstance(entry, File) and entry.etag == (file.sha256 or file.oid)


def _removals(here: dict[str, File | Folder], wanted: dict[str, Wanted]) -> Iterable[Operation]:
    """What has to go before the wanted files can come."""
    folders = [path for path, entry in here.items() if isinstance(entry, Folder) and path in wanted]
    for path in folders:  # a file takes the place of a whole folder
        yield DeleteFolder(path)
    for path, entry in here.items():
        gone = any(path.startswith(folder + "/") for folder in folders)
        if isinstance(entry, File) and path not in wanted and not gone:
            yield DeleteFile(path)
