"""The context that carries request and trace ids through a process and across processes.

Ids follow W3C Trace Context (https://www.w3.org/TR/trace-context/): ``traceparent`` =
``00-<32 hex trace id>-<16 hex span id>-<flags>``, of whose flags the lowest says that the sender recorded.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

# Version ff and ids of zeros only are invalid by the specification.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Which request and which trace the work at hand belongs to.

    ``sampled``: somebody up the line records this trace. ``span`` is the recording of this work where it is
    recorded here; only :mod:`wattbook.telemetry.sdk` knows what it is.
    """

    trace_id: str
    span_id: str
    request_id: str = ""
    sampled: bool = False
    span: Any = field(default=None, compare=False, repr=False)

    @property
    def traceparent(self) -> str:
        """The W3C header value."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


CURRENT: ContextVar[TraceContext | None] = ContextVar("wattbook_trace", default=None)


def current() -> TraceContext | None:
    """The context of the work at hand, if any."""
    return CURRENT.get()


def current_traceparent() -> str:
    """The header value to send along, ``""`` outside of any context."""
    context = CURRENT.get()
    return context.traceparent if context else ""


def parsed(traceparent: str) -> TraceContext | None:
    """The sender's context, None where the header is empty or malformed."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    return TraceContext(found.group(1), found.group(2), sampled=bool(int(found.group(3), 16) & 1))


def new_context(traceparent: str = "", *, request_id: str = "") -> TraceContext:
    """A child of ``traceparent``, or a new trace where that is none; nothing records it here."""
    parent = parsed(traceparent)
    if parent is None:
        return TraceContext(secrets.token_hex(16), secrets.token_hex(8), request_id)
    return TraceContext(parent.trace_id, secrets.token_hex(8), request_id, parent.sampled)


@contextmanager
def within(context: TraceContext) -> Iterator[TraceContext]:
    """Make ``context`` the current one for the block, this thread or task only."""
    token = CURRENT.set(context)
    try:
        yield context
    finally:
        CURRENT.reset(token)
