"""`course hub`: serve, fill and inspect the Course Hub; hub_tasks does what is described here."""

import argparse
import math
from pathlib import Path

DESCRIPTION = """\
The Course Hub is a Hugging Face Hub on this machine: models, data sets and metrics with their
history, for the unmodified libraries. A notebook starts it by itself; these commands are for
everything else. Its data is in ~/.course/hub (or $COURSE_HOME/hub); --root names another folder.
"""

EXAMPLES = """\
examples:
  course hub start                                   have it running, see its address
  course hub import dataset learner/reviews r.csv    then: load_dataset("learner/reviews")
  course hub list                                    what it holds
  course hub check                                   is all of it whole?
`course hub COMMAND --help` says more about each.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Describe `course hub` and its subcommands."""
    parser = subparsers.add_parser(
        "hub",
        help="serve, fill and inspect the Course Hub",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(hub_parser=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="hub_command")
    for describe in (
        _serve, _start, _stop, _status, _list, _import, _export, _sync, _env, _check, _gc, _reset
    ):  # fmt: skip
        describe(commands)


def run(args: argparse.Namespace) -> int:
    """Do what was asked; without a subcommand, say which there are."""
    if args.hub_command is None:
        args.hub_parser.print_help()
        return 2
    from course_lib.commands import hub_tasks

    return hub_tasks.run(args)


def seconds(text: str) -> float:
    """A number of seconds from 0 on, for argparse."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"must be 0 or more seconds, not {text}")
    return number


def port(text: str) -> int:
    """A port number, for argparse; 0 means a free one."""
    number = int(text)
    if not 0 <= number < 65536:
        raise argparse.ArgumentTypeError(f"must be from 0 (a free one) to 65535, not {number}")
    return number


def _add(
    commands: argparse._SubParsersAction, name: str, summary: str, description: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="the Hub's data (default: $COURSE_HOME/hub)"
    )
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def _serve(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "serve",
        "run a Hub in this terminal, for a classroom too",
        """\
Run a Hub until Ctrl-C. Its address and tokens are in hub.json in its data folder. It is reachable
from this machine only; --host 0.0.0.0 opens it to the network, without encryption: then everyone
there can read it, and whoever has a token can write.

--students takes a list of names (a CSV with a column `name`) and gives each student a token that
writes in their own namespace only; students.csv in the data folder then has the tokens.
""",
        "  course hub serve --host 0.0.0.0 --idle 0 --students names.csv\n"
        '  # in the students\' notebooks: COURSE_TOKEN, and start("http://ADDRESS:8900")',
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port", type=port, default=8900, help="port to listen on (8900; 0: a free one)"
    )
    parser.add_argument(
        "--idle",
        type=seconds,
        default=900.0,
        metavar="S",
        help="stop after S seconds without a request or a notebook (900; 0: never)",
    )
    parser.add_argument("--students", type=Path, metavar="CSV", help="the class, one name a row")
    _add_no_zoo(parser)


def _add_no_zoo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-zoo", action="store_true", help="no stand-ins: only what was put into the Hub"
    )


def _start(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "start",
        "have the Hub of this machine running",
        """\
Start the Hub in the background, unless it runs already, and print its address. It stops by itself
when no notebook uses it and no request came for a while.
""",
        "  course hub start --idle 0        it stays until `course hub stop`",
    )
    parser.add_argument("--port", type=port, help="where to listen, if that port is free (8900)")
    parser.add_argument(
        "--idle", type=seconds, default=900.0, metavar="S", help="stop after S idle seconds (900)"
    )


def _stop(commands: argparse._SubParsersAction) -> None:
    _add(
        commands,
        "stop",
        "stop the Hub of this machine",
        "Stop the Hub, after the requests that it is answering. Its data stays.",
        "  course hub stop",
    )


def _status(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "status",
        "is it running, where, and how large is it?",
        "Say whether the Hub runs, and what its data takes. The exit status is 0 if it runs, or 3.",
        "  course hub status --json | jq .url",
    )
    _add_json(parser)


def _list(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "list",
        "the models, data sets and Spaces in it",
        """\
List what the Hub holds, with files and sizes of the newest state. Stand-ins that nobody has asked
for yet are listed too: they are made on first use.
""",
        "  course hub list datasets",
    )
    parser.add_argument(
        "kind", nargs="?", choices=("models", "datasets", "spaces"), help="only these"
    )
    _add_no_zoo(parser)
    _add_json(parser)


def _import(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "import",
        "bring files of this machine into it",
        """\
Make a model, a data set or a metric from files, or bring newer files into one. It is one commit:
all or nothing. The Hub may run meanwhile.

  model     a folder, such as `save_pretrained` writes
  dataset   CSV, TSV, JSON, JSON Lines and Parquet files become Parquet; the split is --split, else
            what the file's name says (reviews-test.csv), else train. A later import replaces the
            splits that it brings. A folder without --config and --split stays as it is.
  metric    a script with an evaluate.Metric; the id is its name, or owner/name
""",
        "  course hub import model learner/tiny-bert ./tiny-bert\n"
        "  course hub import dataset learner/reviews train.csv test.csv\n"
        "  course hub import dataset learner/reviews fr.jsonl --config french --split train\n"
        "  course hub import metric length length.py          # evaluate.load('length')",
    )
    parser.add_argument("kind", choices=("model", "dataset", "metric"))
    parser.add_argument("id", help="owner/name")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file or a folder")
    parser.add_argument("--config", help="the data set's configuration (default)")
    parser.add_argument("--split", help="the split that all these files are")


def _export(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "export",
        "write a repository's files into a folder",
        "Write the files of a repository into a folder, each checked on the way.",
        "  course hub export learner/tiny-bert ./tiny-bert --revision v1.0\n"
        "  course hub export datasets/learner/reviews ./reviews",
    )
    parser.add_argument(
        "id", help="owner/name; datasets/owner/name where a model has that name too"
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--revision", default="main", help="branch, tag or commit (main)")
    parser.add_argument(
        "--overwrite", action="store_true", help="into a folder that is not empty: replace files"
    )
    _add_no_zoo(parser)


def _sync(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "sync",
        "copy repositories from another Hub",
        """\
Copy models and data sets with their branches and tags from another Hub: a classroom's, a mirror,
the public one. Each branch and tag becomes one commit with the files it has there. Run it again to
get what changed, or after an interruption: it goes on where it stopped. Branches and tags that only
this Hub has stay; what a branch held before stays in its history.
""",
        "  course hub sync ann/bert datasets/ann/reviews --from http://192.168.1.20:8900\n"
        "  course hub sync nyu-mll/glue --from https://huggingface.co --revision main",
    )
    parser.add_argument("ids", nargs="+", metavar="ID", help="owner/name, or datasets/owner/name")
    parser.add_argument(
        "--from", dest="upstream", required=True, metavar="URL", help="the other Hub's address"
    )
    parser.add_argument("--token", help="a token of the other Hub, for private repositories")
    parser.add_argument(
        "--revision", help="only this branch, tag or commit (all branches and tags)"
    )


def _env(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "env",
        "print the settings that make any program use it",
        """\
Print the environment variables that make every Hugging Face library and the `hf` command use the
running Hub, as commands for your shell. They hold the Hub's write token.
""",
        '  eval "$(course hub env)"                                     # sh, bash, zsh\n'
        "  course hub env --shell fish | source\n"
        "  course hub env --shell powershell | Out-String | Invoke-Expression",
    )
    parser.add_argument("--shell", choices=("sh", "fish", "powershell"), default="sh")


def _check(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "check",
        "verify every file and every reference",
        """\
Read all that the Hub keeps and verify it: every file against its hash, every branch, tag, commit
and folder against its id. The exit status is 0 if all is well, 1 if something is damaged; every
damage is named. The Hub may run meanwhile.
""",
        "  course hub check",
    )
    _add_json(parser)


def _gc(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "gc",
        "give back disk space that nothing needs",
        """\
Remove what no commit of any repository refers to: the files of deleted repositories, abandoned and
interrupted uploads. What was uploaded or asked for within the last hour stays. The Hub may run
meanwhile; the pieces that uploads came in are removed only while it does not.
""",
        "  course hub gc",
    )
    parser.add_argument(
        "--grace", type=seconds, default=3600.0, metavar="S", help="keep what is younger (3600)"
    )


def _reset(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "reset",
        "delete all that it holds and start over",
        """\
Delete every repository, token and upload of the Hub, for good. It must be stopped. It asks before
it does so. Stand-ins come back on first use.
""",
        "  course hub stop && course hub reset",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
