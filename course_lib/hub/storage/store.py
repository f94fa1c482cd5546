"""The Hub's memory: repositories with refs, commits and files. Every change is one transaction."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable

from course_lib.hub import errors
from course_lib.hub.cards.describe import describe
from course_lib.hub.names import RepoId, check_path, check_ref, plain_text, shown
from course_lib.hub.storage.objects import Blob, File, Folder, blob_oid, commit_oid, large_file
from course_lib.hub.storage.reading import Reader
from course_lib.hub.storage.records import (
    GITATTRIBUTES,
    LARGE_SIZE,
    MAIN,
    AddFile,
    Commit,
    CopyFile,
    DeleteFile,
    DeleteFolder,
    Operation,
    Repo,
    now,
)
from course_lib.hub.storage.trees import TreeEditor

__all__ = [  # a store and what is said to it come from one place
    "GITATTRIBUTES", "LARGE_SIZE", "MAIN", "AddFile", "Commit", "CopyFile", "DeleteFile",
    "DeleteFolder", "Operation", "Repo", "Store", "now",
]  # fmt: skip


class Store(Reader):
    """A Hub's data directory, for changes too. Safe for several threads and processes."""

    # -- repositories ----------------------------------------------------------------------------

    def create_repo(
        self,
        repo: RepoId,
        *,
        author: str,
        private: bool = False,
        sdk: str | None = None,
        created_at: int | None = None,
    ) -> Repo:
        """A new repository; 409 if the id is taken.

        Its branch `main` has a first commit that holds `.gitattributes`.
        """
        moment = created_at or now()
        attributes = self._file(self.blobs.put(GITATTRIBUTES), large=False)
        with self.database.write() as connection:
            if self._find(repo):
                raise errors.conflict(f"You already created this {repo.kind} repo: {repo.full}.")
            connection.execute(
                "DELETE FROM aliases WHERE kind = ? AND full_name = ?", (repo.kind, repo.full)
            )
            connection.execute(
                "INSERT INTO repos (kind, namespace, name, private, sdk, author, created_at, "
                "updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*repo, int(private), sdk, author, moment, moment),
            )
            row = self._find(repo)
            editor = TreeEditor(self.trees, None)
            editor.put(".gitattributes", attributes)
            self._append(
                connection,
                row,
                MAIN,
                None,
                editor.save(connection),
                "initial commit",
                "",
                author,
                moment,
            )
        return self.repo(repo)

    def delete_repo(self, repo: RepoId) -> None:
        with self.database.write() as connection:
            if not (found := self._find(repo)):
                raise errors.repo_not_found(repo.full)
            connection.execute("DELETE FROM repos WHERE id = ?", (found.key,))

    def move_repo(self, source: RepoId, target: RepoId) -> Repo:
        """Rename; the old id goes on as an alias."""
        with self.database.write() as connection:
            if not (found := self._find(source)):
                raise errors.repo_not_found(source.full)
            if source.kind != target.kind:
                raise errors.bad_request(f"A {source.kind} cannot become a {target.kind}.")
            if self._find(target):
                raise errors.conflict(f"There is already a {target.kind} repo named {target.full}.")
            connection.execute(
                "UPDATE repos SET namespace = ?, name = ? WHERE id = ?",
                (target.namespace, target.name, found.key),
            )
            connection.execute(
                "DELETE FROM aliases WHERE kind = ? AND full_name = ?", (target.kind, target.full)
            )
            connection.execute(
                "INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)",
                (source.kind, source.full, found.key),
            )
        return self.repo(target)

    def add_alias(self, repo: RepoId, alias: RepoId) -> None:
        with self.database.write() as connection:
            key = self.repo(repo).key
            connection.execute(
                "INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)", (alias.kind, alias.full, key)
            )

    def update_repo(
        self, repo: RepoId, *, private: bool | None = None, gated: str | None = None
    ) -> Repo:
        with self.database.write() as connection:
            found = self.repo(repo)
            connection.execute(
                "UPDATE repos SET private = ?, gated = ? WHERE id = ?",
                (
                    int(found.private if private is None else private),
                    found.gated if gated is None else gated,
                    found.key,
                ),
            )
        return self.repo(found.id)

    # -- refs ------------------------------------------------------------------------------------

    def create_branch(self, repo: Repo, name: str, start: str | None = None) -> None:
        self._create_ref(
            repo, "refs/heads/" + check_ref(name), start or "main", f"Branch {name} already exists."
        )

    def create_tag(self, repo: Repo, name: str, revision: str = "main") -> None:
        self._create_ref(
            repo, "refs/tags/" + check_ref(name), revision, f"Tag {name} already exists."
        )

    def _create_ref(self, repo: Repo, name: str, revision: str, taken: str) -> None:
        with self.database.write() as connection:
            oid = self.resolve(repo, revision).oid
            if name in self.refs(repo):
                raise errors.conflict(taken)
            connection.execute("INSERT INTO refs VALUES (?, ?, ?)", (repo.key, name, oid))

    def delete_ref(self, repo: Repo, name: str) -> None:
        """Remove `refs/heads/…` or `refs/tags/…`; the commits stay reachable by their ids."""
        if name == MAIN:
            raise errors.bad_request("Branch main cannot be deleted.")
        with self.database.write() as connection:
            if not connection.execute(
                "DELETE FROM refs WHERE repo = ? AND name = ?", (repo.key, name)
            ).rowcount:
                raise errors.revision_not_found(repo.id.full, name)

    def create_pull(self, repo: Repo, title: str, description: str, author: str) -> int:
        """A pull request: a number and the ref `refs/pr/{number}`, which starts at `main`."""
        with self.database.write() as connection:
            query = "SELECT coalesce(max(number), 0) + 1 AS next FROM pulls WHERE repo = ?"
            number = connection.execute(query, (repo.key,)).fetchone()["next"]
            connection.execute(
                "INSERT INTO pulls VALUES (?, ?, ?, ?, ?, ?)",
                (repo.key, number, plain_text(title), plain_text(description), author, now()),
            )
            head = self.resolve(repo, MAIN).oid
            connection.execute(
                "INSERT INTO refs VALUES (?, ?, ?)", (repo.key, f"refs/pr/{number}", head)
            )
        return number

    # -- commits ---------------------------------------------------------------------------------

    def commit(
        self,
        repo: Repo,
        revision: str,
        operations: Iterable[Operation],
        *,
        title: str,
        message: str = "",
        author: str,
        parent: str | None = None,
        created_at: int | None = None,
    ) -> Commit:
        """Apply `operations` in order to a branch or pull request, all or none.

        Blobs must be stored before. With `parent` (a commit id or a prefix), the head must be that
        commit, else 412. A request repeated by a client that missed the answer changes nothing and
        gets the same commit again.
        """
        operations = list(operations)
        request = _digest(operations, title, message, parent) if parent else None
        changes = [self._change(operation) for operation in operations]  # before the lock is taken
        with self.database.write() as connection:
            ref, head, editor = self._edit(repo, revision, changes, parent, request)
            folder = editor.save(connection) if editor else None
            if folder is None or folder.key == head.tree:
                return head
            self._check_stored(changes)
            moment = max(created_at or now(), head.created_at)
            oid = self._append(
                connection, repo, ref, head.oid, folder, title, message, author, moment, request
            )
        return self.resolve(repo, oid)

    def rehearse(
        self,
        repo: Repo,
        revision: str,
        operations: Iterable[Operation],
        *,
        title: str,
        message: str = "",
        parent: str | None = None,
    ) -> None:
        """Raise what `commit` would raise, and store nothing: the blobs need not be there yet."""
        operations = list(operations)
        request = _digest(operations, title, message, parent) if parent else None
        changes = [self._change(operation, rehearsal=True) for operation in operations]
        self._edit(repo, revision, changes, parent, request)

    def _change(
        self, operation: Operation, rehearsal: bool = False
    ) -> Operation | tuple[str, File]:
        """An operation with its path checked; an addition as its path and the file with its id."""
        is_folder = isinstance(operation, DeleteFolder)
        check_path(operation.path.rstrip("/") if is_folder else operation.path)
        if not isinstance(operation, AddFile):
            return operation
        if rehearsal:
            return operation.path, File("", *operation.blob, operation.large)
        return operation.path, self._file(operation.blob, operation.large)

    def _check_stored(self, changes: list[Operation | tuple[str, File]]) -> None:
        """`course hub gc` holds this lock while it removes blobs: what is there now will stay."""
        for change in changes:
            if isinstance(change, tuple) and not self.blobs.path(change[1].sha256).exists():
                raise errors.bad_request(
                    f"The content of {shown(change[0])} is no longer stored: upload it again."
                )

    def _edit(
        self,
        repo: Repo,
        revision: str,
        changes: list[Operation | tuple[str, File]],
        parent: str | None,
        request: str | None,
    ) -> tuple[str, Commit, TreeEditor | None]:
        """The ref that `revision` means, its head, and the head's tree with `changes` made.

        The tree is None if the request is a repeat: the head has the changes already.
        """
        ref = self.ref_name(repo, revision)
        if ref is None or ref.startswith("refs/tags/"):
            raise errors.revision_not_found(repo.id.full, revision)
        head = self.resolve(repo, ref)
        if parent and not head.oid.startswith(parent):
            if self._is_repeat(repo, head, request):
                return ref, head, None
            raise errors.precondition_failed(
                f"The branch has moved: its head is {head.oid[:8]}, your change was made on "
                f"{shown(parent[:8])}. Fetch the newest state and try again."
            )
        editor = TreeEditor(self.trees, head.tree)
        for change in changes:
            self._apply(editor, repo, change)
        return ref, head, editor

    def _apply(self, editor: TreeEditor, repo: Repo, change: Operation | tuple[str, File]) -> None:
        match change:
            case (path, file):
                editor.put(path, file)
            case DeleteFile(path):
                editor.delete(path)
            case DeleteFolder(path):
                editor.delete(path.rstrip("/"), folder=True)
            case CopyFile(path, source, revision):
                tree = self.resolve(repo, revision).tree if revision else None
                file = self.trees.find(tree, source) if tree else editor.find(source)
                if not isinstance(file, File):
                    raise errors.bad_request(
                        f"Cannot copy {shown(source)}: a file with this name doesn't exist."
                    )
                editor.put(path, file)

    def _file(self, blob: Blob, large: bool) -> File:
        if large:
            return large_file(blob)
        return File(
            blob_oid(blob.size, self.blobs.chunks(blob.sha256)), blob.sha256, blob.size, False
        )

    def _is_repeat(self, repo: Repo, head: Commit, request: str | None) -> bool:
        row = self.database.one(
            "SELECT request FROM commits WHERE repo = ? AND oid = ?", repo.key, head.oid
        )
        return request is not None and row["request"] == request

    def _append(
        self,
        connection: sqlite3.Connection,
        repo: Repo,
        ref: str,
        parent: str | None,
        folder: Folder,
        title: str,
        message: str,
        author: str,
        moment: int,
        request: str | None = None,
    ) -> str:
        """Write a commit and move the ref to it (inside the caller's transaction)."""
        title, message = plain_text(title), plain_text(message)
        text = f"{title}\n\n{message}" if message else title
        oid = commit_oid(folder.oid, parent, author, moment // 1000, text)
        connection.execute(
            "INSERT OR IGNORE INTO commits VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (repo.key, oid, parent, folder.key, title, message, author, moment, request),
        )
        connection.execute("INSERT OR REPLACE INTO refs VALUES (?, ?, ?)", (repo.key, ref, oid))
        if ref == MAIN:
            summary = describe(repo.id.kind, lambda path: self._small_text(folder, path))
            connection.execute(
                "UPDATE repos SET updated_at = ?, summary = ? WHERE id = ?",
                (moment, json.dumps(summary), repo.key),
            )
        return oid

    def _small_text(self, folder: Folder, path: str, limit: int = 1_000_000) -> str | None:
        file = self.trees.find(folder.key, path)
        if not isinstance(file, File) or file.size > limit:
            return None
        return self.blobs.read(file.sha256).decode("utf-8", errors="replace")


def _digest(*request: object) -> str:
    return hashlib.sha256(repr(request).encode()).hexdigest()
