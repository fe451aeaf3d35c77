"""gRPC over a real server: errors keep their meaning, calls end in time, context travels along."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from wattbook import rpc, telemetry
from wattbook.access import Principal, Role
from wattbook.auth.tokens import TokenReader
from wattbook.errors import (
    Forbidden,
    Internal,
    InvalidInput,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    WattbookError,
    error_types,
)
from wattbook.rpc_options import MAX_MESSAGE_BYTES
from wattbook.walls import OPEN, Guard, Rule

from tests.support.waiting import wait_until
from tests.support.walls import KeyRing

Behaviour = Callable[[bytes, grpc.ServicerContext], Any]


class Service:
    """A server whose one method does what the test says."""

    def __init__(
        self, *, drain_s: float = 0.0, guard: Guard = OPEN, rules: Mapping[str, Rule] | None = None
    ) -> None:
        self.behaviour: Behaviour = lambda request, _context: request
        self.released = threading.Event()
        self.server = rpc.Server("127.0.0.1:0", guard=guard, workers=4, drain_s=drain_s)
        self.server.register(self._add, None, rules=rules or {})
        self.target = f"127.0.0.1:{self.server.start()}"
        self.server.set_ready()
        self.channel = rpc.channel(self.target)
        self.unary = self.channel.unary_unary("/test.Service/Unary")
        self.stream = self.channel.unary_stream("/test.Service/Stream")

    def _add(self, _servicer: None, server: grpc.Server) -> None:
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self._behave),
            "Stream": grpc.unary_stream_rpc_method_handler(self._behave),
            "Upload": grpc.stream_unary_rpc_method_handler(self._behave),
            "Talk": grpc.stream_stream_rpc_method_handler(self._behave),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", handlers),))

    def _behave(self, request: bytes, context: grpc.ServicerContext) -> Any:
        return self.behaviour(request, context)

    def ask(self, *, streamed: bool, timeout_s: float = 5.0) -> Any:
        if streamed:
            return list(rpc.stream(self.stream, b"", timeout_s=timeout_s))
        return rpc.call(self.unary, b"", timeout_s=timeout_s)

    def close(self) -> None:
        self.released.set()
        self.channel.close()
        self.server.stop(1.0)


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


def raising(error: Exception) -> Behaviour:
    def behave(_request: bytes, _context: grpc.ServicerContext) -> Any:
        raise error

    return behave


@pytest.mark.parametrize(
    "kind",
    [kind for kind in error_types() if kind.__module__ == WattbookError.__module__],
    ids=lambda kind: kind.__name__,
)
@pytest.mark.parametrize("streamed", [False, True])
def test_every_error_arrives_as_it_was_raised(
    service: Service, kind: type[WattbookError], streamed: bool
) -> None:
    service.behaviour = raising(kind("Grund: ü, 20 €", retry_after_s=7))

    with pytest.raises(WattbookError) as caught:
        service.ask(streamed=streamed)

    assert type(caught.value) is (Internal if kind is WattbookError else kind)
    assert (caught.value.message, caught.value.retry_after_s) == ("Grund: ü, 20 €", 7)


def test_a_method_that_the_guard_cannot_watch_is_not_served(service: Service) -> None:
    asked = []
    service.behaviour = lambda request, _context: asked.append(request) or b"in"
    with grpc.insecure_channel(service.target) as channel, pytest.raises(grpc.RpcError):
        list(channel.stream_stream("/test.Service/Talk")(iter([b"x"]), timeout=5))

    assert not asked


def test_a_stream_of_requests_is_answered_once_it_ended(service: Service) -> None:
    service.behaviour = lambda requests, _context: b"+".join(requests)

    assert rpc.call(service.channel.stream_unary("/test.Service/Upload"), iter([b"a", b"b"])) == b"a+b"


def test_a_stream_of_requests_is_guarded_before_any_is_read(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    trader = partial(ring.pass_of, Role.TRADER, audience="trade-service")
    asked: list[Any] = []
    guard = Guard(TokenReader(ring.public_file, audience="trade-service"))
    made = Service(guard=guard, rules={"Upload": Principal.require_desk})
    made.behaviour = lambda requests, _context: asked.append(requests) or b"in"
    try:
        for passes, kind in ((None, Unauthenticated), (trader, Forbidden)):
            with rpc.channel(made.target, passes=passes) as channel, pytest.raises(kind):
                rpc.call(channel.stream_unary("/test.Service/Upload"), iter([b"x"]))
    finally:
        made.close()

    assert not asked


def test_whoever_breaks_a_stream_of_requests_off_leaves_no_error_in_the_log(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Event()

    def behave(requests: Any, _context: grpc.ServicerContext) -> bytes:
        try:
            list(requests)
        finally:
            ended.set()
        return b"whole"

    service.behaviour = behave
    begun = threading.Event()

    def requests() -> Iterator[bytes]:
        yield b"x"
        begun.set()
        ended.wait(5)

    future = service.channel.stream_unary("/test.Service/Upload").future(requests(), timeout=5)
    assert begun.wait(5)
    future.cancel()

    assert ended.wait(5)
    assert "unexpected error" not in caplog.text


def test_whoever_still_sends_hears_why_it_is_refused(service: Service) -> None:
    service.behaviour = raising(TooManyRequests("slow down"))
    requests = (b"x" * 100_000 for _ in range(200))

    with pytest.raises(TooManyRequests):
        rpc.call(service.channel.stream_unary("/test.Service/Upload"), requests)


def test_the_deadline_of_a_transfer_grows_with_its_size() -> None:
    small, large = (rpc.transfer_timeout_s(size, timeout_s=10.0) for size in (0, 256 * 1024 * 60))

    assert (small, large) == (10.0, 70.0)


def test_errors_arrive_over_asyncio_too(service: Service) -> None:
    service.behaviour = raising(TooManyRequests("slow down", retry_after_s=2))

    async def ask() -> WattbookError:
        async with rpc.aio_channel(service.target) as channel:
            try:
                await channel.unary_unary("/test.Service/Unary")(b"", timeout=5)
            except grpc.aio.AioRpcError as error:
                return rpc.translate(error)
        raise AssertionError("it did not fail")

    error = asyncio.run(ask())

    assert type(error) is TooManyRequests
    assert (error.message, error.retry_after_s) == ("slow down", 2)


def test_an_unexpected_error_says_nothing_of_the_inside(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.behaviour = raising(KeyError("password=geheim"))

    with pytest.raises(Internal) as caught:
        rpc.call(service.unary, b"")

    assert caught.value.message == "internal error"
    assert "geheim" in caplog.text  # the log has the reason


def test_a_message_that_quotes_something_huge_still_arrives(service: Service) -> None:
    service.behaviour = raising(InvalidInput("id is too long: " + "ü" * 2_000_000))

    with pytest.raises(InvalidInput, match="id is too long"):
        rpc.call(service.unary, b"")


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_ends_at_its_deadline(service: Service, streamed: bool) -> None:
    service.behaviour = lambda _request, _context: service.released.wait(10)

    with pytest.raises(Unavailable, match="did not answer in time"):
        service.ask(streamed=streamed, timeout_s=0.2)


def test_a_service_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        target = f"127.0.0.1:{taken.getsockname()[1]}"

        with rpc.channel(target) as channel, pytest.raises(Unavailable, match="not reachable"):
            rpc.call(channel.unary_unary("/test.Service/Unary"), b"", timeout_s=5)
        assert rpc.is_healthy(target, timeout_s=0.5) is False


def test_faults_of_ours_are_not_blamed_on_the_caller(service: Service) -> None:
    with pytest.raises(Internal):
        rpc.call(service.channel.unary_unary("/test.Service/Unknown"), b"")

    service.behaviour = lambda _request, _context: b"x" * (MAX_MESSAGE_BYTES + 1)
    with pytest.raises(Internal):
        rpc.call(service.unary, b"")


def test_trace_and_request_id_travel_along(service: Service) -> None:
    def tell(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        context = telemetry.current()
        assert context is not None
        return f"{context.trace_id} {context.request_id}".encode()

    service.behaviour = tell
    with telemetry.within(telemetry.new_context(request_id="r-9")) as mine:
        told = rpc.call(service.unary, b"").decode()
    alone = rpc.call(service.unary, b"").decode()

    assert told == f"{mine.trace_id} r-9"
    assert mine.trace_id not in alone


def test_a_stream_that_its_reader_leaves_ends_at_the_server(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Event()

    def endless(_request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(ended.set)
        while context.is_active():
            yield b"x" * 1000

    service.behaviour = endless
    answer = service.stream(b"", timeout=10)
    next(answer)
    answer.cancel()

    assert ended.wait(5)
    service.behaviour = lambda _request, _context: b"still here"
    assert rpc.call(service.unary, b"") == b"still here"
    service.server.stop(1.0)
    assert [entry.message for entry in caplog.records if entry.levelname == "ERROR"] == []


def test_health_follows_readiness_and_an_orderly_stop_finishes_what_runs(service: Service) -> None:
    entered = threading.Event()

    def slow(request: bytes, _context: grpc.ServicerContext) -> bytes:
        entered.set()
        service.released.wait(5)
        return request

    service.behaviour = slow
    assert rpc.is_healthy(service.target)
    service.server.set_ready(False)
    assert not rpc.is_healthy(service.target)

    running = service.unary.future(b"work", timeout=10)
    assert entered.wait(5)
    stopper = threading.Thread(target=lambda: service.server.stop(5.0))
    stopper.start()
    service.released.set()

    assert running.result() == b"work"
    stopper.join(5)
    assert not stopper.is_alive()


def test_an_address_in_use_is_an_os_error(service: Service) -> None:
    other = rpc.Server(service.target, guard=OPEN)

    with pytest.raises(OSError, match="cannot listen on"):
        other.start()


def test_replicas_share_the_calls_and_one_that_stops_costs_none(service: Service) -> None:
    other = Service()
    answered = {"one": 0, "other": 0}

    def counting(name: str) -> Behaviour:
        def behave(request: bytes, _context: grpc.ServicerContext) -> bytes:
            answered[name] += 1
            return request

        return behave

    service.behaviour, other.behaviour = counting("one"), counting("other")
    with rpc.channel(f"ipv4:{service.target},{other.target}") as both:
        method = both.unary_unary("/test.Service/Unary")

        def both_answered() -> bool:
            rpc.call(method, b"", timeout_s=5.0)
            return all(answered.values())

        wait_until(both_answered, timeout_s=10, what="both answer")  # the second may connect a moment later
        other.close()
        alone = [rpc.call(method, b"", timeout_s=5.0) for _ in range(50)]

    assert len(alone) == 50


def test_replicas_that_drain_before_they_stop_cost_no_call_that_crosses_with_it() -> None:
    """Without a drain about one call a stop comes back as cancelled."""
    replicas = [Service(drain_s=0.2) for _ in range(12)]
    target = "ipv4:" + ",".join(replica.target for replica in replicas)
    stopped, lost = threading.Event(), []
    calls = 0

    async def ask(method: Any) -> None:
        nonlocal calls
        while not stopped.is_set():
            try:
                await method(b"", timeout=10.0)
            except grpc.RpcError as error:
                lost.append(error.code())
            calls += 1

    async def ask_all() -> None:
        async with rpc.aio_channel(target) as channel:
            await asyncio.gather(*(ask(channel.unary_unary("/test.Service/Unary")) for _ in range(8)))

    callers = threading.Thread(target=lambda: asyncio.run(ask_all()))
    callers.start()
    for replica in replicas[:-1]:
        enough = calls + 50
        wait_until(lambda enough=enough: calls > enough, timeout_s=30, what="calls go on")
        replica.server.stop()
    stopped.set()
    callers.join(20)
    for replica in replicas:
        replica.close()

    assert not lost
