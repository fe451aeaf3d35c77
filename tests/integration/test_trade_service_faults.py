"""trade-service as a process that is started wrongly, stopped, killed, and given a bad disk."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from wattbook.errors import Unavailable, WattbookError
from wattbook_proto import trades_pb2

from tests.integration.trade_process import (
    ADDED,
    DUPLICATE,
    Caller,
    Listener,
    TradeProcess,
    running,
    settings,
    stated,
)
from tests.support.disks import Ballast, small_disk
from tests.support.engines import NewStoreUrl
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def store_url(new_store_url: NewStoreUrl) -> str:
    """On both engines."""
    return new_store_url("trade")


@pytest.fixture
def process(tmp_path: Path) -> Iterator[TradeProcess]:
    process = TradeProcess(tmp_path)
    yield process
    process.close()


class Load:
    """Threads that book until told to stop, and remember what was acknowledged."""

    def __init__(self, target: str, *, name: str) -> None:
        self.acknowledged: list[str] = []
        self._caller = Caller(target)
        self._name = name
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(8)]
        for thread in self._threads:
            thread.start()

    def _run(self, worker: int) -> None:
        count = 0
        while not self._stopping.is_set():
            size = 1 if worker % 2 else 50
            trades = [stated(f"{self._name}_{worker}_{count}_{row}") for row in range(size)]
            count += 1
            try:
                reply = self._caller.book(*trades, timeout_s=10)
            except WattbookError:
                return
            assert list(reply.results) == [ADDED] * size
            self.acknowledged.extend(trade.id for trade in trades)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)
        self._caller.close()


def test_after_a_kill_all_that_was_acknowledged_is_booked_once_and_published(process: TradeProcess):
    listener = Listener(process.bus_url)
    acknowledged: list[str] = []
    for round_number in range(3):
        process.start()
        load = Load(process.target, name=f"r{round_number}")
        wait_until(lambda: len(load.acknowledged) > 500, timeout_s=30, what="bookings go on")  # noqa: B023
        process.signal(signal.SIGKILL)
        load.stop()
        acknowledged.extend(load.acknowledged)
    process.start()
    caller = Caller(process.target)

    booked = caller.announced()
    heard = listener.hear_until(len(booked))
    again = caller.results(*(stated(trade_id) for trade_id in acknowledged[:5000]))

    assert [trade.booking_seq for trade in booked] == list(range(1, len(booked) + 1))
    ids = Counter(trade.id for trade in booked)
    assert set(ids.values()) == {1}
    assert set(acknowledged) <= set(ids)
    assert [heard[trade.booking_seq] for trade in booked] == booked
    assert set(again) == {DUPLICATE}
    assert process.signal(signal.SIGTERM) == 0
    caller.close()
    listener.close()


def test_an_orderly_stop_answers_what_it_took_and_publishes_it(process: TradeProcess):
    process.start()
    load = Load(process.target, name="load")
    wait_until(lambda: len(load.acknowledged) > 200, timeout_s=30, what="bookings go on")

    status = process.signal(signal.SIGTERM)
    load.stop()

    assert status == 0
    assert "Traceback" not in process.log()
    listener = Listener(process.bus_url)
    process.start()
    caller = Caller(process.target)
    booked = caller.ids()
    assert set(load.acknowledged) <= set(booked)
    assert len(set(booked)) == len(booked)
    caller.close()
    listener.close()


def test_what_was_published_before_an_orderly_stop_leaves_nothing_in_the_outbox(
    tmp_path: Path, store_url: str
):
    listener = Listener(settings(tmp_path).bus_url)

    with running(tmp_path, store_url=store_url) as (_, caller):
        caller.results(*(stated(f"t_{n}") for n in range(3000)))

    assert len(listener.hear_until(3000)) == 3000
    with running(tmp_path, store_url=store_url) as (app, _):
        assert app.relay.depth() == 0
    listener.close()


@pytest.mark.embedded
def test_a_full_disk_refuses_bookings_whole_and_recovers(tmp_path: Path):
    with (
        small_disk(tmp_path / "disk", mebibytes=24) as disk,
        running(disk, store_url=f"sqlite:///{disk}/trade.db") as (_, caller),
    ):
        assert caller.results(stated("before")) == [ADDED]
        ballast = Ballast(disk)
        ballast.fill()

        refused: list[str] = []
        for start in range(40):  # the log of the store may still have room for some
            try:
                caller.book(*(stated(f"t_{start}_{n}") for n in range(1000)))
            except Unavailable as error:
                refused.append(error.message)
        found_while_full = caller.found()
        ballast.free()
        results = caller.results(*(stated(f"after_{n}") for n in range(1000)))
        found = caller.found()

        assert refused
        assert set(refused) == {"the store cannot write now: its disk is full; try again"}
        assert results == [ADDED] * 1000
        assert [trade.booking_seq for trade in found] == list(range(1, len(found) + 1))
        assert found[: len(found_while_full)] == found_while_full
        sizes = Counter(trade.id.rsplit("_", 1)[0] for trade in found if trade.id != "before")
        assert set(sizes.values()) == {1000}


@pytest.mark.embedded
def test_a_read_only_store_refuses_bookings_and_recovers(tmp_path: Path):
    with running(tmp_path, store_url=f"sqlite:///{tmp_path}/trade.db") as (app, caller):
        caller.results(stated("before"))
        with app.store.write() as connection:
            connection.exec_driver_sql("PRAGMA query_only=ON")

        with pytest.raises(Unavailable, match="read-only"):
            caller.results(stated("t_1"))
        still_found = caller.ids()
        writer = app.store._writer  # type: ignore[attr-defined]  # no public way to break it
        with writer.connect() as connection:
            connection.connection.driver_connection.execute("PRAGMA query_only=OFF")

        assert still_found == ["before"]
        assert caller.results(stated("t_1")) == [ADDED]


def test_two_replicas_on_one_store_book_each_trade_once_and_without_gaps(tmp_path: Path, store_url: str):
    one, another = running(tmp_path, store_url=store_url), running(tmp_path, store_url=store_url)
    with one as (_, caller), another as (_, other):

        def book(number: int) -> list[int]:
            client = other if number % 2 else caller
            return client.results(*(stated(f"t_{number // 2}_{row}") for row in range(20)))

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(book, range(40)))
        found = caller.found()

    results = Counter(result for answer in answers for result in answer)
    assert results == {ADDED: 400, DUPLICATE: 400}
    assert [trade.booking_seq for trade in found] == list(range(1, 401))


@pytest.mark.parametrize(
    ("environment", "status", "line"),
    [
        ({"WATTBOOK_TRADE_STORE_URL": ""}, 78, "setting: WATTBOOK_TRADE_STORE_URL is not set"),
        ({"WATTBOOK_BUS_URL": ""}, 78, "setting: WATTBOOK_BUS_URL is not set"),
        ({"WATTBOOK_STOP_WITH_PARENT": "maybe"}, 78, "setting: WATTBOOK_STOP_WITH_PARENT: 'maybe'"),
        ({"WATTBOOK_LOG_LEVEL": "LOUD"}, 78, "setting: "),
        ({"WATTBOOK_DRAIN_S": "-1"}, 78, "setting: WATTBOOK_DRAIN_S: -1 is not in 0…20"),
        ({"WATTBOOK_TRADE_STORE_URL": "mongo://x"}, 78, "setting: no store engine"),
        ({"WATTBOOK_BUS_URL": "kafka://x"}, 78, "setting: no bus engine"),
        ({"WATTBOOK_TRADE_STORE_URL": "sqlite:////proc/x/trade.db"}, 1, "trade-service: the store trade at"),
        ({"WATTBOOK_BUS_URL": "sqlite:////proc/x/bus.db"}, 1, "trade-service: "),
    ],
)
def test_a_start_that_cannot_work_ends_with_one_clear_line(
    tmp_path: Path, environment: dict[str, str], status: int, line: str
):
    process = TradeProcess(tmp_path, **environment)

    assert process.launch().wait(30) == status
    said = [each for each in process.log().splitlines() if not each.startswith("{")]
    assert len(said) == 1, process.log()
    assert said[0].startswith(line)


def test_a_port_in_use_ends_the_start_and_is_named(process: TradeProcess):
    with socket.create_server(("127.0.0.1", process.port)):
        assert process.launch().wait(30) == 1

    (line,) = process.log().splitlines()
    assert line == f"trade-service: cannot listen on {process.target}: Address already in use"
    assert "Traceback" not in process.log()


def test_logs_are_lines_of_json_with_the_service_named(process: TradeProcess):
    process.start()
    assert process.signal(signal.SIGINT) == 0

    lines = [json.loads(line) for line in process.log().splitlines()]
    # What was made in a store and on a bus, and that a test's walls are open.
    others = ("alembic", "wattbook.bus", "wattbook.rpc")
    ours = [line["message"] for line in lines if not line["logger"].startswith(others)]
    assert ours == ["listening", "stopping"]
    assert {line["service"] for line in lines} == {"trade-service"}


def test_trades_survive_a_restart(process: TradeProcess):
    process.start()
    caller = Caller(process.target)
    caller.results(stated("t_1"))
    caller.close()
    assert process.signal(signal.SIGTERM) == 0
    process.start()
    caller = Caller(process.target)

    assert caller.results(stated("t_1"), stated("t_2")) == [DUPLICATE, ADDED]
    assert [trade.source for trade in caller.found()] == [trades_pb2.REST] * 2
    caller.close()
