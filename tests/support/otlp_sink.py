"""A collector for tests: takes OTLP over HTTP on loopback and keeps what it decodes."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from wattbook import telemetry
from wattbook.telemetry import telemetry_settings

_KINDS = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}
_INFLATE: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}
KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


@dataclass(frozen=True)
class Span:
    """A span, in plain words; ids are hex."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]
    attributes: Mapping[str, Any]
    is_error: bool
    seconds: float


@dataclass(frozen=True)
class Point:
    """One value of one metric."""

    service: str
    name: str
    unit: str
    kind: str
    value: float
    attributes: Mapping[str, Any]
    count: int = 0
    bounds: tuple[float, ...] = ()
    buckets: tuple[int, ...] = ()
    instance: str = ""


@dataclass(frozen=True)
class Line:
    """A log line."""

    service: str
    body: str
    severity: str
    trace_id: str
    span_id: str
    attributes: Mapping[str, Any]


@dataclass
class OtlpSink:
    """What arrived, oldest first; ``raw`` as it came, inflated."""

    url: str
    spans: list[Span] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    resources: list[Mapping[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    close: Callable[[], None] = lambda: None  # stop listening before the block ends

    def environment(self, **more: str) -> dict[str, str]:
        """For a service that is to send here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
            **more,
        }

    def latest(self, service: str, name: str) -> list[Point]:
        """The newest value of each set of labels of a metric."""
        found = {
            tuple(sorted(point.attributes.items())): point
            for point in list(self.points)
            if (point.service, point.name) == (service, name)
        }
        return list(found.values())

    def take(self, path: str, body: bytes) -> None:
        """Decode what came."""
        message = _KINDS[path]()
        message.ParseFromString(body)
        self.raw.append(body)
        if path == "/v1/traces":
            for resource in message.resource_spans:
                facts = self._resource(resource)
                self.spans += [_span(facts, each) for scope in resource.scope_spans for each in scope.spans]
        elif path == "/v1/metrics":
            for resource in message.resource_metrics:
                facts = self._resource(resource)
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        self.points += _points(facts, metric)
        else:
            for resource in message.resource_logs:
                facts = self._resource(resource)
                self.lines += [
                    _line(facts, each) for scope in resource.scope_logs for each in scope.log_records
                ]

    def _resource(self, resource: Any) -> Mapping[str, Any]:
        facts = _attributes(resource.resource.attributes)
        if facts not in self.resources:
            self.resources.append(facts)
        return facts


@contextmanager
def recorded(sink: OtlpSink, *, service: str = "trade-service", **more: str) -> Iterator[OtlpSink]:
    """Telemetry of this process goes to ``sink`` while the block lasts; afterwards everything has arrived."""
    running = telemetry.start(service, telemetry_settings(sink.environment(**more)))
    try:
        yield sink
    finally:
        running.stop()


@contextmanager
def otlp_sink(*, port: int = 0, decode: bool = True) -> Iterator[OtlpSink]:
    """A sink that listens while the block lasts; without ``decode`` it only keeps what came."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if closed.is_set():  # a connection that was kept alive
                self.close_connection = True
                return
            inflate = _INFLATE.get(self.headers.get("Content-Encoding", ""), bytes)
            sink.headers.append(dict(self.headers))
            if decode:
                sink.take(self.path, inflate(body))
            else:
                sink.raw.append(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    closed = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    sink = OtlpSink(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()

    def close() -> None:
        closed.set()
        server.shutdown()
        server.server_close()

    sink.close = close
    try:
        yield sink
    finally:
        close()


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(each) for each in value.array_value.values)
    return getattr(value, kind) if kind else None


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _span(resource: Mapping[str, Any], span: Any) -> Span:
    return Span(
        service=resource["service.name"],
        name=span.name,
        kind=KINDS[span.kind],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        attributes=_attributes(span.attributes),
        is_error=span.status.code == 2,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    )


def _points(resource: Mapping[str, Any], metric: Any) -> list[Point]:
    service, name, unit = resource["service.name"], metric.name, metric.unit
    instance = str(resource["service.instance.id"])
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    if kind == "histogram":
        return [
            Point(
                service, name, unit, kind, each.sum, _attributes(each.attributes), each.count,
                tuple(each.explicit_bounds), tuple(each.bucket_counts), instance,
            )
            for each in data.data_points
        ]  # fmt: skip
    if kind == "sum":
        kind = "counter" if data.is_monotonic else "updowncounter"
    return [
        Point(
            service,
            name,
            unit,
            kind,
            getattr(each, each.WhichOneof("value")),
            _attributes(each.attributes),
            instance=instance,
        )
        for each in data.data_points
    ]


def _line(resource: Mapping[str, Any], record: Any) -> Line:
    return Line(
        service=resource["service.name"],
        body=str(_value(record.body)),
        severity=record.severity_text,
        trace_id=record.trace_id.hex(),
        span_id=record.span_id.hex(),
        attributes=_attributes(record.attributes),
    )
