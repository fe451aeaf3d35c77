"""The bus: events from one service to others, at least once, on an engine chosen by URL.

``sqlite:///…`` is the embedded engine. A publisher is answered once its messages are durable. A consumer
*group* keeps its place: each message goes to one member and comes again until it is acknowledged; after
a bounded number of attempts it becomes a dead letter. A subscription without a group starts at
the newest message, keeps no place, and ends with its process: what a read model in memory uses.
Readers must be idempotent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import uuid4

MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Message:
    """An event. ``type`` is its topic, past tense and dotted; ``body`` a serialized ``events.proto``."""

    type: str
    body: bytes
    occurred_at: datetime
    version: int = 1
    id: str = field(default_factory=lambda: str(uuid4()))
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as handed to a consumer, the ``attempt``-th time (1 is the first)."""

    message: Message
    attempt: int
    token: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that kept failing, with the last reason."""

    id: int
    group: str
    message: Message
    attempts: int
    reason: str
    died_at: datetime


class Subscription(Protocol):
    """One consumer's end of the bus; use it from one thread."""

    def receive(self, *, timeout_s: float, most: int = 100) -> list[Delivery]:
        """Up to ``most`` deliveries in order, as soon as there is one; empty after ``timeout_s``."""
        ...

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """These are done and never come again."""
        ...

    def retry(self, delivery: Delivery, reason: str) -> None:
        """Failed: comes again, or after MAX_ATTEMPTS becomes a dead letter with ``reason``."""
        ...

    def close(self) -> None:
        """Stop receiving; what was received and not acknowledged goes to the next member."""
        ...


class Bus(Protocol):
    """An engine that carries messages. All methods may be called from several threads."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Durable, all or none, when this returns.

        Raises:
            Unavailable: the bus cannot take them now; nothing was published.
        """
        ...

    def subscribe(self, types: Sequence[str], *, group: str | None) -> Subscription:
        """Messages of ``types`` (``trade.*`` matches a family), for a group or (None) for this process."""
        ...

    def dead_letters(self, *, group: str | None = None, most: int = 100) -> list[DeadLetter]:
        """Dead letters, oldest first."""
        ...

    def replay(self, dead_letter: DeadLetter) -> None:
        """Hand a dead letter to its group again, as if for the first time."""
        ...

    def close(self) -> None:
        """Let go of connections and threads."""
        ...
