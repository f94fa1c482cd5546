"""Who is asking, and what they may do. Tokens are kept as digests; their text is shown once."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass

from course_lib.hub import errors
from course_lib.hub.names import RepoId
from course_lib.hub.storage.database import Database
from course_lib.hub.storage.store import Repo, now

OWNER = "learner"  # the user whom the machine's own two tokens belong to
ROLES = ("read", "write", "student")
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # of codes that people type: no vowels, no words
LOGIN_SECONDS = 900
MAX_LOGINS = 1000  # waiting at once


@dataclass(frozen=True, slots=True)
class Identity:
    """A user with a role: `read` sees all, `write` changes all, `student` their own namespace."""

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

    def revoke(self, label: str, user: str | None = None) -> int:
        """Remove the tokens with this label (of one user or all); returns how many."""
        with self.database.write() as connection:
            query = "DELETE FROM tokens WHERE label = ? AND (? IS NULL OR user = ?)"
            return connection.execute(query, (label, user, user)).rowcount

    def find(self, token: str) -> Identity | None:
        """Whose token this is."""
        row = self.database.one("SELECT * FROM tokens WHERE digest = ?", _digest(token))
        return Identity(row["user"], row["role"], row["label"], row["created_at"]) if row else None

    def identify(self, authorization: str | None) -> Identity | None:
        """The bearer of an `Authorization` header; None without one; 401 if it is unknown."""
        if not authorization:
            return None
        scheme, _, token = authorization.partition(" ")
        identity = self.find(token.strip())
        if scheme.lower() != "bearer" or identity is None:
            # The client looks for these words.
            raise errors.unauthorized("Invalid credentials in Authorization header")
        return identity


def _digest(token: str) -> str:
    # Tokens are long and random, so a plain digest is enough.
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


@dataclass(slots=True)
class Login:
    """A device that waits for its user to approve it (OAuth device flow, RFC 8628)."""

    device_code: str  # the device's secret
    user_code: str  # what the user types
    deadline: float
    token: str | None = None  # once approved


class DeviceLogins:
    """Logins in progress. They live as long as the server, a quarter of an hour at most."""

    def __init__(self) -> None:
        self._waiting: dict[str, Login] = {}  # by device code, oldest first

    def begin(self) -> Login:
        self._drop_old()
        if len(self._waiting) >= MAX_LOGINS:
            del self._waiting[next(iter(self._waiting))]
        letters = [secrets.choice(LETTERS) for _ in range(8)]
        user_code = f"{''.join(letters[:4])}-{''.join(letters[4:])}"
        login = Login(secrets.token_urlsafe(32), user_code, time.monotonic() + LOGIN_SECONDS)
        self._waiting[login.device_code] = login
        return login

    def find(self, user_code: str) -> Login | None:
        """The login that waits under this code, however the user writes it."""
        self._drop_old()
        wanted = user_code.upper().replace("-", "").replace(" ", "")
        return next(
            (
                login
                for login in self._waiting.values()
                if login.user_code.replace("-", "") == wanted and login.token is None
            ),
            None,
        )

    def collect(self, device_code: str) -> Login | None:
        """The login of a device; handed over once when it is approved, None when it is gone."""
        self._drop_old()
        login = self._waiting.get(device_code)
        if login and login.token:
            del self._waiting[device_code]
        return login

    def _drop_old(self) -> None:
        moment = time.monotonic()
        for device_code in [
            code for code, login in self._waiting.items() if login.deadline < moment
        ]:
            del self._waiting[device_code]
