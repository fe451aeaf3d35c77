"""gRPC calls answered and made: a span and a duration each, named as the conventions say.

https://opentelemetry.io/docs/specs/semconv/rpc/. Interceptors that are only put in where something records.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

import grpc
import grpc.aio

from wattbook.rpc_handlers import wrapped
from wattbook.telemetry import catalogue, tracing
from wattbook.telemetry.metrics import Histogram
from wattbook.telemetry.tracing import Kind, Work

_ANSWERED = Histogram(catalogue.RPC_SERVER_DURATION)
_MADE = Histogram(catalogue.RPC_CLIENT_DURATION)
_HEALTH = "grpc.health."
_OUR_FAULTS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)


def server_interceptors() -> Sequence[grpc.ServerInterceptor]:
    """What a server puts before its own interceptors."""
    return (_Answering(),) if _ANSWERED.is_kept or tracing.is_recording() else ()


def client_interceptors() -> Sequence[Any]:
    """What a channel for threads puts before its own interceptors."""
    return (_Calling(),) if _MADE.is_kept or tracing.is_recording() else ()


def aio_client_interceptors() -> list[Any]:
    """The same for a channel on an event loop."""
    return [_AioUnary(), _AioStream()] if _MADE.is_kept or tracing.is_recording() else []


class _Call:
    """One call, from either end."""

    __slots__ = ("_began_s", "_duration", "_is_server", "_labels", "status", "work")

    def __init__(self, method: str, work: Work, *, is_server: bool) -> None:
        self._is_server = is_server
        self._duration = _ANSWERED if is_server else _MADE
        self._labels = _facts(method)
        self._began_s = time.perf_counter()
        self.work = work
        self.status = ""

    def __enter__(self) -> _Call:
        self.work.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(self.status or ("OK" if error is None else _status_of_error(error)))

    def finish(self, status: str) -> None:
        """Ended with this status."""
        labels = {**self._labels, "rpc.response.status_code": status}
        failed = status in _OUR_FAULTS if self._is_server else status != "OK"
        if failed:
            labels["error.type"] = status
            self.work.failed(status)
        self._duration.record(time.perf_counter() - self._began_s, labels)
        self.work.note({"rpc.response.status_code": status})
        self.work.__exit__(None, None, None)


def _status_of_error(error: BaseException) -> str:
    code = error.code() if isinstance(error, grpc.RpcError) else getattr(error, "grpc_status", None)
    return code.name if isinstance(code, grpc.StatusCode) else "CANCELLED"


def _facts(method: str) -> dict[str, str]:
    return {"rpc.system.name": "grpc", "rpc.method": method}


def _calling(method: str) -> _Call:
    kind: Kind = "client"
    return _Call(method, tracing.span(method, kind=kind, attributes=_facts(method)), is_server=False)


class _Answering(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        method = details.method.lstrip("/")
        if handler is None or method.startswith(_HEALTH):
            return handler
        metadata = dict(details.invocation_metadata or ())
        return wrapped(
            handler,
            unary=lambda behaviour: _unary(behaviour, method, metadata),
            streamed=lambda behaviour: _streamed(behaviour, method, metadata),
        )


def _answering(method: str, metadata: dict[str, Any]) -> _Call:
    work = tracing.entering(
        method,
        traceparent=str(metadata.get("traceparent", "")),
        request_id=str(metadata.get("x-request-id", "")),
        attributes=_facts(method),
    )
    return _Call(method, work, is_server=True)


def _unary(behaviour: Callable[..., Any], method: str, metadata: dict[str, Any]) -> Callable[..., Any]:
    def handle(request: Any, context: grpc.ServicerContext) -> Any:
        with _answering(method, metadata) as call:
            try:
                return behaviour(request, context)
            finally:
                call.status = _status_of(context)

    return handle


def _streamed(behaviour: Callable[..., Any], method: str, metadata: dict[str, Any]) -> Callable[..., Any]:
    def handle(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with _answering(method, metadata) as call:
            try:
                yield from behaviour(request, context)
            finally:
                call.status = _status_of(context)

    return handle


def _status_of(context: grpc.ServicerContext) -> str:
    code = context.code()
    if code is None:
        return "" if context.is_active() else "CANCELLED"
    return code.name if isinstance(code, grpc.StatusCode) else str(code)


class _Calling(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """The interceptors after this one find the call's own span current, and send its ids."""

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        with _calling(details.method.lstrip("/")) as call:
            outcome = continuation(details, request)
            call.status = outcome.code().name  # waits; every call of ours is waited for anyway
            return outcome

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        call = _calling(details.method.lstrip("/"))
        with call.work.as_current():
            stream = continuation(details, request)
        stream.add_done_callback(lambda done: call.finish(done.code().name))
        return stream


class _AioUnary(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        if _HEALTH in _name(details):
            return await continuation(details, request)
        with _calling(_name(details)) as call:
            outcome = await continuation(_sending(details), request)
            try:
                call.status = (await outcome.code()).name
            except asyncio.CancelledError:
                outcome.cancel()
                raise
            return outcome


class _AioStream(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        call = _calling(_name(details))
        with call.work.as_current():
            stream = await continuation(_sending(details), request)

        async def finish() -> None:
            call.finish((await stream.code()).name)

        loop = asyncio.get_running_loop()
        ending: set[asyncio.Task[None]] = set()

        def done(_stream: Any) -> None:
            task = loop.create_task(finish())
            ending.add(task)
            task.add_done_callback(ending.discard)

        stream.add_done_callback(done)
        return stream


def _name(details: Any) -> str:
    method = details.method
    return (method.decode() if isinstance(method, bytes) else str(method)).lstrip("/")


def _sending(details: Any) -> Any:
    """The call's own span instead of that of whoever made it."""
    kept = [(key, value) for key, value in details.metadata or () if key != "traceparent"]
    if traceparent := tracing.current_traceparent():
        kept.append(("traceparent", traceparent))
    return details._replace(metadata=grpc.aio.Metadata(*kept))
