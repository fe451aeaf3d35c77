"""Log lines through the SDK, besides those on standard error."""

from __future__ import annotations

import logging
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from wattbook.telemetry.context import TraceContext, current
from wattbook.telemetry.logs import extras, redacted, stack_of
from wattbook.telemetry.sdk.exporters import Lines
from wattbook.telemetry.settings import Common, Target

# What the sending of logs itself would log: each line would cause another.
_OWN = ("opentelemetry", "urllib3", "requests")
_SEVERITIES = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
    (logging.DEBUG, SeverityNumber.DEBUG),
)
_PLAIN = (str, bool, int, float)


class LogsOut:
    """A handler of the root logger, and what sends its lines in batches."""

    signal = "logs"

    def __init__(self, target: Target, common: Common, resource: Resource) -> None:
        """Send to ``target``."""
        self._provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        self._processor = BatchLogRecordProcessor(
            Lines(target),
            schedule_delay_millis=common.log_delay_ms,
            max_export_batch_size=common.log_batch,
            export_timeout_millis=target.timeout_s * 1000,
            max_queue_size=common.log_queue,
        )
        self._provider.add_log_record_processor(self._processor)
        self._handler = _Handler(self._provider)
        logging.getLogger().addHandler(self._handler)

    def stop(self, within_s: float) -> None:
        """Send what is left."""
        logging.getLogger().removeHandler(self._handler)
        self._processor._batch_processor.shutdown(timeout_millis=int(within_s * 1000))


class _Handler(logging.Handler):
    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._provider = provider

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] in _OWN:
            return
        try:
            self._provider.get_logger(record.name).emit(_line(record))
        except Exception:
            self.handleError(record)


def _line(record: logging.LogRecord) -> LogRecord:
    severity = next(
        (number for least, number in _SEVERITIES if record.levelno >= least), SeverityNumber.TRACE
    )
    trace = current()
    attributes: dict[str, Any] = {name: _plain(value) for name, value in extras(record).items()}
    if trace is not None and trace.request_id:
        attributes["request_id"] = trace.request_id
    if record.exc_info and record.exc_info[0] is not None:
        attributes["exception.type"] = record.exc_info[0].__qualname__
        attributes["exception.stacktrace"] = redacted(stack_of(record.exc_info))
    return LogRecord(
        timestamp=int(record.created * 1e9),
        context=_context_of(trace),
        severity_text=record.levelname,
        severity_number=severity,
        body=redacted(record.getMessage()),
        attributes=attributes,
    )


def _plain(value: Any) -> Any:
    return (
        redacted(value)
        if isinstance(value, str)
        else value
        if isinstance(value, _PLAIN)
        else redacted(str(value))
    )


def _context_of(trace: TraceContext | None) -> Context:
    if trace is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
    ids = SpanContext(int(trace.trace_id, 16), int(trace.span_id, 16), False, flags)
    return set_span_in_context(NonRecordingSpan(ids), Context())
