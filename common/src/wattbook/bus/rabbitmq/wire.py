"""Messages as AMQP carries them: the envelope in properties and headers, the body as it is.

``message_id``, ``type`` and ``timestamp`` (whole seconds) are for people and tools; the header
``occurred_us`` has the exact time, ``version`` the version, ``traceparent`` the trace (W3C Trace Context).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pika

from wattbook.bus import Message
from wattbook.clock import from_epoch_us, to_epoch_us

PERSISTENT = 2
CONTENT_TYPE = "application/x-protobuf"
_US_PER_S = 1_000_000

# Of a dead letter.
ATTEMPTS, REASON, DIED_US = "x-wattbook-attempts", "x-wattbook-reason", "x-wattbook-died-us"
# The broker's own.
DELIVERY_COUNT, DEATHS = "x-delivery-count", "x-death"


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


def message_of(properties: pika.BasicProperties, body: bytes) -> Message:
    """The message that was sent; one that others published without our headers is read as far as it goes."""
    headers = properties.headers or {}
    occurred_us = headers.get("occurred_us")
    if occurred_us is None:
        occurred_us = (properties.timestamp or 0) * _US_PER_S
    return Message(
        type=properties.type or "",
        body=body,
        occurred_at=from_epoch_us(occurred_us),
        version=headers.get("version", 1),
        id=properties.message_id or "",
        traceparent=headers.get("traceparent", ""),
    )
