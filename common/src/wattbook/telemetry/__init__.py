"""Logs, traces and metrics: what a process tells of itself, and the one place that knows OpenTelemetry."""

from wattbook.telemetry.context import TraceContext, current, current_traceparent, new_context, within
from wattbook.telemetry.logs import JsonFormatter, TextFormatter, configure_logging

__all__ = [
    "JsonFormatter",
    "TextFormatter",
    "TraceContext",
    "configure_logging",
    "current",
    "current_traceparent",
    "new_context",
    "within",
]
