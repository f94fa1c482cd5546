"""Xet's two byte layouts, read: a xorb holds packed chunks, a shard says which of them make a file.

All numbers are little-endian. Every length is checked before it is believed, and unpacking never
makes more than a chunk may hold (16 MB), whatever the packed bytes promise. The layouts are those
of xet-core.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from lz4.frame import LZ4FrameDecompressor

from course_lib.hub.errors import HubError, bad_request

CHUNK_HEADER = 8
XORB_FOOTER = b"XETBLOB"
MAX_CHUNKS = 16_384  # in a xorb; clients stop at 8,192
NOT_PACKED, LZ4, GROUPED_LZ4 = range(3)

SHARD_HEADER = 48
SHARD_TAG = b"HFRepoMetaData\0"
SHARD_VERSION = 2
RECORD = 48
END_OF_FILES = b"\xff" * 32
HAS_VERIFICATION = 1 << 31
HAS_METADATA = 1 << 30
MAX_SEGMENTS = 500_000  # of one file


@dataclass(frozen=True, slots=True)
class Xorb:
    """Where chunks begin: in the xorb, and in what it unpacks to. Both lists close with the end."""

    starts: array
    offsets: array

    def __len__(self) -> int:
        return len(self.starts) - 1


def read_xorb(file: BinaryIO, length: int) -> Xorb:
    """Walk the chunk headers of a file of `length` bytes; a footer after them is left alone."""
    starts, offsets = array("Q", [0]), array("Q", [0])
    while starts[-1] < length:
        header = file.read(CHUNK_HEADER)
        if header[: len(XORB_FOOTER)] == XORB_FOOTER:
            break
        packed, _, size = _chunk_header(header)
        end = starts[-1] + CHUNK_HEADER + packed
        if end > length:
            raise _bad("xorb", f"chunk {len(starts) - 1} is cut off")
        if len(starts) > MAX_CHUNKS:
            raise _bad("xorb", f"it has more than {MAX_CHUNKS:,} chunks")
        starts.append(end)
        offsets.append(offsets[-1] + size)
        file.seek(packed, 1)
    if len(starts) == 1:
        raise _bad("xorb", "it has no chunks")
    return Xorb(starts, offsets)


def _chunk_header(header: bytes) -> tuple[int, int, int]:
    """Packed length, scheme, unpacked length."""
    if len(header) < CHUNK_HEADER:
        raise _bad("xorb", "a chunk's header is cut off")
    version, scheme = header[0], header[4]
    packed, size = int.from_bytes(header[1:4], "little"), int.from_bytes(header[5:8], "little")
    if version != 0 or scheme > GROUPED_LZ4:
        raise _bad("xorb", f"a chunk has version {version} and scheme {scheme}")
    if scheme == NOT_PACKED and packed != size:
        raise _bad("xorb", f"a plain chunk of {packed:,} bytes is said to hold {size:,}")
    return packed, scheme, size


def read_chunk(file: BinaryIO) -> bytes:
    """Unpack the chunk at the file's position."""
    packed, scheme, size = _chunk_header(file.read(CHUNK_HEADER))
    data = file.read(packed)
    if len(data) != packed:
        raise _bad("xorb", "a chunk is cut off")
    if scheme == NOT_PACKED:
        return data
    data = _unpack(data, size)
    return data if scheme == LZ4 else _ungroup(data)


def _unpack(data: bytes, size: int) -> bytes:
    try:
        with LZ4FrameDecompressor() as decompressor:
            # One byte more than promised shows a bomb, and lets an honest frame reach its end mark.
            unpacked = decompressor.decompress(data, max_length=size + 1)
            complete = decompressor.eof and not decompressor.unused_data
    except RuntimeError as error:
        raise _bad("xorb", "a chunk is not an LZ4 frame") from error
    if len(unpacked) != size or not complete:
        raise _bad("xorb", f"a chunk does not unpack to the {size:,} bytes it promises")
    return unpacked


def _ungroup(data: bytes) -> bytes:
    """Undo the grouping of bytes 0, 4, 8…, then 1, 5, 9…, and so on, which packs numbers better."""
    plain = bytearray(len(data))
    start = 0
    for offset in range(4):
        count = len(range(offset, len(data), 4))
        plain[offset::4] = data[start : start + count]
        start += count
    return bytes(plain)


class Segment(NamedTuple):
    """Consecutive chunks of one xorb."""

    xorb: str
    size: int  # unpacked
    first: int
    end: int  # the chunk after the last


class ShardFile(NamedTuple):
    """A file of a shard. Its segments are decoded as they are asked for: there may be many."""

    name: str
    sha256: str | None
    size: int
    records: bytes

    def segments(self) -> Iterator[Segment]:
        for xorb, _, size, first, end in struct.iter_unpack("<32s4I", self.records):
            yield Segment(hash_text(xorb), size, first, end)


def read_shard(file: BinaryIO) -> Iterator[ShardFile]:
    """The files that a shard describes; what follows them, about the xorbs, is not needed."""
    header = file.read(SHARD_HEADER)
    if len(header) < SHARD_HEADER or not header.startswith(SHARD_TAG):
        raise _bad("shard", "it does not begin as one")
    if (version := int.from_bytes(header[32:40], "little")) != SHARD_VERSION:
        raise _bad("shard", f"it has version {version}, {SHARD_VERSION} is read")
    while not (record := _read(file, RECORD)).startswith(END_OF_FILES):
        name, flags, count = struct.unpack("<32sII", record[:40])
        if count > MAX_SEGMENTS:
            raise _bad("shard", f"a file has {count:,} segments, up to {MAX_SEGMENTS:,} are read")
        records = _read(file, count * RECORD)
        if flags & HAS_VERIFICATION:
            for _ in range(count):
                _read(file, RECORD)
        sha256 = hash_text(_read(file, RECORD)[:32]) if flags & HAS_METADATA else None
        size = sum(row[0] for row in struct.iter_unpack("<36xI8x", records))
        yield ShardFile(hash_text(name), sha256, size, records)


def hash_text(raw: bytes) -> str:
    """A hash as Xet writes it: four numbers of 8 bytes."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))


def _read(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise _bad("shard", "it ends too early")
    return data


def _bad(what: str, reason: str) -> HubError:
    return bad_request(f"The {what} is not valid: {reason}.")
