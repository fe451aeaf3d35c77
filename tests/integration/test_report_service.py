"""report-service as a process, beside a real trade-service on a real bus."""

from __future__ import annotations

import http.client
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from wattbook import rpc
from wattbook.errors import Unavailable

from tests.integration.report_process import ReportProcess
from tests.integration.trade_process import Caller, TradeProcess, stated
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow  # a process each

LEAST_MIB = 10
MOST_MIB = 130


class Pair:
    """A trade-service and its reports."""

    def __init__(self, folder: Path) -> None:
        self.trade = TradeProcess(folder).start()
        self.reports = ReportProcess(folder, bus_url=self.trade.bus_url, trade_target=self.trade.target)
        self.caller = Caller(self.trade.target)
        self._booked = 0

    def book(self, count: int, *, trader: str = "trader_1") -> None:
        """Book so many trades, in one call."""
        first, self._booked = self._booked, self._booked + count
        made = [
            stated(f"t_{number}", trader_id=trader, delivery_hour=number % 24)
            for number in range(first, self._booked)
        ]
        self.caller.book(*made)

    def close(self) -> None:
        self.caller.close()
        self.reports.close()
        self.trade.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.close()


def test_trades_booked_before_and_after_its_start_are_counted(pair: Pair) -> None:
    pair.book(30)
    pair.reports.start()
    pair.reports.wait_for(30)

    pair.book(20)

    answer = pair.reports.wait_for(50)
    assert sum(row.trades for row in answer.rows) == 50
    assert answer.total.sell_mw == "600"
    assert answer.total.pnl_eur == "720.00"  # 50 × 12 MW × 1.20 €/MWh


def test_trades_booked_while_it_starts_count_once(pair: Pair) -> None:
    stop = threading.Event()
    booked = 0

    def keep_booking() -> None:
        nonlocal booked
        while not stop.is_set() and booked < 5000:
            pair.book(25)
            booked += 25

    thread = threading.Thread(target=keep_booking)
    thread.start()
    try:
        for _ in range(2):
            pair.reports.start()
            assert pair.reports.stop() == 0
        pair.reports.start()
    finally:
        stop.set()
        thread.join(30)

    assert booked
    pair.reports.wait_for(booked)


def test_a_restart_gives_the_same_versions(pair: Pair) -> None:
    pair.reports.start()
    pair.book(40)
    pair.book(10, trader="trader_2")
    before = [pair.reports.wait_for(40), pair.reports.wait_for(10, "trader_2")]

    pair.reports.stop()
    pair.reports.start()

    assert pair.reports.reports("trader_1", "trader_2") == before
    (unchanged,) = pair.reports.reports("trader_1", known=before[0].version)
    assert unchanged.unchanged


def test_it_answers_while_trade_service_is_away_and_goes_on_when_it_is_back(pair: Pair) -> None:
    pair.book(5)
    pair.reports.start()
    pair.reports.wait_for(5)
    pair.trade.signal(signal.SIGKILL)
    wait_until(
        lambda: pair.reports.get("/readyz").json()["level_with_the_book"] is False,
        timeout_s=20,
        what="it notices",
    )
    assert pair.reports.wait_for(5)
    assert rpc.is_healthy(pair.reports.target)

    pair.trade.start()
    pair.book(5)

    pair.reports.wait_for(10)
    wait_until(
        lambda: pair.reports.get("/readyz").json()["level_with_the_book"], timeout_s=20, what="it is level"
    )


def test_it_waits_for_a_trade_service_that_comes_later(pair: Pair) -> None:
    pair.book(5)
    pair.trade.signal(signal.SIGTERM)
    pair.reports.launch()
    wait_until(lambda: pair.reports.get("/healthz").is_success, timeout_s=20, what="it lives")
    assert not rpc.is_healthy(pair.reports.target)
    assert pair.reports.get("/readyz").status_code == 503
    with pytest.raises(Unavailable):
        pair.reports.reports("trader_1")

    pair.trade.start()

    wait_until(lambda: rpc.is_healthy(pair.reports.target), timeout_s=20, what="it is ready")
    pair.reports.wait_for(5)


def test_a_killed_worker_is_replaced(pair: Pair) -> None:
    pair.book(5)
    pair.reports.start()
    _, worker = pair.reports.family()

    worker.kill()

    wait_until(
        lambda: (
            worker.pid not in [each.pid for each in pair.reports.family()]
            and rpc.is_healthy(pair.reports.target)
        ),
        timeout_s=30,
        what="another worker is ready",
    )
    pair.reports.wait_for(5)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order(pair: Pair, signum: signal.Signals) -> None:
    pair.reports.start()

    assert pair.reports.stop(signum) == 0

    assert "Traceback" not in pair.reports.log()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(pair.reports.target.rpartition(":")[2]))) != 0


def test_callers_are_sent_elsewhere_before_it_takes_no_more(pair: Pair) -> None:
    """Or a request would cross with the closing of a kept connection: nobody could say if it was heard."""
    pair.reports.environment["WATTBOOK_DRAIN_S"] = "3"
    pair.reports.start()
    process = pair.reports.process
    assert process is not None
    host, _, port = pair.reports.http_target.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)

    def said() -> str | None:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        return answer.headers["Connection"]

    assert said() is None
    process.send_signal(signal.SIGTERM)

    wait_until(lambda: said() == "close", timeout_s=2.5, what="an answer says that it is the last")
    assert not rpc.is_healthy(pair.reports.target)
    assert process.wait(15) == 0
    assert "Traceback" not in pair.reports.log()


def test_it_leaves_with_the_process_that_started_it(pair: Pair, tmp_path: Path) -> None:
    import subprocess
    import sys

    import psutil

    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'report_service.app'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env=pair.reports.environment, stdout=subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        wait_until(lambda: rpc.is_healthy(pair.reports.target), timeout_s=30, what="it is ready")
        family = [child, *child.children(recursive=True)]
    finally:
        parent.kill()
        parent.wait(10)

    assert not psutil.wait_procs(family, timeout=20)[1]


@pytest.mark.parametrize("which", ["WATTBOOK_REPORT_LISTEN", "WATTBOOK_REPORT_HTTP_LISTEN"])
def test_a_port_in_use_is_one_clear_line(pair: Pair, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        pair.reports.environment[which] = address

        assert pair.reports.launch().wait(20) == 1

    lines = [line for line in pair.reports.log().splitlines() if not line.startswith("{")]
    assert lines == [f"report-service: cannot listen on {address}: address already in use"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WATTBOOK_SESSION_KEY", ""),
        ("WATTBOOK_SESSION_KEY", "short"),
        ("WATTBOOK_BUS_URL", ""),
        ("WATTBOOK_SESSION_IDLE_S", "soon"),
        ("WATTBOOK_REPORT_LISTEN", "nowhere"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(pair: Pair, name: str, value: str) -> None:
    pair.reports.environment[name] = value

    assert pair.reports.launch().wait(20) == 78

    assert name in pair.reports.log()
    assert "Traceback" not in pair.reports.log()


def test_a_bus_that_cannot_be_opened_stops_the_start_with_one_line(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pair.reports.environment["WATTBOOK_BUS_URL"] = f"sqlite:///{tmp_path}/file/bus.db"

    assert pair.reports.launch().wait(20) not in {0, None}

    assert "Traceback" not in pair.reports.log()


def test_it_stays_small(pair: Pair) -> None:
    pair.book(2000)
    pair.reports.start()
    pair.reports.wait_for(2000)
    for _ in range(20):
        pair.reports.get("/sign-in")

    used_mib = sum(each.memory_info().rss for each in pair.reports.family()) / 2**20

    assert LEAST_MIB < used_mib < MOST_MIB


def test_many_reports_a_call_come_in_order(pair: Pair) -> None:
    pair.book(3, trader="trader_7")
    pair.reports.start()
    pair.reports.wait_for(3, "trader_7")

    answers = pair.reports.reports(*(f"trader_{number % 10}" for number in range(3000)))

    assert [answer.total.trades for answer in answers] == [
        3 if number % 10 == 7 else 0 for number in range(3000)
    ]
