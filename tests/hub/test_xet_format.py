"""Xorbs and shards: read as written, refused when they lie, never at the cost of memory."""

import hashlib
import io
import os
import tracemalloc

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.hub.api import xet_format
from course_lib.hub.api.xet_format import Segment, read_chunk, read_shard, read_xorb
from course_lib.hub.errors import HubError
from tests.hub.mutating import mutated
from tests.hub.xet_bytes import (
    GROUPED_LZ4,
    LZ4,
    NOT_PACKED,
    SHARD_END,
    SHARD_HEADER,
    chunk,
    chunk_header,
    segment,
    shard,
    shard_file,
    xorb,
)

SHA256 = hashlib.sha256(b"x").hexdigest()
NAME = hashlib.sha256(b"a xorb").hexdigest()


def chunks_of(data: bytes) -> list[bytes]:
    """All that a xorb holds, as the Hub reads it."""
    file = io.BytesIO(data)
    index = read_xorb(file, len(data))
    contents = []
    for number in range(len(index)):
        file.seek(index.starts[number])
        contents.append(read_chunk(file))
        assert len(contents[-1]) == index.offsets[number + 1] - index.offsets[number]
    return contents


def files_of(data: bytes) -> list[tuple[str | None, int, list[Segment]]]:
    return [(f.sha256, f.size, list(f.segments())) for f in read_shard(io.BytesIO(data))]


@given(
    contents=st.lists(
        st.tuples(st.binary(max_size=300), st.sampled_from([NOT_PACKED, LZ4, GROUPED_LZ4])),
        min_size=1,
        max_size=8,
    ),
    footer=st.sampled_from([b"", b"XETBLOB\1" + bytes(90)]),
)
def test_chunks_of_every_scheme_come_back(contents, footer):
    data = xorb(*(chunk(content, scheme) for content, scheme in contents)) + footer
    assert chunks_of(data) == [content for content, _ in contents]


@pytest.mark.parametrize("size", [131_072, (1 << 24) - 1])
@pytest.mark.parametrize("scheme", [LZ4, GROUPED_LZ4])
def test_large_chunks_come_back(scheme, size):
    content = os.urandom(1000) * (size // 1000 + 1)
    assert chunks_of(chunk(content[:size], scheme)) == [content[:size]]


def test_a_shard_says_what_files_are_made_of():
    first = segment(NAME, 1000, 0, 3), segment(SHA256, 24, 7, 8)
    data = shard(shard_file(SHA256, *first), shard_file(None, verified=False))
    assert files_of(data) == [
        (SHA256, 1024, [Segment(NAME, 1000, 0, 3), Segment(SHA256, 24, 7, 8)]),
        (None, 0, []),
    ]


GOOD = chunk(b"good", LZ4)
PACKED = lz4.frame.compress(b"z" * 1000)
WRONG_XORBS = {
    "empty": b"",
    "only a footer": b"XETBLOB" + bytes(90),
    "header cut off": GOOD + GOOD[:5],
    "chunk cut off": GOOD + GOOD[:-1],
    "more than there is": GOOD + chunk_header(5000, LZ4, 4) + b"few",
    "version": GOOD + b"\1" + GOOD[1:],
    "scheme": GOOD + chunk_header(4, 3, 4) + b"good",
    "plain of another length": GOOD + chunk_header(4, NOT_PACKED, 400) + b"good",
    "unpacks to less": chunk(b"good", LZ4, size=5),
    "unpacks to more": chunk(b"good", LZ4, size=3),
    "no frame": chunk_header(4, LZ4, 4) + b"good",
    "frame cut off": chunk_header(len(PACKED) - 4, LZ4, 1000) + PACKED[:-4],
    "more after the frame": chunk_header(len(PACKED) + 1, LZ4, 1000) + PACKED + b"\0",
    "two frames": chunk_header(len(PACKED) * 2, LZ4, 2000) + PACKED * 2,
    "no data": chunk_header(0, LZ4, 4),
}


@pytest.mark.parametrize("name", WRONG_XORBS)
def test_a_wrong_xorb_is_refused(name):
    with pytest.raises(HubError, match="The xorb is not valid: .+\\.$") as caught:
        chunks_of(WRONG_XORBS[name])
    assert caught.value.status == 400


def test_a_xorb_may_have_so_many_chunks(monkeypatch):
    monkeypatch.setattr(xet_format, "MAX_CHUNKS", 3)
    assert len(chunks_of(GOOD * 3)) == 3
    with pytest.raises(HubError, match="more than 3 chunks"):
        chunks_of(GOOD * 4)


FILE = shard_file(SHA256, segment(NAME, 10, 0, 1))
WRONG_SHARDS = {
    "empty": b"",
    "header cut off": SHARD_HEADER[:-1],
    "another tag": b"x" + shard(FILE)[1:],
    "another version": SHARD_HEADER[:32] + b"\3" + SHARD_HEADER[33:] + FILE + SHARD_END,
    "no end": SHARD_HEADER + FILE,
    "end cut off": SHARD_HEADER + FILE + SHARD_END[:-20],
    "fewer segments than said": SHARD_HEADER + FILE[:36] + b"\xff\xff\1" + FILE[39:],
    "far more segments than said": SHARD_HEADER + FILE[:36] + b"\xff" * 4 + FILE[40:],
}


@pytest.mark.parametrize("name", WRONG_SHARDS)
def test_a_wrong_shard_is_refused(name):
    with pytest.raises(HubError, match="The shard is not valid: .+\\.$") as caught:
        files_of(WRONG_SHARDS[name])
    assert caught.value.status == 400


@pytest.mark.parametrize("said", [1, 65_536, (1 << 24) - 1])
def test_a_bomb_makes_no_more_than_a_chunk_may_hold(said):
    """16 MB of zeros pack to 64 kB: 64 of them in one chunk would be a gigabyte."""
    bomb = lz4.frame.compress(bytes(1 << 30))
    data = chunk_header(len(bomb), LZ4, said) + bomb
    tracemalloc.start()
    try:
        with pytest.raises(HubError, match="does not unpack to"):
            chunks_of(data)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


XORB = xorb(chunk(b"plain" * 20), chunk(b"zeros" * 50, LZ4), chunk(b"0123" * 60, GROUPED_LZ4))
SHARD = shard(FILE, shard_file(SHA256, *[segment(NAME, 10, 0, 1)] * 3), shard_file(None))


@given(data=mutated(XORB) | st.binary(max_size=100))
@settings(max_examples=400, deadline=None)
def test_any_xorb_is_read_or_refused(data):
    try:
        assert sum(map(len, chunks_of(data))) <= 255 * len(data)
    except HubError as error:
        assert error.status == 400


@given(data=mutated(SHARD) | st.binary(max_size=100).map(SHARD_HEADER.__add__))
@settings(max_examples=400, deadline=None)
def test_any_shard_is_read_or_refused(data):
    try:
        assert sum(len(segments) for _, _, segments in files_of(data)) * 48 <= len(data)
    except HubError as error:
        assert error.status == 400
