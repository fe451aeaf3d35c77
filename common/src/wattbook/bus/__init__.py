"""The bus: events from one service to others, at least once, on an engine chosen by URL.

``sqlite:///…`` is the embedded engine. A publisher is answered once its messages are durable. A consumer
*group* keeps its place: each message goes to one member and comes again until it is acknowledged; after
a bounded number of attempts it becomes a dead letter. A group hears what is published after it was first
subscribed. A subscription without a group starts at the newest message, keeps no place, and ends
with its process: what a read model in memory uses. Readers must be idempotent.

Order: a group with one member, and a subscription without a group, get messages in the order in which
they were published, except that a message that waits to be tried again does not hold up those after it.

Which groups there are is declared in :mod:`wattbook.bus.topology`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from wattbook import telemetry
from wattbook.bus.topology import Group
from wattbook.errors import Unavailable

MAX_ATTEMPTS = 5
MAX_BODY_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """An event. ``type`` is its topic, past tense and dotted; ``body`` a serialized ``events.proto``.

    Without a ``traceparent`` it carries that of the work at hand.
    """

    type: str
    body: bytes
    occurred_at: datetime
    version: int = 1
    id: str = field(default_factory=lambda: str(uuid4()))
    traceparent: str = field(default_factory=telemetry.current_traceparent)


def require_version(message: Message, *, newest: int) -> None:
    """Insist that a message can be read by who knows its type up to the version ``newest``.

    Raises:
        Unavailable: it is of a version to come. To guess what it means could count something twice: whoever
            hears it waits for its own update, and the message for it.
    """
    if message.version > newest:
        raise Unavailable(
            f"{message.type} of version {message.version} cannot be read here, only up to {newest}; "
            "update this service"
        )


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


@dataclass(frozen=True, slots=True)
class Depths:
    """How many messages wait for a group (those in a member's hands may count), and how many are dead."""

    waiting: int
    dead: int


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of TLS: whom to trust (else the system's authorities), and who we are (else nobody)."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class Subscription(Protocol):
    """One consumer's end of the bus; use it from one thread."""

    def receive(self, *, timeout_s: float, most: int = 100) -> list[Delivery]:
        """Up to ``most`` deliveries in order, as soon as there is one; empty after ``timeout_s``."""
        ...

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """These are done and never come again."""
        ...

    def retry(self, delivery: Delivery, reason: str) -> None:
        """Failed: comes again, or after MAX_ATTEMPTS becomes a dead letter with ``reason``.

        Without a group there is nobody to keep a dead letter for: it is logged and let go.
        """
        ...

    def hold(self, deliveries: Sequence[Delivery]) -> None:
        """Still in hand: they do not go to another member for now. For long work and for waiting."""
        ...

    def close(self) -> None:
        """Stop receiving; what was received and not acknowledged goes to the next member, uncounted."""
        ...


class Bus(Protocol):
    """An engine that carries messages. All methods may be called from several threads."""

    @property
    def system(self) -> str:
        """The engine's name for telemetry, see :func:`system_of`."""
        ...

    def publish(self, messages: Sequence[Message]) -> None:
        """Durable, all of them, when this returns.

        Raises:
            Unavailable: the bus cannot take them now. Send all of them again: on the embedded engine none was
                published, on RabbitMQ some may have been, and readers are idempotent.
            InvalidInput: a body is over MAX_BODY_BYTES.
        """
        ...

    def subscribe(self, types: Sequence[str], *, group: str | None) -> Subscription:
        """Messages of ``types`` (``trade.*``: one more word), for a group or (None) for this process."""
        ...

    def dead_letters(self, *, group: str | None = None, most: int = 100) -> list[DeadLetter]:
        """Dead letters, oldest first."""
        ...

    def replay(self, dead_letter: DeadLetter) -> None:
        """Hand a dead letter to its group again, as if for the first time.

        Raises:
            NotFound: it is gone, or another is just looking at it.
            InvalidInput: it is none that a consumer could read.
        """
        ...

    def depths(self, types: Sequence[str], *, group: str) -> Depths:
        """How much there is for ``group``, which hears ``types``; 0 where nobody knows it.

        Raises:
            Unavailable: that cannot be known now.
        """
        ...

    def drop(self, dead_letter: DeadLetter) -> None:
        """Forget a dead letter. Raises NotFound: it is gone, or another is just looking at it."""
        ...

    def group_names(self) -> list[str] | None:
        """The names of all groups that are known; None where the engine does not tell."""
        ...

    def declare(self, groups: Sequence[Group]) -> list[str]:
        """Make what these groups need and is missing; the names of what was made."""
        ...

    def differences(self, groups: Sequence[Group]) -> list[str]:
        """A line for each thing of these groups that is missing or not as it must be."""
        ...

    def close(self) -> None:
        """Let go of connections and threads."""
        ...


def system_of(url: str) -> str:
    """The engine at ``url`` as OpenTelemetry's conventions name it (``rabbitmq``); our own: ``wattbook``."""
    return "rabbitmq" if url.startswith("amqp") else "wattbook"


def open_bus(
    url: str, *, groups: Sequence[Group] = (), password: str = "", tls_files: TlsFiles | None = None
) -> Bus:
    """The bus at ``url``; ``groups`` are known to it before anything is published.

    ``sqlite:///path``, optionally with ``?retention_s=600``: the embedded engine. ``amqp://`` or ``amqps://``
    ``user@host[:port][,host…]/vhost``: RabbitMQ, with ``password`` where the URL has none and ``tls_files``
    where it names none; it is connected to when something is wanted of it.

    Raises:
        Unavailable: it cannot be opened; the message says why.
        ValueError: no engine knows such a URL.
    """
    if url.startswith("sqlite:"):
        from wattbook.bus.embedded import EmbeddedBus

        return EmbeddedBus.open(url, groups=groups)
    if url.startswith(("amqp:", "amqps:")):
        from wattbook.bus.rabbitmq import RabbitBus
        from wattbook.bus.rabbitmq.address import Address

        return RabbitBus(Address.of(url, password=password, files=tls_files), groups=groups)
    raise ValueError(f"no bus engine for {url.partition(':')[0]!r} addresses")
