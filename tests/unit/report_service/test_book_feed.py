"""The feed's thread: listens first, loads, follows, and comes back from whatever fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from report_service.api.book_feed import BookFeed, events_of
from report_service.domain.book import Book
from report_service.usecases.follow import Follower
from report_service.usecases.model import ReadModel
from wattbook.bus import Delivery, Message
from wattbook.clock import SystemClock
from wattbook.errors import Unavailable

from tests.support.waiting import wait_until
from tests.unit.report_service.fakes import NOW, FakeSubscription, FakeTradeBook, booked, booking


class Running:
    """A feed over fakes, on the real clock."""

    def __init__(self) -> None:
        self.trades = FakeTradeBook()
        self.model = ReadModel(SystemClock())
        self.subscriptions: list[FakeSubscription] = []
        self.is_bus_away = False
        clock = SystemClock()
        follower = Follower(self.model, self.trades, clock)
        self.feed = BookFeed(self.subscribe, follower, self.model, clock=clock)

    def subscribe(self) -> FakeSubscription:
        if self.is_bus_away:
            raise Unavailable("the bus is away")
        self.subscriptions.append(FakeSubscription())
        return self.subscriptions[-1]

    def book(self, seq: int, *, heard: bool = True) -> None:
        self.trades.book(booking(seq))
        if heard:
            self.subscriptions[-1].publish(booked(booking(seq)))

    def wait_for(self, seq: int) -> None:
        wait_until(lambda: self.model.last_seq == seq, timeout_s=10, what=f"booking {seq} is counted")


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.feed.stop()


def test_it_listens_before_it_loads(running: Running) -> None:
    running.trades.during_snapshot = lambda: running.book(1)  # booked and heard while the snapshot is read

    running.feed.start()

    running.wait_for(1)
    assert running.trades.calls == ["snapshot"]


def test_it_keeps_trying_until_the_book_answers(running: Running) -> None:
    running.trades.is_away = True
    running.trades.bookings = [booking(1)]
    running.feed.start()
    wait_until(lambda: len(running.subscriptions) >= 2, timeout_s=10, what="it tried twice")
    assert not running.model.state.ready

    running.trades.is_away = False

    running.wait_for(1)
    assert running.model.state.lost_since is None
    assert running.subscriptions[0].is_closed


def test_events_are_counted_as_they_come(running: Running) -> None:
    running.feed.start()
    wait_until(lambda: running.model.state.ready, timeout_s=10, what="it is ready")

    for seq in range(1, 6):
        running.book(seq)

    running.wait_for(5)


def test_a_lost_event_is_fetched_without_a_new_snapshot(running: Running) -> None:
    running.feed.start()
    wait_until(lambda: running.model.state.ready, timeout_s=10, what="it is ready")
    running.book(1)
    running.book(2, heard=False)
    running.book(3)

    running.wait_for(3)
    assert running.trades.calls.count("snapshot") == 1


@pytest.mark.parametrize(
    "message", [Message("trade.booked", b"\xff\xff", NOW), booked(booking(1), version=3)]
)
def test_an_event_that_cannot_be_read_loses_nothing(running: Running, message: Message) -> None:
    running.feed.start()
    wait_until(lambda: running.model.state.ready, timeout_s=10, what="it is ready")
    running.trades.book(booking(1))

    running.subscriptions[-1].publish(message)

    running.wait_for(1)


def test_bookings_made_while_the_bus_was_away_are_fetched_when_it_is_back(running: Running) -> None:
    running.feed.start()
    wait_until(lambda: running.model.state.ready, timeout_s=10, what="it is ready")
    running.is_bus_away = True
    running.subscriptions[-1].publish(Message("trade.booked", b"\xff\xff", NOW))  # makes it subscribe anew
    wait_until(lambda: running.model.state.lost_since, timeout_s=10, what="it notices")
    running.book(1, heard=False)

    running.is_bus_away = False

    running.wait_for(1)


def test_stopping_is_quick_also_while_loading(running: Running) -> None:
    entered, leave = threading.Event(), threading.Event()

    def snapshot() -> Book:
        entered.set()
        leave.wait(5)
        return Book()

    running.trades.snapshot = snapshot  # type: ignore[method-assign]
    running.feed.start()
    assert entered.wait(5)

    threading.Timer(0.1, leave.set).start()
    running.feed.stop()

    assert running.subscriptions[0].is_closed


def test_bookings_of_several_events_keep_their_order() -> None:
    deliveries = [Delivery(booked(booking(1), booking(2)), 1, 1), Delivery(booked(booking(3)), 1, 2)]

    told = [each for event in events_of(deliveries) for each in event.bookings]
    assert told == [booking(1), booking(2), booking(3)]
