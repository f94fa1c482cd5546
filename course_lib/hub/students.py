"""A classroom's list: each student gets a token that writes in their own namespace only."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from pathlib import Path

from course_lib.hub.auth import OWNER, Tokens
from course_lib.hub.names import RESERVED_FIRST

LABEL = "student"
FIELDS = ("name", "user", "token")


class StudentsError(ValueError):
    """The list cannot be used; the text says why."""


def enroll(tokens: Tokens, names: Path, target: Path) -> int:
    """Give every name in `names` a token and write them all to `target`; returns how many.

    `names` is a CSV with a column `name`, or whose first column has the names. Students who were
    on the list before keep their tokens; the tokens of those who left it end.
    """
    users = _users(_read_names(names))
    known = {row["user"]: row["token"] for row in _read(target)}
    rows = []
    for user, name in users.items():
        token = known.get(user)
        if token is None or tokens.find(token) is None:
            token = tokens.create(user, "student", LABEL)
        rows.append({"name": name, "user": user, "token": token})
    for user in known.keys() - users.keys():
        tokens.revoke(LABEL, user)
    _write(target, rows)
    return len(rows)


def user_name(name: str) -> str:
    """A user's name as it may stand in an id: `Zoë von Braun` is `zoe-von-braun`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-")


def _read_names(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StudentsError(f"The list of students {path} cannot be read: {error}") from error
    rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = header.index("name") if "name" in header else 0
    names = [row[column].strip() for row in rows["name" in header :] if len(row) > column]
    if not any(names):
        raise StudentsError(f"The list of students {path} has no names in it.")
    return [name for name in names if name]


def _users(names: list[str]) -> dict[str, str]:
    users: dict[str, str] = {}
    for name in names:
        user = user_name(name)
        if not user:
            raise StudentsError(f"No user name can be made from {name!r}: use Latin letters.")
        if user == OWNER or user in RESERVED_FIRST:
            raise StudentsError(f"{name!r} would be the user {user!r}, which is taken.")
        if user in users:
            other = users[user]
            raise StudentsError(f"{name!r} and {other!r} would both be the user {user!r}.")
        users[user] = name
    return users


def _read(target: Path) -> list[dict[str, str]]:
    if not target.exists():
        return []
    with target.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(target: Path, rows: list[dict[str, str]]) -> None:
    temporary = target.with_name(f".{target.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, target)
