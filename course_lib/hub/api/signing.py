"""Signatures for what the Hub hands out and takes back but does not keep: upload links, tokens."""

from __future__ import annotations

import hashlib
import hmac
import json

from course_lib.hub.storage.database import Database


def sign(database: Database, *parts: str | int) -> str:
    """An unguessable text that only this Hub can make for `parts`."""
    # JSON keeps ("ab", "c") and ("a", "bc") apart.
    message = json.dumps(parts).encode()
    return hmac.new(database.meta("secret").encode(), message, hashlib.sha256).hexdigest()


def is_signed(database: Database, signature: str, *parts: str | int) -> bool:
    """Whether `signature` was made here for `parts`; a near miss takes as long as a far one."""
    expected = sign(database, *parts)
    return hmac.compare_digest(signature.encode(errors="replace"), expected.encode())
