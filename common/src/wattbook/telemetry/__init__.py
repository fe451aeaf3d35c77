"""Logs, traces and metrics: what a process tells of itself, and the one place that knows OpenTelemetry.

Nothing of its SDK is imported unless something is exported: see :func:`start`.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from wattbook.telemetry.context import TraceContext, current, current_traceparent, new_context, within
from wattbook.telemetry.logs import JsonFormatter, TextFormatter, configure_logging
from wattbook.telemetry.settings import TelemetrySettings, telemetry_settings
from wattbook.telemetry.tracing import Work, entering, is_recording, joined, note, recorded_traceparent, span

STOP_WITHIN_S = 2.0

__all__ = [
    "JsonFormatter",
    "Running",
    "TelemetrySettings",
    "TextFormatter",
    "TraceContext",
    "Work",
    "configure_logging",
    "current",
    "current_traceparent",
    "entering",
    "is_recording",
    "joined",
    "new_context",
    "note",
    "recorded_traceparent",
    "span",
    "start",
    "telemetry_settings",
    "within",
]


class Running(Protocol):
    """Telemetry of this process, on or off."""

    def stop(self, *, within_s: float = STOP_WITHIN_S) -> None:
        """Send what is left, for so long at most. The last step of an orderly stop."""
        ...


class _Off:
    def stop(self, *, within_s: float = STOP_WITHIN_S) -> None:
        """Nothing is left."""


def start(service: str, settings: TelemetrySettings) -> Running:
    """Export what ``settings`` say, as ``service``; after any fork, before parts are built."""
    if not settings.is_on:
        return _Off()
    from wattbook.telemetry.sdk import Exporting

    return Exporting(service, _version_of(service), settings)


def _version_of(service: str) -> str:
    try:
        return version(f"wattbook-{service}")
    except PackageNotFoundError:
        return version("wattbook-common")
