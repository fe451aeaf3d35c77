"""What the collector's Prometheus exporter would show of what arrived at the tests' OTLP sink.

There is no collector here. Its translation is documented: dots become underscores, the unit follows, then
``_total`` for a counter; ``job`` and ``instance`` are the resource's service and instance.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from typing import Any

from tests.support.otlp_sink import OtlpSink, Point

UNITS = {"s": "seconds", "By": "bytes"}


class Exposition:
    """Prometheus' text format of the newest value of every series at a sink."""

    def __init__(self, sink: OtlpSink) -> None:
        """Of all that comes to ``sink``."""
        self._sink = sink
        self._seen = 0
        self._newest: dict[tuple[object, ...], Point] = {}
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """As it stands; looks only at what came since the last time."""
        with self._lock:
            fresh = self._sink.points[self._seen :]
            self._seen += len(fresh)
            for point in fresh:
                labels = tuple(sorted(point.attributes.items()))
                self._newest[(point.name, point.service, point.instance, labels)] = point
            families: dict[str, list[Point]] = {}
            for point in self._newest.values():
                families.setdefault(_name(point), []).append(point)
        lines = (line for name, points in sorted(families.items()) for line in _family(name, points))
        return "".join(f"{line}\n" for line in lines)


@contextmanager
def serving(content: Callable[[], str]) -> Iterator[str]:
    """Answers every GET with ``content()`` while the block lasts; host:port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = content().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with listening(Handler) as address:
        yield address


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """host:port of a server that answers by ``handler`` while the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _name(point: Point) -> str:
    parts = [re.sub(r"\W", "_", point.name)]
    unit = UNITS.get(point.unit, "")
    if unit and not parts[0].endswith(f"_{unit}"):
        parts.append(unit)
    if point.kind == "counter":
        parts.append("total")
    return "_".join(parts)


def _family(name: str, points: list[Point]) -> Iterator[str]:
    kind = {"counter": "counter", "histogram": "histogram"}.get(points[0].kind, "gauge")
    yield f"# TYPE {name} {kind}"
    for point in points:
        labels = {"job": point.service, "instance": point.instance}
        labels |= {re.sub(r"\W", "_", key): str(value) for key, value in point.attributes.items()}
        if kind == "histogram":
            bounds = [*map(str, point.bounds), "+Inf"]
            for bound, count in zip(bounds, accumulate(point.buckets), strict=True):
                yield f"{name}_bucket{_braces({**labels, 'le': bound})} {count}"
            yield f"{name}_sum{_braces(labels)} {point.value}"
            yield f"{name}_count{_braces(labels)} {point.count}"
        else:
            yield f"{name}{_braces(labels)} {point.value}"


def _braces(labels: Mapping[str, str]) -> str:
    said = (value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for value in labels.values())
    return "{" + ",".join(f'{name}="{value}"' for name, value in zip(labels, said, strict=True)) + "}"
