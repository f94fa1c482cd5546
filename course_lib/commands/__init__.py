"""The subcommands of `course`, a module each: `add_parser` describes it, `run(args)` does it."""
