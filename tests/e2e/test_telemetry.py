"""What the really started product exports: whole traces, every metric of the catalogue, logs, no secret."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from wattbook.telemetry.catalogue import CATALOGUE, INGEST, RPC_CLIENT_DURATION

from tests.support.engines import desk_environment, is_production
from tests.support.live_desk import LiveDesk, running
from tests.support.otlp_sink import OtlpSink, Span, otlp_sink
from tests.support.pages import STREAM_PATH, PageReader
from tests.support.trades import HEADER, trade, unique
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

QUIET = {"WATTBOOK_SANDBOX_EXCHANGE_TRADES_PER_MIN": "0", "WATTBOOK_INGEST_SETTLE_S": "0.1"}
TRADER, DAY = "trader_1", "2023-02-28"
ARRIVED_S = 30.0
BOOK = "wattbook.trades.v1.Trades/Book"
FROM_THE_STORE_ON = [
    ("report-service", "send event", "producer"),
    ("report-service", "process trade.booked", "consumer"),
    ("trade-service", "write trade", "client"),
    ("trade-service", "book group", "internal"),
]


class Known:
    """Everything that must not leave: told by whoever makes it."""

    def __init__(self) -> None:
        self.collector = secrets.token_urlsafe(18)
        self.said: set[str] = {self.collector}


@pytest.fixture(scope="module")
def known() -> Known:
    return Known()


@pytest.fixture(scope="module")
def sink() -> Iterator[OtlpSink]:
    with suppress(OSError), otlp_sink() as made:
        yield made


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, sink: OtlpSink, known: Known) -> Iterator[LiveDesk]:
    told = sink.environment(OTEL_EXPORTER_OTLP_HEADERS=f"x-collector-key={known.collector}")
    made = LiveDesk(tmp_path_factory.mktemp("telemetry"), "--sandbox", environment={**QUIET, **told})
    with running(made):
        made.wait_listeners(1)
        known.said |= {made.admin_password, base64_of(f"admin:{made.admin_password}")}
        known.said |= {file.read_text().strip() for file in (made.data / "secrets").iterdir()}
        engines = passwords_of(desk_environment(made.folder).values())
        assert bool(engines) == is_production()
        known.said |= engines
        yield made


@pytest.fixture(scope="module")
def reader(desk: LiveDesk, known: Known) -> Iterator[PageReader]:
    with PageReader(desk.pages_url, "admin", desk.admin_password) as made:
        known.said |= set(made.http.cookies.values())
        yield made


def passwords_of(addresses: Iterable[str]) -> set[str]:
    """Those of the stores and of the bus, as they are written and as they are meant."""
    written = {found for each in addresses if (found := urlsplit(each).password)}
    return written | {unquote(each) for each in written}


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@contextmanager
def watching(reader: PageReader) -> Iterator[None]:
    """A browser looks at the trader's day live."""
    opened, done = threading.Event(), threading.Event()

    def read() -> None:
        with suppress(httpx.HTTPError):
            address = STREAM_PATH.format(trader_id=TRADER, day=DAY)
            with reader.http.stream("GET", address) as answer:
                assert answer.status_code == 200
                for line in answer.iter_lines():
                    if line:
                        opened.set()
                    if done.is_set():
                        return

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert opened.wait(ARRIVED_S)
    try:
        yield
    finally:
        done.set()


def confirmation(**changes: Any) -> str:
    stated = {
        "id": unique(), "price": 20.5, "quantity": 12.3, "direction": "buy", "delivery_day": DAY,
        "delivery_hour": "08-09", "trader_id": TRADER, "execution_time": "2023-02-27T06:13:45Z",
    }  # fmt: skip
    return json.dumps({"trade_confirmation": {**stated, **changes}})


def way_back(sink: OtlpSink, trace_id: str) -> list[Span]:
    """From an event that was sent to browsers back to where its trace began; empty until that arrived."""
    by_id = {span.span_id: span for span in list(sink.spans)}
    for sent in by_id.values():
        linked = dict(sent.links)
        if sent.name != "send event" or (sent.trace_id != trace_id and trace_id not in linked):
            continue
        way, next_id = [sent], sent.parent_id if sent.trace_id == trace_id else linked[trace_id]
        while next_id in by_id:
            way.append(by_id[next_id])
            next_id = way[-1].parent_id
        return way
    return []


def steps(way: list[Span]) -> list[tuple[str, str, str]]:
    return [(span.service, span.name, span.kind) for span in way]


def arrived(way: Callable[[], list[Span]], last: str) -> list[Span]:
    """The way once all of it is there: services send when it suits them."""
    return wait_until(
        lambda: (found := way()) and found[-1].name == last and found,
        timeout_s=ARRIVED_S, what=f"the trace from {last} to the event",
    )  # fmt: skip


@pytest.mark.flow("Book over REST")
def test_one_trace_leads_from_a_booking_to_the_event_in_the_browser(
    desk: LiveDesk, sink: OtlpSink, reader: PageReader
) -> None:
    trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)
    with watching(reader), desk.client() as admin:
        admin.http.headers["traceparent"] = f"00-{trace_id}-{caller}-01"
        admin.added(trade(trader_id=TRADER, delivery_day=DAY))
        way = arrived(lambda: way_back(sink, trace_id), "POST /v1/trades")

    assert steps(way) == [
        *FROM_THE_STORE_ON,
        ("trade-service", BOOK, "server"),
        ("gateway", BOOK, "client"),
        ("gateway", "POST /v1/trades", "server"),
    ]
    assert way[-1].parent_id == caller
    assert {span.trace_id for span in way[1:]} == {trace_id}
    assert way[0].attributes["wattbook.event.listeners"] == 1
    assert way[2].attributes["db.system.name"] == ("postgresql" if is_production() else "sqlite")
    assert not [span for span in way if span.is_error]


@pytest.mark.flow("Live trade")
def test_one_trace_leads_from_a_frame_to_the_event_in_the_browser(
    desk: LiveDesk, sink: OtlpSink, reader: PageReader
) -> None:
    before = {span.trace_id for span in list(sink.spans)}

    def way() -> list[Span]:
        fresh = [each for each in list(sink.spans) if each.name == "receive frames"]
        return next((way_back(sink, each.trace_id) for each in fresh if each.trace_id not in before), [])

    with watching(reader):
        desk.exchange("POST", "frame", text=confirmation())
        found = arrived(way, "receive frames")

    assert steps(found) == [
        *FROM_THE_STORE_ON,
        ("trade-service", "process trade.confirmed", "consumer"),
        ("ingest-service", "write ingest", "client"),
        ("ingest-service", "receive frames", "consumer"),
    ]
    assert found[-1].parent_id == ""
    assert {span.trace_id for span in found[1:]} == {found[-1].trace_id}


@pytest.mark.flow("Reference price")
def test_one_trace_leads_from_the_request_to_the_provider_to_the_read_model(
    desk: LiveDesk, sink: OtlpSink
) -> None:
    def way() -> list[Span]:
        by_id = {span.span_id: span for span in list(sink.spans)}
        for way in ([span] for span in by_id.values() if span.name == "process price.updated"):
            while way[-1].parent_id in by_id:
                way.append(by_id[way[-1].parent_id])
            if way[-1].name == "ask for a price":
                return way
        return []

    found = wait_until(way, timeout_s=60, what="a price is where pages look, in the trace of its request")

    assert steps(found) == [
        ("report-service", "process price.updated", "consumer"),
        ("pricing-service", "write pricing", "client"),
        ("pricing-service", "note prices", "internal"),
        ("pricing-service", "ask for a price", "internal"),
    ]
    sent = [
        span for span in list(sink.spans) if span.parent_id == found[-1].span_id and span.kind == "client"
    ]
    assert [span.attributes["http.response.status_code"] for span in sent] == [200]


def test_bookings_that_share_a_call_and_a_commit_are_linked(desk: LiveDesk, sink: OtlpSink) -> None:
    traces = [secrets.token_hex(16) for _ in range(24)]

    def book(trace_id: str) -> None:
        with desk.client() as admin:
            admin.http.headers["traceparent"] = f"00-{trace_id}-{secrets.token_hex(8)}-01"
            admin.added(trade(trader_id=TRADER, delivery_day=DAY))

    threads = [threading.Thread(target=book, args=(each,)) for each in traces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def reached() -> bool:
        """Each of them leads into some transaction, by its own trace or by a link on the way there."""
        spans = list(sink.spans)
        own = {span.trace_id for span in spans if span.name == "book group"}
        linked = {trace for span in spans if span.name in ("gather", "book group") for trace, _ in span.links}
        return set(traces) <= own | linked

    wait_until(reached, timeout_s=ARRIVED_S, what="every booking leads to its commit")


def test_every_metric_of_the_catalogue_arrives_with_its_unit_and_labels(
    desk: LiveDesk, sink: OtlpSink, reader: PageReader, known: Known
) -> None:
    wrong = secrets.token_urlsafe(18)
    known.said |= {wrong, base64_of(f"nobody:{wrong}")}
    for _ in range(6):  # refused, and throttled in the end
        httpx.get(f"{desk.url}/v1/me", auth=("nobody", wrong), trust_env=False)
    booked = json.loads(confirmation())["trade_confirmation"]
    desk.exchange("POST", "frame", text=json.dumps({"trade_confirmation": booked}))
    desk.exchange("POST", "frame", text=confirmation(id=booked["id"], price=1.0))  # a conflict: refused
    desk.exchange("POST", "frame", text="{}")
    name = f"epex_trades_20230228_{unique()}.csv"
    desk.drop(name, f"{HEADER}\n{unique()},120,12,sell,{DAY},14,{TRADER},2023-02-28T11:12:35Z\n")
    desk.wait_archived(name)
    with desk.client() as admin:
        admin.report(TRADER, DAY)
        for path in ("/v1/flow-files", "/v1/companies"):
            assert admin.http.get(path).status_code == 200
    assert reader.http.get(f"/traders/{TRADER}/live/{DAY}").status_code < 400
    wanted = {(service, metric.name) for metric in CATALOGUE for service in metric.services}
    wanted -= {(INGEST, RPC_CLIENT_DURATION.name)}  # only one of several nodes asks somebody

    def missing() -> set[tuple[str, str]]:
        return wanted - {(point.service, point.name) for point in list(sink.points)}

    wait_until(lambda: not missing(), timeout_s=60, what=f"all metrics are there, now without {missing()}")

    for metric in CATALOGUE:
        points = [point for point in list(sink.points) if point.name == metric.name]
        assert {(point.unit, point.kind) for point in points} == {(metric.unit, metric.kind)}, metric
        assert {label for point in points for label in point.attributes} <= set(metric.attributes), metric
        assert {point.service for point in points} <= set(metric.services), metric
        assert {point.bounds for point in points} == {metric.buckets}, metric
    reasons = sink.latest(INGEST, "wattbook.feed.quarantined")
    assert {point.attributes["reason"]: point.value for point in reasons} == {
        "unreadable": 1,
        "refused": 1,
        "unknown_field": 0,
    }


def test_log_lines_carry_the_ids_of_their_trace(desk: LiveDesk, sink: OtlpSink) -> None:
    trace_id = secrets.token_hex(16)
    httpx.get(
        f"{desk.url}/v1/me", auth=(unique("nobody"), "wrong"), trust_env=False,
        headers={"traceparent": f"00-{trace_id}-{'b' * 16}-01", "x-request-id": "r-77"},
    )  # fmt: skip

    line = wait_until(
        lambda: next((line for line in list(sink.lines) if line.trace_id == trace_id), None),
        timeout_s=ARRIVED_S, what="the line is exported",
    )  # fmt: skip

    assert (line.service, line.body) == ("gateway", "sign-in refused")
    assert line.attributes["request_id"] == "r-77"
    on_disk = [json.loads(text) for text in lines_of(desk, "gateway") if trace_id in text]
    assert [each["span_id"] for each in on_disk] == [line.span_id]


def lines_of(desk: LiveDesk, service: str) -> list[str]:
    return (desk.data / "logs" / f"{service}.log").read_text().splitlines()


def test_no_secret_is_in_any_log_trace_or_metric(desk: LiveDesk, sink: OtlpSink, known: Known) -> None:
    form = {"grant_type": "password", "username": "admin", "password": desk.admin_password}
    tokens = httpx.post(f"{desk.url}/v1/oauth/token", data=form, trust_env=False).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert httpx.get(f"{desk.url}/v1/me", headers=bearer, trust_env=False).status_code == 200
    forged = {"Authorization": f"Bearer {tokens['access_token']}x"}
    assert httpx.get(f"{desk.url}/v1/me", headers=forged, trust_env=False).status_code == 401
    leaky = f"{desk.url}/v1/trades?password={desk.admin_password}"
    assert httpx.get(leaky, auth=("admin", desk.admin_password), trust_env=False).status_code < 500
    known.said |= {tokens["access_token"], tokens["refresh_token"]}
    arrived_before = len(sink.raw)
    wait_until(lambda: len(sink.raw) > arrived_before + 20, timeout_s=ARRIVED_S, what="it all arrived")

    told = b"\n".join([*sink.raw, *(file.read_bytes() for file in (desk.data / "logs").iterdir())])
    told += desk.log.read_bytes().replace(desk.admin_password.encode(), b"", 1)  # printed once, as agreed
    leaked = [secret[:4] + "…" for secret in known.said if len(secret) > 8 and secret.encode() in told]

    assert len(known.said) >= 10
    assert leaked == []


def test_a_collector_that_is_gone_hurts_nobody(desk: LiveDesk, sink: OtlpSink) -> None:
    sink.close()
    with desk.client() as admin:
        for _ in range(50):
            admin.added(trade(trader_id=TRADER, delivery_day=DAY))
    wait_until(
        lambda: "cannot be sent" in (desk.data / "logs" / "gateway.log").read_text(),
        timeout_s=ARRIVED_S, what="it is said",
    )  # fmt: skip

    assert desk.stop() == 0

    for file in (desk.data / "logs").iterdir():
        warned = Counter(
            json.loads(line)["signal"] for line in file.read_text().splitlines() if "cannot be sent" in line
        )
        assert set(warned.values()) <= {1}, file
        assert "opentelemetry" not in file.read_text()


def test_without_a_collector_no_service_imports_the_sdk(tmp_path: Path) -> None:
    modules = [
        "gateway.app", "trade_service.app", "ingest_service.app", "pricing_service.app",
        "report_service.app", "report_service.app.worker",
    ]  # fmt: skip
    code = (
        f"import importlib, sys\n[importlib.import_module(name) for name in {modules}]\n"
        "from wattbook.process import start_telemetry\n"
        "start_telemetry('gateway', {}).stop()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path
    )

    assert done.stdout == "[]\n"
