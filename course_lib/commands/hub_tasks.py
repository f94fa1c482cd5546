"""What `course hub` does: each task takes the parsed arguments and returns an exit status.

Here are those around the server; hub_contents has those that bring, take and mind its contents.
"""

import argparse
import json
import shlex
import sqlite3
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.commands import hub_contents
from course_lib.commands.errors import UserError
from course_lib.commands.terminal import Style
from course_lib.hub import client

if TYPE_CHECKING:
    from course_lib.hub.storage.store import Repo, Store

NOT_RUNNING = 3  # the exit status of `status`, as service managers have it


def run(args: argparse.Namespace) -> int:
    """Do one subcommand of `course hub`."""
    root = args.root.expanduser().absolute() if args.root else client.hub_root()
    from course_lib.hub.storage.trees import DamagedError

    try:
        return TASKS[args.hub_command](args, root)
    except (client.HubStartError, DamagedError) as error:
        raise UserError(str(error)) from error
    except sqlite3.Error as error:  # a full disk, or a lock that nobody gives back
        raise UserError(f"The Hub's database in {root} cannot be used: {error}.") from error


# -- the server ------------------------------------------------------------------------------------


def serve(args: argparse.Namespace, root: Path) -> int:
    from course_lib.hub import server

    return server.serve(
        root, args.host, args.port, args.idle, hub_contents.catalogue(args.no_zoo), args.students
    )


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
    from course_lib.hub.progress import count_text, size_text
    from course_lib.hub.storage.maintenance import present

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
        for repo in hub_contents.open_hub(root).repos():
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
        store = hub_contents.open_hub(root)
        rows = [_row(store, repo) for kind in kinds for repo in store.repos(kind)]
    made = {(row["kind"], row["id"]) for row in rows}
    zoo = hub_contents.catalogue(args.no_zoo)
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


TASKS: dict[str, Callable[[argparse.Namespace, Path], int]] = {
    "serve": serve,
    "start": start,
    "stop": stop,
    "status": status,
    "list": list_,
    "import": hub_contents.import_,
    "export": hub_contents.export,
    "sync": hub_contents.sync,
    "env": env,
    "check": hub_contents.check,
    "gc": hub_contents.gc,
    "reset": hub_contents.reset,
}
