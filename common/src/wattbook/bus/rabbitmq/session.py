"""One connection, from its opening to its end, and the thread that does its I/O.

pika's objects may be used from one thread only: everything here named ``_on_…`` runs in that thread, and
others reach it through :meth:`Session.run`.
"""

from __future__ import annotations

import logging
import random
import ssl
import threading
from collections.abc import Callable
from typing import Any

import pika
from pika import exceptions
from pika.adapters import select_connection
from pika.adapters.utils import connection_workflow as workflow

from wattbook.bus.rabbitmq.address import HANDSHAKE_S, Address
from wattbook.errors import Unavailable

_log = logging.getLogger(__name__)
# It logs every step of each failing attempt, with stack traces; what matters is said here in one line.
logging.getLogger("pika").setLevel(logging.CRITICAL)

CLOSE_S = 3.0
_ACCESS_REFUSED, _NOT_ALLOWED = 403, 530


class Session:
    """A connection and its thread. Once lost it stays lost."""

    def __init__(self, address: Address, name: str) -> None:
        """Prepare; :meth:`open` connects."""
        self._address = address
        self._name = name
        self._left = random.sample(address.hosts, len(address.hosts))
        self._failures: list[str] = []
        self._loop = select_connection.IOLoop()
        self._lock = threading.Lock()
        self._running = True
        self._settled = threading.Event()
        self._lost: Unavailable | None = None
        self._connection: Any = None
        self._attempt: Any = None
        self._closing = False
        self._blocked = ""
        self._on_blocked: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._run, name=f"bus-{name}", daemon=True)

    def open(self) -> Session:
        """Connect to one of the hosts, tried in random order.

        Raises:
            Unavailable: none of them took us; the message says why, for each.
        """
        self._thread.start()
        if not self._settled.wait(len(self._address.hosts) * (HANDSHAKE_S + 1.0)):
            self.close()
        if self._lost is not None:
            raise self._lost
        return self

    @property
    def lost(self) -> Unavailable | None:
        """Why it can no longer be used; None while it can."""
        return self._lost

    @property
    def blocked(self) -> str:
        """Why the server takes nothing from publishers now; empty while it does."""
        return self._blocked

    def run(self, work: Callable[[], None]) -> None:
        """Have the connection's thread do something, after what it was told before.

        Raises:
            Unavailable: the connection is lost.
        """
        with self._lock:  # so that nothing is handed to a loop that has ended
            if not self._running or self._lost is not None:
                raise self._lost or Unavailable("the bus is closed")
            self._loop.add_callback_threadsafe(work)

    def new_channel(self, on_open: Callable[[Any], None]) -> None:
        """Open a channel; call it in the connection's thread.

        Raises:
            Unavailable: it takes no more channels.
        """
        try:
            self._connection.channel(on_open_callback=on_open)
        except exceptions.AMQPError as error:
            raise Unavailable(f"the bus opens no channel: {error!r}") from error

    def when_blocked(self, call: Callable[[], None]) -> None:
        """Have ``call`` made, in the connection's thread, whenever the server stops taking messages."""
        self._on_blocked.append(call)

    def close(self) -> None:
        """End it; what was handed to its thread before is sent. From another thread than its own."""
        with self._lock:
            if self._running:
                self._loop.add_callback_threadsafe(self._on_close_wanted)
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    # --- in the connection's thread

    def _run(self) -> None:
        try:
            self._loop.add_callback_threadsafe(self._on_try_next)
            self._loop.start()
        except Exception as error:
            _log.exception("the thread of a bus connection failed")
            self._note_lost(f"a fault of ours: {type(error).__name__}")
        finally:
            with self._lock:
                self._running = False
            self._note_lost("the connection is closed")
            self._loop.close()

    def _on_try_next(self) -> None:
        if not self._left or self._closing:
            self._note_lost("; ".join(self._failures) or "the connection is closed")
            self._loop.stop()
            return
        host, port = self._left.pop()

        def done(result: Any) -> None:
            if isinstance(result, BaseException):
                self._failures.append(f"{host}:{port} {explained(result, self._address)}")
                self._on_try_next()
            else:
                self._on_open(result)

        try:
            parameters = self._address.parameters(host, port, name=self._name)
        except OSError as error:
            self._failures.append(f"the certificates cannot be used: {error.strerror or error}")
            self._on_try_next()
            return
        self._attempt = pika.SelectConnection.create_connection(
            [parameters], on_done=done, custom_ioloop=self._loop
        )

    def _on_open(self, connection: Any) -> None:
        self._connection = connection
        connection.add_on_close_callback(self._on_end)
        connection.add_on_connection_blocked_callback(self._on_blocked_by_server)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        if self._closing:
            connection.close()
        self._settled.set()

    def _on_end(self, _connection: Any, reason: BaseException) -> None:
        if not self._closing:
            _log.warning("a bus connection is lost", extra={"reason": explained(reason, self._address)})
        self._note_lost(explained(reason, self._address))
        self._loop.stop()

    def _on_blocked_by_server(self, _connection: Any, frame: Any) -> None:
        self._blocked = str(frame.method.reason) or "no reason given"
        _log.warning("the bus takes nothing now", extra={"reason": self._blocked})
        for call in self._on_blocked:
            call()

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self._blocked = ""
        _log.info("the bus takes messages again")

    def _on_close_wanted(self) -> None:
        self._closing = True
        self._note_lost("the connection is closed")
        if self._connection is None:
            if self._attempt is not None and not self._settled.is_set():
                self._attempt.abort()
            self._loop.stop()
        elif self._connection.is_open:
            self._connection.close()

    def _note_lost(self, why: str) -> None:
        if self._lost is None:
            hosts = ", ".join(f"{host}:{port}" for host, port in self._address.hosts)
            self._lost = Unavailable(f"the bus at {hosts} cannot be used: {why}")
        self._settled.set()


def explained(error: BaseException, address: Address) -> str:
    """What went wrong with a connection, in one line without a secret."""
    while True:
        if isinstance(error, workflow.AMQPConnectionWorkflowFailed):
            error = error.exceptions[-1]
        elif isinstance(error, workflow.AMQPConnectorPhaseErrorBase):
            error = error.exception
        else:
            break
    code = error.reply_code if isinstance(error, exceptions.ConnectionClosed) else None
    if isinstance(error, exceptions.ProbableAuthenticationError) or code == _ACCESS_REFUSED:
        return f"refuses user {address.user!r}: unknown, or the password is wrong"
    if isinstance(error, exceptions.ProbableAccessDeniedError) or code == _NOT_ALLOWED:
        return f"user {address.user!r} has no virtual host {address.vhost!r} there"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, workflow.AMQPConnectorStackTimeout):
        return "does not answer in time"
    if isinstance(error, exceptions.ConnectionClosed):
        return f"closed the connection: {error.reply_text}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"the connection broke: {type(error).__name__}"
