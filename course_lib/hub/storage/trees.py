"""Folders, each stored once under a digest of its entries: commits share what stays the same."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from sqlite3 import Connection

from course_lib.hub.errors import bad_request
from course_lib.hub.names import shown
from course_lib.hub.storage.database import Database
from course_lib.hub.storage.objects import Entry, File, Folder, dump_tree, load_tree, tree_oid

CACHED_FOLDERS = 512


class DamagedError(RuntimeError):
    """The database lacks what it refers to."""


class Trees:
    """Reads folders by key. They never change, so recent ones are kept in memory."""

    def __init__(self, database: Database):
        self.database = database
        self._cache: OrderedDict[str, dict[str, Entry]] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, key: str) -> dict[str, Entry]:
        """The entries of a folder by name; do not change the answer."""
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        row = self.database.one("SELECT data FROM trees WHERE key = ?", key)
        if row is None:
            raise DamagedError(
                f"Folder {key[:12]} is missing from the database: run `course hub check`."
            )
        entries = load_tree(row["data"])
        with self._lock:
            self._cache[key] = entries
            while len(self._cache) > CACHED_FOLDERS:
                self._cache.popitem(last=False)
        return entries

    def save(self, entries: dict[str, Entry], connection: Connection) -> Folder:
        """Store a folder (inside the caller's transaction)."""
        data = dump_tree(entries)
        key = hashlib.sha256(data).hexdigest()
        connection.execute("INSERT OR IGNORE INTO trees VALUES (?, ?)", (key, data))
        return Folder(tree_oid(entries), key)

    def find(self, root: str, path: str) -> Entry | None:
        """What lies at `path` under the folder with key `root`; the empty path is that folder."""
        if not path:
            return Folder(tree_oid(self.load(root)), root)
        *folders, name = path.split("/")
        for part in folders:
            entry = self.load(root).get(part)
            if not isinstance(entry, Folder):
                return None
            root = entry.key
        return self.load(root).get(name)

    def walk(
        self, root: str, path: str = "", recursive: bool = True
    ) -> Iterator[tuple[str, Entry]]:
        """`(path, entry)` for all below `path`, in order of name, a folder before what it holds."""
        start = self.find(root, path)
        if not isinstance(start, Folder):
            return
        for name, entry in sorted(self.load(start.key).items()):
            full = f"{path}/{name}" if path else name
            yield full, entry
            if recursive and isinstance(entry, Folder):
                yield from self.walk(root, full)

    def files(self, root: str) -> Iterator[tuple[str, File]]:
        for path, entry in self.walk(root):
            if isinstance(entry, File):
                yield path, entry


class TreeEditor:
    """Changes to one tree, held in memory until `save`; only folders on changed paths are read."""

    def __init__(self, trees: Trees, root: str | None):
        self.trees = trees
        self._root = _Node(trees.load(root) if root else {})

    def find(self, path: str) -> Entry | None:
        """What is at `path` after the changes so far (for a changed folder an empty stand-in)."""
        *folders, name = path.split("/")
        node = self._root
        for part in folders:
            if (node := self._open(node, part)) is None:
                return None
        if (changed := node.open.get(name)) and not changed.is_empty():
            return Folder("", "")
        return node.entries.get(name)

    def put(self, path: str, file: File) -> None:
        *folders, name = path.split("/")
        node = self._root
        for depth, part in enumerate(folders):
            if isinstance(node.entries.get(part), File):
                raise bad_request(
                    f"Cannot add {shown(path)}: {shown('/'.join(folders[: depth + 1]))} is a file."
                )
            node = self._open(node, part) or node.open.setdefault(part, _Node({}))
        if (changed := node.open.get(name)) and changed.is_empty():
            del node.open[name]  # its last file was deleted: the name is free
        if name in node.open or isinstance(node.entries.get(name), Folder):
            raise bad_request(f"Cannot add {shown(path)}: it is a folder.")
        node.entries[name] = file

    def delete(self, path: str, folder: bool = False) -> None:
        """Remove a file, or with `folder` everything below `path`; a missing one is a 400."""
        found = self.find(path)
        if found is None or isinstance(found, Folder) != folder:
            # The client looks for these words.
            raise bad_request(
                f"A {'folder' if folder else 'file'} with this name doesn't exist: {shown(path)}"
            )
        *folders, name = path.split("/")
        node = self._root
        for part in folders:
            node = self._open(node, part)
        node.entries.pop(name, None)
        node.open.pop(name, None)

    def save(self, connection: Connection) -> Folder:
        return self._save(self._root, connection)

    def _open(self, node: _Node, name: str) -> _Node | None:
        """The folder `name` of `node`, ready for changes."""
        if name not in node.open:
            if not isinstance(entry := node.entries.get(name), Folder):
                return None
            node.open[name] = _Node(self.trees.load(entry.key))
            del node.entries[name]
        return node.open[name]

    def _save(self, node: _Node, connection: Connection) -> Folder:
        entries = dict(node.entries)
        for name, child in node.open.items():
            if not child.is_empty():  # git keeps no empty folders
                entries[name] = self._save(child, connection)
        return self.trees.save(entries, connection)


class _Node:
    """A folder being changed: entries as they are, and the folders opened for a change."""

    __slots__ = ("entries", "open")

    def __init__(self, entries: dict[str, Entry]):
        self.entries = dict(entries)
        self.open: dict[str, _Node] = {}

    def is_empty(self) -> bool:
        return not self.entries and all(child.is_empty() for child in self.open.values())
