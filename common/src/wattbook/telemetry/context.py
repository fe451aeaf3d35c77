"""The context that carries request and trace ids through a process and across processes.

Ids follow W3C Trace Context (https://www.w3.org/TR/trace-context/): ``traceparent`` =
``00-<32 hex trace id>-<16 hex span id>-<flags>``.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

# Version ff and ids of zeros only are invalid by the specification.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Which request and which trace the work at hand belongs to."""

    trace_id: str
    span_id: str
    request_id: str = ""

    @property
    def traceparent(self) -> str:
        """The W3C header value."""
        return f"00-{self.trace_id}-{self.span_id}-01"


_current: ContextVar[TraceContext | None] = ContextVar("wattbook_trace", default=None)


def current() -> TraceContext | None:
    """The context of the work at hand, if any."""
    return _current.get()


def current_traceparent() -> str:
    """The header value to send along, ``""`` outside of any context."""
    context = _current.get()
    return context.traceparent if context else ""


def new_context(traceparent: str = "", *, request_id: str = "") -> TraceContext:
    """A child of ``traceparent``, or a new trace where that is empty or malformed."""
    found = _TRACEPARENT.fullmatch(traceparent)
    trace_id = found.group(1) if found else secrets.token_hex(16)
    return TraceContext(trace_id, secrets.token_hex(8), request_id)


@contextmanager
def within(context: TraceContext) -> Iterator[TraceContext]:
    """Make ``context`` the current one for the block, this thread or task only."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
