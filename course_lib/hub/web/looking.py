"""One file as its page shows it: rendered, as rows, as tensors, as a picture, as lines of text."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from course_lib.hub.cards.splits import is_data
from course_lib.hub.web import preview
from course_lib.hub.web.highlighting import highlight_lines
from course_lib.hub.web.links import Links
from course_lib.hub.web.rendering import rendered_file

PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg"}


def look(content: Path, path: str, links: Links) -> dict:
    """The values of the template `blob.html` that come from the file's content."""
    name = PurePosixPath(path.lower())
    shown: dict = {
        "picture": name.suffix in PICTURES,
        "card": None,
        "table": None,
        "tensors": None,
        "problem": "",
        "max_tensors": preview.MAX_TENSORS,
    }
    try:
        if name.suffix == ".md":
            folder = str(PurePosixPath(path).parent).removeprefix(".")
            shown["card"] = rendered_file(content, links.place(folder))
        elif name.suffix == ".safetensors":
            shown["tensors"] = preview.tensors(content)
        elif is_data(path) and name.suffix != ".json":
            shown["table"] = preview.first_rows(content, path)
    except preview.Unreadable as error:
        shown["problem"] = str(error)
    read = None if shown["card"] else preview.text(content)
    text, whole = read if read else (None, True)
    lines = None if text is None else highlight_lines(text, name.suffix.removeprefix("."))
    return {**shown, "text": lines, "whole": whole}
