"""What leaves a process by OTLP, and what does not."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from sqlalchemy.exc import OperationalError
from wattbook import rpc, telemetry
from wattbook.bus import Message
from wattbook.db import open_store
from wattbook.errors import NotFound, Unavailable
from wattbook.settings import SettingsError
from wattbook.telemetry import catalogue, telemetry_settings
from wattbook.telemetry.http import ClientRequest, ServerRequest
from wattbook.telemetry.messages import handling, sending
from wattbook.telemetry.metrics import Counter, Histogram, observe

from tests.support.otlp_sink import OtlpSink, Span, otlp_sink, recorded
from tests.support.waiting import wait_until

SECRET = "correct horse".replace(" ", "-")
PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
NOT_SAMPLED = "00-" + "c" * 32 + "-" + "d" * 16 + "-00"


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with otlp_sink() as running:
        yield running


def named(sink: OtlpSink, name: str) -> Span:
    (found,) = [span for span in sink.spans if span.name == name]
    return found


def message(traceparent: str) -> Message:
    return Message(type="trade.booked", body=b"", occurred_at=datetime.now(UTC), traceparent=traceparent)


def test_spans_nest_and_go_on_with_the_callers_trace(sink: OtlpSink) -> None:
    with recorded(sink):
        with telemetry.entering("outer", traceparent=PARENT, request_id="r-1") as outer:
            assert telemetry.current() == outer.context
            with telemetry.span("inner", kind="client", attributes={"db.namespace": "trade"}):
                inner = telemetry.current_traceparent()
        assert telemetry.current() is None

    outer_span, inner_span = named(sink, "outer"), named(sink, "inner")
    assert (outer_span.trace_id, outer_span.parent_id, outer_span.kind) == ("a" * 32, "b" * 16, "server")
    assert (inner_span.trace_id, inner_span.parent_id) == ("a" * 32, outer_span.span_id)
    assert inner == f"00-{'a' * 32}-{inner_span.span_id}-01"
    assert inner_span.attributes == {"db.namespace": "trade"}


def test_every_signal_says_which_process_it_is_from(sink: OtlpSink) -> None:
    with (
        recorded(sink, OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test,service.instance.id=pod-1"),
        telemetry.entering("x"),
    ):
        logging.getLogger("wattbook.test").warning("hello")

    (resource,) = sink.resources
    assert resource["service.name"] == "trade-service"
    assert resource["service.version"]
    assert resource["service.instance.id"] == "pod-1"
    assert resource["deployment.environment.name"] == "test"
    assert sink.spans
    assert sink.points
    assert sink.lines


def test_what_the_sampler_drops_is_not_recorded_but_keeps_its_ids(sink: OtlpSink) -> None:
    ratio = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    with recorded(sink, **ratio):
        with telemetry.entering("root") as root, telemetry.span("part"):
            assert telemetry.current() == root.context
            assert telemetry.current_traceparent().endswith("-00")
        with telemetry.entering("told not to", traceparent=NOT_SAMPLED) as work:
            assert work.context is not None
            assert work.context.trace_id == "c" * 32
        with telemetry.entering("told to", traceparent=PARENT):
            pass

    assert [span.name for span in sink.spans] == ["told to"]


def test_a_share_of_traces_is_chosen_by_their_ids_so_that_every_process_agrees(sink: OtlpSink) -> None:
    ratio = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    with recorded(sink, **ratio):
        for _ in range(200):
            with telemetry.entering("root") as work:
                assert work.context is not None
                is_low = int(work.context.trace_id[16:], 16) < 2**62
                assert work.context.sampled is is_low
                assert work.is_recorded is is_low

    assert all(int(span.trace_id[16:], 16) < 2**62 for span in sink.spans)
    assert 0 < len(sink.spans) < 200


def test_a_batch_goes_on_with_its_first_recorded_trace_and_is_linked_to_the_others(sink: OtlpSink) -> None:
    others = [f"00-{digit * 32}-{digit * 16}-01" for digit in "ef"]
    with recorded(sink), telemetry.joined("commit", [NOT_SAMPLED, PARENT, "", *others, PARENT]):
        pass

    commit = named(sink, "commit")
    assert (commit.trace_id, commit.parent_id) == ("a" * 32, "b" * 16)
    assert commit.links == (("e" * 32, "e" * 16), ("f" * 32, "f" * 16))


def test_faults_are_errors_and_callers_mistakes_are_not(sink: OtlpSink) -> None:
    with recorded(sink):
        for error in (Unavailable(SECRET), NotFound(SECRET), ValueError(SECRET)):
            with pytest.raises(type(error)), telemetry.entering(type(error).__name__):
                raise error

    assert {span.name: span.is_error for span in sink.spans} == {
        "Unavailable": True, "NotFound": False, "ValueError": True,
    }  # fmt: skip
    assert not [body for body in sink.raw if SECRET.encode() in body]


def test_messages_are_sent_and_handled_within_the_trace_that_made_them(sink: OtlpSink) -> None:
    with recorded(sink):
        with sending([message(PARENT)], system="rabbitmq"):
            pass
        with handling([message(PARENT)], system="rabbitmq", group="g") as work:
            work.failed("Unavailable")

    send, process = named(sink, "send trade.booked"), named(sink, "process trade.booked")
    assert (send.kind, process.kind) == ("producer", "consumer")
    assert {send.trace_id, process.trace_id} == {"a" * 32}
    assert {send.parent_id, process.parent_id} == {"b" * 16}
    assert process.is_error
    assert process.attributes["messaging.consumer.group.name"] == "g"
    (sent,) = sink.latest("trade-service", "messaging.client.sent.messages")
    assert (sent.value, sent.unit, sent.kind) == (1, "{message}", "counter")
    assert sent.attributes["messaging.operation.name"] == "send"
    (handled,) = sink.latest("trade-service", "messaging.process.duration")
    assert (handled.count, handled.attributes["error.type"]) == (1, "Unavailable")
    assert handled.attributes["messaging.operation.name"] == "process"


def test_messages_that_the_bus_did_not_confirm_are_told_from_those_that_it_did(sink: OtlpSink) -> None:
    with recorded(sink):
        with sending([message(PARENT)], system="rabbitmq"):
            pass
        with suppress(Unavailable), sending([message(PARENT)] * 2, system="rabbitmq"):
            raise Unavailable("the bus takes nothing now")

    sent = sink.latest("trade-service", "messaging.client.sent.messages")
    assert {each.attributes.get("error.type", ""): each.value for each in sent} == {"": 1, "Unavailable": 2}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_that_no_pass_could_be_had_for_is_one_that_failed_as_the_passes_did(
    sink: OtlpSink, streamed: bool
) -> None:
    def none_now() -> str:
        raise Unavailable("no pass")

    with recorded(sink), rpc.channel("dns:///trades.test:8090", passes=none_now) as channel:
        method = channel.unary_stream("/t.T/M") if streamed else channel.unary_unary("/t.T/M")
        with pytest.raises(Unavailable), telemetry.entering("outer"):
            list(rpc.stream(method, b"")) if streamed else rpc.call(method, b"")

    (made,) = sink.latest("trade-service", "rpc.client.call.duration")
    assert (made.count, made.attributes) == (1, {
        "rpc.system.name": "grpc", "rpc.method": "t.T/M",
        "server.address": "trades.test", "server.port": 8090,
        "rpc.response.status_code": "UNAVAILABLE", "error.type": "UNAVAILABLE",
    })  # fmt: skip
    assert named(sink, "t.T/M").attributes["server.address"] == "trades.test"


def test_a_stream_of_requests_is_one_call_within_the_trace_that_made_it(sink: OtlpSink) -> None:
    async def ask() -> None:
        async with rpc.aio_channel("127.0.0.1:1") as channel:
            call = channel.stream_unary("/t.T/Upload")(timeout=5)
            with pytest.raises(grpc.aio.AioRpcError):
                await call

    with recorded(sink), telemetry.entering("outer"):
        asyncio.run(ask())

    (made,) = sink.latest("trade-service", "rpc.client.call.duration")
    assert (made.count, made.attributes["rpc.method"]) == (1, "t.T/Upload")
    upload = named(sink, "t.T/Upload")
    assert (upload.is_error, upload.parent_id) == (True, named(sink, "outer").span_id)


def test_requests_are_named_by_their_route_and_never_tell_their_query(sink: OtlpSink) -> None:
    with recorded(sink):
        with ServerRequest(method="GET", path="/v1/trades", traceparent=PARENT) as request:
            with ClientRequest("POST", f"http://me:{SECRET}@127.0.0.1:1/v1/me?password={SECRET}") as call:
                call.answered(503)
            request.answered(200, "/v1/trades")
        with ServerRequest(method="BREW", path="/nowhere") as request:
            request.answered(404)
        for probe in ("/healthz", "/readyz", "/readyz/trade-service"):
            with ServerRequest(method="GET", path=probe) as request:
                request.answered(503, probe)

    server, client, unknown = named(sink, "GET /v1/trades"), named(sink, "POST"), named(sink, "_OTHER")
    assert server.attributes["http.response.status_code"] == 200
    assert client.parent_id == server.span_id
    assert client.attributes["url.full"] == "http://127.0.0.1:1/v1/me"
    assert client.is_error
    assert not unknown.is_error
    assert len(sink.spans) == 3
    durations = sink.latest("trade-service", "http.server.request.duration")
    assert [each.attributes for each in durations] == [
        {
            "http.request.method": "GET", "url.scheme": "http",
            "http.route": "/v1/trades", "http.response.status_code": 200,
        },
        {"http.request.method": "_OTHER", "url.scheme": "http", "http.response.status_code": 404},
    ]  # fmt: skip
    assert durations[0].bounds == catalogue.SECONDS
    assert not [body for body in sink.raw if SECRET.encode() in body]


def test_figures_arrive_with_their_units_and_a_look_that_fails_spoils_no_other(sink: OtlpSink) -> None:
    booked, sizes = Counter(catalogue.TRADES_BOOKED), Histogram(catalogue.GROUP_SIZE)
    with recorded(sink):
        booked.add(2, {"result": "added", "source": "rest"})
        booked.add(3, {"result": "added", "source": "rest"})
        sizes.record(7, {"store": "trade"})
        observe(catalogue.OUTBOX_DEPTH, lambda: [(4, {})])
        observe(catalogue.OUTBOX_DEPTH, lambda: 1 / 0)  # type: ignore[arg-type,return-value]

    (added,) = sink.latest("trade-service", "wattbook.trade.bookings")
    assert (added.value, added.kind, added.unit) == (5, "counter", "{trade}")
    (size,) = sink.latest("trade-service", "wattbook.store.commit.group_size")
    assert (size.value, size.count, size.bounds) == (7, 1, catalogue.SIZES)
    (depth,) = sink.latest("trade-service", "wattbook.outbox.depth")
    assert (depth.value, depth.kind) == (4, "gauge")
    for metric in (
        catalogue.PROCESS_CPU,
        catalogue.PROCESS_MEMORY,
        catalogue.PROCESS_THREADS,
        catalogue.PROCESS_UPTIME,
    ):
        for point in sink.latest("trade-service", metric.name):
            assert (point.unit, point.kind) == (metric.unit, metric.kind)
            assert point.value > 0


def test_log_lines_carry_ids_and_no_credentials(sink: OtlpSink) -> None:
    log = logging.getLogger("wattbook.test")
    with recorded(sink), telemetry.entering("x", traceparent=PARENT, request_id="r-9") as work:
        log.warning(
            "cannot reach %s", f"amqp://svc:{SECRET}@bus:5672/x", extra={"port": 1, "why": [SECRET[:0]]}
        )
        try:
            raise ValueError(f"postgresql://svc:{SECRET}@db/trade refused")
        except ValueError:
            log.exception("failed with Authorization: Basic %s", "YWRtaW46c2VjcmV0")

    warning, failure = sink.lines[-2:]
    assert work.context is not None
    assert (warning.trace_id, warning.span_id) == ("a" * 32, work.context.span_id)
    assert warning.body == "cannot reach amqp://svc:***@bus:5672/x"
    assert warning.attributes == {"port": 1, "why": "['']", "request_id": "r-9"}
    assert (failure.severity, failure.attributes["exception.type"]) == ("ERROR", "ValueError")
    assert not [body for body in sink.raw if SECRET.encode() in body or b"YWRtaW46" in body]


def test_a_dead_collector_costs_one_warning_a_signal(caplog: pytest.LogCaptureFixture) -> None:
    with otlp_sink() as gone:
        pass
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5"}
    settings = telemetry_settings(gone.environment(OTEL_EXPORTER_OTLP_TIMEOUT="0.2", **small))
    running = telemetry.start("trade-service", settings)

    def warned() -> list[str]:
        records = [record for record in caplog.records if "cannot be sent" in record.message]
        return sorted(record.__dict__["signal"] for record in records)

    for _ in range(50):
        with telemetry.entering("x"):
            logging.getLogger("wattbook.test").info("line")
    wait_until(lambda: len(warned()) >= 3, timeout_s=30, what="each signal is warned of")
    running.stop()

    assert warned() == ["logs", "metrics", "traces"]
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


def test_a_collector_that_takes_again_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with otlp_sink() as sink:
        port = int(sink.url.rpartition(":")[2])
    told = {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.2", "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    running = telemetry.start("trade-service", telemetry_settings(sink.environment(**told)))
    wait_until(lambda: "cannot be sent" in caplog.text, timeout_s=30, what="it is gone")

    with otlp_sink(port=port) as back:
        wait_until(lambda: "is taken again" in caplog.text, timeout_s=30, what="it is back")
        running.stop()

    assert back.points


def test_a_collector_that_never_answers_does_not_hold_up_the_stop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = OtlpSink(f"http://127.0.0.1:{silent.getsockname()[1]}")
        settings = telemetry_settings(sink.environment(OTEL_EXPORTER_OTLP_TIMEOUT="600"))
        running = telemetry.start("trade-service", settings)
        with telemetry.entering("x"):
            logging.getLogger("wattbook.test").warning("line")
        stopping = threading.Thread(target=running.stop, kwargs={"within_s": 0.2})
        stopping.start()
        stopping.join(30)

        assert not stopping.is_alive()


def test_nothing_of_the_sdk_is_imported_unless_something_is_exported() -> None:
    code = (
        "import sys\n"
        "from wattbook import telemetry\n"
        "from wattbook.telemetry import telemetry_settings\n"
        "from wattbook.telemetry.http import ServerRequest\n"
        "import wattbook.rpc, wattbook.db, wattbook.outbox, wattbook.bus.consumer\n"
        "telemetry.start('gateway', telemetry_settings({'OTEL_TRACES_EXPORTER': 'none'})).stop()\n"
        "with telemetry.entering('x'), telemetry.span('y'), ServerRequest(method='GET', path='/'):\n"
        "    pass\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "traces metrics logs"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_LOGS_EXPORTER": "none"}, "traces metrics"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "traces"),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c/x"}, "metrics"),
    ],
)
def test_signals_are_switched_on_by_the_standard_variables(environment: dict[str, str], on: str) -> None:
    settings = telemetry_settings(environment)

    found = {"traces": settings.traces, "metrics": settings.metrics, "logs": settings.logs}
    assert [name for name, target in found.items() if target] == on.split()


def test_a_signals_own_variables_come_before_the_common_ones() -> None:
    settings = telemetry_settings(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/base/",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "https://logs.example/in",
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{SECRET}",
            "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "3",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        }
    )

    assert settings.traces is not None
    assert settings.logs is not None
    assert settings.traces.endpoint == "http://c:4318/base/v1/traces"
    assert settings.traces.headers == {"authorization": f"Bearer {SECRET}"}
    assert (settings.logs.endpoint, settings.logs.timeout_s) == ("https://logs.example/in", 3)
    assert SECRET not in repr(settings)


def test_headers_and_compression_are_used(sink: OtlpSink) -> None:
    told = {"OTEL_EXPORTER_OTLP_HEADERS": "x-token=abc", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
    with recorded(sink, **told), telemetry.entering("x"):
        pass

    assert sink.spans
    assert {each["x-token"] for each in sink.headers} == {"abc"}
    assert {each["Content-Encoding"] for each in sink.headers} == {"gzip"}


def test_wrong_variables_are_named_all_at_once() -> None:
    wrong = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"grpc://u:{SECRET}@c:4317",
        "OTEL_EXPORTER_OTLP_HEADERS": SECRET,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "soon",
        "OTEL_TRACES_EXPORTER": "jaeger",
        "OTEL_TRACES_SAMPLER": "sometimes",
        "OTEL_METRIC_EXPORT_INTERVAL": "0",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }

    with pytest.raises(SettingsError) as raised:
        telemetry_settings(wrong)

    told = "\n".join(raised.value.problems)
    for name in wrong:
        if name != "OTEL_METRIC_EXPORT_INTERVAL":  # looked at once the others can be read
            assert name in told
    assert SECRET not in told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, ""),
        (Unavailable("the disk is full"), "Unavailable"),
        (OperationalError("", {}, OSError()), "OperationalError"),
        (NotFound("no such trade"), ""),
        (LookupError("another replica does this now"), ""),
    ],
    ids=["nothing", "a failure", "the engine's own", "a refusal", "a rule that ends it"],
)
def test_a_write_that_the_store_fails_is_told_from_one_that_is_refused(
    sink: OtlpSink, tmp_path: Path, error: Exception | None, told: str
) -> None:
    with recorded(sink):
        store = open_store(f"sqlite:///{tmp_path}/trade.db", name="trade")
        with suppress(Exception), store.write():
            if error is not None:
                raise error
        store.close()

    (duration,) = sink.latest("trade-service", "wattbook.store.commit.duration")
    assert duration.attributes.get("error.type", "") == told
