"""Messages as AMQP carries them: the envelope in properties and headers, the body as it is.

``message_id``, ``type`` and ``timestamp`` (whole seconds) are for people and tools; the header
``occurred_us`` has the exact time, ``version`` the version, ``traceparent`` the trace (W3C Trace Context).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import pika

from wattbook.bus import Message
from wattbook.clock import EPOCH, from_epoch_us, to_epoch_us

PERSISTENT = 2
CONTENT_TYPE = "application/x-protobuf"
_US_PER_S = 1_000_000
_DIGITS = re.compile(r"-?[0-9]{1,19}")

# Of a dead letter.
ATTEMPTS, REASON, DIED_US = "x-wattbook-attempts", "x-wattbook-reason", "x-wattbook-died-us"
# The broker's own. Until 4.2 the first counts every return; from 4.3 on only those by a consumer that died or
# refused, and the second counts every one, also of a consumer that hung or was cut off.
DELIVERY_COUNT, ACQUIRED_COUNT, DEATHS = "x-delivery-count", "x-acquired-count", "x-death"


class Outgoing(NamedTuple):
    """What a publisher sends; ``mandatory``: some queue must take it."""

    exchange: str
    routing_key: str
    properties: pika.BasicProperties
    body: bytes
    mandatory: bool


def properties_of(message: Message, more: Mapping[str, Any] | None = None) -> pika.BasicProperties:
    """The envelope, with ``more`` headers."""
    occurred_us = to_epoch_us(message.occurred_at)
    headers: dict[str, Any] = {"version": message.version, "occurred_us": occurred_us}
    if message.traceparent:
        headers["traceparent"] = message.traceparent
    if more:
        headers.update(more)
    return pika.BasicProperties(
        content_type=CONTENT_TYPE,
        headers=headers,
        delivery_mode=PERSISTENT,
        message_id=message.id,
        timestamp=max(0, occurred_us // _US_PER_S),
        type=message.type,
    )


def message_of(properties: pika.BasicProperties, body: bytes) -> tuple[Message, str]:
    """What was sent, as far as it can be read, and what of its envelope cannot be; "" where all can.

    People publish too, through the broker's pages, where a header is text: digits are read as a number.
    """
    headers = properties.headers or {}
    occurred_us = headers.get("occurred_us")
    if occurred_us is None:
        occurred_us = (properties.timestamp or 0) * _US_PER_S
    occurred_at, version = time_of(occurred_us), whole_of(headers.get("version", 1))
    message = Message(
        type=_text_of(properties.type),
        body=body,
        occurred_at=occurred_at or EPOCH,
        version=version or 0,
        id=_text_of(properties.message_id),
        traceparent=_text_of(headers.get("traceparent")),
    )
    if not message.type:
        return message, "it has no type"
    if occurred_at is None:
        return message, "its occurred_us is no time"
    return message, "its version is no whole number" if version is None else ""


def returns_of(properties: pika.BasicProperties) -> int:
    """How often it went back from a consumer that had it, for whatever reason."""
    headers = properties.headers or {}
    return max(whole_of(headers.get(name)) or 0 for name in (DELIVERY_COUNT, ACQUIRED_COUNT))


def whole_of(value: Any) -> int | None:
    """A whole number of 64 bits, also one in digits; None if it is none."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        return None
    return value


def time_of(epoch_us: Any) -> datetime | None:
    """The time so many microseconds after the epoch; None if it is none."""
    whole = whole_of(epoch_us)
    try:
        return None if whole is None else from_epoch_us(whole)
    except OverflowError:
        return None


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""
