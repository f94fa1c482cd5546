"""CSV, TSV, JSON and JSON Lines as Parquet: one type for each column, checked once.

`load_dataset` then needs to guess nothing, streams by ranges, and one configuration may be made
from files of several formats. Dates stay the text they are, as `load_dataset` on a CSV would
leave them.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

from course_lib.hub.cards.splits import DATA_ENDINGS
from course_lib.hub.errors import HubError, bad_request
from course_lib.hub.names import shown

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 32 << 20  # bytes; no row may be longer
ROWS = 10_000  # in a row group: what a reader of the first rows has to fetch


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def check_parquet(files: Sequence[Path]) -> None:
    """Parquet files that are to be one split: each readable, all with the same columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = None
    for path in files:
        try:
            schema = pq.read_schema(path)
        except pa.ArrowException as error:
            raise _unreadable(path, error) from error
        if first is None:
            first = schema
        elif not schema.equals(first):
            raise _different(files[0], first, path, schema)


def read(files: Sequence[Path]) -> pa.Table:
    """All rows of `files`, which must have the same columns; whole numbers fit among others."""
    import pyarrow as pa

    tables = [_read(path) for path in files]
    for path, table in zip(files, tables, strict=True):
        if not table.num_rows:
            raise bad_request(f"{path.name} has no rows.")
        if set(table.column_names) != set(tables[0].column_names):
            raise _different(files[0], tables[0].schema, path, table.schema)
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        names = ", ".join(path.name for path in files)
        raise bad_request(f"{names} do not fit together: {_first_line(error)}") from error


def to_parquet(table: pa.Table) -> memoryview:
    """The content of a Parquet file with these rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=ROWS)
    return memoryview(sink.getvalue())


def _read(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = path.name.lower().removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            table = pq.read_table(path)
        elif name.endswith((".csv", ".tsv")):
            table = _csv(path, "\t" if name.endswith(".tsv") else None)
        elif name.endswith(DATA_ENDINGS):
            table = _json(path)
        else:
            endings = ", ".join(DATA_ENDINGS)
            raise bad_request(f"{path.name} is not a data file: give {endings}, or a folder.")
    except (pa.ArrowException, ValueError, EOFError, gzip.BadGzipFile) as error:
        raise _unreadable(path, error) from error
    if not is_parquet(path) and any(pa.types.is_binary(field.type) for field in table.schema):
        raise _not_text(path)  # Arrow calls what is not UTF-8 binary
    return _checked(path, table)


def _checked(path: Path, table: pa.Table) -> pa.Table:
    """Columns with names of their own; the nameless one of a saved index gets pandas' name."""
    names = [name or f"Unnamed: {place}" for place, name in enumerate(table.column_names)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise bad_request(f"{path.name} has two columns named {shown(twice)}: rename one.")
    return table.rename_columns(names)


def _csv(path: Path, separator: str | None) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    if separator is None:
        with _open(path) as file:
            header = file.readline(BLOCK).decode("utf-8-sig")
        # Spreadsheets that write numbers with a comma separate columns by a semicolon.
        separator = next((mark for mark in ",;\t" if mark in header), ",")

    def load(texts: Sequence[str] = ()) -> pa.Table:
        return csv.read_csv(
            path,
            read_options=csv.ReadOptions(block_size=BLOCK),
            parse_options=csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string())),
        )

    table = load()
    dates = _dates(table)
    return load(dates) if dates else table


def _json(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import json as arrow

    with _open(path) as file:
        start = file.read(1000).decode("utf-8-sig", "replace").lstrip()
    content = _lines_of_list(path) if start.startswith("[") else None

    def load(texts: Sequence[str] = ()) -> pa.Table:
        schema = pa.schema([(name, pa.string()) for name in texts]) if texts else None
        return arrow.read_json(
            BytesIO(content) if content is not None else path,
            read_options=arrow.ReadOptions(block_size=BLOCK),
            parse_options=arrow.ParseOptions(newlines_in_values=True, explicit_schema=schema),
        )

    table = load()
    dates = _dates(table)
    return load(dates).select(table.column_names) if dates else table


def _lines_of_list(path: Path) -> bytes:
    """A JSON list of objects as JSON Lines."""
    with _open(path) as file:
        rows = json.loads(file.read().decode("utf-8-sig"))
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("it is a list, but not of objects with named values")
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()


def _dates(table: pa.Table) -> list[str]:
    import pyarrow as pa

    return [field.name for field in table.schema if pa.types.is_temporal(field.type)]


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _different(first: Path, ours: pa.Schema, second: Path, theirs: pa.Schema) -> HubError:
    return bad_request(
        f"{first.name} has the columns {_columns(ours)}, {second.name} has {_columns(theirs)}: "
        "import them with a --config of their own."
    )


def _columns(schema: pa.Schema) -> str:
    text = ", ".join(f"{field.name} ({field.type})" for field in schema)
    return text if len(text) <= 200 else text[:199] + "…"


def _unreadable(path: Path, error: Exception) -> HubError:
    if isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
        return _not_text(path)
    return bad_request(f"{path.name} cannot be read: {_first_line(error)}")


def _not_text(path: Path) -> HubError:
    return bad_request(f"{path.name} is not UTF-8 text: save it as UTF-8 and import it again.")


def _first_line(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    return text if len(text) <= 300 else text[:299] + "…"
