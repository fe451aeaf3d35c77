"""Spans: what is done within a trace, from when to when, and what caused it.

A service says ``with span("commit"):`` and the like; whether anybody records that is decided at the start of
the process by :func:`wattbook.telemetry.start`. While nobody does, :func:`span` costs a comparison and the
others only carry the ids that log lines show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import Token
from types import TracebackType
from typing import Any, Literal, Protocol

from wattbook.telemetry.context import (
    CURRENT,
    TraceContext,
    current,
    current_traceparent,
    new_context,
    parsed,
    within,
)

__all__ = [
    "Backend",
    "Work",
    "current",
    "current_traceparent",
    "entering",
    "is_recording",
    "joined",
    "new_context",
    "span",
    "use",
]

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Attributes = Mapping[str, Any]

MOST_LINKS = 64


class Backend(Protocol):
    """What records spans."""

    asks_always: bool
    """Whether even what the parent does not record may be recorded (a sampler that is not parent-based)."""

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        *,
        request_id: str,
        links: Sequence[TraceContext],
        attributes: Attributes | None,
    ) -> TraceContext:
        """A new span's context; its ``span`` is None where it was decided not to record it."""
        ...

    def end(self, context: TraceContext, *, attributes: Attributes | None, error: str | None) -> None:
        """The span is over; ``error`` is its type where it failed. Words of errors may hold secrets."""
        ...

    def rename(self, context: TraceContext, name: str) -> None:
        """A better name came to be known."""
        ...

    def note(self, context: TraceContext, attributes: Attributes) -> None:
        """More of what is known of it."""
        ...


class _State:
    backend: Backend | None = None


def use(backend: Backend | None) -> None:
    """Record with ``backend`` from now on; None: no more."""
    _State.backend = backend


def is_recording() -> bool:
    """Whether this process records spans at all."""
    return _State.backend is not None


def recorded_traceparent() -> str:
    """The header value of the work at hand where its trace is recorded, else ``""``: for what it causes."""
    context = CURRENT.get()
    return context.traceparent if context is not None and context.sampled else ""


def note(attributes: Attributes) -> None:
    """More of what is known of the work at hand, where it is recorded."""
    context = CURRENT.get()
    if context is not None and context.span is not None and _State.backend is not None:
        _State.backend.note(context, attributes)


class Work:
    """A piece of work, current within its ``with`` block; its span, where recorded, ends with it."""

    __slots__ = ("_attributes", "_backend", "_error", "_token", "context")

    def __init__(self, context: TraceContext | None, backend: Backend | None = None) -> None:
        """Carry ``context``; ``backend`` records it."""
        self.context = context
        self._backend = backend if context is not None and context.span is not None else None
        self._attributes: dict[str, Any] | None = None
        self._error: str | None = None
        self._token: Token[TraceContext | None] | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether attributes are worth making."""
        return self._backend is not None

    def note(self, attributes: Attributes) -> None:
        """More of what is known of it."""
        if self._backend is not None:
            self._attributes = {**(self._attributes or {}), **attributes}

    def failed(self, error_type: str) -> None:
        """It failed, in a way that is somebody's to repair; a short name of how."""
        if self._backend is not None:
            self._error = error_type

    def rename(self, name: str) -> None:
        """Call it something better."""
        if self._backend is not None and self.context is not None:
            self._backend.rename(self.context, name)

    def as_current(self) -> AbstractContextManager[object]:
        """Current within a block at whose end it is not over; whoever uses it calls ``__exit__`` later."""
        return within(self.context) if self.context is not None else nullcontext()

    def __enter__(self) -> Work:
        """Be current."""
        if self.context is not None:
            self._token = CURRENT.set(self.context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        if self._token is not None:
            CURRENT.reset(self._token)
        if self._backend is not None and self.context is not None:
            if kind is not None and self._error is None and is_fault(error):
                self._error = kind.__qualname__
            self._backend.end(self.context, attributes=self._attributes, error=self._error)


_NOTHING = Work(None)


def is_fault(error: BaseException | None) -> bool:
    """Whether an error that ends work is a fault: not a caller's mistake (4xx), and not a generator's end."""
    status = getattr(error, "http_status", 500)
    return isinstance(error, Exception) and not (isinstance(status, int) and status < 500)


def span(name: str, *, kind: Kind = "internal", attributes: Attributes | None = None) -> Work:
    """A part of the work at hand; nothing where that is not recorded."""
    backend = _State.backend
    if backend is None:
        return _NOTHING
    parent = CURRENT.get()
    if parent is None or not (parent.sampled or backend.asks_always):
        return _NOTHING
    return Work(_begun(backend, name, kind, parent, (), attributes), backend)


def entering(
    name: str,
    *,
    kind: Kind = "server",
    traceparent: str = "",
    request_id: str = "",
    attributes: Attributes | None = None,
) -> Work:
    """Work that somebody outside asked for: goes on with their trace, or begins one."""
    backend = _State.backend
    if backend is None:
        return Work(new_context(traceparent, request_id=request_id))
    parent = parsed(traceparent)
    return Work(_begun(backend, name, kind, parent, (), attributes, request_id), backend)


def joined(
    name: str, causes: Iterable[str], *, kind: Kind = "internal", attributes: Attributes | None = None
) -> Work:
    """Work that several caused at once (traceparents, ``""`` for none): one commit, one call, one batch.

    It goes on with the trace of the first that is recorded and is linked to the others of those, to 63 at
    most. Where none is, log lines show the trace of the first.
    """
    backend = _State.backend
    distinct = dict.fromkeys(causes)
    if backend is None:
        return Work(new_context(next(filter(None, distinct), "")))
    known = [each for each in map(parsed, distinct) if each is not None]
    recorded = [each for each in known if each.sampled]
    parent = next(iter(recorded or known), None)
    return Work(_begun(backend, name, kind, parent, recorded[1:MOST_LINKS], attributes), backend)


def _begun(
    backend: Backend,
    name: str,
    kind: Kind,
    parent: TraceContext | None,
    links: Sequence[TraceContext],
    attributes: Attributes | None,
    request_id: str = "",
) -> TraceContext:
    request_id = request_id or (parent.request_id if parent is not None else "")
    if parent is not None and not parent.sampled and not backend.asks_always:
        return new_context(parent.traceparent, request_id=request_id)
    return backend.begin(name, kind, parent, request_id=request_id, links=links, attributes=attributes)
