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

from wattbook.bus import DeadLetter, Message
from wattbook.bus.rabbitmq.link import NOT_FOUND, Channel, ChannelClosed, Link
from wattbook.bus.rabbitmq.places import DELIVERY_LIMIT, dead_queue_of
from wattbook.bus.rabbitmq.wire import (
    ATTEMPTS,
    DEATHS,
    DIED_US,
    REASON,
    message_of,
    time_of,
    whole_of,
)
from wattbook.clock import EPOCH
from wattbook.errors import NotFound

HUNG = "each consumer that had it died or hung"

Raw = tuple[int, pika.BasicProperties, bytes]


def dead_letter_of(group: str, properties: pika.BasicProperties, body: bytes) -> DeadLetter:
    """What a dead letter's headers say: ours where we gave up on it, the broker's where it did.

    Whatever is in them, it is shown: a letter that hid others could never be dropped.
    """
    headers = properties.headers or {}
    message, fault = message_of(properties, body)
    if REASON in headers:
        died_at = time_of(headers.get(DIED_US)) or EPOCH
        attempts, reason = whole_of(headers.get(ATTEMPTS)) or 0, str(headers[REASON])
    else:
        death = _latest_death(headers.get(DEATHS))
        died_at = _aware(death.get("time"))
        attempts, reason = 1, f"the broker put it here: {death.get('reason', 'unknown')}"
        if death.get("reason") == "delivery_limit":
            attempts, reason = DELIVERY_LIMIT + 1, HUNG
        elif death.get("reason") == "rejected":
            reason = why_refused(message, fault)
    return DeadLetter(
        id=_id(group, message, died_at),
        group=group,
        message=message,
        attempts=attempts,
        reason=reason,
        died_at=died_at,
    )


def why_refused(message: Message, fault: str) -> str:
    """Why a consumer does not even hand it to its handler."""
    return f"its envelope cannot be read: {fault}" if fault else f"this group knows no {message.type!r}"


class DeadLetters:
    """Looks at, and takes out, the dead letters of groups."""

    def __init__(self, link: Link) -> None:
        """Through ``link``."""
        self._link = link

    def of(self, group: str, *, most: int) -> list[DeadLetter]:
        """The oldest ``most``; none where the group is not known. Raises Unavailable."""
        with self._channel() as channel:
            return [dead_letter_of(group, *rest) for _, *rest in _each(channel, group, most)]

    def take(self, wanted: DeadLetter, *, before: Callable[[DeadLetter, str], None]) -> None:
        """Take one out once ``before`` was called with it and with what of its envelope cannot be read.

        Raises:
            NotFound: it is not there, or in the hands of another who is looking.
            Unavailable: the server cannot be asked; it stays, or whatever ``before`` raises.
        """
        with self._channel() as channel:
            for tag, properties, body in _each(channel, wanted.group, None):
                found = dead_letter_of(wanted.group, properties, body)
                if found.id == wanted.id:
                    before(found, message_of(properties, body)[1])
                    channel.post(lambda raw, tag=tag: raw.basic_ack(tag))  # type: ignore[misc]
                    return
        raise NotFound(f"dead letter {wanted.id} is gone, or another is just looking at it")

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


def _latest_death(deaths: Any) -> dict[str, Any]:
    latest = deaths[0] if isinstance(deaths, list) and deaths else None
    return latest if isinstance(latest, dict) else {}


def _aware(time: Any) -> datetime:
    """AMQP's timestamps are UTC, and pika reads them without saying so."""
    if not isinstance(time, datetime):
        return EPOCH
    return time if time.tzinfo else time.replace(tzinfo=EPOCH.tzinfo)


def _id(group: str, message: Message, died_at: datetime) -> int:
    """The same each time one looks, as long as it is dead; short enough to be typed."""
    text = f"{group} {message.id} {died_at.isoformat()} "
    return int.from_bytes(hashlib.sha256(text.encode() + message.body).digest()[:5], "big")
