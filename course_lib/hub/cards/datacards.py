"""The card of a data set: which files are which split of which configuration."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from course_lib.hub.cards import front_matter as cards
from course_lib.hub.cards.splits import configurations, is_data
from course_lib.hub.errors import bad_request
from course_lib.hub.names import RepoId, shown

DEFAULT = "default"
_SPLIT = re.compile(r"\w+(?:\.\w+)*\Z", re.ASCII)
_CONFIG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}\Z")


def check_config(name: str) -> str:
    if not _CONFIG.match(name) or ".." in name or name == "data":
        raise bad_request(
            f"Configuration {shown(name)} is not valid: use letters, digits, '.', '_' and '-', "
            "and another word than 'data'."
        )
    return name


def check_split(name: str) -> str:
    if not _SPLIT.match(name):
        raise bad_request(
            f"Split {shown(name)} is not valid: use letters, digits and '_', such as train or test."
        )
    return name


def split_of(path: str) -> str:
    """The split that a file's name tells: `test` for `my-test.csv`, `train` if it tells none."""
    (found,) = configurations({}, [path]).values()
    return next(iter(found))


def folder(config: str) -> str:
    """Where the files of a configuration lie, as in what `Dataset.push_to_hub` writes."""
    return "data" if config == DEFAULT else config


def shards(paths: Iterable[str], config: str, splits: Iterable[str]) -> set[str]:
    """Those of `paths` that an earlier import, or `push_to_hub`, wrote for these splits."""
    names = "|".join(map(re.escape, splits))
    pattern = re.compile(rf"{re.escape(folder(config))}/(?:{names})-\d{{5}}-of-\d{{5}}\.parquet\Z")
    return {path for path in paths if pattern.match(path)}


def merged(
    repo_id: RepoId, text: str | None, paths: list[str], config: str, splits: list[str]
) -> str:
    """The README `text` with `splits` of `config` in its metadata, and all else as it was.

    `paths` are the files that the repository has so far. Raises a 400 where the new split could
    not be loaded together with what is there.
    """
    try:
        card = cards.metadata(text or "")
    except cards.CardError as error:
        raise bad_request(f"The card of {repo_id.full} cannot be changed: {error}") from error
    known = configurations(card, paths)
    declared = card.get("configs")
    if not declared and any(map(is_data, paths)):
        files = ", ".join([path for path in paths if is_data(path)][:3])
        raise bad_request(
            f"{repo_id.full} was imported as a folder, and its card does not say which file is "
            f"which split ({files}): import the whole folder again, or use another id."
        )
    entries = declared if isinstance(declared, list) else []
    entry = next((item for item in entries if _name(item) == config), None)
    if entry is None:
        entry = {"config_name": config, "data_files": []}
        entries.append(entry)
    for split, files in known.get(config, {}).items():
        other = next((path for path in files if not path.endswith(".parquet")), None)
        if split not in splits and other:
            raise bad_request(
                f"Split {split} of {config} is {other}, and one configuration holds one format: "
                "import all its splits again, or name another --config."
            )
    kept = [item for item in _data_files(entry.get("data_files")) if item["split"] not in splits]
    new = [{"split": split, "path": f"{folder(config)}/{split}-*"} for split in splits]
    entry["data_files"] = kept + new
    card["configs"] = entries
    _forget_info(card, config)
    body = cards.split(text)[1] if text else f"\n# {repo_id.name}\n"
    return f"---\n{_dump(card)}---\n{body}"


def _name(entry: object) -> str:
    return str(entry.get("config_name", DEFAULT)) if isinstance(entry, dict) else ""


def _data_files(value: object) -> list[dict]:
    """`data_files` in its long form, a list of `{split, path}`."""
    match value:
        case dict():
            return [{"split": str(split), "path": path} for split, path in value.items()]
        case list() if all(isinstance(item, dict) for item in value):
            return [{"split": "train", **item} for item in value]
        case None:
            return []
    return [{"split": "train", "path": value}]


def _forget_info(card: dict, config: str) -> None:
    """Drop the recorded sizes of a configuration: `load_dataset` would hold new files to them."""
    infos = card.get("dataset_info")
    rest = [info for info in _as_list(infos) if _name(info) != config]
    if infos is not None and rest:
        card["dataset_info"] = rest
    else:
        card.pop("dataset_info", None)


def _as_list(value: object) -> Collection:
    return value if isinstance(value, list) else [value] if isinstance(value, dict) else []


def _dump(card: dict) -> str:
    import yaml

    return yaml.safe_dump(card, sort_keys=False, allow_unicode=True)
