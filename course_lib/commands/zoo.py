"""`course zoo`: the stand-ins, listed, assembled into the Hub, and built again from data."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from course_lib.commands.errors import UserError
from course_lib.commands.terminal import Style, seconds_text

if TYPE_CHECKING:
    from course_lib.hub.client import HubInfo
    from course_lib.zoo.catalogue import Catalogue, Entry
    from course_lib.zoo.recipes import Report

DESCRIPTION = """\
Stand-ins are small models and data sets under the names of big ones: they let every lesson run
without a network. They are made on this machine when a lesson first asks for them.
"""

EXAMPLES = """\
examples:
  course zoo list                            what there is, and how good it is
  course zoo card bert-base-uncased          what a stand-in says of itself
  course zoo assemble                        make all of them now (seconds)
  course zoo build sentiment --data DIR      train one again from data (minutes)
  course zoo build glue                      measure again how hard a data set is (minutes)
"""

BUILD = """\
Repeat a recipe: read its data, train or count, measure, and write weights and report. Interrupted
training goes on where it stopped when you run the same command again.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Describe `course zoo` and what it can do."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = subparsers.add_parser(
        "zoo",
        help="list, assemble and rebuild the stand-ins",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)

    listing = actions.add_parser("list", help="the stand-ins: for what, how large, measured how")
    listing.add_argument("--markdown", action="store_true", help="as a table for a page")

    card = actions.add_parser("card", help="print the card of a stand-in")
    card.add_argument("id", help="of a model, data set or metric, for example bert-base-uncased")

    assemble = actions.add_parser("assemble", help="put stand-ins into the Course Hub now")
    assemble.add_argument("ids", nargs="*", metavar="ID", help="which (default: all)")
    assemble.add_argument(
        "--root", type=Path, metavar="DIR", help="the Hub's data (default: $COURSE_HOME/hub)"
    )

    build = actions.add_parser(
        "build", help="repeat a recipe", description=BUILD, formatter_class=raw
    )
    build.add_argument("name", metavar="NAME", help="of the recipe: see `course zoo list`")
    build.add_argument("--data", type=Path, metavar="DIR", help="data sets, as NAME/SPLIT.parquet")
    build.add_argument(
        "--out", type=Path, metavar="DIR", help="where the files go (default: into the package)"
    )


def run(args: argparse.Namespace) -> int:
    """Do what `course zoo ACTION` says; 0 if it went well."""
    return {"list": list_, "card": card, "assemble": assemble, "build": build}[args.action](args)


# -- reading ---------------------------------------------------------------------------------------


def list_(args: argparse.Namespace) -> int:
    """A block for each stand-in, or a row of a table."""
    from course_lib.zoo.catalogue import ENTRIES

    if args.markdown:
        print(table(ENTRIES))
        return 0
    style = Style.of()
    for entry in ENTRIES:
        print(style.bold(entry.repo_id.full))
        for name, text in facts(entry).items():
            print(f"  {style.dim(f'{name:<11}')} {text}")
    return 0


def facts(entry: Entry) -> dict[str, str]:
    """What the list says of a stand-in."""
    from course_lib.zoo.recipes import measured_text

    report = getattr(entry, "report", None)
    if report is None:
        measured = f"equal to {entry.equals}"
    else:  # a data set has dozens of measurements, and says itself which matter
        measured = getattr(entry, "measured", "; ".join(map(measured_text, report.measured)))
    size = f"{entry.size / 1e6:.0f} MB" if entry.size >= 1e6 else f"{entry.size / 1e3:.0f} kB"
    return {
        "stands for": entry.stands_for,
        "size": size,
        "recipe": report.recipe if report else "none: a script of the course",
        "measured": measured,
    }


def table(entries: list[Entry]) -> str:
    """The same facts in Markdown, as the README shows them."""
    heads = ["id", *facts(entries[0])]
    rows = [[f"`{entry.repo_id.full}`", *facts(entry).values()] for entry in entries]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def card(args: argparse.Namespace) -> int:
    """The card, as Markdown."""
    from course_lib.zoo.catalogue import ENTRIES

    print(find(ENTRIES, args.id).card())
    return 0


def find(entries: list[Entry], text: str) -> Entry:
    """The entry that an id, an alias or a metric's bare name means."""
    for entry in entries:
        names = {entry.repo_id.full, *(alias.full for alias in entry.aliases)}
        if entry.repo_id.kind == "space":
            names.add(entry.repo_id.name)
        if text in names:
            return entry
    raise UserError(f"There is no stand-in for {text!r}. `course zoo list` shows those there are.")


# -- making ----------------------------------------------------------------------------------------


def assemble(args: argparse.Namespace) -> int:
    """Make the chosen stand-ins, with a bar over the bytes."""
    import time

    from tqdm import tqdm

    from course_lib.hub import client
    from course_lib.zoo.catalogue import ENTRIES, Catalogue

    chosen = [find(ENTRIES, text) for text in args.ids] or ENTRIES
    check_base(chosen)
    root = args.root.expanduser().absolute() if args.root else client.hub_root()
    info, started = client.find(root), time.perf_counter()
    total = sum(entry.size for entry in chosen)
    with tqdm(total=total, unit="B", unit_scale=True, unit_divisor=1000, leave=False) as bar:
        catalogue, reached = Catalogue(progress=bar.update), 0
        for entry in chosen:
            bar.set_description(entry.repo_id.name)
            make(entry, catalogue, root, info)
            reached += entry.size
            bar.update(reached - bar.n)  # the size was an estimate, or the repository was there
    count = f"{len(chosen)} stand-in{'s'[: len(chosen) != 1]}"
    print(f"{count} in {root}, {seconds_text(time.perf_counter() - started)}.")
    return 0


def make(entry: Entry, catalogue: Catalogue, root: Path, info: HubInfo | None) -> None:
    """One repository; a Hub that runs makes it itself, so that no two processes do."""
    import asyncio

    from course_lib.hub import client
    from course_lib.hub.application import Hub
    from course_lib.hub.storage.store import Store

    repo = entry.repo_id
    if info is None:
        asyncio.run(Hub(Store(root), catalogue).find_repo(repo))
        return
    url = f"{info.url}/api/{repo.plural}/{repo.full}"
    status, answer = client.ask(url, token=info.read_token, timeout=600)
    if status != 200:
        reason = answer.get("error", "") if isinstance(answer, dict) else ""
        raise UserError(f"The Hub at {info.url} could not make {repo.full}. {reason}".strip())


def check_base(entries: list[Entry]) -> None:
    """Say in one sentence that the base encoder is missing, before anything is made."""
    from course_lib.zoo import base

    if any(entry.repo_id.kind == "model" for entry in entries):
        try:
            for name in base.SHA256:
                base.base_file(name)
        except base.BaseEncoderError as error:
            raise UserError(str(error)) from None


def build(args: argparse.Namespace) -> int:
    """Run a recipe, with its lines of progress, and show what it measured."""
    from course_lib.hub.client import course_home
    from course_lib.zoo.base import BaseEncoderError
    from course_lib.zoo.catalogue import RECIPES, WITHOUT_DATA
    from course_lib.zoo.recipes import RecipeError, shipped

    if args.name not in RECIPES:
        known = ", ".join(RECIPES)
        raise UserError(f"There is no recipe {args.name!r}; the recipes are {known}.")
    if args.data is None and args.name not in WITHOUT_DATA:
        raise UserError(f"The recipe {args.name!r} reads data sets: name their folder with --data.")
    module, function = RECIPES[args.name].split(":")
    folder = args.out or shipped("")
    folder.mkdir(parents=True, exist_ok=True)
    work = course_home() / "recipes"
    work.mkdir(parents=True, exist_ok=True)
    try:
        recipe = getattr(importlib.import_module(module), function)
        reports = recipe(args.data, folder, say=say, work=work)
    except (RecipeError, BaseEncoderError) as error:
        raise UserError(str(error)) from None
    for report in reports:
        show(report)
    print(f"Written to {folder}.")
    return 0


def say(line: str) -> None:
    """A line of progress, at once even into a file."""
    print(line, flush=True)


def show(report: Report) -> None:
    """A report's measurements as a table."""
    style = Style.of()
    print(style.bold(f"{report.recipe}: {seconds_text(report.seconds)}, seed {report.seed}"))
    for m in report.measured:
        print(f"  {m.metric:<10} {m.value:.4f}  on {m.size:,} {m.dataset}")
