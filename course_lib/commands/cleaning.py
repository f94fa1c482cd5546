"""What of a run notebook is stored: what a reader needs, and nothing of the machine that ran it."""

import hashlib
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat

KERNEL = {"display_name": "python3", "language": "python", "name": "python3"}
KEPT_CELL_METADATA = ("tags", "jupyter")  # the same as allowed_cell_metadata_keys in settings.ini
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
DROPPED_MIME = (WIDGET_VIEW, "application/vnd.google.colaboratory.intrinsic+json")

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ADDRESS = re.compile(r"(<.*?)( at 0x[0-9a-fA-F]+)(>)")
_BACKSPACE = re.compile(r"[^\x08]?\x08")
_BAR = re.compile(r"\d{1,3}%\|[^|]*\|")  # tqdm: "Map:  40%|████      | 4/10 [00:01<00:02]"
_COUNTER = re.compile(r"^(.*: )?[\d.,]+[kMG]? ?\w+ \[\d+:\d\d[^\]]*\]\s*$")  # tqdm without a total
# What native libraries write while they load: times and addresses, different at every run.
_NATIVE_LOG = re.compile(
    r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] |[IWE]\d{4} \d\d:\d\d:\d\d\.\d+"
    r"|WARNING: All log messages before absl::InitializeLog)"
)
_CELL_FILE = re.compile(r"[^\s'\"<>()]*/ipykernel_\d+/\d+\.py")
_SITE_PACKAGES = re.compile(r"[^\s:'\"<>()]*/(?:site|dist)-packages/")

Paths = list[tuple[re.Pattern[str], str]]


def clean(nb: Any) -> Any:
    """`nb`, in place: outputs tidied, counts 1..n, metadata and machine paths gone, ids stable.

    Cleaning twice changes nothing more, so that a stored notebook can be checked against it.
    """
    nb.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    nb.nbformat, nb.nbformat_minor = 4, 5
    paths = machine_paths()
    seen: set[str] = set()
    count = 0
    for index, cell in enumerate(nb.cells):
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in KEPT_CELL_METADATA if key in cell.metadata}
        )
        cell["id"] = _stable_id(cell, index, seen)
        if cell.cell_type != "code":
            continue
        cell.outputs = _clean_outputs(cell.outputs, paths)
        # A cell that ran has a count, also when it shows nothing; a skipped one keeps none.
        count += cell.execution_count is not None
        cell.execution_count = count if cell.execution_count is not None else None
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count
    return nb


def dumps(nb: Any) -> str:
    """The notebook as it is stored: sorted keys, one space, a newline at the end."""
    return nbformat.writes(nb, version=4).rstrip("\n") + "\n"


def machine_paths() -> Paths:
    """Folders of this machine and what is written in their place, the longest first."""
    from course_lib.commands.notebooks import checkout

    named = {
        os.environ.get("COURSE_HOME", ""): "~/.course",
        str(checkout() or ""): "course",
        sys.prefix if sys.prefix != sys.base_prefix else "": "python",
        str(Path.home()): "~",
    }
    folders = {str(Path(path)): shown for path, shown in named.items() if path not in ("", "/")}
    # The same folder may be seen through a link (macOS keeps its temporary folder behind one).
    folders |= {os.path.realpath(path): shown for path, shown in folders.items()}
    patterns = [
        (re.compile(r"(?<![\w-])" + re.escape(path) + r"(?![\w-])"), shown)
        for path, shown in sorted(folders.items(), key=lambda item: -len(item[0]))
    ]
    temporary = re.escape(tempfile.gettempdir())
    patterns.append((re.compile(temporary + r"/(?:tmp|course-)[\w.-]+"), "/tmp/folder"))
    return patterns


def tidy_text(text: str, paths: Paths) -> str:
    """Text output without machine paths and memory addresses."""
    text = _CELL_FILE.sub("cell", text)
    text = _SITE_PACKAGES.sub("site-packages/", text)
    for pattern, shown in paths:
        text = pattern.sub(shown, text)
    return _ADDRESS.sub(r"\1\3", text) if " at 0x" in text else text


def tidy_stream(text: str, paths: Paths, keep_bars: bool = False) -> str:
    """What a terminal would show in the end, without progress bars and native log lines."""
    kept = []
    for line in _ANSI.sub("", text).split("\n"):
        parts = [part for part in line.split("\r") if part]
        shown = parts[-1] if parts else ""  # what follows a carriage return overwrites
        while "\b" in shown:
            shown = _BACKSPACE.sub("", shown, count=1)
        is_bar = not keep_bars and (_BAR.search(shown) or _COUNTER.match(shown))
        if not (is_bar or _NATIVE_LOG.match(shown)):
            kept.append(shown)
    return tidy_text("\n".join(kept), paths)


def _clean_outputs(outputs: list[Any], paths: Paths) -> list[Any]:
    kept: list[Any] = []
    for output in outputs:
        if output.output_type == "stream":
            if kept and kept[-1].output_type == "stream" and kept[-1].name == output.name:
                kept[-1].text += output.text
            else:
                kept.append(output)
        elif output.output_type in ("display_data", "execute_result"):
            if _clean_data(output, paths):
                kept.append(output)
        else:
            kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            # A lesson that wants its progress bar seen sends it to stdout.
            output.text = tidy_stream(output.text, paths, keep_bars=output.name == "stdout")
    return [out for out in kept if out.output_type != "stream" or out.text.strip()]


def _clean_data(output: Any, paths: Paths) -> bool:
    """Tidy one displayed value; False when it was only a live widget, which no page can show."""
    live = WIDGET_VIEW in output.data
    for mime in DROPPED_MIME:
        output.data.pop(mime, None)
    if live and set(output.data) <= {"text/plain"}:
        return False
    for mime, value in output.data.items():
        if isinstance(value, str) and (mime.startswith("text/") or mime == "image/svg+xml"):
            output.data[mime] = tidy_text(value, paths)
        elif isinstance(value, str) and mime.startswith("image/"):
            output.data[mime] = value.rstrip()
    return True


def _stable_id(cell: Any, index: int, seen: set[str]) -> str:
    """The cell's own id, or one made of its place and text; never one that is taken."""
    wanted = cell.get("id", "")
    salt = 0
    while not wanted or wanted in seen:
        text = f"{index}\n{salt}\n{cell.source}".encode()
        wanted = hashlib.sha256(text).hexdigest()[:8]
        salt += 1
    seen.add(wanted)
    return wanted
