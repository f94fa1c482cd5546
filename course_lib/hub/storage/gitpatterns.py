"""The patterns of `.gitattributes` and `.gitignore`.

They come from outside, so they are matched name by name and without backtracking: no pattern can
be slow.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from functools import cached_property

from course_lib.hub.errors import bad_request

MAX_TEXT = 64 << 10  # bytes of a file of patterns
MAX_PATTERNS = 1_000

Part = Callable[[str], object] | None  # matches one name; None stands for `**`


class Pattern:
    """One pattern. Without a slash it means a name at any depth, with one a path from the root."""

    def __init__(self, text: str):
        self.text = text
        self.folder_only = text.endswith("/")

    @cached_property
    def parts(self) -> list[Part]:
        path = self.text.removesuffix("/")
        names = path.removeprefix("/").split("/")
        if "/" not in path:
            names.insert(0, "**")
        deep = [len(name) > 1 and not name.strip("*") for name in names]
        if deep[-1]:
            names.append("*")  # `a/**` is what lies in `a`, not `a`
            deep.append(False)
        return [None if deep[i] else _matcher(name) for i, name in enumerate(names)]

    def matches(self, path: Sequence[str]) -> bool:
        """Whether the whole of `path`, given by its names, fits."""
        part = name = 0
        resume: tuple[int, int] | None = None  # after the last `**`, and how far it reaches
        while name < len(path):
            if part < len(self.parts) and self.parts[part] is None:
                part += 1
                resume = part, name
            elif part < len(self.parts) and self.parts[part](path[name]):
                part += 1
                name += 1
            elif resume is None:
                return False
            else:  # let the last `**` take one more name; earlier ones need not be tried again
                resume = part, name = resume[0], resume[1] + 1
        return part == len(self.parts)


def _matcher(glob: str) -> Part:
    """Git has `[^a]`, `[[:space:]]` and `\\*` where fnmatch has `[!a]`, `[ ]` and `[*]`."""
    glob = glob.replace("[[:space:]]", "[ ]").replace("[^", "[!")
    glob = re.sub(r"\\(.)", lambda m: f"[{m[1]}]" if m[1] in "*?[" else m[1], glob)
    return re.compile(fnmatch.translate(glob)).match


def _lines(name: str, text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if len(text) > MAX_TEXT or len(lines) > MAX_PATTERNS:
        raise bad_request(
            f"The {name} is too long: up to {MAX_TEXT:,} characters and {MAX_PATTERNS:,} patterns "
            "are read."
        )
    return lines


class Attributes:
    """The lines of a `.gitattributes` that say which files git-lfs keeps."""

    def __init__(self, text: str):
        self.rules: list[tuple[Pattern, bool]] = []
        for line in _lines(".gitattributes", text):
            glob, *attributes = line.split()
            filters = [a for a in attributes if a.lstrip("-!").partition("=")[0] == "filter"]
            if filters:
                self.rules.append((Pattern(glob), filters[-1] == "filter=lfs"))

    def is_large(self, path: str) -> bool:
        names = path.split("/")
        return next((large for p, large in reversed(self.rules) if p.matches(names)), False)


class Ignored:
    """The lines of a `.gitignore`."""

    def __init__(self, text: str):
        self.rules = [
            (Pattern(line.removeprefix("!")), not line.startswith("!"))
            for line in _lines(".gitignore", text)
        ]

    def __contains__(self, path: str) -> bool:
        """A file is ignored with any folder that holds it; nothing in there can be called back."""
        names = path.split("/")
        return any(self._verdict(names[:end], end < len(names)) for end in range(1, len(names) + 1))

    def _verdict(self, names: Sequence[str], is_folder: bool) -> bool:
        for pattern, ignored in reversed(self.rules):
            if (is_folder or not pattern.folder_only) and pattern.matches(names):
                return ignored
        return False
