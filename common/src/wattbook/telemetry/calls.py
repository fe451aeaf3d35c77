"""gRPC calls answered and made: a span and a duration each, named as the conventions say.

https://opentelemetry.io/docs/specs/semconv/rpc/. Interceptors that are only put in where something records.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any

import grpc
import grpc.aio

from wattbook.errors import WattbookError
from wattbook.rpc_handlers import wrapped
from wattbook.telemetry import catalogue, tracing
from wattbook.telemetry.metrics import Fixed, Histogram
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


def client_interceptors(target: str) -> Sequence[Any]:
    """What a channel for threads to ``target`` puts before its own interceptors."""
    return (_Calling(target),) if _MADE.is_kept or tracing.is_recording() else ()


def aio_client_interceptors(target: str) -> list[Any]:
    """The same for a channel on an event loop."""
    return (
        [_AioUnary(target), _AioUpload(target), _AioStream(target)]
        if _MADE.is_kept or tracing.is_recording()
        else []
    )


class _Call:
    """One call, from either end."""

    __slots__ = ("_began_s", "_method", "_target", "status", "work")

    def __init__(self, method: str, work: Work, *, target: str = "") -> None:
        """Made to ``target``, or answered here."""
        self._method, self._target = method, target
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
        failed = status != "OK" if self._target else status in _OUR_FAULTS
        if failed:
            self.work.failed(status)
        duration = _MADE if self._target else _ANSWERED
        if duration.is_kept:
            labels = _labels(self._method, self._target, status, failed)
            duration.record(time.perf_counter() - self._began_s, labels)
        self.work.note({"rpc.response.status_code": status})
        self.work.__exit__(None, None, None)


def _status_of_error(error: BaseException) -> str:
    if isinstance(error, WattbookError):
        return error.grpc_status
    code = error.code() if isinstance(error, grpc.RpcError) else None
    return str(code.name) if isinstance(code, grpc.StatusCode) else "CANCELLED"


def _status_of_outcome(outcome: Any) -> str:
    """How a call that is over ended, also where it was never made: no pass could be had for it."""
    error = None if outcome.cancelled() else outcome.exception()
    return _status_of_error(error) if isinstance(error, WattbookError) else str(outcome.code().name)


@lru_cache(maxsize=1_024)
def _facts(method: str, target: str) -> Mapping[str, str | int]:
    facts: dict[str, str | int] = {"rpc.system.name": "grpc", "rpc.method": method}
    if target:
        host, _, port = target.rpartition("/")[2].rpartition(":")
        facts["server.address"] = host or port
        if host and port.isdecimal():
            facts["server.port"] = int(port)
    return facts


@lru_cache(maxsize=1_024)
def _labels(method: str, target: str, status: str, failed: bool) -> Fixed:
    failure = {"error.type": status} if failed else {}
    return frozenset({**_facts(method, target), "rpc.response.status_code": status, **failure}.items())


def _calling(method: str, target: str) -> _Call:
    kind: Kind = "client"
    work = tracing.span(method, kind=kind, attributes=_facts(method, target))
    return _Call(method, work, target=target)


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
        attributes=_facts(method, ""),
    )
    return _Call(method, work)


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

    def __init__(self, target: str) -> None:
        self._target = target

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        with _calling(details.method.lstrip("/"), self._target) as call:
            outcome = continuation(details, request)
            call.status = _status_of_outcome(outcome)  # waits; every call of ours is waited for anyway
            return outcome

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        call = _calling(details.method.lstrip("/"), self._target)
        with call.work.as_current():
            stream = continuation(details, request)
        stream.add_done_callback(lambda done: call.finish(_status_of_outcome(done)))
        return stream


class _AioUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, target: str) -> None:
        self._target = target

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        if _HEALTH in _name(details):
            return await continuation(details, request)
        with _calling(_name(details), self._target) as call:
            outcome = await continuation(_sending(details), request)
            try:
                call.status = (await outcome.code()).name
            except asyncio.CancelledError:
                outcome.cancel()
                raise
            return outcome


class _AioStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, target: str) -> None:
        self._target = target

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return await _while_it_lasts(self._target, continuation, details, request)


class _AioUpload(grpc.aio.StreamUnaryClientInterceptor):
    def __init__(self, target: str) -> None:
        self._target = target

    async def intercept_stream_unary(self, continuation: Any, details: Any, requests: Any) -> Any:
        return await _while_it_lasts(self._target, continuation, details, requests)


async def _while_it_lasts(target: str, continuation: Any, details: Any, request: Any) -> Any:
    call = _calling(_name(details), target)
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
