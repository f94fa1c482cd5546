"""Which files of a data set are which split of which configuration, as for `load_dataset`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from course_lib.hub.storage.gitpatterns import Pattern

DATA_ENDINGS = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json")
MAX_CONFIGS = 200
_SPLITS = {
    "train": r"train(ing)?",
    "validation": r"validation|valid|val|dev",
    "test": r"test(ing)?|eval(uation)?",
}
_IN_NAME = {
    split: re.compile(rf"(?:^|[^a-z])(?:{words})(?:[^a-z]|$)", re.I)
    for split, words in _SPLITS.items()
}

Splits = dict[str, list[str]]  # the files of each split, in order


def is_data(path: str) -> bool:
    return path.lower().removesuffix(".gz").endswith(DATA_ENDINGS)


def configurations(card: dict, paths: Iterable[str]) -> dict[str, Splits]:
    """The configurations that the card declares, or a `default` one guessed from file names."""
    files = sorted(path for path in paths if is_data(path))
    declared = card.get("configs")
    found = {}
    for entry in declared[:MAX_CONFIGS] if isinstance(declared, list) else []:
        if isinstance(entry, dict) and "data_files" in entry:
            name = str(entry.get("config_name", "default"))
            if splits := _declared(entry["data_files"], files):
                found[name] = splits
    if not found and (splits := _guessed(files)):
        found["default"] = splits
    return found


def _declared(data_files: object, files: list[str]) -> Splits:
    """`data_files` is a pattern, several, a mapping from splits, or a list of `{split, path}`."""
    match data_files:
        case dict():
            pairs = list(data_files.items())
        case list() if all(isinstance(item, dict) for item in data_files):
            pairs = [(item.get("split", "train"), item.get("path")) for item in data_files]
        case _:
            pairs = [("train", data_files)]
    splits = {str(split): _matching(globs, files) for split, globs in pairs}
    return {split: matched for split, matched in splits.items() if matched}


def _matching(globs: object, files: list[str]) -> list[str]:
    wanted = globs if isinstance(globs, list) else [globs]
    patterns = [Pattern("/" + text) for text in wanted if isinstance(text, str) and text]
    return [path for path in files if any(p.matches(path.split("/")) for p in patterns)]


def _guessed(files: list[str]) -> Splits:
    splits: Splits = {}
    for path in files:
        named = (split for split, words in _IN_NAME.items() if words.search(path))
        splits.setdefault(next(named, "train"), []).append(path)
    return {split: splits[split] for split in _SPLITS if split in splits}
