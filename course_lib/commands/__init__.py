"""The subcommands of `course`, one module each: `add_parser(subparsers)` describes it, `run(args)` does it."""
