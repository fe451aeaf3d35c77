"""Publishing with confirms: many messages on their way at once, answered when each is in its queues."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

from pika import exceptions, spec

from wattbook.bus.rabbitmq.link import Channel, Link
from wattbook.bus.rabbitmq.wire import Outgoing
from wattbook.errors import Unavailable

_log = logging.getLogger(__name__)

CONFIRM_S = 15.0  # a cluster under load may take some to elect a queue's leader
LOOK_S = 5.0  # how long a queue may be missing unseen, where another one takes the same messages
CHUNK = 500  # messages handed to the connection's thread at a time, so that it also reads


class Publisher:
    """Publishes over one connection of its own; any thread may use it."""

    def __init__(self, link: Link, prepare: Callable[[Link], None]) -> None:
        """``prepare`` is called with the link before a connection's first message, and now and then."""
        self._link = link
        self._prepare = prepare
        self._lock = threading.Lock()
        self._line: _Line | None = None
        self._look_at_s = 0.0

    def publish(self, outgoing: Sequence[Outgoing]) -> None:
        """Confirmed by the server, all of them, when this returns.

        Raises:
            Unavailable: not all were confirmed. Some may have been taken: send all of them again.
        """
        if not outgoing:
            return
        line = self._open_line()
        batch = _Batch(len(outgoing))
        for start in range(0, len(outgoing), CHUNK):
            line.send(outgoing[start : start + CHUNK], batch)
        if not batch.done.wait(CONFIRM_S):
            self._link.drop(line.session)
            raise Unavailable(f"the bus has not confirmed within {CONFIRM_S:g} s")
        if batch.error is not None:
            raise batch.error

    def _open_line(self) -> _Line:
        with self._lock:
            if self._line is None or self._line.ended:
                if self._line is not None:
                    self._line.close()
                self._look()
                self._line = _Line(self._link.channel())
            elif time.monotonic() >= self._look_at_s and not self._line.session.blocked:
                self._look()
            if self._line.session.blocked:
                raise Unavailable(f"the bus takes nothing now: {self._line.session.blocked}")
            return self._line

    def _look(self) -> None:
        self._prepare(self._link)
        self._look_at_s = time.monotonic() + LOOK_S


class _Batch:
    """Messages whose confirms one caller waits for."""

    def __init__(self, size: int) -> None:
        self.done = threading.Event()
        self.error: Unavailable | None = None
        self._left = size

    def confirmed(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.done.set()

    def failed(self, error: Unavailable) -> None:
        if not self.done.is_set():
            self.error = error
            self.done.set()


class _Line:
    """One channel in confirm mode, and what was sent on it and not confirmed yet."""

    def __init__(self, channel: Channel) -> None:
        """Begin. Raises Unavailable."""
        self._channel = channel
        self._retired = False
        self.session = channel.session
        self._next_tag = 1
        self._waiting: dict[int, tuple[_Batch, str]] = {}  # by tag, in order; only the connection's thread
        channel.on_closed = self._on_end
        channel.session.when_blocked(self._on_blocked)
        channel.ask(self._on_start)

    @property
    def ended(self) -> bool:
        """Whether it is of no more use."""
        return self._retired or self._channel.closed is not None or self.session.lost is not None

    def close(self) -> None:
        """Let go of it; who waits for a confirm hears that none comes."""
        self._channel.close()

    def send(self, outgoing: Sequence[Outgoing], batch: _Batch) -> None:
        """Send; the batch hears of it. Raises Unavailable: the connection is lost."""
        self.session.run(lambda: self._on_send(outgoing, batch))

    # --- in the connection's thread

    def _on_start(self, raw: Any, done: Callable[[Any], None]) -> None:
        raw.add_on_return_callback(self._on_return)
        raw.confirm_delivery(self._on_confirm, callback=done)
        self._raw = raw

    def _on_send(self, outgoing: Sequence[Outgoing], batch: _Batch) -> None:
        if self._channel.closed is not None:
            batch.failed(self._channel.closed)
            return
        try:
            for exchange, routing_key, properties, body, mandatory in outgoing:
                self._waiting[self._next_tag] = (batch, properties.message_id or "")
                self._next_tag += 1
                self._raw.basic_publish(exchange, routing_key, body, properties, mandatory)
        except exceptions.AMQPError as error:
            batch.failed(Unavailable(f"the bus cannot be published to: {type(error).__name__}"))

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        last = method.delivery_tag
        tags = list(takewhile(lambda tag: tag <= last, self._waiting)) if method.multiple else [last]
        took = isinstance(method, spec.Basic.Ack)
        for tag in tags:
            batch, _ = self._waiting.pop(tag)
            if took:
                batch.confirmed()
            else:
                # A channel that was opened while a queue had no leader may refuse for good (RabbitMQ 3.10).
                self._retired = True
                batch.failed(Unavailable("the bus refuses a message: a queue of it is full or has no leader"))

    def _on_return(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        """No queue took a message that must be kept; its confirm follows and counts for nothing.

        The next to publish begins with a line of its own, and so makes what is missing.
        """
        self._retired = True
        batch = next((batch for batch, id_ in self._waiting.values() if id_ == properties.message_id), None)
        _log.error(
            "no queue takes a message that must be kept",
            extra={"exchange": method.exchange, "key": method.routing_key, "id": properties.message_id},
        )
        if batch is not None:
            batch.failed(Unavailable(f"no queue of the bus takes {method.routing_key!r}; is it declared?"))

    def _on_blocked(self) -> None:
        self._fail_all(Unavailable(f"the bus takes nothing now: {self.session.blocked}"))

    def _on_end(self, reason: Unavailable) -> None:
        self._fail_all(reason)

    def _fail_all(self, error: Unavailable) -> None:
        for batch, _ in self._waiting.values():
            batch.failed(error)
