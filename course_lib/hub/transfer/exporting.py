"""`course hub export`: a repository's files as plain files."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from course_lib.hub.errors import HubError, bad_request
from course_lib.hub.names import KINDS, RepoId, parse_repo_id, shown
from course_lib.hub.progress import bar
from course_lib.hub.storage.objects import File
from course_lib.hub.storage.store import Commit, Repo, Store


def meant_by(text: str) -> list[RepoId]:
    """The ids that `ann/bert` or `datasets/ann/bert` may mean."""
    first, _, rest = text.partition("/")
    for kind in KINDS if rest else ():
        if first == kind + "s":
            return [parse_repo_id(kind, rest)]
    return [parse_repo_id(kind, text) for kind in KINDS]


def locate(store: Store, text: str) -> Repo:
    """The repository meant by `ann/bert`, or `datasets/ann/bert` where several share the name."""
    ids = meant_by(text)
    found = [repo for repo_id in ids if (repo := store.find_repo(repo_id))]
    if not found:
        kinds = " or ".join(repo_id.kind for repo_id in ids)
        raise HubError(404, f"This Hub has no {kinds} named {shown(ids[0].full)}.")
    if len(found) > 1:
        choices = " or ".join(f"{repo.id.plural}/{repo.id.full}" for repo in found)
        raise bad_request(f"{shown(text)} is more than one thing: say {choices}.")
    return found[0]


def export_repo(
    store: Store, repo: Repo, target: Path, revision: str = "main", overwrite: bool = False
) -> tuple[Commit, int, int]:
    """Write a revision's files into the folder `target`; returns commit, files and bytes.

    Every file is checked against its sha256 on the way, and appears under its name only when it
    is whole.
    """
    commit = store.resolve(repo, revision)
    files = dict(store.trees.files(commit.tree))
    if target.exists() and not target.is_dir():
        raise bad_request(f"{target} is a file: give a folder.")
    if target.is_dir() and any(target.iterdir()) and not overwrite:
        raise bad_request(f"The folder {target} is not empty: name a new one, or add --overwrite.")
    total = sum(file.size for file in files.values())
    target.mkdir(parents=True, exist_ok=True)
    if total > (free := shutil.disk_usage(target).free):
        raise bad_request(f"This needs {total:,} bytes, the disk of {target} has {free:,} left.")
    with bar("Exporting", total) as progress:
        for path, file in files.items():
            _write(store, file, target / path)
            progress.update(file.size)
    return commit, len(files), total


def _write(store: Store, file: File, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name[:200]}.part")
    digest = hashlib.sha256()
    try:
        with part.open("wb") as output:
            for piece in store.blobs.chunks(file.sha256):
                digest.update(piece)
                output.write(piece)
        if digest.hexdigest() != file.sha256:
            raise HubError(
                500, f"The Hub's content of {target.name} is damaged: run `course hub check`."
            )
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
