"""What the subcommands of `course hub` do: each takes the parsed arguments and returns an exit status."""

import argparse
import asyncio
import json
import shlex
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.commands.errors import UserError
from course_lib.commands.terminal import Style
from course_lib.hub import client

if TYPE_CHECKING:
    from course_lib.hub.application import Catalogue
    from course_lib.hub.store import Repo, Store

NOT_RUNNING = 3  # the exit status of `status`, as service managers have it


def run(args: argparse.Namespace) -> int:
    """Do one subcommand of `course hub`."""
    root = args.root.expanduser().absolute() if args.root else client.hub_root()
    try:
        return TASKS[args.hub_command](args, root)
    except client.HubStartError as error:
        raise UserError(str(error)) from error


# -- the server ------------------------------------------------------------------------------------


def serve(args: argparse.Namespace, root: Path) -> int:
    from course_lib.hub import server

    return server.serve(
        root, args.host, args.port, args.idle, catalogue(args.no_zoo), args.students
    )


def catalogue(no_zoo: bool = False) -> "Catalogue | None":
    """The stand-ins, which the Hub can list without the extra `offline` but not make."""
    if no_zoo:
        return None
    from course_lib.zoo.catalogue import Catalogue

    return Catalogue()


def start(args: argparse.Namespace, root: Path) -> int:
    before = client.find(root)
    info = before or client.ensure(root, args.port, args.idle, progress=_say)
    print(f"The Course Hub {'runs already' if before else 'runs now'}: {info.url}")
    if before and args.port not in (None, 0, int(info.url.rpartition(":")[2])):
        print("It keeps its port; for another one, stop it first.")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def stop(args: argparse.Namespace, root: Path) -> int:
    print("The Course Hub is stopped." if client.stop(root) else "No Course Hub is running.")
    return 0


def env(args: argparse.Namespace, root: Path) -> int:
    from course_lib.connections import Connection, settings

    info = client.find(root)
    if info is None:
        raise UserError(f"No Course Hub is running on {root}: run `course hub start` first.")
    cache = client.course_home() / "cache" / info.instance
    values = settings(
        Connection("local", info.url, info.write_token, info.user, cache, stand_ins=True)
    )
    setting, removal, quote = SHELLS[args.shell]
    for name, value in values.items():
        line = removal if value is None else setting
        print(line.format(name=name, value=quote(value or "")))
    return 0


SHELLS: dict[str, tuple[str, str, Callable[[str], str]]] = {
    "sh": ("export {name}={value}", "unset {name}", shlex.quote),
    "fish": (
        "set -gx {name} {value}",
        "set -e {name}",
        lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
    ),
    "powershell": (
        "$env:{name} = {value}",
        "Remove-Item Env:{name} -ErrorAction SilentlyContinue",
        lambda text: "'" + text.replace("'", "''") + "'",
    ),
}


# -- what it holds ---------------------------------------------------------------------------------


def status(args: argparse.Namespace, root: Path) -> int:
    from course_lib.hub.maintenance import present
    from course_lib.hub.progress import count_text, size_text

    info = client.find(root)
    sizes = {
        name: sum(stat.st_size for _, stat in present(root / folder))
        for name, folder in (("files", "blobs"), ("upload pieces", "xorbs"))
    }
    counts: dict[str, int] = {}
    if (root / "hub.db").exists():
        sizes["database"] = sum(
            path.stat().st_size for path in root.glob("hub.db*") if path.is_file()
        )
        for repo in _open(root).repos():
            counts[repo.id.plural] = counts.get(repo.id.plural, 0) + 1
    if args.json:
        found = {"running": info is not None, "root": str(root), "repositories": counts}
        if info:
            found |= {name: getattr(info, name) for name in ("url", "pid", "version", "instance")}
        print(json.dumps(found | {"bytes": sizes}, indent=2))
        return 0 if info else NOT_RUNNING
    style = Style.of()
    running = (
        f"{style.green('running')} at {info.url} (process {info.pid})" if info else "not running"
    )
    print(f"{style.bold('Course Hub')}  {running}")
    print(f"  data    {root}")
    kinds = [count_text(count, kind[:-1], kind) for kind, count in sorted(counts.items())]
    print(f"  holds   {', '.join(kinds) or 'nothing yet'}")
    parts = [f"{size_text(size)} {name}" for name, size in sizes.items() if size]
    print(f"  takes   {', '.join(parts) or 'no space'}")
    return 0 if info else NOT_RUNNING


def list_(args: argparse.Namespace, root: Path) -> int:
    from course_lib.hub.progress import size_text

    kinds = [args.kind[:-1]] if args.kind else ["model", "dataset", "space"]
    rows = []
    if (root / "hub.db").exists():
        store = _open(root)
        rows = [_row(store, repo) for kind in kinds for repo in store.repos(kind)]
    made = {(row["kind"], row["id"]) for row in rows}
    zoo = catalogue(args.no_zoo)
    for entry in [entry for kind in kinds for entry in zoo.listing(kind)] if zoo else []:
        if (entry.repo_id.kind, entry.repo_id.full) not in made:
            rows.append({"kind": entry.repo_id.kind, "id": entry.repo_id.full, "made": False})
    rows.sort(key=lambda row: (kinds.index(row["kind"]), row["id"].lower()))
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    if not rows:
        print("The Course Hub holds nothing yet: push to it, or use `course hub import`.")
    width = max((len(row["id"]) for row in rows), default=0)
    style = Style.of()
    for row in rows:
        line = f"{row['kind']:<8} {row['id']:<{width}}  "
        if not row["made"]:
            print(line + style.dim("stand-in, made on first use"))
            continue
        files = f"{row['files']:,} file{'s' if row['files'] != 1 else ''}"
        private = "  private" if row["private"] else ""
        print(line + f"{files:>13}  {size_text(row['size']):>10}  {row['updated'][:10]}{private}")
    return 0


def _row(store: "Store", repo: "Repo") -> dict[str, Any]:
    files = [file for _, file in store.trees.files(store.resolve(repo, "main").tree)]
    return {
        "kind": repo.id.kind,
        "id": repo.id.full,
        "made": True,
        "private": repo.private,
        "files": len(files),
        "size": sum(file.size for file in files),
        "updated": datetime.fromtimestamp(repo.updated_at / 1000).isoformat(timespec="seconds"),
    }


def _open(root: Path) -> "Store":
    from course_lib.hub.maintenance import open_store

    return open_store(root)


# -- in and out ------------------------------------------------------------------------------------


def import_(args: argparse.Namespace, root: Path) -> int:
    from course_lib.hub.importing import import_repo
    from course_lib.hub.maintenance import command_store
    from course_lib.hub.progress import count_text, size_text

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
    from course_lib.hub.exporting import export_repo
    from course_lib.hub.progress import count_text, size_text

    store = _open(root)
    repo = _find(store, root, args)
    commit, files, size = export_repo(store, repo, args.folder, args.revision, args.overwrite)
    what = f"{count_text(files, 'file')} ({size_text(size)})"
    print(f"Wrote {what} of {repo.id.full} at {commit.oid[:8]} into {args.folder}.")
    return 0


def _find(store: "Store", root: Path, args: argparse.Namespace) -> "Repo":
    """The repository that `args.id` means; a stand-in is made first."""
    from course_lib.hub.errors import HubError
    from course_lib.hub.exporting import locate

    try:
        return locate(store, args.id)
    except HubError as error:
        if error.status != 404:
            raise
        _make_stand_ins(store, root, args)
    return locate(store, args.id)


def _make_stand_ins(store: "Store", root: Path, args: argparse.Namespace) -> None:
    """Have those made that `args.id` may mean; by the server if it runs, so that no two make one."""
    from course_lib.hub.application import Hub
    from course_lib.hub.names import KINDS, parse_repo_id

    info, zoo = client.find(root), catalogue(args.no_zoo)
    for kind in KINDS:
        repo_id = parse_repo_id(kind, args.id.removeprefix(kind + "s/"))
        if info:
            url = f"{info.url}/api/{repo_id.plural}/{repo_id.full}"
            client.ask(url, token=info.read_token, timeout=600)
        elif zoo:
            asyncio.run(Hub(store, zoo).find_repo(repo_id))


def sync(args: argparse.Namespace, root: Path) -> int:
    from course_lib.hub.maintenance import command_store
    from course_lib.hub.progress import count_text, size_text
    from course_lib.hub.syncing import sync_repo

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
    from course_lib.hub import integrity
    from course_lib.hub.progress import count_text, size_text

    report = integrity.check(_open(root))
    if args.json:
        found = {"ok": report.is_ok, "counts": report.counts}
        print(json.dumps(found | {"problems": report.problems, "notes": report.notes}, indent=2))
        return 0 if report.is_ok else 1
    style = Style.of()
    counts = report.counts
    singular = {"branches": "branch"}
    parts = [
        count_text(counts[name], singular.get(name, name[:-1]), name)
        for name in ("models", "datasets", "spaces", "refs", "commits", "folders", "files", "blobs")
        if counts[name]
    ]
    print(f"Checked {', '.join(parts) or 'an empty Hub'} ({size_text(counts['bytes'])}).")
    for note in report.notes:
        print(f"  {note}")
    if report.is_ok:
        print(style.green("All is well: every file and every reference is what it should be."))
        return 0
    print(style.red(f"{count_text(len(report.problems), 'problem')}:"))
    for problem in report.problems:
        print(f"  {problem}")
    print("Bring damaged repositories back with `course hub import` or `course hub sync`.")
    return 1


def gc(args: argparse.Namespace, root: Path) -> int:
    from course_lib.hub import maintenance
    from course_lib.hub.progress import count_text, size_text

    done = maintenance.gc(_open(root), args.grace)
    parts = [
        count_text(done.blobs, "blob"),
        count_text(done.folders, "folder"),
        count_text(done.temporary, "temporary file"),
        count_text(done.xorbs, "upload piece"),
    ]
    print(f"Freed {size_text(done.size)}: {', '.join(parts)}.")
    if done.xorbs_kept:
        pieces = size_text(done.xorbs_kept)
        print(f"{pieces} of upload pieces stay while the Hub runs: stop it and run this again.")
    if done.busy:
        print("The database was busy and keeps its size: run this again later.")
    return 0


def reset(args: argparse.Namespace, root: Path) -> int:
    from course_lib.hub import maintenance

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
        return count_text(len(_open(root).repos()), "repository", "repositories")
    except HubError as error:
        if error.status == 404:
            raise
        return "a Hub that cannot be read"


TASKS: dict[str, Callable[[argparse.Namespace, Path], int]] = {
    "serve": serve,
    "start": start,
    "stop": stop,
    "status": status,
    "list": list_,
    "import": import_,
    "export": export,
    "sync": sync,
    "env": env,
    "check": check,
    "gc": gc,
    "reset": reset,
}
