"""The metadata block at the top of a README (its "front matter")."""

from __future__ import annotations

import datetime
import math

import yaml

MAX_METADATA = 256_000


class CardError(ValueError):
    """The metadata block cannot be read; the text says why."""


class _Loader(yaml.SafeLoader):
    """Plain YAML without aliases: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: object, index: object) -> yaml.Node:
        if self.check_event(yaml.AliasEvent):
            raise CardError("YAML aliases (*name) are not accepted in a card's metadata.")
        return super().compose_node(parent, index)


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
        found = yaml.load(block, _Loader)
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # an impossible date is a ValueError
        raise CardError(
            f"The metadata block is not valid YAML: {' '.join(str(error).split())[:300]}"
        ) from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise CardError("The metadata block must be a mapping of names to values.")
    return _plain(found)


def _plain(value: object) -> object:
    """`value` with what JSON cannot hold written as text."""
    match value:
        case dict():
            return {str(name): _plain(item) for name, item in value.items()}
        case list() | tuple() | set():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
        case datetime.date() | bytes():
            return str(value)
    return value
