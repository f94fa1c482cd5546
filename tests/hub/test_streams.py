"""Request bodies: in what pieces they come out, and what happens when they do not come."""

import asyncio
import threading
import time

import pytest
from starlette.requests import ClientDisconnect, Request

from course_lib.hub import streams
from course_lib.hub.errors import HubError
from course_lib.hub.storage.store import Store
from course_lib.hub.streams import PIECE, announced_size, check_space, pour, read_json


def request_of(*chunks: bytes, ends: bool = True, pause: float = 0, headers: dict | None = None):
    """A request whose body comes in these chunks; `ends` False: the client goes away after them."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    last = {"type": "http.request", "body": b""} if ends else {"type": "http.disconnect"}
    waiting = iter([*messages, last])

    async def receive() -> dict:
        await asyncio.sleep(pause)
        return next(waiting)

    pairs = [(k.encode(), v.encode()) for k, v in (headers or {}).items()]
    return Request({"type": "http", "method": "POST", "headers": pairs}, receive)


def poured(request: Request, limit: int | None = None) -> list[bytes]:
    pieces: list[bytes] = []
    asyncio.run(pour(request, pieces.append, limit))
    return pieces


def test_a_body_comes_in_pieces_of_a_megabyte():
    chunks = [bytes([n]) * 100_000 for n in range(60)]
    pieces = poured(request_of(*chunks))
    assert b"".join(pieces) == b"".join(chunks)
    assert all(PIECE <= len(piece) < PIECE + 100_000 for piece in pieces[:-1])
    assert poured(request_of()) == [b""]


def test_the_next_piece_arrives_while_one_is_taken():
    taking = threading.Event()

    async def chunks_while_taking():
        for _ in range(3):
            yield {"type": "http.request", "body": bytes(PIECE), "more_body": True}
        assert await asyncio.to_thread(taking.wait, 5)
        yield {"type": "http.request", "body": b""}

    messages = chunks_while_taking()
    request = Request({"type": "http", "method": "POST", "headers": []}, messages.__anext__)

    def take(piece: bytes) -> None:
        assert threading.current_thread() is not threading.main_thread()
        taking.set()

    asyncio.run(pour(request, take))


def test_a_body_over_its_limit_is_cut_off():
    with pytest.raises(HubError) as caught:
        poured(request_of(bytes(60), bytes(60)), limit=100)
    assert caught.value.status == 413 and caught.value.headers == {"Connection": "close"}
    with pytest.raises(HubError, match="over 100 bytes"):  # not a byte of it is read
        poured(request_of(headers={"content-length": "101"}), limit=100)
    assert poured(request_of(bytes(100)), limit=100) == [bytes(100)]


def test_what_take_raises_comes_out_and_ends_the_upload():
    def take(piece: bytes) -> None:
        raise HubError(400, "No.")

    with pytest.raises(HubError, match="No."):
        asyncio.run(pour(request_of(*[bytes(PIECE)] * 100), take))


def test_a_piece_is_taken_to_its_end_before_a_lost_client_is_noticed():
    """Else the caller would close the file that the piece is written to."""
    done = []

    def take(piece: bytes) -> None:
        time.sleep(0.2)
        done.append(len(piece))

    with pytest.raises(ClientDisconnect):
        asyncio.run(pour(request_of(bytes(PIECE), ends=False), take))
    assert done == [PIECE]


def test_a_client_that_stalls_is_given_up(monkeypatch):
    monkeypatch.setattr(streams, "STALLED", 0.1)
    assert poured(request_of(*[bytes(PIECE)] * 5, pause=0.05)) == [bytes(PIECE)] * 5 + [b""]
    with pytest.raises(HubError) as caught:
        poured(request_of(bytes(PIECE), pause=0.5))
    assert caught.value.status == 408


def test_json_is_read_whole_within_a_limit():
    assert asyncio.run(read_json(request_of(b'{"a"', b": 1}"))) == {"a": 1}
    for body, status in ((b"[]", 400), (b"{", 400), (b"\xff", 400), (b"[" * 10**6, 400)):
        with pytest.raises(HubError) as caught:
            asyncio.run(read_json(request_of(body)))
        assert caught.value.status == status
    with pytest.raises(HubError) as caught:
        asyncio.run(read_json(request_of(bytes(60), bytes(60)), limit=100))
    assert caught.value.status == 413


@pytest.mark.parametrize("text, size", [("12", 12), ("", 0), ("-1", 0), ("1_0", 0), ("x", 0)])
def test_the_announced_size(text, size):
    assert announced_size(request_of(headers={"content-length": text})) == size
    assert announced_size(request_of()) == 0


def test_what_does_not_fit_on_the_disk_is_refused(tmp_path):
    check_space(Store(tmp_path), 1000)
    with pytest.raises(HubError, match="the Hub's disk has") as caught:
        check_space(Store(tmp_path), 1 << 60)
    assert caught.value.status == 413
