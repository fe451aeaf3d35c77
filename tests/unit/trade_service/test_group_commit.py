"""Booking in groups: shared commits, one answer each, nothing half-booked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from trade_service.api import booked_events
from trade_service.domain import Criteria, Result, Trade, trade_of
from trade_service.store import TradeStore
from trade_service.usecases import Commit, GroupCommit, Sender, search
from trade_service.usecases import booking as booking_module
from wattbook import db
from wattbook.bus import Message
from wattbook.clock import FakeClock, to_epoch_us
from wattbook.errors import Internal, InvalidInput, Unavailable
from wattbook_proto import events_pb2

from tests.support.engines import NewStoreUrl
from tests.support.postgres import fails_to_serialize
from tests.support.waiting import wait_until

NOW = datetime(2023, 2, 28, 11, 12, 36, tzinfo=UTC)
REST = Sender(1)


def trade(number: int, **changes: Any) -> Trade:
    stated: dict[str, Any] = {
        "trade_id": f"t_{number}",
        "price_ct_per_mwh": 120,
        "quantity_kw": 12_000,
        "direction": 2,
        "area": "",
        "delivery_day": "2023-02-28",
        "delivery_hour": 14,
        "delivery_start_s": None,
        "trader_id": "trader_1",
        "execution_time_us": to_epoch_us(NOW),
    }
    return trade_of(**{**stated, **changes})


class Desk:
    """A group commit over a real store; ``gate`` closed holds its thread inside a transaction."""

    def __init__(self, store: db.Store) -> None:
        self.store = store
        self.book = TradeStore(store)
        self.gate = threading.Event()
        self.gate.set()
        self.inside = threading.Event()
        self.groups: list[int] = []
        self.commits = 0
        self.fault: Exception | None = None
        self.commit = GroupCommit(
            self.book, clock=FakeClock(NOW), announce=self.announce, committed=self.committed
        )

    def announce(self, commit: Commit, traceparent: str) -> list[Message]:
        rows = commit.entries.rows
        self.groups.append(len(rows))
        self.inside.set()
        assert self.gate.wait(20)
        if self.fault and any(row[1] == "t_666" for row in rows):
            raise self.fault
        return booked_events(commit, traceparent)

    def committed(self, events: Sequence[Message]) -> None:
        self.commits += 1

    def submit(self, *trades: Trade, timeout_s: float = 20.0) -> list[int]:
        return self.commit.book(trades, sender=REST, timeout_s=timeout_s).results

    def stored(self) -> list[tuple[int, str]]:
        pages = search(self.book, Criteria())
        return [(each.booking_seq, each.trade_id) for page in pages for each in page.trades]

    def events(self) -> list[list[int]]:
        with self.store.read() as connection:
            bodies = connection.execute(sa.text("SELECT body FROM outbox ORDER BY id")).scalars().all()
        return [
            [each.booking_seq for each in events_pb2.TradesBooked.FromString(body).trades] for body in bodies
        ]

    def when_waiting(self, count: int) -> None:
        """Return once ``count`` requests wait for the next group."""
        wait_until(lambda: len(self.commit._waiting) == count, timeout_s=20, what=f"{count} requests wait")


@pytest.fixture
def desk(new_store_url: NewStoreUrl) -> Iterator[Desk]:
    store = db.open_store(new_store_url("trade"), name="trade")
    db.migrate(store, "trade_service")
    desk = Desk(store)
    desk.commit.start()
    yield desk
    desk.gate.set()
    desk.commit.stop()
    store.close()


def test_a_new_trade_is_added_and_the_same_again_is_a_duplicate(desk: Desk):
    assert desk.submit(trade(1)) == [Result.ADDED]
    assert desk.submit(trade(1)) == [Result.DUPLICATE]

    assert desk.stored() == [(1, "t_1")]
    assert desk.events() == [[1]]
    assert desk.commits == 1


def test_the_same_id_with_other_content_is_a_conflict_that_names_the_difference(desk: Desk):
    desk.submit(trade(1))

    outcome = desk.commit.book(
        [trade(2), trade(1, price_ct_per_mwh=5, trader_id="x")], sender=REST, timeout_s=20
    )

    assert outcome.results == [Result.ADDED, Result.CONFLICT]
    assert outcome.reasons == {1: "already booked with another price, trader_id"}


def test_the_same_id_twice_in_one_request_is_settled_in_order(desk: Desk):
    results = desk.submit(trade(1), trade(1), trade(1, quantity_kw=100), trade(2), trade(1))

    assert results == [
        Result.ADDED,
        Result.DUPLICATE,
        Result.CONFLICT,
        Result.ADDED,
        Result.DUPLICATE,
    ]
    assert desk.stored() == [(1, "t_1"), (2, "t_2")]


@pytest.mark.parametrize(
    "new_store_url", [pytest.param("postgresql", marks=pytest.mark.servers)], indirect=True
)
def test_a_group_that_has_to_give_way_to_another_transaction_is_committed_again(desk: Desk):
    with desk.store.write() as connection:
        connection.exec_driver_sql("CREATE SEQUENCE tries")
        connection.exec_driver_sql(fails_to_serialize("trades", "nextval('tries') = 1"))

    assert desk.submit(trade(1)) == [Result.ADDED]

    assert desk.stored() == [(1, "t_1")]
    assert desk.events() == [[1]]
    assert (len(desk.groups), desk.commits) == (2, 1)


def test_the_very_same_object_twice_is_booked_once(desk: Desk):
    once = trade(1)

    assert desk.submit(once, once) == [Result.ADDED, Result.DUPLICATE]


def test_requests_that_wait_for_the_disk_share_the_next_commit(desk: Desk):
    desk.gate.clear()
    with ThreadPoolExecutor(21) as threads:
        first = threads.submit(desk.submit, trade(0))
        assert desk.inside.wait(20)
        others = [threads.submit(desk.submit, trade(number)) for number in range(1, 21)]
        desk.when_waiting(20)
        desk.gate.set()
        answers = [each.result(20) for each in [first, *others]]

    assert answers == [[Result.ADDED]] * 21
    assert desk.groups == [1, 20]
    assert [seq for seq, _ in desk.stored()] == list(range(1, 22))
    assert desk.events() == [[1], list(range(2, 22))]


def test_duplicates_and_conflicts_inside_one_group_are_settled_as_if_one_after_another(desk: Desk):
    desk.gate.clear()
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(desk.submit, trade(0))
        assert desk.inside.wait(20)
        waiting = []
        for count, trades in enumerate(
            ([trade(1), trade(2)], [trade(2), trade(3)], [trade(1, direction=1), trade(0)]), start=1
        ):
            waiting.append(threads.submit(desk.submit, *trades))
            desk.when_waiting(count)
        desk.gate.set()
        first.result(20)
        answers = [each.result(20) for each in waiting]

    assert answers == [
        [Result.ADDED, Result.ADDED],
        [Result.DUPLICATE, Result.ADDED],
        [Result.CONFLICT, Result.DUPLICATE],
    ]
    assert desk.stored() == [(1, "t_0"), (2, "t_1"), (3, "t_2"), (4, "t_3")]


def test_a_group_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(booking_module, "GROUP_TRADES", 5)
    desk.gate.clear()
    with ThreadPoolExecutor(5) as threads:
        first = threads.submit(desk.submit, trade(0))
        assert desk.inside.wait(20)
        waiting = []
        for count, size in enumerate((2, 3, 4, 9), start=1):
            trades = [trade(100 * count + index) for index in range(size)]
            waiting.append(threads.submit(desk.submit, *trades))
            desk.when_waiting(count)
        desk.gate.set()
        for each in [first, *waiting]:
            each.result(20)

    assert desk.groups == [1, 5, 4, 9]


def test_events_of_a_large_commit_are_split_at_a_thousand(desk: Desk):
    desk.submit(*(trade(number) for number in range(2500)))

    assert [len(each) for each in desk.events()] == [1000, 1000, 500]
    assert [seq for each in desk.events() for seq in each] == list(range(1, 2501))


def test_too_many_in_one_request_are_refused_and_nothing_is_booked(desk: Desk):
    with pytest.raises(InvalidInput, match="at most 10000"):
        desk.commit.book([trade(1)] * 10_001, sender=REST, timeout_s=20)

    assert desk.stored() == []


def test_nothing_to_book_costs_no_commit(desk: Desk):
    assert desk.submit() == []
    assert desk.commits == 0


@pytest.mark.parametrize("limit", ["WAITING_TRADES", "WAITING_REQUESTS"])
def test_a_full_queue_says_when_to_come_again(desk: Desk, monkeypatch: pytest.MonkeyPatch, limit: str):
    monkeypatch.setattr(booking_module, limit, 2)
    desk.gate.clear()
    with ThreadPoolExecutor(3) as threads:
        taken = [threads.submit(desk.submit, trade(0))]
        assert desk.inside.wait(20)
        for count in (1, 2):
            taken.append(threads.submit(desk.submit, trade(count)))
            desk.when_waiting(count)
        with pytest.raises(Unavailable, match="too many") as refused:
            desk.submit(trade(3))
        desk.gate.set()
        answers = [each.result(20) for each in taken]

    assert refused.value.retry_after_s == 1
    assert answers == [[Result.ADDED]] * 3
    assert [trade_id for _, trade_id in desk.stored()] == ["t_0", "t_1", "t_2"]
    assert desk.submit(trade(3)) == [Result.ADDED]


def test_who_waited_too_long_is_told_so_and_is_not_booked(desk: Desk):
    desk.gate.clear()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(desk.submit, trade(0))
        assert desk.inside.wait(20)
        with pytest.raises(Unavailable, match="too long"):
            desk.submit(trade(1), timeout_s=0.05)
        desk.gate.set()
        first.result(20)

    assert desk.submit(trade(2)) == [Result.ADDED]
    assert desk.stored() == [(1, "t_0"), (2, "t_2")]


def test_a_fault_of_one_request_does_not_fail_the_others_of_its_group(desk: Desk):
    desk.fault = KeyError("a fault of ours")
    desk.gate.clear()
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(desk.submit, trade(0))
        assert desk.inside.wait(20)
        good = threads.submit(desk.submit, trade(1))
        bad = threads.submit(desk.submit, trade(666))
        desk.when_waiting(2)
        desk.gate.set()
        answers = [each.result(20) for each in (first, good)]
        with pytest.raises(Internal, match="internal error"):
            bad.result(20)

    assert answers == [[Result.ADDED], [Result.ADDED]]
    assert desk.stored() == [(1, "t_0"), (2, "t_1")]


def test_a_store_that_fails_fails_the_whole_group_and_the_next_group_works_again(desk: Desk):
    desk.submit(trade(0))
    desk.fault = Unavailable("the store cannot write now", retry_after_s=3)

    with pytest.raises(Unavailable, match="cannot write") as refused:
        desk.submit(trade(1), trade(666))
    desk.fault = None

    assert refused.value.retry_after_s == 3
    assert desk.stored() == [(1, "t_0")]
    assert desk.submit(trade(1), trade(666)) == [Result.ADDED, Result.ADDED]
    assert desk.stored() == [(1, "t_0"), (2, "t_1"), (3, "t_666")]


def test_stopping_finishes_what_was_taken_and_takes_nothing_more(desk: Desk):
    desk.gate.clear()
    with ThreadPoolExecutor(3) as threads:
        taken = [threads.submit(desk.submit, trade(0))]
        assert desk.inside.wait(20)
        taken.append(threads.submit(desk.submit, trade(1)))
        desk.when_waiting(1)
        stopped = threads.submit(desk.commit.stop)
        wait_until(lambda: desk.commit._stopping, timeout_s=20, what="it is stopping")
        with pytest.raises(Unavailable, match="stopping"):
            desk.submit(trade(2))
        desk.gate.set()
        answers = [each.result(20) for each in taken]
        stopped.result(20)

    assert answers == [[Result.ADDED]] * 2
    assert [trade_id for _, trade_id in desk.stored()] == ["t_0", "t_1"]


def test_fifty_racers_with_the_same_trade_add_it_once(desk: Desk):
    start = threading.Barrier(50)

    def race(_: int) -> list[int]:
        start.wait()
        return desk.submit(trade(1))

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(race, range(50)))

    assert sorted(answers) == [[Result.ADDED]] + [[Result.DUPLICATE]] * 49


def test_fifty_racers_with_other_contents_add_one_and_the_rest_conflict(desk: Desk):
    start = threading.Barrier(50)

    def race(number: int) -> list[int]:
        start.wait()
        return desk.submit(trade(1, price_ct_per_mwh=number))

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(race, range(50)))

    assert sorted(answers) == [[Result.ADDED]] + [[Result.CONFLICT]] * 49
    assert desk.stored() == [(1, "t_1")]
    assert desk.events() == [[1]]
