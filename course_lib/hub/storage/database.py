"""The Hub's SQLite database: repositories, refs, commits, folders, tokens. One writer at a time."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS repos (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    private INTEGER NOT NULL, sdk TEXT, gated TEXT, author TEXT NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,  -- milliseconds
    summary TEXT NOT NULL DEFAULT '{}',          -- what lists show, from card and config of `main`
    UNIQUE (kind, namespace, name)
);
CREATE TABLE IF NOT EXISTS aliases (
    kind TEXT NOT NULL, full_name TEXT NOT NULL,
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    PRIMARY KEY (kind, full_name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commits (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    oid TEXT NOT NULL, parent TEXT, tree TEXT NOT NULL,
    title TEXT NOT NULL, message TEXT NOT NULL, author TEXT NOT NULL, created_at INTEGER NOT NULL,
    request TEXT,                                -- digest of the request, to recognise a repeat
    PRIMARY KEY (repo, oid)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refs (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    name TEXT NOT NULL, oid TEXT NOT NULL,
    PRIMARY KEY (repo, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pulls (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    number INTEGER NOT NULL, title TEXT NOT NULL, description TEXT NOT NULL, author TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (repo, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trees (key TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens (
    digest TEXT PRIMARY KEY, user TEXT NOT NULL, role TEXT NOT NULL, label TEXT NOT NULL,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
"""
VERSION = "1"


class Database:
    """Connections to `hub.db`, one for each thread."""

    def __init__(self, path: Path):
        self.path = path
        self._local = threading.local()
        self._writing = threading.Lock()
        with self.write() as connection:
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('version', ?)", (VERSION,))
            connection.execute(
                "INSERT OR IGNORE INTO meta VALUES ('instance', ?)", (secrets.token_hex(8),)
            )
            connection.execute(
                "INSERT OR IGNORE INTO meta VALUES ('secret', ?)", (secrets.token_hex(32),)
            )
        if (found := self.meta("version")) != VERSION:
            raise RuntimeError(
                f"{path} has format {found}, this version reads {VERSION}: "
                "use the course_lib that wrote it."
            )

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection; reads may use it directly."""
        if not hasattr(self._local, "connection"):
            connection = sqlite3.connect(
                self.path, timeout=60, isolation_level=None, cached_statements=256
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            # An acknowledged commit survives a power cut too.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._local.connection = connection
        return self._local.connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it or nothing, after every other one."""
        connection = self.connection
        with self._writing:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk has rolled it back already
                    connection.execute("ROLLBACK")
                raise

    def one(self, query: str, *values: object) -> sqlite3.Row | None:
        return self.connection.execute(query, values).fetchone()

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        return self.connection.execute(query, values).fetchall()

    def meta(self, key: str) -> str | None:
        row = self.one("SELECT value FROM meta WHERE key = ?", key)
        return row["value"] if row else None

    def set_meta(self, key: str, value: str) -> None:
        with self.write() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
