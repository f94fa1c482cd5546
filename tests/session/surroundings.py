"""Which processes serve a data directory, and an environment that knows of no Hub."""

import os
from pathlib import Path

from course_lib.hub import process

FOREIGN = ("HF_", "COURSE_", "TRANSFORMERS_", "HUGGING", "HTTP_", "HTTPS_", "ALL_PROXY", "NO_PROXY")


def plain_environment() -> dict[str, str]:
    """This process's environment without anything that speaks of Hubs, tokens and proxies."""
    return {k: v for k, v in os.environ.items() if not k.upper().startswith(FOREIGN)}


def hub_processes(root: Path) -> list[int]:
    """The living processes that serve this data directory."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and process.is_hub(int(folder.name)):
            line = (folder / "cmdline").read_bytes().split(b"\0")
            found += [int(folder.name)] * (str(root).encode() in line)
    return found
