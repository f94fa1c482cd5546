"""The beginnings of files: rows, tensors, text, and what is not what its name says."""

import gzip
import io
import json
import struct
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.hub.cards.splits import configurations
from course_lib.hub.web import preview
from course_lib.hub.web.preview import Unreadable, first_rows, shorten, tensors, text


def parquet(columns: dict, features: dict | None = None, **options: object) -> bytes:
    table = pa.table(columns)
    if features:
        info = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": info})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


@pytest.fixture
def file(tmp_path: Path):
    def write(content: bytes | str, name: str = "file") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def test_parquet_rows_with_class_names_and_the_total(file):
    labels = {"label": {"_type": "ClassLabel", "names": ["negative", "positive"]}}
    content = parquet({"text": ["good", "bad"] * 50, "label": [1, -1] * 50}, labels)
    table = first_rows(file(content), "data/train.parquet")
    assert table.columns == [("text", "text"), ("label", "class label")]
    assert table.rows[:2] == [["good", "1 · positive"], ["bad", "-1"]]
    assert (len(table.rows), table.total, table.hidden) == (preview.MAX_ROWS, 100, 0)


def test_parquet_cells_are_short_and_readable(file):
    content = parquet(
        {
            "long": ["word " * 1000],
            "image": [{"bytes": b"\x89PNG" * 100, "path": "a.png"}],
            "tokens": [["a", "b", None]],
            "nothing": pa.array([None], pa.string()),
            "number": [1.5],
            "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int32())),
        }
    )
    (row,) = first_rows(file(content), "x.parquet").rows
    assert len(row[0]) <= preview.MAX_CELL and row[0].endswith("word…")
    assert row[1] == '{"bytes": "‹400 bytes›", "path": "a.png"}'
    assert row[2:5] == ['["a", "b", null]', "—", "1.5"]
    assert "k" in row[5]


def test_parquet_of_many_columns_and_of_no_rows(file):
    wide = first_rows(file(parquet({f"c{i}": [i] for i in range(50)}), "wide"), "x.parquet")
    assert (len(wide.columns), len(wide.rows[0]), wide.hidden) == (30, 30, 20)
    empty = first_rows(file(parquet({"a": pa.array([], pa.int64())}), "empty"), "x.parquet")
    assert (empty.columns, empty.rows, empty.total) == ([("a", "int64")], [], 0)


def test_only_the_first_pages_of_a_large_row_group_are_read(file):
    words = [f"{i} " * 300 for i in range(40_000)]
    path = file(parquet({"text": words}, compression="none", use_dictionary=False))
    assert path.stat().st_size > 50_000_000
    read = (
        "import sys, pyarrow; from pathlib import Path; from course_lib.hub.web.preview import *\n"
        "assert first_rows(Path(sys.argv[1]), 'x.parquet').total == 40_000\n"
        "print(pyarrow.default_memory_pool().max_memory())"
    )
    done = subprocess.run([sys.executable, "-c", read, path], capture_output=True, check=True)
    assert int(done.stdout) < 8_000_000


def test_a_huge_value_is_named_not_shown(file):
    content = parquet({"audio": [b"\0" * 9_000_000], "id": [1]})
    (row,) = first_rows(file(content), "x.parquet").rows
    assert "bytes" in row[0] and len(row[0]) < 60
    assert row[1] == "1"


@pytest.mark.parametrize(
    "name, content, columns, rows",
    [
        ("a.csv", 'x,y\n"1, one",2\n3\n', ["x", "y"], [["1, one", "2"], ["3", ""]]),
        ("a.csv", "\ufeffx;y\n1;2\n", ["x", "y"], [["1", "2"]]),
        ("a.tsv", "x\ty, z\n1\t2\n", ["x", "y, z"], [["1", "2"]]),
        ("a.csv.gz", gzip.compress(b"x\n1\n", mtime=0), ["x"], [["1"]]),
        ("a.jsonl", '{"x":1}\n\n{"x":null,"y":[1]}\n', ["x", "y"], [["1", "—"], ["—", "[1]"]]),
        ("a.json", '[{"x":true},{"x":"é"}]', ["x"], [["True"], ["é"]]),
        ("a.csv", "x\n1,2\n", ["x", ""], [["1", "2"]]),
        ("a.csv", "", [], []),
        ("a.jsonl", "", [], []),
    ],
)
def test_text_tables(file, name, content, columns, rows):
    table = first_rows(file(content), name)
    assert [column for column, _ in table.columns] == columns
    assert table.rows == rows


def test_a_long_text_table_is_read_up_to_a_line(file):
    lines = "\n".join(f"{i},{'x' * 30_000}" for i in range(100))
    table = first_rows(file("i,x\n" + lines), "a.csv")
    assert [row[0] for row in table.rows] == [str(i) for i in range(len(table.rows))]
    assert 3 < len(table.rows) < 10
    rows = "\n".join(json.dumps({"i": i, "x": "é" * 30_000}) for i in range(100))
    assert first_rows(file(rows, "b"), "a.jsonl").rows[0][0] == "0"


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.parquet", b"PAR1 not really PAR1"),
        ("a.parquet", b""),
        ("a.csv", b"\xff\xfe\x00"),
        ("a.jsonl", b"{"),
        ("a.jsonl", b"1\n2\n"),
        ("a.json", b"[" * 5000),
        ("a.csv.gz", b"\x1f\x8b\x08\x00 broken"),
    ],
)
def test_what_is_no_table_says_so(file, name, content):
    with pytest.raises(Unreadable, match="The rows cannot be read"):
        first_rows(file(content), name)


GOOD = parquet({"a": [1, 2, 3], "b": ["x", "y", "z"], "c": [[1], [], None]})


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_no_bytes_break_a_reader(tmp_path, data):
    content = bytearray(data.draw(st.sampled_from([GOOD, SAFE, b'{"a": 1}\n', b"a,b\n1,2\n"])))
    for _ in range(data.draw(st.integers(0, 4))):
        where = data.draw(st.integers(0, len(content)))
        content[where : where + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    path = tmp_path / str(abs(hash(bytes(content))))
    path.write_bytes(content)
    for name in ("a.parquet", "a.csv", "a.jsonl", "a.json", "a.jsonl.gz"):
        try:
            table = first_rows(path, name)
        except Unreadable as error:
            assert len(str(error)) < 500
        else:
            assert all(len(row) == len(table.columns) for row in table.rows)
    try:
        assert tensors(path).parameters >= 0
    except Unreadable as error:
        assert len(str(error)) < 500
    read = text(path)
    assert read is None or len(read[0]) <= len(content)


def safetensors(header: object, body: bytes = b"\0" * 64) -> bytes:
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


SAFE = safetensors(
    {
        "__metadata__": {"format": "pt"},
        "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "F16", "shape": [], "data_offsets": [24, 26]},
    }
)


def test_tensors_are_named_and_counted(file):
    found = tensors(file(SAFE))
    assert [(t.name, t.dtype, t.shape, t.count) for t in found.tensors] == [
        ("b", "F16", (), 1),
        ("w", "F32", (2, 3), 6),
    ]
    assert (found.parameters, found.dtypes) == (7, ["F16", "F32"])
    assert found.metadata == {"format": "pt"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234",
        struct.pack("<Q", 1 << 60) + b"{}",
        struct.pack("<Q", 100) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        safetensors({"w": {"dtype": "F32", "shape": [-1]}}),
        safetensors({"w": {"dtype": "F32", "shape": [1e9]}}),
        safetensors({"w": {"dtype": "F32", "shape": "22"}}),
        safetensors({"w": []}),
        safetensors({"__metadata__": 3}),
    ],
)
def test_a_header_that_lies_says_so(file, content):
    with pytest.raises(Unreadable, match="safetensors file"):
        tensors(file(content))


def test_text_is_cut_between_characters(file):
    whole = file("é" * 10, "short")
    assert text(whole) == ("é" * 10, True)
    cut = text(file("xé" * preview.MAX_TEXT_BYTES, "long"))
    assert cut is not None and set(cut[0]) == {"x", "é"} and not cut[1]
    assert text(file(b"\0\1\2", "zeros")) is None
    assert text(file(b"\xff\xfe", "latin")) is None
    assert shorten("a\n  b", 3) == "a b" and shorten("abcd", 3) == "ab…"


FILES = [
    "README.md",
    "data/train-00000-of-00002.parquet",
    "data/train-00001-of-00002.parquet",
    "data/test.parquet",
    "other/dev.csv",
]


@pytest.mark.parametrize(
    "declared, expected",
    [
        ("data/train-*", {"train": FILES[1:3]}),
        (["data/test.parquet"], {"train": FILES[3:4]}),
        ({"test": "data/test.parquet"}, {"test": FILES[3:4]}),
        ([{"split": "a", "path": "**/*.csv"}], {"a": FILES[4:]}),
        ([{"split": "a", "path": ["data/t*"]}], {"a": [FILES[3], *FILES[1:3]]}),
        ([{"split": "a", "path": "missing/*"}], None),
        ([{"split": "a"}], None),
        (7, None),
    ],
)
def test_declared_configurations(declared, expected):
    card = {"configs": [{"config_name": "c", "data_files": declared}]}
    found = configurations(card, FILES)
    guessed = {"train": FILES[1:3], "validation": FILES[4:], "test": FILES[3:4]}
    assert found == ({"c": expected} if expected else {"default": guessed})


def test_no_data_no_configuration():
    assert configurations({"configs": "x"}, ["README.md", "trainer.py"]) == {}
    assert configurations({}, ["a.jsonl", "contest.json.gz"]) == {
        "default": {"train": ["a.jsonl", "contest.json.gz"]}
    }
