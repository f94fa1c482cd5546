"""Who is asking, and what they may do. Tokens are kept as digests; their text is shown once."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from course_lib.hub import errors
from course_lib.hub.database import Database
from course_lib.hub.names import RepoId
from course_lib.hub.store import Repo, now

OWNER = "learner"  # the user whom the machine's own two tokens belong to
ROLES = ("read", "write", "student")


@dataclass(frozen=True, slots=True)
class Identity:
    """A user with one of the roles `read` (sees all), `write` (may change all) and `student` (their namespace only)."""

    user: str
    role: str
    label: str = "course"
    created_at: int = 0

    def may_write(self, repo: RepoId) -> bool:
        return self.role == "write" or (self.role == "student" and repo.namespace == self.user)

    def may_read(self, repo: Repo) -> bool:
        return self.role in ("read", "write") or repo.id.namespace == self.user


class Tokens:
    """The table of tokens."""

    def __init__(self, database: Database):
        self.database = database

    def create(self, user: str, role: str, label: str) -> str:
        """A new token; its text cannot be had again."""
        if role not in ROLES:
            raise ValueError(f"role is {role!r}, must be one of {', '.join(ROLES)}")
        token = f"course_{role[0]}_{secrets.token_urlsafe(24)}"
        with self.database.write() as connection:
            connection.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?)",
                (_digest(token), user, role, label, now()),
            )
        return token

    def revoke(self, label: str) -> int:
        """Remove the tokens with this label; returns how many."""
        with self.database.write() as connection:
            return connection.execute("DELETE FROM tokens WHERE label = ?", (label,)).rowcount

    def identify(self, authorization: str | None) -> Identity | None:
        """The bearer of an `Authorization` header; None without one; 401 if it is unknown."""
        if not authorization:
            return None
        scheme, _, token = authorization.partition(" ")
        digest = _digest(token.strip())
        row = self.database.one("SELECT * FROM tokens WHERE digest = ?", digest)
        if scheme.lower() != "bearer" or row is None:
            raise errors.unauthorized("Invalid credentials in Authorization header")
        return Identity(row["user"], row["role"], row["label"], row["created_at"])


def _digest(token: str) -> str:
    # Tokens are long and random, so a plain digest is enough.
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
