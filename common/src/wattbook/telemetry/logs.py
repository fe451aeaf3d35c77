"""Log lines with request and trace ids: JSON, or readable text where standard error is a terminal."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from wattbook.telemetry.context import current
from wattbook.text import shown, shown_json, shown_lines

# Nothing of ours logs a password or a token; what libraries put into the words of an error might.
_USER_INFO = re.compile(r"(?<=://)([^\s/@:\"']*):[^\s/@\"']+@")
_CREDENTIALS = re.compile(r"\b(Basic|Bearer) +[A-Za-z0-9+/=._~-]{6,}", re.IGNORECASE)
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


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
        for name, value in extras(record).items():
            line.setdefault(name, value)  # an extra never hides what every line has
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return shown_json(redacted(json.dumps(line, default=str, ensure_ascii=False)))


class TextFormatter(logging.Formatter):
    """The same for people: time, level, service, message, then the extras as ``name=value``."""

    def __init__(self, service: str) -> None:
        """Stamp each line with ``service``."""
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The line, followed by a stack trace where there is one."""
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        facts = "".join(f" {name}={value}" for name, value in {**extras(record), **_ids()}.items())
        line = shown(f"{time} {record.levelname:<7} {self._service}: {record.getMessage()}{facts}")
        if record.exc_info:
            line += "\n" + shown_lines(self.formatException(record.exc_info))
        return redacted(line)


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
    context = current()
    if context is None:
        return {}
    ids = {"trace_id": context.trace_id, "span_id": context.span_id}
    return {"request_id": context.request_id, **ids} if context.request_id else ids


def redacted(text: str) -> str:
    """``text`` with passwords in addresses, and the values of Authorization headers, blotted out."""
    if "://" in text:
        text = _USER_INFO.sub(r"\1:***@", text)
    return _CREDENTIALS.sub(r"\1 ***", text)


def stack_of(exc_info: Any) -> str:
    """The stack trace of an error."""
    return "".join(traceback.format_exception(*exc_info)).rstrip()


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """What a log line carries besides its words."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}
