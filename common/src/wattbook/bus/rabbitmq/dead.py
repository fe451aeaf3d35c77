"""Dead letters on RabbitMQ: looked at by taking them and giving them back, in their order.

Two who look at one group's at the same time see each a part of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pika
from pika import spec

from wattbook.bus import DeadLetter
from wattbook.bus.rabbitmq.link import NOT_FOUND, Channel, ChannelClosed, Link
from wattbook.bus.rabbitmq.places import DELIVERY_LIMIT, dead_queue_of
from wattbook.bus.rabbitmq.wire import ATTEMPTS, DEATHS, DIED_US, REASON, message_of
from wattbook.clock import EPOCH, from_epoch_us

HUNG = "each consumer that had it died or hung"

Raw = tuple[int, pika.BasicProperties, bytes]


def dead_letter_of(group: str, properties: pika.BasicProperties, body: bytes) -> DeadLetter:
    """What a dead letter's headers say: ours where we gave up on it, the broker's where it did."""
    headers = properties.headers or {}
    message = message_of(properties, body)
    if REASON in headers:
        died_at = from_epoch_us(headers.get(DIED_US, 0))
        attempts, reason = headers.get(ATTEMPTS, 0), headers[REASON]
    else:
        death = (headers.get(DEATHS) or [{}])[0]
        died_at = _aware(death.get("time"))
        given_up = death.get("reason") == "delivery_limit"
        attempts = DELIVERY_LIMIT + 1 if given_up else 1
        reason = HUNG if given_up else f"the broker put it here: {death.get('reason', 'unknown')}"
    return DeadLetter(
        id=_id(group, message.id, died_at),
        group=group,
        message=message,
        attempts=attempts,
        reason=reason,
        died_at=died_at,
    )


class DeadLetters:
    """Looks at, and takes out, the dead letters of groups."""

    def __init__(self, link: Link) -> None:
        """Through ``link``."""
        self._link = link

    def of(self, group: str, *, most: int) -> list[DeadLetter]:
        """The oldest ``most``; none where the group is not known. Raises Unavailable."""
        with self._channel() as channel:
            return [dead_letter_of(group, *rest) for _, *rest in _each(channel, group, most)]

    def take(self, wanted: DeadLetter, *, before: Callable[[DeadLetter], None]) -> bool:
        """Take one out once ``before`` has been called with it; False if it is not there.

        Raises:
            Unavailable: the server cannot be asked; it stays, or whatever ``before`` raises.
        """
        with self._channel() as channel:
            for tag, properties, body in _each(channel, wanted.group, None):
                found = dead_letter_of(wanted.group, properties, body)
                if found.id == wanted.id:
                    before(found)
                    channel.post(lambda raw, tag=tag: raw.basic_ack(tag))  # type: ignore[misc]
                    return True
        return False

    @contextmanager
    def _channel(self) -> Iterator[Channel]:
        """What is taken on it and not acknowledged goes back when it is closed."""
        channel = self._link.channel()
        try:
            yield channel
        finally:
            channel.close()


def _each(channel: Channel, group: str, most: int | None) -> Iterator[Raw]:
    taken = 0
    while most is None or taken < most:
        try:
            found: Raw | None = channel.ask(lambda raw, done: _get(raw, dead_queue_of(group), done))
        except ChannelClosed as refused:
            if refused.reply_code != NOT_FOUND:
                raise
            return
        if found is None:
            return
        taken += 1
        yield found


def _get(raw: Any, queue_name: str, done: Callable[[Any], None]) -> None:
    def empty(_frame: Any) -> None:
        done(None)

    def got(_raw: Any, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        raw.callbacks.remove(raw.channel_number, spec.Basic.GetEmpty, empty)
        done((method.delivery_tag, properties, body))

    raw.add_callback(empty, [spec.Basic.GetEmpty], one_shot=True)
    raw.basic_get(queue_name, got)


def _aware(time: Any) -> datetime:
    """AMQP's timestamps are UTC, and pika reads them without saying so."""
    if not isinstance(time, datetime):
        return EPOCH
    return time if time.tzinfo else time.replace(tzinfo=EPOCH.tzinfo)


def _id(group: str, message_id: str, died_at: datetime) -> int:
    """The same each time one looks, as long as it is dead; short enough to be typed."""
    text = f"{group} {message_id} {died_at.isoformat()}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:5], "big")
