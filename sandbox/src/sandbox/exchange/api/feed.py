"""The websocket side: handshakes, connections, frames."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import socket
import struct
import termios
from collections.abc import AsyncIterator

from wattbook.clock import Clock
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.protocol import State

from sandbox.exchange.usecases import Exchange
from sandbox.exchange.usecases.exchange import REFUSE_503, REFUSE_RESET

_log = logging.getLogger(__name__)
_MOST_HEARD_BYTES = 64 * 1024  # of one message from a listener; none is expected
_CLOSE_S = 2.0
_FLUSH_S = 1.0
_FLUSH_LOOK_S = 0.002
MOST_BUFFERED_BYTES = 16 * 1024 * 1024


class WebsocketListener:
    """A :class:`sandbox.exchange.usecases.Listener` at the other end of a websocket."""

    def __init__(self, connection: ServerConnection, *, number: int, exchange: Exchange) -> None:
        """Be the listener of an open connection."""
        self.number = number
        self._connection = connection
        self._exchange = exchange
        self._deaf = False
        self._ending: asyncio.Task[None] | None = None

    def is_open(self) -> bool:
        """Whether a frame handed over now would be written."""
        return self._connection.state is State.OPEN and not self._connection.transport.is_closing()

    def send(self, payload: str | bytes) -> int:
        """Write a frame without waiting; its size."""
        protocol = self._connection.protocol
        if isinstance(payload, str):
            data = payload.encode()
            protocol.send_text(data)
        else:
            data = payload
            protocol.send_binary(data)
        self._connection.send_data()
        return len(data) + (2 if len(data) < 126 else 4 if len(data) < 65536 else 10)

    def is_clogged(self) -> bool:
        """Whether more piled up for it than is kept."""
        return self._connection.transport.get_write_buffer_size() > MOST_BUFFERED_BYTES

    def end(self, how: str) -> None:
        """Begin to end the connection."""
        self._ending = asyncio.ensure_future(self._close() if how == "close" else self._abort())

    def set_deaf(self, deaf: bool) -> None:
        """Stop reading, or read again."""
        transport = self._connection.transport
        if deaf == self._deaf or transport.is_closing():
            return
        self._deaf = deaf
        if deaf:
            transport.pause_reading()
        else:
            transport.resume_reading()

    async def _close(self) -> None:
        self.set_deaf(False)
        await self._connection.close(CloseCode.SERVICE_RESTART, "dropped")

    async def _abort(self) -> None:
        """End without a close frame, once what was handed over has left this machine (or will not)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                while self._unsent_bytes():
                    await asyncio.sleep(_FLUSH_LOOK_S)
        unsent_bytes = self._unsent_bytes()
        if unsent_bytes:
            self._exchange.take_back(self.number, unsent_bytes=unsent_bytes)
        self._connection.transport.abort()

    def _unsent_bytes(self) -> int:
        """What the listener's machine has not acknowledged: in our buffer and in the kernel's."""
        transport = self._connection.transport
        own: socket.socket | None = transport.get_extra_info("socket")
        if own is None or own.fileno() < 0 or transport.is_closing():
            return 0
        (in_kernel,) = struct.unpack("i", fcntl.ioctl(own.fileno(), termios.TIOCOUTQ, b"\0" * 4))
        return int(in_kernel) + transport.get_write_buffer_size()


class Feed:
    """Accepts listeners for an exchange."""

    def __init__(self, exchange: Exchange, *, clock: Clock) -> None:
        """Let them listen to ``exchange``."""
        self._exchange = exchange
        self._clock = clock
        self._count = 0

    @contextlib.asynccontextmanager
    async def served(self, on: socket.socket) -> AsyncIterator[int]:
        """Accept connections on a listening socket for the length of the block; the port."""
        port = int(on.getsockname()[1])
        server = await serve(
            self._listen, sock=on, process_request=self._greet, create_connection=self._connection_type(),
            compression=None, max_size=_MOST_HEARD_BYTES, close_timeout=_CLOSE_S,
            ping_interval=None,  # nothing but confirmations is sent, and in a freeze nothing at all
        )  # fmt: skip
        try:
            yield port
        finally:
            self._exchange.listeners.thaw()
            await _stop(server)

    def _greet(self, connection: ServerConnection, _: Request) -> Response | None:
        if self._exchange.refusal(self._clock.now()) == REFUSE_503:
            self._exchange.refused()
            return connection.respond(503, "not now\n")
        return None

    async def _listen(self, connection: ServerConnection) -> None:
        self._count += 1
        listener = WebsocketListener(connection, number=self._count, exchange=self._exchange)
        self._exchange.join(listener, now=self._clock.now())
        _log.info("a listener connected", extra={"connection": listener.number})
        try:
            with contextlib.suppress(ConnectionClosed):
                async for _ in connection:
                    pass  # the exchange takes no messages; reading them keeps the connection alive
            await connection.wait_closed()
        finally:
            self._exchange.leave(listener, now=self._clock.now())
            _log.info("a listener is gone", extra={"connection": listener.number})

    def _connection_type(self) -> type[ServerConnection]:
        feed = self

        class Resettable(ServerConnection):
            """Ends at once where the exchange refuses before the handshake."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                """A TCP connection is there."""
                super().connection_made(transport)
                if feed._exchange.refusal(feed._clock.now()) == REFUSE_RESET:
                    feed._exchange.refused()
                    self.transport.abort()

        return Resettable


async def _stop(server: Server) -> None:
    server.close(code=CloseCode.GOING_AWAY, reason="the exchange stops")
    await server.wait_closed()
