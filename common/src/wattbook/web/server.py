"""uvicorn with limits on what a slow or greedy client can hold, and a stop decided elsewhere.

Twice a second every connection is looked at, and one that keeps us waiting is let go: for a head, for a body
(the clock runs only while nothing of it is left to read), or for room to write an answer. What arrives for a
request that is answered already is thrown away, for some seconds. One address has a share of the connections.
Probes have a socket of their own, which none of this can fill.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import secrets
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from wattbook.errors import InvalidInput, TooManyRequests, Unavailable, WattbookError, error_body
from wattbook.proxies import TrustedProxies
from wattbook.web.settings import BACKLOG, HttpSettings

MAX_HEAD_BYTES = 64 * 1024
LEAST_BYTES_PER_S = 1024  # of a body that arrives and of an answer that is read, once its patience is used up
WRITE_TIMEOUT_S = 60.0
UNREAD_TIMEOUT_S = 5.0  # for the rest of a body whose request is answered, so that the answer arrives
MOST_UNREAD_BYTES = 4 * 1024**2
KEEP_ALIVE_S = 75
STOP_GRACE_S = 10
MOST_PROBES = 64
WARN_EVERY_S = 60.0
TRANSPORT = "wattbook.transport"  # in the scope: where a stream of events is written to
_SWEEP_TICKS = 5  # of a tenth of a second
_CLOSE = (b"connection", b"close")
_TOO_LONG = "the request's headers are too long"
_REASONS = {400: "Bad Request", 429: "Too Many Requests", 503: "Service Unavailable"}
_log = logging.getLogger(__name__)

Application = Callable[[Any, Any, Any], Awaitable[None]]


class _Config(uvicorn.Config):
    """uvicorn's configuration with ours beside it."""

    def __init__(
        self,
        app: Application,
        *,
        settings: HttpSettings,
        probes: Application | None,
        notify: Callable[[], None] | None,
        has_lifespan: bool,
    ) -> None:
        async def notified() -> None:
            assert notify is not None
            notify()

        super().__init__(
            app,
            http=Protocol,
            ws="none",
            loop="uvloop",
            lifespan="on" if has_lifespan else "off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_GRACE_S,
            callback_notify=notified if notify else None,
            timeout_notify=1,
        )
        self.settings = settings
        self.proxies: TrustedProxies = settings.proxies()
        self.probes = probes
        self.probe_port: int | None = None


class _State(ServerState):
    """uvicorn's state, and who is connected how often."""

    def __init__(self) -> None:
        super().__init__()
        self.of_address: Counter[str] = Counter()
        self.probes = 0
        self.warned_s = float("-inf")

    @property
    def strangers(self) -> int:
        """Connections besides those of probes."""
        return len(self.connections) - self.probes


class Protocol(HttpToolsProtocol):
    """HTTP/1.1, one connection."""

    config: _Config
    server_state: _State
    _counted_as: str | None = None
    _unanswered: deque[Any]  # where requests are sent on before the answer, uvicorn tells only the last
    _is_probe = False
    _in_head = _in_body = False
    _head_bytes = 0
    _deadline_s: float | None = None  # for a head, or for the rest of a body that nobody reads
    _body_bytes = 0
    _body_waited_s = 0.0
    _unread_bytes = 0
    _unwritten_bytes = 0
    _write_waited_s = 0.0

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a head, where there is room."""
        super().connection_made(transport)
        self._unanswered = deque()
        self._await_head()
        refusal = self._admitted()
        if refusal is not None:
            self._answer_at_once(refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self._is_probe:
            self.server_state.probes -= 1
        counted = self.server_state.of_address
        if self._counted_as is not None:
            counted[self._counted_as] -= 1
            if not counted[self._counted_as]:
                del counted[self._counted_as]
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head."""
        if self.transport.is_closing() or self._answers_its_last():
            return
        if self._deadline_s is None and not self._in_body and self._is_answered():
            self._await_head()  # whatever comes now: also line breaks, which begin no request
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
        self._await_head()
        super().on_message_begin()
        self.scope[TRANSPORT] = self.transport  # type: ignore[literal-required]

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head, self._in_body = False, True
        self._deadline_s = None
        self._body_bytes = self._unread_bytes = 0
        self._body_waited_s = 0.0
        if sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            raise ValueError(_TOO_LONG)  # makes the parser refuse the request
        super().on_headers_complete()
        self._unanswered.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        """Some of a body."""
        if self.cycle.response_complete:
            self._unread_bytes += len(body)
            if self._unread_bytes > MOST_UNREAD_BYTES:
                self.transport.close()
            return
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is complete."""
        self._in_body = False
        if self.cycle.response_complete:
            self._deadline_s = self.loop.time() + KEEP_ALIVE_S
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is; the rest of a body may still come, for a while."""
        self._unanswered.popleft()
        if self._in_body and self._is_answered():
            self._deadline_s = self.loop.time() + UNREAD_TIMEOUT_S
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._answer_at_once(InvalidInput(msg.rstrip(".")))

    def sweep(self, now_s: float, passed_s: float) -> None:
        """Let it go where it kept us waiting for too long; ``passed_s`` since the last look."""
        transport = self.transport
        if self._deadline_s is not None and now_s > self._deadline_s:
            transport.close()
        elif self._in_body and not transport.is_closing() and self._awaits_body():
            self._body_waited_s += passed_s
            allowed_s = self.config.settings.body_timeout_s + self._body_bytes / LEAST_BYTES_PER_S
            if self._body_waited_s > allowed_s:
                self._give_body_up()
        unwritten = transport.get_write_buffer_size()
        # Only where nothing is added meanwhile: how much less it is now is then how much was read.
        if unwritten and (self.flow.write_paused or transport.is_closing() or self._is_answered()):
            read = max(self._unwritten_bytes - unwritten, 0)
            self._write_waited_s = max(self._write_waited_s + passed_s - read / LEAST_BYTES_PER_S, 0.0)
            if self._write_waited_s > WRITE_TIMEOUT_S:
                transport.abort()
        else:
            self._write_waited_s = 0.0
        self._unwritten_bytes = unwritten

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade that is not taken is answered as the plain request that it also is."""

    def _await_head(self) -> None:
        self._deadline_s = self.loop.time() + self.config.settings.head_timeout_s

    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _answers_its_last(self) -> bool:
        """Whether nothing that comes now will be answered (RFC 9112, 9.6); a stream is such an answer."""
        if not self._unanswered:
            return False
        first = self._unanswered[0]
        return first.response_started and not first.keep_alive

    def _awaits_body(self) -> bool:
        """Whether it is for the client to go on: it may send, and all that it sent is read."""
        cycle = self.cycle
        is_told_to_wait = self.flow.read_paused or cycle.waiting_for_100_continue
        return not (cycle.response_complete or is_told_to_wait or cycle.message_event.is_set())

    def _give_body_up(self) -> None:
        """The application hears that the client is gone; the client hears why."""
        cycle = self.cycle
        cycle.disconnected = True
        cycle.message_event.set()
        if cycle.response_started:
            self.transport.abort()
        else:
            self._answer_at_once(InvalidInput("the body stopped arriving"))

    def _admitted(self) -> WattbookError | None:
        """Why there is no room for this connection; None where there is."""
        state, config = self.server_state, self.config
        if self.server is not None and self.server[1] == config.probe_port and config.probes is not None:
            self._is_probe = True
            state.probes += 1
            self.app = config.probes
            return Unavailable("too many probes at once") if state.probes > MOST_PROBES else None
        if state.strangers > config.settings.most_connections:
            self._warn("all connections are in use; one more is refused", connections=state.strangers)
            return Unavailable("too many connections are open; try again", retry_after_s=1)
        address = self.client[0] if self.client else ""
        if config.proxies.trusts(address):
            return None
        self._counted_as = counted_as(address)
        state.of_address[self._counted_as] += 1
        count = state.of_address[self._counted_as]
        if count <= config.settings.connections_per_address:
            return None
        self._warn("too many connections of one address", address=address, connections=count)
        return TooManyRequests("too many connections of your address are open", retry_after_s=1)

    def _warn(self, words: str, **facts: object) -> None:
        """A flood is one line a minute."""
        if self.loop.time() - self.server_state.warned_s >= WARN_EVERY_S:
            self.server_state.warned_s = self.loop.time()
            _log.warning(words, extra=facts)

    def _answer_at_once(self, error: WattbookError) -> None:
        """Answer what is no request that anybody could, and hang up."""
        if self.transport.is_closing():
            return
        request_id = secrets.token_hex(8)
        body = json.dumps(error_body(error, request_id=request_id)).encode()
        again = f"retry-after: {error.retry_after_s}\r\n" if error.retry_after_s is not None else ""
        head = (
            f"HTTP/1.1 {error.http_status} {_REASONS[error.http_status]}\r\n"
            f"content-type: application/json\r\nconnection: close\r\n{again}"
            f"x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server, stopped by an event instead of by signals of its own."""

    config: _Config
    server_state: _State

    def __init__(
        self,
        app: Application,
        *,
        settings: HttpSettings,
        stopping: threading.Event,
        drain_s: float = 0.0,
        probes: Application | None = None,
        notify: Callable[[], None] | None = None,
        end_streams: Callable[[], None] | None = None,
        has_lifespan: bool = True,
    ) -> None:
        """Serve ``app`` until ``stopping`` is set, ``probes`` at the sockets of :meth:`run`'s ``probing``.

        Then kept connections get ``drain_s`` for a last request, whose answer says that they end: closing
        one that is idle would cross with a request on its way. After it ``end_streams`` is called, and
        running requests get some seconds. ``notify`` is called once a second.
        """
        super().__init__(
            _Config(app, settings=settings, probes=probes, notify=notify, has_lifespan=has_lifespan)
        )
        self.server_state = _State()
        self._stopping = stopping
        self._end_streams = end_streams
        self._drain_s = drain_s
        self._drained_s: float | None = None
        self._swept_s = time.monotonic()

    def serve_on(self, sockets: Sequence[socket.socket], *, probing: socket.socket | None = None) -> None:
        """Serve at listening ``sockets``, and only probes at ``probing``, until told to stop."""
        if probing is not None:
            self.config.probe_port = probing.getsockname()[1]
        self.run(sockets=[*sockets, *([probing] if probing else ())])

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: look after the connections; whether to stop."""
        if await super().on_tick(counter):
            return True
        if counter % _SWEEP_TICKS == 0:
            self._sweep()
        return self._stopping.is_set() and self._is_drained()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what would not end by itself, then the rest."""
        if self._end_streams is not None:
            self._end_streams()
        await super().shutdown(sockets)

    def _sweep(self) -> None:
        now_s = time.monotonic()
        passed_s, self._swept_s = now_s - self._swept_s, now_s
        loop_s = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            connection.sweep(loop_s, passed_s)  # type: ignore[union-attr]  # all are ours

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


def counted_as(address: str) -> str:
    """Under which name an address's connections are counted: itself, or in IPv6 the /64 that one site has."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False))
