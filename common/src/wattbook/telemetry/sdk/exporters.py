"""The SDK's OTLP exporters, told where to send by our settings, and telling how that goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from wattbook.telemetry.sdk.histograms import Histograms
from wattbook.telemetry.sdk.told import Told
from wattbook.telemetry.settings import Target

_COMPRESSIONS = {
    "none": Compression.NoCompression,
    "gzip": Compression.Gzip,
    "deflate": Compression.Deflate,
}


def _options(target: Target) -> dict[str, Any]:
    return {
        "endpoint": target.endpoint,
        "headers": dict(target.headers),
        "timeout": target.timeout_s,
        "compression": _COMPRESSIONS[target.compression],
        "certificate_file": target.ca_file,
        "client_certificate_file": target.cert_file,
        "client_key_file": target.key_file,
    }


class Spans(OTLPSpanExporter):
    """Sends spans."""

    def __init__(self, target: Target) -> None:
        """To ``target``."""
        super().__init__(**_options(target))
        self._told = Told("traces", target.endpoint)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send."""
        result = super().export(spans)
        self._told.about(result is SpanExportResult.SUCCESS)
        return result


class Figures(OTLPMetricExporter):
    """Sends metrics."""

    def __init__(self, target: Target, histograms: Histograms) -> None:
        """To ``target``, with ``histograms`` added."""
        super().__init__(**_options(target))
        self._histograms = histograms
        self._told = Told("metrics", target.endpoint)

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Send."""
        whole = self._histograms.added_to(metrics_data)
        result = super().export(whole, timeout_millis, **kwargs)
        self._told.about(result is MetricExportResult.SUCCESS)
        return result


class Lines(OTLPLogExporter):
    """Sends log lines."""

    def __init__(self, target: Target) -> None:
        """To ``target``."""
        super().__init__(**_options(target))
        self._told = Told("logs", target.endpoint)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Send."""
        result = super().export(batch)
        self._told.about(result is LogRecordExportResult.SUCCESS)
        return result
