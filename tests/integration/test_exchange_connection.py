"""The connection to the exchange against a real websocket server that sends whatever it likes."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from ingest_service.clients import ExchangeConnection
from ingest_service.clients.bounded import BoundedConnection
from ingest_service.domain import ExchangeGone, Unreadable, read_frame
from websockets.asyncio.server import ServerConnection, serve
from websockets.client import ClientProtocol
from websockets.protocol import OPEN
from websockets.uri import parse_uri

MOST = 1 << 20
TEXT, CONT, PING, FIN = 0x1, 0x0, 0x9, 0x80
Sending = Callable[[ServerConnection], Awaitable[None]]


def header(opcode: int, length: int) -> bytes:
    """Of a frame of any length, as a server writes it."""
    if length < 126:
        return bytes((opcode, length))
    return bytes((opcode, 127)) + length.to_bytes(8, "big")


async def send_raw(to: ServerConnection, *pieces: bytes) -> None:
    for piece in pieces:
        to.transport.write(piece)
        await to.drain()


def heard(send: Sending, *, frames: int, most_bytes: int = MOST) -> list[bytes]:
    """The first frames that arrive of what ``send`` sends."""

    async def run() -> list[bytes]:
        over = asyncio.Event()

        async def serving(connection: ServerConnection) -> None:
            await send(connection)
            await over.wait()

        async with serve(serving, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            connection = await ExchangeConnection.open(f"ws://127.0.0.1:{port}", most_frame_bytes=most_bytes)
            try:
                async with asyncio.timeout(60):
                    return [await connection.frame() for _ in range(frames)]
            finally:
                over.set()
                await connection.close()

    return asyncio.run(run())


def why_not(frame: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        read_frame(frame)
    return str(caught.value)


@pytest.mark.parametrize("fragments", [1, 2])
def test_of_a_frame_that_is_too_large_its_beginning_length_and_digest_arrive_and_the_next_ones_whole(
    fragments: int,
) -> None:
    piece, pieces = b'{"x": "' + b"y" * 65_529, 200  # 12.5 MiB in each fragment
    length = len(piece) * pieces

    async def send(to: ServerConnection) -> None:
        await to.send("before")
        for number in range(fragments):
            fin = FIN if number == fragments - 1 else 0
            await send_raw(to, header((CONT if number else TEXT) | fin, length), *[piece] * pieces)
        await to.send("after")

    tracemalloc.start()
    before, large, after = heard(send, frames=3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    digest = hashlib.sha256(piece * (pieces * fragments)).hexdigest()
    assert (before, after) == (b"before", b"after")
    assert large.startswith(piece)
    assert len(large) < 2 * len(piece)
    assert (
        why_not(large)
        == f"too large: {length * fragments} bytes, SHA-256 {digest}; only its beginning is kept"
    )
    assert peak < 6 << 20


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, MOST - 1, MOST])
def test_a_frame_up_to_the_limit_arrives_whole(size: int) -> None:
    text = "z" * size

    async def send(to: ServerConnection) -> None:
        await to.send(text)
        await to.send([text[: size // 2], text[size // 2 :]])

    assert heard(send, frames=2) == [text.encode()] * 2


def test_many_small_fragments_are_as_large_as_they_are_together() -> None:
    async def send(to: ServerConnection) -> None:
        await to.send("ab" for _ in range(3000))
        await to.send("abcdef")

    large, small = heard(send, frames=2, most_bytes=5_999)

    assert why_not(large).startswith("too large: 6000 bytes")
    assert small == b"abcdef"


@pytest.mark.parametrize("length", [1_000, 2 * MOST])
def test_of_a_large_frame_that_is_broken_off_what_came_arrives_once(length: int) -> None:
    came = b"x" * length

    async def send(to: ServerConnection) -> None:
        await send_raw(to, header(TEXT | FIN, 3 * MOST), came)
        to.transport.close()

    (beginning,) = heard(send, frames=1)

    assert beginning.startswith(came[:1_000])
    digest = hashlib.sha256(came).hexdigest()
    assert why_not(beginning) == (
        f"the connection broke off after {length} bytes, SHA-256 {digest}; only its beginning is kept"
    )
    with pytest.raises(ExchangeGone):
        heard(send, frames=2)


def test_a_ping_in_the_middle_of_a_message_is_answered() -> None:
    async def send(to: ServerConnection) -> None:
        await send_raw(to, header(TEXT, 3) + b"one")
        async with asyncio.timeout(10):
            await (await to.ping())
        await send_raw(to, header(CONT | FIN, 3) + b"two")

    assert heard(send, frames=1) == [b"onetwo"]


class Wire(asyncio.Transport):
    """Where a connection writes; nobody reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


def test_a_flood_of_pings_is_answered_once_at_a_time_and_not_at_all_while_nobody_reads() -> None:
    flood = header(PING | FIN, 4) + b"ping" + (header(PING | FIN, 4) + b"last") * 2_000

    async def run() -> list[int]:
        protocol = ClientProtocol(parse_uri("ws://exchange"), max_size=None)
        protocol.state = OPEN
        connection, wire = BoundedConnection(protocol, most_bytes=MOST), Wire()
        connection.connection_made(wire)
        answers = []
        connection.data_received(flood)
        answers.append(len(wire.written))
        connection.pause_writing()
        for _ in range(5):
            connection.data_received(flood)
        answers.append(len(wire.written))
        connection.resume_writing()
        answers.append(len(wire.written))
        assert all(len(answer) == 2 + 4 + 4 for answer in wire.written)  # masked, with the ping's own data
        assert protocol.events_received() == []
        return answers

    assert asyncio.run(run()) == [1, 1, 2]
