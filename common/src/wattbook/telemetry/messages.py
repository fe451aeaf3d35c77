"""Messages sent and handled: spans, durations and counts, named as the conventions say.

https://opentelemetry.io/docs/specs/semconv/messaging/. A message carries the context in which it was made;
sending and handling a batch go on with the trace of one of its messages and are linked to the others.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from wattbook.telemetry import catalogue, tracing
from wattbook.telemetry.metrics import Counter, Histogram, Labels, Reading, observe
from wattbook.telemetry.tracing import Work

if TYPE_CHECKING:
    from wattbook.bus import Bus, Message

_SENT = Counter(catalogue.MESSAGES_SENT)
_CONSUMED = Counter(catalogue.MESSAGES_CONSUMED)
_HANDLING = Histogram(catalogue.HANDLING_DURATION)


class sending:  # noqa: N801  # used like a function
    """Publishing a batch; counted once its block ends."""

    __slots__ = ("_messages", "_system", "_work")

    def __init__(self, messages: Sequence[Message], *, system: str) -> None:
        """On the bus's ``system``."""
        self._messages = messages
        self._system = system
        self._work = _batch("send", messages, "producer", system) if tracing.is_recording() else _NOTHING

    def __enter__(self) -> Work:
        """Be the work at hand."""
        return self._work.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """It is over."""
        if _SENT.is_kept:
            _count(_SENT, "send", self._messages, self._system, kind.__qualname__ if kind is not None else "")
        self._work.__exit__(kind, error, trace)


class handling:  # noqa: N801  # used like a function
    """Handling a batch; say :meth:`failed` where an error does not leave its block."""

    __slots__ = ("_began_s", "_error", "_labels", "_work")

    def __init__(self, messages: Sequence[Message], *, system: str, group: str = "") -> None:
        """As a member of ``group``, or as somebody who listens for himself."""
        self._error = ""
        self._began_s = time.perf_counter()
        self._labels: dict[str, str] = {}
        if _CONSUMED.is_kept:
            _count(_CONSUMED, "process", messages, system)
            self._labels = _facts("process", messages, system)
            if group:
                self._labels["messaging.consumer.group.name"] = group
        self._work = _batch("process", messages, "consumer", system, group)

    def failed(self, error_type: str) -> None:
        """It did not work; a short name of why."""
        self._error = error_type
        self._work.failed(error_type)

    def __enter__(self) -> handling:
        """Be the work at hand."""
        self._work.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """It is over."""
        failed = self._error or (kind.__qualname__ if kind is not None else "")
        labels = {**self._labels, "error.type": failed} if failed else self._labels
        _HANDLING.record(time.perf_counter() - self._began_s, labels)
        self._work.__exit__(kind, error, trace)


_NOTHING = Work(None)


def watch_group(bus: Bus, types: Sequence[str], *, group: str) -> None:
    """Let metrics tell how many messages wait for a group, and how many became dead letters."""
    labels: Labels = {"group": group}

    def waiting() -> list[Reading]:
        return [(bus.depths(types, group=group).waiting, labels)]

    def dead() -> list[Reading]:
        return [(bus.depths(types, group=group).dead, labels)]

    observe(catalogue.QUEUE_DEPTH, waiting)
    observe(catalogue.DEAD_LETTERS, dead)


def _batch(doing: str, messages: Sequence[Message], kind: tracing.Kind, system: str, group: str = "") -> Work:
    causes = [message.traceparent for message in messages]
    if not tracing.is_recording():
        return tracing.joined(doing, causes)
    facts: dict[str, str | int] = {
        **_facts(doing, messages, system),
        "messaging.operation.type": doing,
        "messaging.batch.message_count": len(messages),
    }
    if group:
        facts["messaging.consumer.group.name"] = group
    if len(messages) == 1:
        facts["messaging.message.id"] = messages[0].id
    return tracing.joined(f"{doing} {messages[0].type}", causes, kind=kind, attributes=facts)


def _facts(doing: str, messages: Sequence[Message], system: str) -> dict[str, str]:
    return {
        "messaging.system": system,
        "messaging.operation.name": doing,
        "messaging.destination.name": messages[0].type,
    }


def _count(
    counter: Counter, doing: str, messages: Sequence[Message], system: str, error_type: str = ""
) -> None:
    labels = {"messaging.system": system, "messaging.operation.name": doing}
    if error_type:
        labels["error.type"] = error_type
    for name, count in Tally(message.type for message in messages).items():
        counter.add(count, {**labels, "messaging.destination.name": name})
