"""gRPC as every service uses it: errors that keep their meaning, deadlines, health, orderly stop.

Server handlers raise :mod:`wattbook.errors`; the interceptor turns them into a status plus trailing
metadata, and :func:`translate` turns those back into the same error at the caller.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from wattbook import telemetry
from wattbook.access import Principal
from wattbook.errors import BY_CODE, Internal, Unavailable, WattbookError
from wattbook.rpc_handlers import wrapped
from wattbook.rpc_health import alive_on_grpc, health_servicer
from wattbook.rpc_options import CHANNEL_OPTIONS, LIVE, SERVER_OPTIONS
from wattbook.telemetry.calls import aio_client_interceptors, client_interceptors, server_interceptors
from wattbook.tls import Tls
from wattbook.walls import Guard, PassSource, Rule, WallSettings, called_by, service_passes, shown_pass

if TYPE_CHECKING:
    from wattbook.service import ServiceSettings

_log = logging.getLogger(__name__)

CODE_KEY = "wattbook-code"
RETRY_KEY = "wattbook-retry-after-s"
DEFAULT_TIMEOUT_S = 10.0
_SLOWEST_BYTES_PER_S = 256 * 1024
_MAX_DETAILS = 500  # characters; grpc's headers are limited to 8 KiB, percent-encoded


def channel(target: str, *, tls: Tls | None = None, passes: PassSource | None = None) -> grpc.Channel:
    """A client channel for threads; use :func:`call` or a stub with ``timeout=``.

    ``passes`` gives the pass that each call carries; a call raises what it raises.
    """
    opened = (
        grpc.secure_channel(target, tls.for_client(), options=CHANNEL_OPTIONS)
        if tls
        else grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
    )
    return grpc.intercept_channel(opened, *client_interceptors(target), _SendContext(passes))


def channel_to(
    service: str, target: str, settings: WallSettings, *, caller: str, gateway_url: str, secret: str
) -> grpc.Channel:
    """A client channel to ``service`` at ``target``, with passes that ``caller`` gets at the gateway.

    Raises:
        ValueError: a file of TLS is of no use.
    """
    passes = service_passes(gateway_url=gateway_url, client_id=caller, secret=secret, audience=service)
    return channel(target, tls=Tls.of(settings), passes=passes)


def aio_channel(target: str, *, tls: Tls | None = None) -> grpc.aio.Channel:
    """A client channel for asyncio; pass :func:`outgoing_metadata` and a timeout with each call."""
    how: Any = {"options": CHANNEL_OPTIONS, "interceptors": aio_client_interceptors(target)}
    if tls:
        return grpc.aio.secure_channel(target, tls.for_client(), **how)
    return grpc.aio.insecure_channel(target, **how)


def outgoing_metadata(pass_: str = "") -> list[tuple[str, str]]:
    """Metadata that carries the current trace context and request id, and a pass where there is one."""
    shown = [("authorization", f"Bearer {pass_}")] if pass_ else []
    context = telemetry.current()
    if context is None:
        return shown
    return [("traceparent", context.traceparent), ("x-request-id", context.request_id), *shown]


def translate(error: grpc.RpcError) -> WattbookError:
    """The error that the other side raised, or what a failed call means (deadline, no connection)."""
    status = error.code() if hasattr(error, "code") else grpc.StatusCode.UNKNOWN
    trailing = dict(error.trailing_metadata() or ())
    said = CODE_KEY in trailing
    kind = BY_CODE.get(str(trailing.get(CODE_KEY, ""))) or _BY_STATUS.get(status, Internal)
    if not said and status in _OUR_FAULT:
        kind = Internal
    if said:
        message = error.details() or kind.__doc__ or kind.code
    else:  # grpc's own words name addresses and internals: not for a caller
        message = _TRANSPORT_MESSAGES.get(status, "the service failed")
        _log.warning("rpc failed", extra={"grpc_status": status.name, "details": error.details()})
    retry = str(trailing.get(RETRY_KEY, ""))
    return kind(message, retry_after_s=int(retry) if retry.isdigit() else None)


_BY_STATUS: dict[grpc.StatusCode, type[WattbookError]] = {
    **{grpc.StatusCode[kind.grpc_status]: kind for kind in BY_CODE.values()},
    grpc.StatusCode.INTERNAL: Internal,
    grpc.StatusCode.UNKNOWN: Internal,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.ABORTED: Unavailable,
}
# From grpc itself, not from a handler: an old server, or a message over MAX_MESSAGE_BYTES.
_OUR_FAULT = frozenset({grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.RESOURCE_EXHAUSTED})
_TRANSPORT_MESSAGES = {
    grpc.StatusCode.UNAVAILABLE: "a service is not reachable; try again",
    grpc.StatusCode.DEADLINE_EXCEEDED: "a service did not answer in time; try again",
    grpc.StatusCode.CANCELLED: "the call was cancelled; try again",
}


def call(method: Callable[..., Any], request: Any, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Any:
    """One unary call with a deadline.

    Raises:
        WattbookError: as the other side raised it, or Unavailable where it did not answer.
    """
    try:
        return method(request, timeout=timeout_s)
    except grpc.RpcError as error:
        raise translate(error) from error


def transfer_timeout_s(size_bytes: int, *, timeout_s: float) -> float:
    """The deadline of a stream of requests of so many bytes, answered in ``timeout_s`` after them."""
    return timeout_s + size_bytes / _SLOWEST_BYTES_PER_S


def stream(
    method: Callable[..., Any], request: Any, *, timeout_s: float = DEFAULT_TIMEOUT_S
) -> Iterator[Any]:
    """A streamed answer; the deadline is for the whole stream. Raises like :func:`call`."""
    try:
        yield from method(request, timeout=timeout_s)
    except grpc.RpcError as error:
        raise translate(error) from error


class Server:
    """A gRPC server with the health service; ``register`` adds servicers before :meth:`start`."""

    def __init__(
        self, address: str, *, guard: Guard, tls: Tls | None = None, workers: int = 16, drain_s: float = 0.0
    ) -> None:
        """Prepare to listen on ``address`` (host:port) with ``workers`` handler threads, behind ``guard``.

        A stop first takes calls for ``drain_s`` more, while callers hear that they should go elsewhere.
        """
        self._address = address
        self._tls = tls
        self._guard = guard
        self._drain_s = drain_s
        self._stops_at_s: float | None = None
        self._rules: dict[str, Rule] = {}
        self._server = grpc.server(
            ThreadPoolExecutor(workers, thread_name_prefix="rpc"),
            interceptors=[*server_interceptors(), _HandleErrors(guard, self._rules)],
            options=SERVER_OPTIONS,
        )
        self._health = health_servicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    @classmethod
    def of(cls, service: str, settings: ServiceSettings, address: str, *, workers: int = 16) -> Server:
        """The server of ``service`` as its settings say.

        Raises:
            ValueError: a key or a file of TLS is of no use.
        """
        guard, tls = settings.guard(service), Tls.of(settings)
        return cls(address, guard=guard, tls=tls, workers=workers, drain_s=settings.drain_s)

    def alive(self) -> AbstractContextManager[None]:
        """Answer probes on the port before :meth:`start`, for the length of the block."""
        return alive_on_grpc(self._address, self._tls)

    def register(
        self, add: Callable[[Any, grpc.Server], None], servicer: Any, *, rules: Mapping[str, Rule]
    ) -> None:
        """Serve ``servicer``; ``add`` is the generated ``add_…_to_server``.

        ``rules`` has for each method's name who may call it; what has none nobody may call.
        """
        self._rules.update(rules)
        add(servicer, self._server)

    def start(self) -> int:
        """Listen, healthy once :meth:`set_ready` says so; returns the port.

        Raises:
            OSError: the address is in use.
        """
        _probe(self._address)
        if self._guard.is_open:
            _log.warning("the walls are open: whoever reaches this port is let in")
        try:
            if self._tls:
                port = self._server.add_secure_port(self._address, self._tls.for_server())
            else:
                port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._address}") from error
        self._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        self._health.set(LIVE, health_pb2.HealthCheckResponse.SERVING)
        self._server.start()
        return port

    def set_ready(self, ready: bool = True) -> None:
        """What the health service answers for ``""``; ``live`` is served from the start to the stop."""
        status = health_pb2.HealthCheckResponse
        self._health.set("", status.SERVING if ready else status.NOT_SERVING)

    def drain(self) -> None:
        """Send callers elsewhere from now on; :meth:`stop` then waits for the rest of the time only."""
        if self._stops_at_s is None:
            self._stops_at_s = time.monotonic() + self._drain_s
            self._health.enter_graceful_shutdown()

    def stop(self, grace_s: float = 5.0) -> None:
        """Send callers elsewhere, then refuse new calls and let running ones finish for up to ``grace_s``."""
        self.drain()
        left_s = (self._stops_at_s or 0.0) - time.monotonic()
        if left_s > 0:
            threading.Event().wait(left_s)
        self._server.stop(grace_s).wait()


def _probe(address: str) -> None:
    """Fail as Python does where the port is taken: grpc would print lines of its own first."""
    host, _, port = address.rpartition(":")
    try:
        family, kind, proto, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise OSError(f"cannot listen on {address}: {error.strerror}") from error


def is_healthy(target: str, *, timeout_s: float = 1.0, tls: Tls | None = None) -> bool:
    """Whether the health service at ``target`` says it is serving. It asks for no pass."""
    with channel(target, tls=tls) as probe:
        try:
            answer = health_pb2_grpc.HealthStub(probe).Check(
                health_pb2.HealthCheckRequest(), timeout=timeout_s
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


class _SendContext(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
):
    """Sends the trace context along, and the caller's pass."""

    def __init__(self, passes: PassSource | None) -> None:
        self._passes = passes

    def _sent(self, details: Any) -> Any:
        metadata = [*(details.metadata or ()), *outgoing_metadata(self._passes() if self._passes else "")]
        return details._replace(metadata=metadata) if hasattr(details, "_replace") else details

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._sent(details), request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._sent(details), request)

    def intercept_stream_unary(self, continuation: Any, details: Any, requests: Any) -> Any:
        return continuation(self._sent(details), requests)


class _HandleErrors(grpc.ServerInterceptor):
    """Asks the guard, restores the trace context and translates errors, for unary and streamed answers."""

    def __init__(self, guard: Guard, rules: Mapping[str, Rule]) -> None:
        self._guard = guard
        self._rules = rules

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        if handler is None or details.method.startswith("/grpc.health."):
            return handler
        metadata = dict(details.invocation_metadata or ())
        rule = self._rules.get(details.method.rpartition("/")[2])
        admit = partial(self._guard.admit, metadata, rule)
        return wrapped(
            handler,
            unary=lambda behaviour: _unary(behaviour, metadata, admit),
            streamed=lambda behaviour: _streamed(behaviour, metadata, admit),
        )


def _context_of(metadata: dict[str, Any]) -> telemetry.TraceContext:
    if known := telemetry.current():  # where calls are recorded, the span of this one
        return known
    request_id = str(metadata.get("x-request-id", ""))
    return telemetry.new_context(str(metadata.get("traceparent", "")), request_id=request_id)


_Admit = Callable[[], Principal]


def _unary(behaviour: Callable[..., Any], metadata: dict[str, Any], admit: _Admit) -> Callable[..., Any]:
    def handle(request: Any, context: grpc.ServicerContext) -> Any:
        with telemetry.within(_context_of(metadata)):
            try:
                with called_by(admit(), shown_pass(metadata)):
                    return behaviour(request, context)
            except Exception as error:
                return _refuse(error, context)

    return handle


def _streamed(behaviour: Callable[..., Any], metadata: dict[str, Any], admit: _Admit) -> Callable[..., Any]:
    def handle(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with telemetry.within(_context_of(metadata)):
            try:
                with called_by(admit(), shown_pass(metadata)):
                    yield from behaviour(request, context)
            except Exception as error:
                _refuse(error, context)

    return handle


def _refuse(error: Exception, context: grpc.ServicerContext) -> Any:
    if not isinstance(error, WattbookError):
        if context.code() is not None or not context.is_active():  # it aborted on its own; nobody waits
            raise error
        _log.exception("unexpected error in a handler")
        error = Internal("internal error")
    trailing = [(CODE_KEY, error.code)]
    if error.retry_after_s is not None:
        trailing.append((RETRY_KEY, str(error.retry_after_s)))
    context.set_trailing_metadata(tuple(trailing))
    return context.abort(grpc.StatusCode[error.grpc_status], error.message[:_MAX_DETAILS])
