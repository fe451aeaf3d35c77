"""The only part that imports OpenTelemetry: providers, exporters, and their end within a bound.

Imported by :func:`wattbook.telemetry.start` where something is exported, after any fork: its threads do not
survive one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from uuid import uuid4

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.version import __version__ as sdk_version

from wattbook.telemetry import metrics, tracing
from wattbook.telemetry.sdk.figures import MetricsOut
from wattbook.telemetry.sdk.lines import LogsOut
from wattbook.telemetry.sdk.spans import TracesOut
from wattbook.telemetry.settings import TelemetrySettings

_log = logging.getLogger("wattbook.telemetry")


class Exporting:
    """What leaves this process, until :meth:`stop`."""

    def __init__(self, service: str, version: str, settings: TelemetrySettings) -> None:
        """Begin to record and to export."""
        # Each failed attempt would be a line; the exporters say once what matters (see ``told``).
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        resource = _resource(service, version, settings)
        common = settings.common
        self._parts: list[TracesOut | MetricsOut | LogsOut] = []
        if settings.traces is not None:
            traces = TracesOut(settings.traces, common, resource)
            tracing.use(traces)
            self._parts.append(traces)
        if settings.metrics is not None:
            figures = MetricsOut(settings.metrics, common, resource)
            metrics.use(figures)
            self._parts.append(figures)
        if settings.logs is not None:
            self._parts.append(LogsOut(settings.logs, common, resource))
        _log.info("telemetry is exported", extra={"signals": [part.signal for part in self._parts]})

    def stop(self, *, within_s: float = 2.0) -> None:
        """Send what is left, all signals at once; what the collector does not take by then is let go."""
        tracing.use(None)
        metrics.use(None)
        threads = [_started(part.stop, within_s) for part in self._parts]
        for thread in threads:
            thread.join(within_s)


def _started(stop: Callable[[float], None], within_s: float) -> threading.Thread:
    thread = threading.Thread(target=stop, args=(within_s,), name="telemetry-stop", daemon=True)
    thread.start()
    return thread


def _resource(service: str, version: str, settings: TelemetrySettings) -> Resource:
    own = {
        "service.name": service,
        "service.version": version,
        "service.instance.id": str(uuid4()),
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": sdk_version,
    }
    named = {"service.name": settings.common.service_name} if settings.common.service_name else {}
    return Resource({**own, **settings.resource, **named})
