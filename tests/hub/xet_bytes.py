"""Xorbs and shards as the client writes them, for tests to send and to spoil."""

import hashlib
import struct

import lz4.frame

NOT_PACKED, LZ4, GROUPED_LZ4 = range(3)


def grouped(data: bytes) -> bytes:
    """Bytes 0, 4, 8…, then 1, 5, 9…, and so on."""
    return b"".join(data[offset::4] for offset in range(4))


def chunk(data: bytes, scheme: int = NOT_PACKED, size: int | None = None) -> bytes:
    """One chunk; `size` to lie about how much it unpacks to."""
    packed = data if scheme == NOT_PACKED else lz4.frame.compress(
        data if scheme == LZ4 else grouped(data)
    )  # fmt: skip
    size = len(data) if size is None else size
    return chunk_header(len(packed), scheme, size) + packed


def chunk_header(packed: int, scheme: int, size: int) -> bytes:
    return b"\0" + packed.to_bytes(3, "little") + bytes([scheme]) + size.to_bytes(3, "little")


def xorb(*chunks: bytes) -> bytes:
    return b"".join(chunks)


def name_of(data: bytes) -> str:
    """Any name will do for a xorb: the Hub cannot check it."""
    return hashlib.sha256(data).hexdigest()


def raw_hash(text: str) -> bytes:
    return b"".join(struct.pack("<Q", int(text[i : i + 16], 16)) for i in range(0, 64, 16))


def segment(xorb_name: str, size: int, first: int, end: int) -> bytes:
    return raw_hash(xorb_name) + struct.pack("<4I", 0, size, first, end)


def shard_file(sha256: str | None, *segments: bytes, verified: bool = True) -> bytes:
    flags = (1 << 31 if verified else 0) | (1 << 30 if sha256 else 0)
    header = bytes(32) + struct.pack("<IIQ", flags, len(segments), 0)
    verification = bytes(48) * len(segments) if verified else b""
    metadata = raw_hash(sha256) + bytes(16) if sha256 else b""
    return header + b"".join(segments) + verification + metadata


SHARD_HEADER = b"HFRepoMetaData\0".ljust(32, b"U") + struct.pack("<QQ", 2, 0)
SHARD_END = b"\xff" * 32 + bytes(16)


def shard(*files: bytes) -> bytes:
    return SHARD_HEADER + b"".join(files) + SHARD_END + b"about the xorbs: not read"
