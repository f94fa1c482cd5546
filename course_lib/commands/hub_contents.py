"""`course hub import`, `export`, `sync`, `check`, `gc` and `reset`: what the Hub holds."""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from course_lib.commands.errors import UserError
from course_lib.commands.terminal import Style
from course_lib.hub import client

if TYPE_CHECKING:
    from course_lib.hub.application import Catalogue
    from course_lib.hub.storage.store import Repo, Store


def catalogue(no_zoo: bool = False) -> "Catalogue | None":
    """The stand-ins, which the Hub can list without the extra `offline` but not make."""
    if no_zoo:
        return None
    from course_lib.zoo.catalogue import Catalogue

    return Catalogue()


def open_hub(root: Path) -> "Store":
    """The Hub in `root`, which must be there."""
    from course_lib.hub.storage.maintenance import open_store

    return open_store(root)


def import_(args: argparse.Namespace, root: Path) -> int:
    from course_lib.hub.progress import count_text, size_text
    from course_lib.hub.storage.maintenance import command_store
    from course_lib.hub.transfer.importing import import_repo

    done = import_repo(command_store(root), args.kind, args.id, args.paths, args.config, args.split)
    files = count_text(done.files, "file")
    print(f"Imported {files} ({size_text(done.size)}) into {done.repo.prefix}{done.repo.full}.")
    for config, splits in done.splits.items():
        print(f"  configuration {config}: {', '.join(splits)}")
    for note in done.notes:
        print(f"  {note}")
    info = client.find(root)
    print(f"See it at {info.url}{done.repo.url_path}" if info else f"It is in {root}.")
    return 0


def export(args: argparse.Namespace, root: Path) -> int:
    from course_lib.hub.progress import count_text, size_text
    from course_lib.hub.transfer.exporting import export_repo

    store = open_hub(root)
    repo = _find(store, root, args)
    commit, files, size = export_repo(store, repo, args.folder, args.revision, args.overwrite)
    what = f"{count_text(files, 'file')} ({size_text(size)})"
    print(f"Wrote {what} of {repo.id.full} at {commit.oid[:8]} into {args.folder}.")
    return 0


def _find(store: "Store", root: Path, args: argparse.Namespace) -> "Repo":
    """The repository that `args.id` means; a stand-in is made first."""
    from course_lib.hub.errors import HubError
    from course_lib.hub.transfer.exporting import locate

    try:
        return locate(store, args.id)
    except HubError as error:
        if error.status != 404:
            raise
        _make_stand_ins(store, root, args)
    return locate(store, args.id)


def _make_stand_ins(store: "Store", root: Path, args: argparse.Namespace) -> None:
    """Have those made that `args.id` may mean; by the server if it runs: no two make one."""
    from course_lib.hub.application import Hub
    from course_lib.hub.transfer.exporting import meant_by

    info, zoo = client.find(root), catalogue(args.no_zoo)
    for repo_id in meant_by(args.id):
        if info:
            url = f"{info.url}/api/{repo_id.plural}/{repo_id.full}"
            client.ask(url, token=info.read_token, timeout=600)
        elif zoo:
            asyncio.run(Hub(store, zoo).find_repo(repo_id))


def sync(args: argparse.Namespace, root: Path) -> int:
    from course_lib.hub.progress import count_text, size_text
    from course_lib.hub.storage.maintenance import command_store
    from course_lib.hub.transfer.syncing import sync_repo

    store = command_store(root)
    for name in args.ids:
        done = sync_repo(store, name, args.upstream, args.token, args.revision)
        refs = count_text(done.refs, "branch or tag", "branches and tags")
        if done.changed:
            files = f"{count_text(done.files, 'file')} ({size_text(done.size)})"
            print(f"{done.repo.full}: {', '.join(done.changed)} changed, {files} came.")
        else:
            print(f"{done.repo.full}: nothing new in {refs}.")
        for note in done.notes:
            print(f"  {note}")
    return 0


# -- care ------------------------------------------------------------------------------------------


def check(args: argparse.Namespace, root: Path) -> int:
    from course_lib.hub.progress import count_text, size_text
    from course_lib.hub.storage import integrity

    report = integrity.check(open_hub(root))
    if args.json:
        found = {"ok": report.is_ok, "counts": report.counts}
        print(json.dumps(found | {"problems": report.problems, "notes": report.notes}, indent=2))
        return 0 if report.is_ok else 1
    style = Style.of()
    counts = report.counts
    kinds = ("models", "datasets", "spaces")
    parts = [count_text(counts[kind], kind[:-1]) for kind in kinds if counts[kind]]
    parts += [
        count_text(counts["refs"], "branch or tag", "branches and tags"),
        count_text(counts["commits"], "commit"),
        count_text(counts["blobs"], "file"),
    ]
    print(f"Checked {', '.join(parts)} ({size_text(counts['bytes'])}).")
    for note in report.notes:
        print(f"  {note}")
    if report.is_ok:
        print(style.green("All is well: every file and every reference is what it should be."))
        return 0
    print(style.red(f"{count_text(len(report.problems), 'problem')}:"))
    for problem in report.problems:
        print(f"  {problem}")
    print("To mend it, import the damaged files again. Or delete the repository, run")
    print("`course hub gc --grace 0`, and push or sync it again; a stand-in comes back by itself.")
    return 1


def gc(args: argparse.Namespace, root: Path) -> int:
    from course_lib.hub.progress import count_text, size_text
    from course_lib.hub.storage import maintenance

    done = maintenance.gc(open_hub(root), args.grace)
    removed = {
        "blob": done.blobs,
        "folder": done.folders,
        "unfinished file": done.temporary,
        "upload piece": done.xorbs,
    }
    parts = [count_text(number, noun) for noun, number in removed.items() if number]
    print(f"Freed {size_text(done.size)}: {', '.join(parts) or 'all that is kept is needed'}.")
    if done.xorbs_kept:
        pieces = size_text(done.xorbs_kept)
        print(f"{pieces} of upload pieces stay while the Hub runs: stop it and run this again.")
    if done.busy:
        print("The database was busy and keeps its size: run this again later.")
    return 0


def reset(args: argparse.Namespace, root: Path) -> int:
    from course_lib.hub.storage import maintenance

    repos = _repos_or_unknown(root)
    if not args.yes:
        if not sys.stdin.isatty():
            raise UserError(f"This deletes {repos} in {root}: add --yes if you mean it.", code=2)
        answer = input(f"Delete {repos} in {root}, for good? Type yes: ")
        if answer.strip().lower() != "yes":
            print("Nothing was deleted.")
            return 1
    maintenance.reset(root)
    print(f"The Course Hub in {root} is empty now.")
    return 0


def _repos_or_unknown(root: Path) -> str:
    """What there is to lose, as far as it can be read: a damaged Hub can be reset too."""
    from course_lib.hub.errors import HubError
    from course_lib.hub.progress import count_text

    try:
        return count_text(len(open_hub(root).repos()), "repository", "repositories")
    except HubError as error:
        if error.status == 404:
            raise
        return "a Hub that cannot be read"
