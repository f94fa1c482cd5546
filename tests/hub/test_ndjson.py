"""The body of a commit as it is read: in pieces of any size, with anything wrong."""

import base64
import json
import os
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.hub.api import longline, ndjson
from course_lib.hub.api.ndjson import CommitBody, CommitParser, LargeFile
from course_lib.hub.errors import HubError
from course_lib.hub.storage.blobs import BlobStore
from course_lib.hub.storage.store import AddFile, CopyFile, DeleteFile, DeleteFolder
from tests.hub.mutating import mutated

SHA256 = "0123456789abcdef" * 4
HEADER = {"key": "header", "value": {"summary": "Add files", "description": "All of them"}}
SMALL, LONG = b"hello\n", bytes(range(256)) * 1000  # LONG is over ndjson.LONG_LINE


def file_line(path: str, content: bytes) -> dict:
    value = {"content": base64.b64encode(content).decode(), "path": path, "encoding": "base64"}
    return {"key": "file", "value": value}


def body_of(*lines: dict) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


BODY = body_of(
    HEADER,
    file_line("small.txt", SMALL),
    file_line("long.txt", LONG),
    {"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": SHA256, "size": 9}},
    {"key": "lfsFile", "value": {"path": "copy.bin", "algo": "sha256", "oid": SHA256}},
    {"key": "deletedFile", "value": {"path": "old.txt"}},
    {"key": "deletedFolder", "value": {"path": "old/"}},
    {"key": "copyFile", "value": {"path": "b", "srcPath": "a", "srcRevision": "v1"}},
)


@pytest.fixture
def blobs(tmp_path) -> BlobStore:
    return BlobStore(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> BlobStore:
    """One for all examples of a property."""
    return BlobStore(tmp_path_factory.mktemp("shared"))


def parse(blobs: BlobStore, data: bytes, size: int | None = None) -> CommitBody:
    """Parse `data`, fed in pieces of `size`, and publish its contents."""
    with CommitParser(blobs) as parser:
        for start in range(0, len(data), size or max(1, len(data))):
            parser.feed(data[start : start + size] if size else data)
        body = parser.finish()
        blobs.publish(body.contents)
    assert not leftovers(blobs)
    return body


def leftovers(blobs: BlobStore) -> list[str]:
    return os.listdir(blobs.temporary)


def refused(blobs: BlobStore, data: bytes, status: int = 400) -> str:
    """The sentence with which `data` is refused; nothing may be left of it."""
    with pytest.raises(HubError) as caught, CommitParser(blobs) as parser:
        parser.feed(data)
        parser.finish()
    assert caught.value.status == status
    assert not leftovers(blobs) and not list(blobs.all())
    return caught.value.message


@pytest.mark.parametrize("size", [None, 1, 7, 4096, 65_537])
def test_a_body_is_read_the_same_in_pieces_of_any_size(blobs, size):
    body = parse(blobs, BODY, size)
    assert body.header == ("Add files", "All of them", None)
    small, long, *rest = body.operations
    assert (small.path, blobs.read(small.blob.sha256)) == ("small.txt", SMALL)
    assert (long.path, blobs.read(long.blob.sha256)) == ("long.txt", LONG)
    assert rest == [
        LargeFile("w.bin", SHA256, 9),
        LargeFile("copy.bin", SHA256, None),
        DeleteFile("old.txt"),
        DeleteFolder("old/"),
        CopyFile("b", "a", "v1"),
    ]


def test_fields_may_stand_in_any_order_and_the_last_line_need_not_end(blobs):
    content = base64.b64encode(LONG).decode()
    for order in (("content", "path", "encoding"), ("path", "encoding", "content")):
        value = {"content": content, "path": "é/x.txt", "encoding": "base64"}
        line = {"value": {name: value[name] for name in order}, "key": "file"}
        data = body_of(HEADER) + json.dumps(line, indent=None, ensure_ascii=False).encode()
        (added,) = parse(blobs, data).operations
        assert isinstance(added, AddFile) and added.path == "é/x.txt"
        assert blobs.read(added.blob.sha256) == LONG


@pytest.mark.parametrize("content", [LONG, b"\xff" * 30_000], ids=["long", "slashes"])
def test_slashes_may_be_escaped_and_spaces_stand_around_the_colon(blobs, content):
    line = json.dumps(file_line("x", content)).replace("/", "\\/").replace('tent":', 'tent" :\t')
    (added,) = parse(blobs, body_of(HEADER) + line.encode(), 1000).operations
    assert blobs.read(added.blob.sha256) == content


def test_blank_lines_and_carriage_returns_are_no_error(blobs):
    data = b"\n" + body_of(HEADER, file_line("x", SMALL)).replace(b"\n", b"\r\n") + b"\n\n"
    assert len(parse(blobs, data).operations) == 1


def test_an_empty_file_and_an_empty_commit(blobs):
    (added,) = parse(blobs, body_of(HEADER, file_line("empty", b""))).operations
    assert added.blob.size == 0
    assert parse(blobs, body_of(HEADER)).operations == []


def test_two_files_may_have_the_same_content(blobs):
    first, second = parse(blobs, body_of(HEADER, *(file_line(p, LONG) for p in "ab"))).operations
    assert first.blob == second.blob and blobs.read(first.blob.sha256) == LONG


def replaced(line: dict, **changes) -> dict:
    """`line` with changed fields in its value; None takes a field out."""
    value = {k: v for k, v in {**line["value"], **changes}.items() if v is not None}
    return {"key": line["key"], "value": value}


FILE, LARGE, COPY = file_line("x", SMALL), *(json.loads(BODY.splitlines()[n]) for n in (3, 7))
WRONG = {
    "no lines": (b"", "first line must be the"),
    "no header": (body_of(FILE), "Line 1 of the commit must be the"),
    "second header": (body_of(HEADER, HEADER), "Line 2 of the commit is a second header"),
    "no summary": (body_of(replaced(HEADER, summary=None)), "lacks summary"),
    "blank summary": (body_of(replaced(HEADER, summary="  ")), "empty summary"),
    "parent": (body_of(replaced(HEADER, parentCommit="HEAD")), "parentCommit 'HEAD'"),
    "not json": (body_of(HEADER) + b"{'key'", "Line 2 of the commit is not valid JSON"),
    "not utf-8": (body_of(HEADER) + b'"\xff"', "is not valid JSON"),
    "utf-16": (json.dumps(HEADER).encode("utf-16"), "is not valid JSON"),
    "deep": (body_of(HEADER) + b"[" * 60_000, "is not valid JSON"),
    "deep and long": (body_of(HEADER) + b"[" * 600_000, "is not valid JSON"),
    "big number": (body_of(HEADER) + b"1" * 50_000, "is not valid JSON"),
    "a list": (body_of(HEADER) + b"[1]", 'an object with a "key" and a "value"'),
    "more keys": (body_of({**HEADER, "x": 1}), 'an object with a "key" and a "value"'),
    "unknown key": (body_of(HEADER, {"key": "link", "value": {}}), "has the key 'link'"),
    "key no text": (body_of(HEADER, {"key": ["file"], "value": {}}), "which is none of header"),
    "value no object": (body_of(HEADER, {"key": "file", "value": "x"}), "value that is no object"),
    "unknown field": (body_of(HEADER, replaced(FILE, mode="755")), "unknown field 'mode'"),
    "no path": (body_of(HEADER, replaced(FILE, path=None)), "lacks path"),
    "path no text": (body_of(HEADER, replaced(FILE, path=3)), "path that is not a text: 3"),
    "path up": (body_of(HEADER, replaced(FILE, path="../x")), "not a plain relative path"),
    "path NUL": (body_of(HEADER, replaced(FILE, path="a\0b")), "control character"),
    "path half": (body_of(HEADER, replaced(FILE, path="\ud800")), "path that is not a text"),
    "summary half": (body_of(replaced(HEADER, summary="\udfff")), "summary that is not a text"),
    "long revision": (
        body_of(HEADER, replaced(COPY, srcRevision="r" * 201)),
        "srcRevision of over 200 characters",
    ),
    "source up": (body_of(HEADER, replaced(COPY, srcPath="../a")), "not a plain relative path"),
    "delete nothing": (
        body_of(HEADER, {"key": "deletedFolder", "value": {"path": "/"}}),
        "A path is empty",
    ),
    "no encoding": (body_of(HEADER, replaced(FILE, encoding=None)), "lacks encoding"),
    "utf-8": (body_of(HEADER, replaced(FILE, encoding="utf-8")), "only base64 is read"),
    "content no text": (body_of(HEADER, replaced(FILE, content=[1])), "content that is not a text"),
    "not base64": (body_of(HEADER, replaced(FILE, content="a$==")), "not base64"),
    "url base64": (body_of(HEADER, replaced(FILE, content="_-==")), "not base64"),
    "new line in base64": (body_of(HEADER, replaced(FILE, content="QUJD\nQUJD")), "not base64"),
    "no padding": (body_of(HEADER, replaced(FILE, content="QQ")), "not base64"),
    "early padding": (body_of(HEADER, replaced(FILE, content="QQ==QUJD")), "not base64"),
    "not ascii": (body_of(HEADER, replaced(FILE, content="éé==")), "not base64"),
    "oid": (body_of(HEADER, replaced(LARGE, oid="12")), "needs algo sha256 and its 64 digits"),
    "algo": (body_of(HEADER, replaced(LARGE, algo="md5")), "needs algo sha256"),
    "size text": (body_of(HEADER, replaced(LARGE, size="9")), "size that is not a whole number"),
    "size true": (body_of(HEADER, replaced(LARGE, size=True)), "size that is not a whole number"),
    "size below 0": (body_of(HEADER, replaced(LARGE, size=-1)), "size that is not a whole number"),
    "size float": (body_of(HEADER, replaced(LARGE, size=9.0)), "size that is not a whole number"),
    "size huge": (body_of(HEADER, replaced(LARGE, size=1 << 80)), "not a whole number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_body_is_refused_with_one_sentence(blobs, name):
    data, expected = WRONG[name]
    message = refused(blobs, data)
    assert expected in message
    assert message.endswith(".") and "\n" not in message and len(message) < 300


LONG_TEXT = base64.b64encode(LONG).decode()
LONG_WRONG = {
    "not base64": (LONG_TEXT[:-10] + "$" + LONG_TEXT[-9:], "not base64"),
    "padding inside": ("QQ==" + LONG_TEXT, "not base64"),
    "padding at a border": (LONG_TEXT[:-4] + "QQ==" + "QUJD" * 30_000, "not base64"),
    "not a multiple of 4": (LONG_TEXT[:-1], "not base64"),
    "an escape": (LONG_TEXT + "\\u002b", "not base64"),
    "a backslash at the end": (LONG_TEXT + "\\", "not base64"),
}


@pytest.mark.parametrize("name", LONG_WRONG)
@pytest.mark.parametrize("size", [4096, 1 << 20])
def test_long_contents_are_decoded_as_strictly_as_short_ones(blobs, name, size):
    text, expected = LONG_WRONG[name]
    line = f'{{"key":"file","value":{{"path":"x","encoding":"base64","content":"{text}"}}}}\n'
    data = body_of(HEADER) + line.encode()
    with pytest.raises(HubError, match=expected), CommitParser(blobs) as parser:
        for start in range(0, len(data), size):
            parser.feed(data[start : start + size])
        parser.finish()
    assert not leftovers(blobs)


def test_only_a_content_may_be_long(blobs):
    summary = replaced(HEADER, summary="s" * longline.MAX_REST)
    assert "without its content" in refused(blobs, body_of(summary), 413)
    long_but_fine = replaced(HEADER, description="d" * (longline.MAX_REST // 2))
    assert parse(blobs, body_of(long_but_fine)).header.description.endswith("d")


def test_a_line_may_have_one_content(blobs):
    twice = f'{{"content":"{LONG_TEXT}","content":"{LONG_TEXT}"}}'
    assert "more than one content" in refused(blobs, body_of(HEADER) + twice.encode())


def test_a_content_in_another_place_is_refused(blobs):
    for line in (
        replaced(HEADER, content=LONG_TEXT),
        {"key": "deletedFile", "value": {"path": "x", "content": LONG_TEXT}},
        {"key": "file", "value": {"path": "x", "encoding": "base64", "a": {"content": LONG_TEXT}}},
    ):
        refused(blobs, body_of(*([] if line["key"] == "header" else [HEADER]), line))


def test_there_may_be_so_many_lines(blobs, monkeypatch):
    monkeypatch.setattr(ndjson, "MAX_LINES", 5)
    lines = [HEADER, *({"key": "deletedFile", "value": {"path": str(i)}} for i in range(4))]
    assert len(parse(blobs, body_of(*lines)).operations) == 4
    assert "over 5 lines" in refused(blobs, body_of(*lines, *lines[1:]), 413)


def test_what_was_not_published_is_gone(blobs):
    with CommitParser(blobs) as parser:
        parser.feed(BODY)
        parser.finish()
        assert len(leftovers(blobs)) == 2
    assert not leftovers(blobs) and not list(blobs.all())


def test_memory_does_not_grow_with_the_content(blobs):
    tracemalloc.start()
    try:
        with CommitParser(blobs) as parser:
            parser.feed(body_of(HEADER))
            parser.feed(b'{"key":"file","value":{"path":"x","encoding":"base64","content":"')
            for _ in range(50):
                parser.feed(b"QUJD" * (1 << 18))
            parser.feed(b'"}}\n')
            (content,) = parser.finish().contents
            peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert content.size == 50 * 3 * (1 << 18)
    assert peak < 8 << 20


@pytest.mark.parametrize("text", [b'"', b"\\", b'\\"', b"[", b"\n", b'""', b'"content":"'])
def test_no_text_is_slow_to_read(blobs, text):
    """Each of these takes well under a second; what grows with the square would take hours."""
    with pytest.raises(HubError), CommitParser(blobs) as parser:
        parser.feed(body_of(HEADER))
        for start in (b"", b'{"value":"', b'{"content":"'):
            for _ in range(3):
                parser.feed(start + text * (300_000 // len(text)))
        parser.finish()


@given(cut=st.integers(0, len(BODY) - 1), size=st.sampled_from([1 << 20, 5000, 100]))
@settings(max_examples=150, deadline=None)
def test_a_truncated_body_is_refused_or_is_whole_lines(shared, cut, size):
    try:
        body = parse(shared, BODY[:cut], size)
    except HubError as error:
        assert error.status == 400
    else:
        lines = BODY[:cut].count(b"\n") + (BODY[cut : cut + 1] == b"\n")
        assert 1 + len(body.operations) == lines
    assert not leftovers(shared)


MARKS = [b'"', b"\n", b"\\", b"{", b"}", b"=", b"null"]
SHORT_BODY = body_of(*(json.loads(line) for n, line in enumerate(BODY.splitlines()) if n != 2))


@given(data=mutated(SHORT_BODY, MARKS) | mutated(BODY, MARKS) | st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_body_is_read_or_refused(shared, data):
    try:
        parse(shared, data, 10_000)
    except HubError as error:
        assert error.status in (400, 413)
    assert not leftovers(shared)
