"""Logs with request and trace ids, and the context that carries those ids across processes.

A log line is JSON, or readable text where standard error is a terminal. Ids follow W3C Trace Context
(https://www.w3.org/TR/trace-context/): ``traceparent`` = ``00-<32 hex trace id>-<16 hex span id>-01``.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# Version ff and ids of zeros only are invalid by the specification.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


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


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, service, logger, message, ids, and whatever ``extra`` carried."""

    def __init__(self, service: str) -> None:
        """Stamp each line with ``service``."""
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **_ids(),
        }
        for name, value in _extras(record).items():
            line.setdefault(name, value)  # an extra never hides what every line has
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same for people: time, level, service, message, then the extras as ``name=value``."""

    def __init__(self, service: str) -> None:
        """Stamp each line with ``service``."""
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The line, followed by a stack trace where there is one."""
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        extras = "".join(f" {name}={value}" for name, value in {**_extras(record), **_ids()}.items())
        line = f"{time} {record.levelname:<7} {self._service}: {record.getMessage()}{extras}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure_logging(service: str, *, level: str = "INFO", json_lines: bool | None = None) -> None:
    """Send this process's logs to standard error; JSON unless that is a terminal or ``json_lines`` says."""
    use_json = not sys.stderr.isatty() if json_lines is None else json_lines
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service) if use_json else TextFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("alembic").setLevel(logging.WARNING)  # else ten lines for each new store


def _ids() -> dict[str, str]:
    context = _current.get()
    if context is None:
        return {}
    ids = {"trace_id": context.trace_id, "span_id": context.span_id}
    return {"request_id": context.request_id, **ids} if context.request_id else ids


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}
