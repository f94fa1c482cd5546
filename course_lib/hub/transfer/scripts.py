"""What `evaluate` asks of a metric's script, checked before it is stored."""

from __future__ import annotations

import ast
from pathlib import Path

from course_lib.hub.errors import bad_request

CARD = """\
---
title: NAME
sdk: static
tags:
- evaluate
- metric
---

# NAME

A metric for `evaluate.load`. Its definition is in `NAME.py`.
"""


def check_script(path: Path) -> None:
    """What `evaluate` would stumble over, said now."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f" (line {line})" if line else ""
        raise bad_request(f"{path.name} is not Python{where}: {error}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and len(node.names) > 1:
            raise bad_request(
                f"{path.name}, line {node.lineno}: `evaluate` reads one import a line only; "
                "write each module on a line of its own."
            )
    bases = [
        ast.unparse(base).rpartition(".")[2]
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    ]
    if "Metric" not in bases:
        raise bad_request(f"{path.name} has no class that is an evaluate.Metric.")
