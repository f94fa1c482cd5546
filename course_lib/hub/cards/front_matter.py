"""The metadata block at the top of a README (its "front matter")."""

from __future__ import annotations

import datetime
import math

import yaml

from course_lib.hub.names import plain_text

MAX_METADATA = 256_000
MAX_DEPTH = 50
MAX_PARTS = 60_000  # values, and beginnings and ends of lists; half a second's work
# The parser in C is six times as fast; not every platform has it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class CardError(ValueError):
    """The metadata block cannot be read; the text says why."""


def split(text: str) -> tuple[str, str]:
    """The metadata block and the rest of a README."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if not text.startswith("---\n"):
        return "", text
    block, mark, body = text[4:].partition("\n---")
    if not mark or (body and body[0] not in "\n -"):
        return "", text
    return block, body.partition("\n")[2]


def metadata(text: str) -> dict:
    """The metadata of a README as a dict of plain JSON values; raises `CardError`."""
    block, _ = split(text)
    if len(block) > MAX_METADATA:
        raise CardError(
            f"The metadata block is {len(block):,} characters long; {MAX_METADATA:,} are the limit."
        )
    try:
        _check_shape(block)
        found = yaml.load(block, _LOADER)
    except CardError:
        raise
    except (yaml.YAMLError, ValueError) as error:  # an impossible date is a ValueError
        raise CardError(
            f"The metadata block is not valid YAML: {' '.join(str(error).split())[:300]}"
        ) from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise CardError("The metadata block must be a mapping of names to values.")
    return plain(found)


def _check_shape(block: str) -> None:
    """Refuse what is small as text and large as a value, before any value is made."""
    depth = 0
    for number, event in enumerate(yaml.parse(block, _LOADER)):
        if number > MAX_PARTS:
            raise CardError(f"The metadata block has over {MAX_PARTS:,} parts.")
        match event:
            case yaml.AliasEvent():  # a few lines of them can stand for gigabytes
                raise CardError("YAML aliases (*name) are not accepted in a card's metadata.")
            case yaml.CollectionStartEvent():
                depth += 1
                if depth > MAX_DEPTH:
                    raise CardError(f"The metadata block is nested over {MAX_DEPTH} levels deep.")
            case yaml.CollectionEndEvent():
                depth -= 1


def plain(value: object) -> object:
    """`value` with what JSON or UTF-8 cannot hold written as text."""
    match value:
        case dict():
            return {plain_text(str(name)): plain(item) for name, item in value.items()}
        case list() | tuple() | set():
            return [plain(item) for item in value]
        case str():
            return plain_text(value)
        case float() if not math.isfinite(value):
            return str(value)
        case int() if value.bit_length() > 64:
            return hex(value)
        case datetime.date() | bytes():
            return str(value)
    return value
