"""HTTP requests answered and sent: a span and a duration each, named as the conventions say.

https://opentelemetry.io/docs/specs/semconv/http/. Addresses are told without query and user information,
since either may hold secrets.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from urllib.parse import urlsplit

from wattbook.telemetry import catalogue, tracing
from wattbook.telemetry.metrics import Fixed, Histogram
from wattbook.telemetry.tracing import Work

_ANSWERED = Histogram(catalogue.HTTP_SERVER_DURATION)
_SENT = Histogram(catalogue.HTTP_CLIENT_DURATION)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
# Asked every few seconds: a trace of each tells nothing, nor do their answers tell how people are served.
_PROBES = frozenset({"/healthz", "/readyz"})
_PROBES_BELOW = "/readyz/"


class ServerRequest:
    """A request being answered; say :meth:`answered` within its block."""

    __slots__ = ("_began_s", "_method", "_route", "_scheme", "_status", "_work")

    def __init__(
        self, *, method: str, path: str, scheme: str = "http", traceparent: str = "", request_id: str = ""
    ) -> None:
        """Go on with the caller's trace, or begin one."""
        self._method = method if method in _METHODS else "_OTHER"
        self._scheme, self._status, self._route = scheme, 0, ""
        is_probe = path in _PROBES or path.startswith(_PROBES_BELOW)
        self._began_s = time.perf_counter() if _ANSWERED.is_kept and not is_probe else 0.0
        if is_probe or not tracing.is_recording():
            self._work = Work(tracing.new_context(traceparent, request_id=request_id))
        else:
            facts = {"http.request.method": self._method, "url.path": path, "url.scheme": scheme}
            self._work = tracing.entering(
                self._method, traceparent=traceparent, request_id=request_id, attributes=facts
            )

    def answered(self, status: int, route: str = "") -> None:
        """With this status; ``route`` is the template of the path, where there is one."""
        self._status, self._route = status, route

    def __enter__(self) -> ServerRequest:
        """Be the work at hand."""
        self._work.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """It is over."""
        status = self._status or (500 if isinstance(error, Exception) else 0)
        failure = str(status) if status >= 500 else "" if status else "cancelled"
        if self._began_s:
            labels = _labels(self._method, self._scheme, self._route, status, failure)
            _ANSWERED.record(time.perf_counter() - self._began_s, labels)
        if self._work.is_recorded:
            self._tell(status, failure)
        self._work.__exit__(None, None, None)

    def _tell(self, status: int, failure: str) -> None:
        if self._route:
            self._work.rename(f"{self._method} {self._route}")
            self._work.note({"http.route": self._route})
        if status:
            self._work.note({"http.response.status_code": status})
        if failure:
            self._work.failed(failure)


@lru_cache(maxsize=1_024)
def _labels(method: str, scheme: str, route: str, status: int, failure: str) -> Fixed:
    labels: dict[str, str | int] = {"http.request.method": method, "url.scheme": scheme}
    if route:
        labels["http.route"] = route
    if status:
        labels["http.response.status_code"] = status
    if failure:
        labels["error.type"] = failure
    return frozenset(labels.items())


def are_recorded() -> bool:
    """Whether requests leave a figure or a trace; else :class:`ServerRequest` may be left out."""
    return _ANSWERED.is_kept or tracing.is_recording()


class ClientRequest:
    """A request being sent; say :meth:`answered` within its block, and send its :attr:`headers`."""

    __slots__ = ("_began_s", "_labels", "_work")

    def __init__(self, method: str, url: str) -> None:
        """To ``url``, as a part of the work at hand."""
        self._labels: dict[str, str | int] = {}
        self._began_s = time.perf_counter()
        self._work = _NOTHING
        if not (_SENT.is_kept or tracing.is_recording()):
            return
        address = urlsplit(url)
        port = address.port or (443 if address.scheme == "https" else 80)
        self._labels = {
            "http.request.method": method,
            "server.address": address.hostname or "",
            "server.port": port,
        }
        self._work = tracing.span(
            method,
            kind="client",
            attributes={
                **self._labels,
                "url.full": f"{address.scheme}://{address.hostname}:{port}{address.path}",
            },
        )

    @property
    def headers(self) -> Mapping[str, str]:
        """The ids to send along, as they are inside the block."""
        context = tracing.current()
        if context is None:
            return {}
        return {"traceparent": context.traceparent, "X-Request-Id": context.request_id}

    def answered(self, status: int) -> None:
        """With this status."""
        self._labels["http.response.status_code"] = status
        if status >= 400:
            self._labels["error.type"] = str(status)

    def __enter__(self) -> ClientRequest:
        """Be the work at hand."""
        self._work.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """It is over."""
        if kind is not None and "http.response.status_code" not in self._labels:
            self._labels["error.type"] = kind.__qualname__
        if _SENT.is_kept:
            _SENT.record(time.perf_counter() - self._began_s, self._labels)
        if self._work.is_recorded:
            self._work.note(self._labels)
            if failure := self._labels.get("error.type"):
                self._work.failed(str(failure))
        self._work.__exit__(None, None, None)


_NOTHING = Work(None)
