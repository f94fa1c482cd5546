"""The `course` command: `main(argv)` finds a subcommand, runs it, turns mistakes into words."""

import argparse
import importlib
import os
import sys
from types import ModuleType

COMMANDS = {
    "tour": "play the two-minute tour in this terminal",
    "lab": "start the Course Hub and open the course in JupyterLab",
    "run": "run notebooks without a browser, with a line per cell",
    "doctor": "check this machine: versions, devices, disk, Hub, models",
    "hub": "serve, fill and inspect the Course Hub",
    "zoo": "list, assemble and rebuild the stand-in models",
}

SPOKEN_ERRORS = {
    "course_lib.hub.errors": "HubError",
    "course_lib.hub.process": "HubStartError",
    "course_lib.hub.server": "ServeError",
    "course_lib.hub.students": "StudentsError",
    "course_lib.hub.storage.trees": "DamagedError",
    "course_lib.zoo.base": "BaseEncoderError",
    "course_lib.zoo.recipes": "RecipeError",
}

EXAMPLES = """\
examples:
  course tour                         see it work, in two minutes
  course lab                          open the course in your browser
  course run 02_using_transformers_pt run one chapter here, with timings
  course doctor                       something fails? start here
"""


def main(argv: list[str] | None = None) -> int:
    """Run `course` with these arguments (default: the command line's) and return its exit status.

    0 is success, 1 a failure, 2 a wrong call, 130 an interruption with Ctrl-C.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        parser, module = build_parser(arguments)
        args = parser.parse_args(arguments)
        if module is None:  # no subcommand was named
            parser.print_help()
            return 2
        return module.run(args)
    except SystemExit as stop:  # argparse has said what it had to say
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `course ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        sentence, status = explain(error)
        if sentence is None:
            raise
        print(f"course: {sentence}", file=sys.stderr)
        return status


def build_parser(arguments: list[str]) -> tuple[argparse.ArgumentParser, ModuleType | None]:
    """The parser for these arguments, and the named subcommand's module.

    Only that one module is imported, so that `course --help` answers at once.
    """
    from course_lib import __version__

    parser = argparse.ArgumentParser(
        prog="course",
        description="The Transformers course: it always runs, offline and online.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"course {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    module = None
    for name, summary in COMMANDS.items():
        if name == chosen:
            module = importlib.import_module(f"course_lib.commands.{name}")
            module.add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    return parser, module


def explain(error: Exception) -> tuple[str | None, int]:
    """Sentence and exit status for a mistake of the user or the machine; (None, 1) for a bug."""
    from course_lib.commands.errors import UserError

    if isinstance(error, UserError):
        return str(error), error.code
    if isinstance(error, spoken_errors()):
        return str(error), 1
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("course_lib"):
        return f"{error.name} is not installed. Run `make setup`, or `pip install {error.name}`.", 1
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", 1
    return None, 1


def spoken_errors() -> tuple[type[Exception], ...]:
    """Our exceptions whose messages are sentences, of the modules that this command has loaded."""
    loaded = ((sys.modules.get(module), name) for module, name in SPOKEN_ERRORS.items())
    return tuple(getattr(module, name) for module, name in loaded if module is not None)


if __name__ == "__main__":
    sys.exit(main())
