"""`course hub import`: files of this machine as a model, a data set or a metric.

This works on the data directory itself, whether a server runs on it or not: a running server sees
the commit at once, since every change is one transaction of the database that both use.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from course_lib.hub.application import take_over
from course_lib.hub.auth import OWNER
from course_lib.hub.cards import datacards
from course_lib.hub.cards.splits import configurations, is_data
from course_lib.hub.errors import bad_request
from course_lib.hub.names import RepoId, check_path, parse_repo_id
from course_lib.hub.progress import bar
from course_lib.hub.storage.blobs import CHUNK
from course_lib.hub.storage.gitpatterns import Attributes
from course_lib.hub.storage.objects import File
from course_lib.hub.storage.store import (
    GITATTRIBUTES,
    LARGE_SIZE,
    AddFile,
    DeleteFile,
    Operation,
    Repo,
    Store,
)
from course_lib.hub.streams import check_space
from course_lib.hub.transfer import scripts, tables

# What tools leave in folders and nobody wants in a repository.
LITTER = frozenset(".git .cache .ipynb_checkpoints __pycache__ .DS_Store Thumbs.db".split())
METRICS = "evaluate-metric"  # the namespace of metrics that have a name of one part

Content = Path | bytes | memoryview


@dataclass
class Imported:
    """What an import did."""

    repo: RepoId
    commit: str
    files: int = 0
    size: int = 0  # bytes
    splits: dict[str, list[str]] = field(default_factory=dict)  # of a data set, by configuration
    notes: list[str] = field(default_factory=list)


def import_repo(
    store: Store,
    kind: str,
    name: str,
    paths: Sequence[Path],
    config: str | None = None,
    split: str | None = None,
) -> Imported:
    """Bring files into the model, data set or metric `name`, which is made if it is not there.

    Files of the same name are replaced, others stay; all of it is one commit, or nothing. A data
    set given as one folder keeps its files as they are. Given as files, or with `config` or
    `split`, they become Parquet, and the card says which split is which.
    """
    for path in paths:
        if not path.exists():
            raise bad_request(f"There is no file or folder {path}.")
    if kind != "dataset" and (config or split):
        raise bad_request(
            f"A {kind} has neither configurations nor splits: they are for data sets."
        )
    if kind == "model":
        return _import_model(store, parse_repo_id("model", name), paths)
    if kind == "metric":
        return _import_metric(store, name, paths)
    repo_id = parse_repo_id("dataset", name)
    if not repo_id.namespace:
        raise bad_request(
            f"A data set's id needs an owner, such as {OWNER}/{name}: `load_dataset` asks for it."
        )
    if len(paths) == 1 and paths[0].is_dir() and not (config or split):
        return _import_folder(store, repo_id, paths[0])
    return _import_tables(store, repo_id, paths, config or "default", split)


# -- models and folders ----------------------------------------------------------------------------


def _import_model(store: Store, repo_id: RepoId, paths: Sequence[Path]) -> Imported:
    files = _gather(paths)
    done = _put(store, repo_id, files, f"Import {_names(paths)}")
    if "config.json" not in files:
        done.notes.append("There is no config.json: `from_pretrained` will not know this model.")
    return done


def _import_folder(store: Store, repo_id: RepoId, folder: Path) -> Imported:
    done = _put(store, repo_id, _gather([folder]), f"Import {_names([folder])}")
    repo = store.repo(repo_id)
    paths = [path for path, _ in store.trees.files(store.resolve(repo, "main").tree)]
    found = configurations(repo.summary.get("card", {}), paths)
    done.splits = {config: list(splits) for config, splits in found.items()}
    return done


def _gather(paths: Iterable[Path]) -> dict[str, Path]:
    """All files by their paths in the repository: those below folders, and files given by name."""
    found: dict[str, Path] = {}
    for path in paths:
        pairs = _walk(path) if path.is_dir() else [(path.name, path)]
        for name, file in pairs:
            if check_path(name) in found:
                raise bad_request(f"{found[name]} and {file} would both be {name}.")
            found[name] = file
    if not found:
        raise bad_request(f"There are no files in {', '.join(map(str, paths))}.")
    return found


def _walk(folder: Path) -> Iterable[tuple[str, Path]]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - LITTER)
        for name in folders:
            if (Path(place) / name).is_symlink():
                raise bad_request(
                    f"{Path(place) / name} is a link to a folder: put the folder there."
                )
        for name in sorted(set(names) - LITTER):
            path = Path(place) / name
            if not path.is_file():
                raise bad_request(f"{path} is not a plain file, or a link to nothing.")
            yield path.relative_to(folder).as_posix(), path


def _names(paths: Sequence[Path]) -> str:
    names = [path.resolve().name for path in paths]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# -- data sets from files --------------------------------------------------------------------------


def _import_tables(
    store: Store, repo_id: RepoId, paths: Sequence[Path], config: str, split: str | None
) -> Imported:
    datacards.check_config(config)
    groups: dict[str, list[Path]] = {}
    for name, path in _gather(paths).items():
        if is_data(name):
            groups.setdefault(split or datacards.split_of(name), []).append(path)
        elif path in paths:  # not merely beside the data in a folder
            raise bad_request(f"{path.name} is not a data file: give CSV, TSV, JSON or Parquet.")
    if not groups:
        raise bad_request(f"There are no data files in {_names(paths)}.")
    contents: dict[str, Content] = {}
    for name, files in groups.items():
        contents |= _shards(datacards.check_split(name), datacards.folder(config), files)

    repo = store.find_repo(repo_id)
    card, old, head = None, [], None
    if repo:
        head = store.resolve(repo, "main")
        old = [path for path, _ in store.trees.files(head.tree)]
        readme = store.trees.find(head.tree, "README.md")
        card = store.blobs.read(readme.sha256).decode() if isinstance(readme, File) else None
    contents["README.md"] = datacards.merged(repo_id, card, old, config, list(groups)).encode()
    replaced = datacards.shards(old, config, groups) - contents.keys()
    title, removals = f"Import {_names(paths)}", map(DeleteFile, sorted(replaced))
    done = _put(store, repo_id, contents, title, removals, parent=head.oid if head else None)
    done.splits = {config: list(groups)}
    return done


def _shards(split: str, folder: str, files: list[Path]) -> dict[str, Content]:
    """The Parquet files of one split; those that are Parquet already stay byte for byte."""
    contents: list[Content] = list(files)
    if all(map(tables.is_parquet, files)):
        tables.check_parquet(files)
    else:
        contents = [tables.to_parquet(tables.read(files))]
    names = (
        f"{folder}/{split}-{number:05}-of-{len(contents):05}.parquet"
        for number in range(len(contents))
    )
    return dict(zip(names, contents, strict=True))


# -- metrics ---------------------------------------------------------------------------------------


def _import_metric(store: Store, name: str, paths: Sequence[Path]) -> Imported:
    """A script as the Space where `evaluate.load(name)` looks first, with the tag it asks for."""
    repo_id = parse_repo_id("space", name if "/" in name else f"{METRICS}/{name}")
    files: dict[str, Content] = dict(_gather(paths))
    script = f"{repo_id.name}.py"
    if len(paths) == 1 and paths[0].suffix == ".py":
        files = {script: paths[0]}
    if script not in files:
        raise bad_request(f"A metric named {repo_id.name} is a script {script}: there is none.")
    scripts.check_script(files[script])
    repo = store.find_repo(repo_id)
    if "README.md" not in files and not (repo and _has_card(store, repo)):
        files["README.md"] = scripts.CARD.replace("NAME", repo_id.name).encode()
    done = _put(store, repo_id, files, f"Import {_names(paths)}", sdk="static")
    repo, tag = store.repo(repo_id), f"v{metadata.version('evaluate')}"
    if f"refs/tags/{tag}" in store.refs(repo):
        store.delete_ref(repo, f"refs/tags/{tag}")
    store.create_tag(repo, tag)
    done.notes.append(f"Load it with evaluate.load({_load_name(repo_id)!r}).")
    return done


def _has_card(store: Store, repo: Repo) -> bool:
    return store.trees.find(store.resolve(repo, "main").tree, "README.md") is not None


def _load_name(repo_id: RepoId) -> str:
    return repo_id.name if repo_id.namespace == METRICS else repo_id.full


# -- storing ---------------------------------------------------------------------------------------


def _put(
    store: Store,
    repo_id: RepoId,
    files: dict[str, Path] | dict[str, Content],
    title: str,
    removals: Iterable[Operation] = (),
    sdk: str | None = None,
    parent: str | None = None,
) -> Imported:
    """Commit files to `main`, all or none; the repository is made first if need be.

    With `parent`, `main` must still be that commit: what was worked out from it would undo what
    came since.
    """
    sizes = {path: _size(content) for path, content in files.items()}
    check_space(store, sum(sizes.values()))
    repo = store.find_repo(repo_id)
    attributes = _attributes(store, repo, files)
    operations = list(removals)
    with ExitStack() as stack, bar("Importing", sum(sizes.values())) as progress:
        writers = []
        for path, content in files.items():
            writer = stack.enter_context(store.blobs.writer())
            for piece in _pieces(content):
                writer.write(piece)
                progress.update(len(piece))
            blob = writer.seal()
            large = blob.size > 0 and (blob.size > LARGE_SIZE or attributes.is_large(path))
            operations.append(AddFile(path, blob, large))
            writers.append(writer)
        store.blobs.publish(writers)
    repo = repo or store.create_repo(repo_id, author=OWNER, sdk=sdk)
    commit = store.commit(repo, "main", operations, title=title, author=OWNER, parent=parent)
    take_over(store, repo_id, repo.id)
    return Imported(repo.id, commit.oid, len(files), sum(sizes.values()))


def _attributes(store: Store, repo: Repo | None, files: dict[str, Content]) -> Attributes:
    """The rules for large files that hold after the import."""
    if ".gitattributes" in files:
        data = b"".join(_pieces(files[".gitattributes"]))
    elif repo is None:
        data = GITATTRIBUTES
    else:
        file = store.trees.find(store.resolve(repo, "main").tree, ".gitattributes")
        data = store.blobs.read(file.sha256) if isinstance(file, File) else b""
    return Attributes(data.decode(errors="replace"))


def _size(content: Content) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _pieces(content: Content) -> Iterable[bytes | memoryview]:
    if not isinstance(content, Path):
        yield content
        return
    with content.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece
