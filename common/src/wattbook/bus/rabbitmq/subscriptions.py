"""Receiving: a group's member, and a subscription without a group.

The connection's thread puts what arrives into a queue; whoever receives takes it from there, so that
a slow handler delays no heartbeat. The server sends ahead up to ``prefetch`` messages.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from wattbook.bus import MAX_ATTEMPTS, MAX_BODY_BYTES, Delivery
from wattbook.bus.rabbitmq.dead import HUNG, why_refused
from wattbook.bus.rabbitmq.inbox import Inbox, Raw
from wattbook.bus.rabbitmq.link import Channel
from wattbook.bus.rabbitmq.places import DELIVERY_LIMIT, EXCHANGE, TAIL_PREFIX
from wattbook.bus.rabbitmq.wire import message_of, returns_of
from wattbook.bus.topology import matcher
from wattbook.retry import Backoff

_log = logging.getLogger(__name__)

BATCH_BYTES = MAX_BODY_BYTES
SUSPECT_FROM_RETURNS = 3
LOOK_S = 1.0  # for a lost connection, while nothing comes

Bury = Callable[[Delivery, str], None]


class _Failed:
    """Deliveries that wait to be tried again, here: nobody else gets them meanwhile."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._rng = random.Random()  # noqa: S311  # spreads load, hides nothing
        self._waiting: list[tuple[float, Delivery]] = []

    def add(self, delivery: Delivery) -> None:
        due_s = time.monotonic() + self._backoff.delay_s(delivery.attempt, self._rng)
        self._waiting.append((due_s, replace(delivery, attempt=delivery.attempt + 1)))

    def due(self, most: int) -> list[Delivery]:
        if not self._waiting:
            return []
        now_s = time.monotonic()
        due = [item for item in self._waiting if item[0] <= now_s][:most]
        self._waiting = [item for item in self._waiting if item not in due]
        return [delivery for _, delivery in due]

    def next_due_s(self) -> float:
        """Seconds until the next is due."""
        return max(0.0, min((due for due, _ in self._waiting), default=float("inf")) - time.monotonic())


class _Receiving:
    """What both kinds of subscription do: batches, bounded in number, bytes and time."""

    def __init__(self, inbox: Inbox, *, backoff: Backoff) -> None:
        self._inbox = inbox
        self._failed = _Failed(backoff)
        self._suspects: list[Delivery] = []
        self._ahead: deque[Raw] = deque()
        self._closed = False

    def receive(self, *, timeout_s: float, most: int = 100) -> list[Delivery]:
        """Up to ``most`` deliveries in order, as soon as there is one; empty after ``timeout_s``."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            found = self._failed.due(most) or self._new(most) or self._suspect()
            left_s = deadline_s - time.monotonic()
            if found or left_s <= 0:
                return found
            arrived = self._inbox.take(min(left_s, LOOK_S, self._failed.next_due_s()))
            if arrived is not None:
                self._ahead.append(arrived)

    def hold(self, deliveries: Sequence[Delivery]) -> None:
        """Still in hand: nothing to do while the channel lives; Unavailable once they went to others."""
        self._inbox.ensure_alive()

    def close(self) -> None:
        """Stop receiving; what was received and not acknowledged goes back."""
        if not self._closed:
            self._closed = True
            self._inbox.close()

    def _accept(self, arrived: Raw) -> Delivery | None:
        """The delivery to hand out now, or None if not this one, or not now."""
        raise NotImplementedError

    def _new(self, most: int) -> list[Delivery]:
        found: list[Delivery] = []
        size_bytes = 0
        while len(found) < most and size_bytes < BATCH_BYTES:
            arrived = self._ahead.popleft() if self._ahead else self._inbox.take(0)
            if arrived is None:
                break
            delivery = self._accept(arrived)
            if delivery is not None:
                found.append(delivery)
                size_bytes += len(delivery.message.body)
        return found

    def _suspect(self) -> list[Delivery]:
        """One of those whose consumers keep dying, alone and any of them.

        What they held is counted on together, and only one of them is to blame: the others are done with
        and acknowledged in a few rounds, since what is to blame comes at another place each time.
        """
        return [self._suspects.pop()] if self._suspects else []


class GroupSubscription(_Receiving):
    """See :class:`wattbook.bus.Subscription`; one thread uses it."""

    def __init__(
        self,
        channel: Channel,
        *,
        queue_name: str,
        types: Sequence[str],
        prefetch: int,
        backoff: Backoff,
        bury: Bury,
    ) -> None:
        """Consume from the group's queue; ``bury`` makes a delivery a dead letter. Raises Unavailable."""
        super().__init__(Inbox(channel, prefetch=prefetch), backoff=backoff)
        self._wants = matcher(types)
        self._queue_name = queue_name
        self._bury = bury
        self._inbox.consume(queue_name)

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """These are done and never come again."""
        self._inbox.ack([delivery.token for delivery in deliveries])

    def retry(self, delivery: Delivery, reason: str) -> None:
        """Failed: comes again, or after MAX_ATTEMPTS becomes a dead letter with ``reason``."""
        if delivery.attempt < MAX_ATTEMPTS:
            self._failed.add(delivery)
            return
        self._bury(delivery, reason)  # before the acknowledgement: twice rather than never
        self._inbox.ack([delivery.token])

    def _accept(self, arrived: Raw) -> Delivery | None:
        """See :meth:`_Receiving._accept`.

        What this version cannot read or does not know becomes a dead letter by the broker's hand, which
        alters nothing of it and works while nothing can be published. Acknowledged, what a newer version
        subscribed to would be lost by an older one.
        """
        tag, properties, body = arrived
        message, fault = message_of(properties, body)
        if fault or not self._wants(message.type):
            self._inbox.bury(tag)
            extra = {"queue": self._queue_name, "id": message.id, "reason": why_refused(message, fault)}
            _log.error("a message became a dead letter", extra=extra)
            return None
        returns = returns_of(properties)
        delivery = Delivery(message=message, attempt=1, token=tag)
        if returns > DELIVERY_LIMIT:  # the broker counts some of them only, from 4.3 on
            self._bury(replace(delivery, attempt=returns), HUNG)
            self._inbox.ack([tag])
            return None
        if returns < SUSPECT_FROM_RETURNS:
            return delivery
        self._suspects.insert(random.randint(0, len(self._suspects)), delivery)  # noqa: S311
        return None


def _bind(name: str, key: str, raw: Any, done: Callable[[Any], None]) -> None:
    raw.queue_bind(name, EXCHANGE, routing_key=key, callback=done)


class TailSubscription(_Receiving):
    """See :class:`wattbook.bus.Subscription`; one thread uses it."""

    def __init__(self, channel: Channel, *, types: Sequence[str], prefetch: int, backoff: Backoff) -> None:
        """Consume from a queue of our own, from now on. Raises Unavailable."""
        super().__init__(Inbox(channel, prefetch=prefetch), backoff=backoff)
        name = TAIL_PREFIX + secrets.token_hex(8)
        channel.ask(
            lambda raw, done: raw.queue_declare(name, exclusive=True, auto_delete=True, callback=done)
        )
        for type_ in types:
            channel.ask(partial(_bind, name, type_))
        self._inbox.consume(name, exclusive=True)

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Nothing to note down: the place is past them."""

    def retry(self, delivery: Delivery, reason: str) -> None:
        """Failed: comes again, up to MAX_ATTEMPTS times, then is logged and let go."""
        if delivery.attempt < MAX_ATTEMPTS:
            self._failed.add(delivery)
            return
        _log.error(
            "a message keeps failing and is passed over",
            extra={"id": delivery.message.id, "attempts": delivery.attempt, "reason": reason},
        )

    def _new(self, most: int) -> list[Delivery]:
        found = super()._new(most)
        self._inbox.ack([delivery.token for delivery in found])  # makes room for what comes next
        return found

    def _accept(self, arrived: Raw) -> Delivery | None:
        tag, properties, body = arrived
        message, fault = message_of(properties, body)
        if not fault:
            return Delivery(message=message, attempt=1, token=tag)
        self._inbox.ack([tag])
        _log.error("a message cannot be read and is passed over", extra={"id": message.id, "reason": fault})
        return None
