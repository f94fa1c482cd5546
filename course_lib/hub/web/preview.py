"""The beginning of a file, readable: rows of a table, tensors of a checkpoint, lines of a text.

Files come from outside: each function reads a bounded part and says so when it cannot read it.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow

MAX_ROWS = 20
MAX_COLUMNS = 30
MAX_CELL = 200  # characters
MAX_TABLE_BYTES = 1 << 18  # of a text file that are read for its rows
MAX_TEXT_BYTES = 100_000
MAX_HEADER_BYTES = 8 << 20  # of a safetensors file
MAX_TENSORS = 400
MAX_COLUMN_BYTES = 8 << 20  # of one column's first rows
MAX_LIST = 50  # items of a nested value that are looked at


_MALFORMED = (OSError, EOFError, ValueError, OverflowError, RecursionError, csv.Error, zlib.error)


class Unreadable(ValueError):
    """The file is not what its name says; the text says what is wrong."""


@dataclass(frozen=True)
class Table:
    """The first rows of a file."""

    columns: list[tuple[str, str]]  # name and type
    rows: list[list[str]]
    total: int | None = None  # rows of the whole file, where it says so
    hidden: int = 0  # columns that are not shown


@dataclass(frozen=True)
class Tensor:
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Tensors:
    """The header of a safetensors file."""

    tensors: list[Tensor]
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        return sum(tensor.count for tensor in self.tensors)

    @property
    def dtypes(self) -> list[str]:
        return sorted({tensor.dtype for tensor in self.tensors})


@lru_cache(maxsize=128)
def first_rows(content: Path, name: str) -> Table:
    """The first rows of a Parquet, CSV, TSV, JSON or JSON Lines file called `name` (`.gz` too)."""
    plain_name = name.lower().removesuffix(".gz")
    try:
        if plain_name.endswith(".parquet"):
            return _parquet(content)
        text, whole = _start_of_text(content, name.lower().endswith(".gz"))
        if plain_name.endswith((".csv", ".tsv")):
            return _csv(text, whole, "\t" if plain_name.endswith(".tsv") else None)
        return _json(text, whole)
    except _MALFORMED as error:
        raise Unreadable(f"The rows cannot be read: {shorten(str(error))}") from error


def _parquet(content: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        # Without pre_buffer and with a small buffer, only the pages of the first rows are read.
        with pyarrow.parquet.ParquetFile(content, pre_buffer=False, buffer_size=1 << 16) as file:
            schema, total = file.schema_arrow, file.metadata.num_rows
            wanted = list(dict.fromkeys(schema.names[:MAX_COLUMNS]))
            batch = next(file.iter_batches(MAX_ROWS, columns=wanted, use_threads=False), None)
    except pyarrow.ArrowException as error:
        raise Unreadable(shorten(str(error))) from error
    labels = _class_names(schema.metadata or {})
    batch = batch if batch is not None else schema.empty_table().select(wanted)
    columns = [
        (name, "class label" if name in labels else _type_name(batch.schema.field(name).type))
        for name in batch.schema.names
    ]
    shown = [
        [_cell(value, labels.get(name)) for value in _values(batch.column(name))]
        for name in batch.schema.names
    ]
    rows = [list(row) for row in zip(*shown, strict=True)]
    return Table(_cut_names(columns), rows, total, len(schema.names) - len(columns))


def _type_name(kind: pyarrow.DataType) -> str:
    return str(kind).replace("large_string", "text").replace("string", "text")


def _values(column: pyarrow.Array) -> list:
    if column.nbytes > MAX_COLUMN_BYTES:
        return [f"‹{column.nbytes:,} bytes in {len(column)} rows›"] * len(column)
    return column.to_pylist()


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """The names of class labels, which `datasets` keeps in the file's metadata."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {
            name: [str(label) for label in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # another program's file, or none of its labels has names


def _start_of_text(content: Path, packed: bool) -> tuple[str, bool]:
    """The first part of a text, and whether it is all of it."""
    with gzip.open(content) if packed else content.open("rb") as file:
        data = file.read(MAX_TABLE_BYTES + 1)
    whole = len(data) <= MAX_TABLE_BYTES
    if not whole:  # end with a line
        data = data[: data.rfind(b"\n", 0, MAX_TABLE_BYTES) + 1] or data[:MAX_TABLE_BYTES]
    return data.decode("utf-8-sig", "strict" if whole else "replace"), whole


def _csv(text: str, whole: bool, separator: str | None) -> Table:
    header = text.partition("\n")[0]
    separator = separator or max(",;\t", key=header.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=separator)
    names = next(reader, [])
    rows = list(islice(reader, MAX_ROWS + 1))
    if not whole and len(rows) <= MAX_ROWS:
        rows = rows[:-1]  # the last one may be cut
    width = max(map(len, [names, *rows]))
    names += [""] * (width - len(names))
    columns = _cut_names((name, "text") for name in names[:MAX_COLUMNS])
    shown = [[shorten(cell) for cell in row[:MAX_COLUMNS]] for row in rows[:MAX_ROWS]]
    padded = [row + [""] * (len(columns) - len(row)) for row in shown]
    return Table(columns, padded, hidden=max(0, width - MAX_COLUMNS))


def _json(text: str, whole: bool) -> Table:
    """One object a line, or a list of objects."""
    if text.lstrip()[:1] == "[":
        if not whole:
            raise ValueError("the list is too long to be read here")
        items = json.loads(text)
    else:
        lines = (line for line in text.splitlines() if line.strip())
        items = [json.loads(line) for line in islice(lines, MAX_ROWS)]
    items = items[:MAX_ROWS]
    if not all(isinstance(item, dict) for item in items):
        raise ValueError("it does not hold one object for each row")
    names = list(dict.fromkeys(name for item in items for name in item))
    kept = names[:MAX_COLUMNS]
    columns = _cut_names((name, _json_type(item.get(name) for item in items)) for name in kept)
    rows = [[_cell(item.get(name)) for name in kept] for item in items]
    return Table(columns, rows, hidden=len(names) - len(kept))


def _json_type(values: Iterable[object]) -> str:
    kinds = {
        dict: "object", list: "list", str: "text", bool: "yes/no", int: "number", float: "number"
    }  # fmt: skip
    found = {kinds[type(value)] for value in values if value is not None}
    return " or ".join(sorted(found)) or "empty"


def _cut_names(columns: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(shorten(name, 60), shorten(kind, 80)) for name, kind in columns]


def _cell(value: object, labels: Sequence[str] | None = None) -> str:
    if labels and isinstance(value, int) and 0 <= value < len(labels):
        return shorten(f"{value} · {labels[value]}")
    if isinstance(value, dict | list):
        return shorten(json.dumps(_readable(value), ensure_ascii=False))
    return shorten(_readable(value) if value is not None else "—")


def _readable(value: object) -> object:
    """`value` as JSON can show it: bytes by their length, lists by their beginning."""
    match value:
        case bytes():
            return f"‹{len(value):,} bytes›"
        case dict():
            return {str(k): _readable(v) for k, v in islice(value.items(), MAX_LIST)}
        case list():
            return [_readable(item) for item in islice(value, MAX_LIST)]
        case None | bool() | int() | float():
            return value
    return str(value)[: MAX_CELL + 1]


def shorten(text: object, limit: int = MAX_CELL) -> str:
    """`text` on one line, cut at `limit` characters."""
    text = " ".join(str(text)[: 4 * limit].split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


@lru_cache(maxsize=64)
def tensors(content: Path) -> Tensors:
    """Names, types and shapes from the header of a safetensors file; the weights are not read."""
    with content.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER_BYTES, content.stat().st_size - 8):
            raise Unreadable(f"A safetensors file cannot begin with a header of {length:,} bytes.")
        header = file.read(length)
    try:
        entries = json.loads(header)
        metadata = {str(k): str(v) for k, v in entries.pop("__metadata__", {}).items()}
        found = [
            Tensor(name, str(entry["dtype"]), tuple(map(_dimension, entry["shape"])))
            for name, entry in entries.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"The header of this safetensors file cannot be read: {error!r}") from None
    return Tensors(sorted(found, key=lambda tensor: tensor.name), metadata)


def _dimension(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 48:
        raise ValueError(f"{value!r} is not a dimension")
    return value


def text(content: Path) -> tuple[str, bool] | None:
    """The beginning of a text file and whether that is all of it; None if it is not text."""
    with content.open("rb") as file:
        data = file.read(MAX_TEXT_BYTES + 1)
    whole = len(data) <= MAX_TEXT_BYTES
    data = data[:MAX_TEXT_BYTES]
    if b"\0" in data:
        return None
    try:  # the cut may go through a character
        return codecs.getincrementaldecoder("utf-8-sig")().decode(data, final=whole), whole
    except UnicodeDecodeError:
        return None
