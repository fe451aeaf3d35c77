"""uvicorn, with rubbish at HTTP's own level answered in the one error shape, and a stop decided elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from wattbook.errors import InvalidInput, error_body

MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_S = 20.0
STOP_GRACE_S = 10
BACKLOG = 1024
MAX_CONNECTIONS = 4_000
_CLOSE = (b"connection", b"close")
_TOO_LONG = "the request's headers are too long"


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 with limits on the request's head: its size, and the time it may take."""

    _head_bytes = 0
    _in_head = False
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a head."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if not self._in_head:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self.send_400_response(_TOO_LONG)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_too_slow)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head = False
        self._stop_timer()
        if sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            raise ValueError(_TOO_LONG)  # makes the parser refuse the request
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in our shape, and hang up."""
        if self.transport.is_closing():
            return
        request_id = secrets.token_hex(8)
        body = msgspec.json.encode(error_body(InvalidInput(msg.rstrip(".")), request_id=request_id))
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            f"x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade that is not taken is answered as the plain request that it also is."""

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class Server(uvicorn.Server):
    """uvicorn's server, stopped by an event instead of by signals of its own."""

    def __init__(self, app: Any, *, stopping: threading.Event, drain_s: float = 0.0) -> None:
        """Serve ``app`` until ``stopping`` is set.

        Then kept connections get ``drain_s`` for a last request, whose answer says that they end: closing
        one that is idle would cross with a request on its way. Running requests get some seconds after it.
        """
        super().__init__(
            uvicorn.Config(
                app,
                http=Protocol,
                ws="none",
                loop="uvloop",
                lifespan="on",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=STOP_GRACE_S,
            )
        )
        self._stopping = stopping
        self._drain_s = drain_s
        self._drained_s: float | None = None

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop."""
        if await super().on_tick(counter):
            return True
        return self._stopping.is_set() and self._is_drained()

    def _is_drained(self) -> bool:
        """Whether nobody can send anything more on a connection that is kept, or has had the time for it."""
        if self._drained_s is None:
            self._drained_s = time.monotonic() + self._drain_s
        state = self.server_state
        if _CLOSE not in state.default_headers:  # the superclass makes them anew each second
            state.default_headers = [*state.default_headers, _CLOSE]
        return not state.connections or time.monotonic() >= self._drained_s

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's business, not uvicorn's."""
        yield
