"""Reference prices reach the board exactly as their owner has them, however they are announced."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_service.api.prices import PriceFeed, updates_of
from report_service.clients.prices import prices_of
from report_service.domain.book import ReportKey
from report_service.domain.performance import Light
from report_service.domain.prices import DayKey, ReferencePrice
from report_service.usecases.follow import Follower
from report_service.usecases.model import ReadModel
from report_service.usecases.performance import Performances
from report_service.usecases.prices import FIRST_LOOK_S, MOST_DAYS, MOST_WAITING, PriceBoard
from report_service.usecases.watch import CHECK_EVERY_S, WATCHED_FOR_S, PriceKeeper
from wattbook.bus import Delivery, Message
from wattbook.clock import FakeClock, SystemClock
from wattbook.errors import InvalidInput, Unavailable

from tests.support.waiting import wait_until
from tests.unit.report_service.fakes import (
    DAY,
    NOW,
    FakePriceOwner,
    FakeSubscription,
    FakeTradeBook,
    booking,
    contract_price,
    price,
    start_s,
    updated,
)

KEY = DayKey("DE", DAY)


class Keeping:
    """A board and its keeper over an owner in memory, with a clock in the test's hand."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.owner = FakePriceOwner()
        self.board = PriceBoard(self.clock)
        self.keeper = PriceKeeper(self.board, self.owner, self.clock)
        self.changed: list[DayKey] = []
        self.board.on_change(self.changed.append)

    def looked(self) -> Keeping:
        self.board.prices(KEY)
        self.keeper.tend()
        return self

    def value(self, hour: int) -> Decimal | None:
        found = self.board.prices(KEY).at(start_s(DAY, hour))
        return found.value_eur_per_mwh if found else None


@pytest.fixture
def keeping() -> Keeping:
    return Keeping()


def test_looking_at_a_day_does_not_wait_and_lets_it_be_loaded(keeping: Keeping) -> None:
    keeping.owner.publish(14, "50", at_s=100)
    wanted: list[str] = []
    keeping.board.on_look(lambda: wanted.append("look"))

    assert keeping.value(14) is None
    assert (wanted, keeping.owner.calls) == (["look"], [])

    keeping.keeper.tend()
    assert keeping.value(14) == 50
    assert keeping.changed == [KEY]


def test_nothing_is_asked_for_a_day_that_nobody_looked_at(keeping: Keeping) -> None:
    keeping.keeper.tend()

    assert keeping.owner.calls == ["state"]


def test_an_announced_price_counts_without_another_read(keeping: Keeping) -> None:
    keeping.looked()
    calls = list(keeping.owner.calls)

    keeping.board.offer([keeping.owner.publish(14, "50", at_s=100)])
    keeping.keeper.tend()

    assert keeping.value(14) == 50
    assert keeping.owner.calls == calls


def test_a_missing_number_lets_the_day_be_read_again(keeping: Keeping) -> None:
    keeping.looked()
    keeping.owner.publish(14, "50", at_s=100)

    keeping.board.offer([keeping.owner.publish(15, "60", at_s=100)])
    assert (keeping.value(14), keeping.value(15)) == (None, 60)
    keeping.keeper.tend()

    assert (keeping.value(14), keeping.value(15)) == (50, 60)
    assert keeping.board.behind() == []


def test_a_price_announced_while_the_day_is_read_is_not_lost(keeping: Keeping) -> None:
    keeping.owner.publish(13, "1", at_s=50)
    keeping.owner.during_day = lambda: keeping.board.offer([keeping.owner.publish(14, "50", at_s=100)])

    keeping.board.prices(KEY)
    keeping.keeper.tend()
    keeping.owner.during_day = lambda: None
    keeping.keeper.tend()

    assert (keeping.value(13), keeping.value(14)) == (1, 50)
    assert keeping.board.behind() == []


def test_an_update_that_comes_late_does_not_replace_a_newer_one(keeping: Keeping) -> None:
    keeping.looked()
    old, new = keeping.owner.publish(14, "50", at_s=100), keeping.owner.publish(14, "51", at_s=700)

    keeping.board.offer([new])
    keeping.board.offer([old])
    keeping.board.offer([new])

    assert keeping.value(14) == 51


def test_of_two_with_the_same_time_the_later_number_holds(keeping: Keeping) -> None:
    keeping.looked()

    keeping.board.offer([price(14, "51", seq=2), price(14, "50", seq=1)])

    assert keeping.value(14) == 51


def test_a_lost_announcement_is_found_by_the_regular_look(keeping: Keeping) -> None:
    keeping.looked()
    keeping.owner.publish(14, "50", at_s=100)

    keeping.clock.advance(CHECK_EVERY_S)
    keeping.keeper.tend()

    assert keeping.value(14) == 50


def test_known_prices_stay_while_their_owner_is_away_and_it_is_said_since_when(keeping: Keeping) -> None:
    keeping.owner.publish(14, "50", at_s=100)
    keeping.looked()
    keeping.owner.is_away = True
    keeping.clock.advance(CHECK_EVERY_S)

    with pytest.raises(Unavailable):
        keeping.keeper.tend()
    keeping.board.lost()

    assert keeping.value(14) == 50
    assert keeping.board.state.lost_since == NOW + timedelta(seconds=CHECK_EVERY_S)
    keeping.owner.is_away = False
    keeping.keeper.tend()
    assert keeping.board.state.lost_since is None


def test_a_restored_owner_is_followed_from_its_own_numbers(keeping: Keeping) -> None:
    for at in range(5):
        keeping.owner.publish(14, str(at), at_s=100 + at)
    keeping.looked()
    keeping.board.offer([keeping.owner.publish(14, "7", at_s=200)])
    keeping.owner.prices = keeping.owner.prices[:2]

    keeping.clock.advance(CHECK_EVERY_S)
    keeping.keeper.tend()
    keeping.board.offer([keeping.owner.publish(15, "60", at_s=300)])

    assert (keeping.value(14), keeping.value(15)) == (7, 60)
    assert keeping.board.behind() == []


def test_hours_are_watched_while_somebody_looks(keeping: Keeping) -> None:
    keeping.looked()
    assert keeping.owner.watched == [start_s(DAY, hour) for hour in range(24)]
    watches = keeping.owner.calls.count("watch DE")

    keeping.keeper.tend()
    assert keeping.owner.calls.count("watch DE") == watches

    keeping.clock.advance(WATCHED_FOR_S + 1)
    keeping.keeper.tend()
    keeping.keeper.tend()
    assert keeping.owner.calls.count("watch DE") == watches


def test_days_in_use_are_bounded(keeping: Keeping) -> None:
    for number in range(MOST_DAYS + 20):
        keeping.clock.advance(1)
        keeping.board.prices(DayKey("DE", DAY + timedelta(days=number)))

    assert len(keeping.board.behind()) == MOST_DAYS
    assert DayKey("DE", DAY) not in keeping.board.behind()


def test_without_an_owner_nothing_is_asked_and_everything_is_grey() -> None:
    clock = FakeClock(NOW)
    board = PriceBoard(clock, is_used=False)
    model = ReadModel(clock)
    Follower(model, FakeTradeBook([booking(1)]), clock).start_over()

    total = Performances(model, board).performance(ReportKey("DE", "trader_1", DAY)).total

    assert (total.light, total.grey_reason) == (Light.GREY, "no reference price")
    assert board.behind() == []


def test_a_price_that_is_no_figure_is_left_out() -> None:
    made = [contract_price(price(hour, "1")) for hour in range(4)]
    for each, text in zip(made, ("", "NaN", "12,5", "12.5"), strict=True):
        each.value_eur_per_mwh = text

    assert [each.value_eur_per_mwh for each in prices_of(made)] == [Decimal("12.5")]


def test_an_event_of_a_version_to_come_is_left_out() -> None:
    deliveries = [
        Delivery(updated(price(1, "1")), 1, 1),
        Delivery(updated(price(2, "2"), version=2), 1, 2),
    ]

    assert updates_of(deliveries) == [price(1, "1")]


published = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(0, 5)), min_size=1, max_size=12
)


@given(published, st.randoms(use_true_random=False), st.sets(st.integers(0, 11)))
def test_the_board_equals_its_owner_whatever_repeats_overtakes_or_is_lost(
    quoted: list[tuple[int, int, int]], chooser: st.DataObject, lost: set[int]
) -> None:
    keeping = Keeping().looked()
    made: list[ReferencePrice] = []
    for at, (hour, value, later_s) in enumerate(quoted):
        made.append(keeping.owner.publish(hour, str(value), at_s=100 + 10 * at + later_s))
    heard = [each for at, each in enumerate(made) if at not in lost] * 2
    chooser.shuffle(heard)  # type: ignore[attr-defined]

    for each in heard:
        keeping.board.offer([each])
    keeping.clock.advance(CHECK_EVERY_S)
    keeping.keeper.tend()

    expected = {each.delivery_start_s: each for each in made}
    assert dict(keeping.board.prices(KEY).by_start_s) == expected
    assert keeping.board.behind() == []


class TestPerformances:
    def test_are_computed_once_a_change_of_trades_or_prices_and_shared(self, keeping: Keeping) -> None:
        model = ReadModel(keeping.clock)
        Follower(model, FakeTradeBook([booking(1), booking(2, trader="b")]), keeping.clock).start_over()
        performances = Performances(model, keeping.board)
        key = ReportKey("DE", "trader_1", DAY)
        first, desk = performances.performance(key), performances.desk(area="DE", day=DAY)
        assert performances.performance(key) is first
        assert performances.desk(area="DE", day=DAY) is desk
        assert [each.key.trader_id for each in desk.traders] == ["b", "trader_1"]

        keeping.owner.publish(14, "5", at_s=100)
        keeping.keeper.tend()
        priced = performances.performance(key)
        assert priced.version != first.version
        assert priced.total.light is Light.GREEN

        model.apply([booking(3)])
        assert performances.performance(key).version != priced.version
        assert performances.desk(area="DE", day=DAY).traders[0] is not desk.traders[0]
        assert performances.desk(area="DE", day=DAY).total.figures.trades == 3


class TestTheFeed:
    @pytest.fixture
    def running(self) -> Iterator[TestTheFeed.Running]:
        made = TestTheFeed.Running()
        made.feed.start()
        yield made
        made.feed.stop()

    class Running:
        def __init__(self) -> None:
            self.owner = FakePriceOwner()
            self.board = PriceBoard(SystemClock())
            self.subscriptions: list[FakeSubscription] = []
            keeper = PriceKeeper(self.board, self.owner, SystemClock())
            self.feed = PriceFeed(self.subscribe, keeper, self.board)

        def subscribe(self) -> FakeSubscription:
            self.subscriptions.append(FakeSubscription())
            return self.subscriptions[-1]

        def wait_for(self, hour: int, value: int) -> None:
            def is_there() -> bool:
                found = self.board.prices(KEY).at(start_s(DAY, hour))
                return found is not None and found.value_eur_per_mwh == value

            wait_until(is_there, timeout_s=10, what=f"the price of hour {hour} is {value}")

    def test_loads_what_is_looked_at_and_follows_announcements(self, running: Running) -> None:
        running.owner.publish(14, "50", at_s=100)
        running.wait_for(14, 50)

        running.subscriptions[-1].publish(updated(running.owner.publish(14, "51", at_s=200)))
        running.wait_for(14, 51)

    def test_recovers_from_an_event_that_cannot_be_read(self, running: Running) -> None:
        running.board.prices(KEY)
        wait_until(lambda: running.subscriptions, timeout_s=10, what="it listens")
        running.owner.publish(14, "50", at_s=100)

        running.subscriptions[0].publish(Message("price.updated", b"\xff\xff", NOW))

        running.wait_for(14, 50)
        wait_until(lambda: len(running.subscriptions) > 1, timeout_s=10, what="it listens again")
        assert running.subscriptions[0].is_closed

    def test_comes_back_when_the_owner_does(self, running: Running) -> None:
        running.owner.is_away = True
        running.board.prices(KEY)
        wait_until(lambda: running.board.state.lost_since, timeout_s=10, what="it is said")
        running.owner.publish(14, "50", at_s=100)

        running.owner.is_away = False

        running.wait_for(14, 50)
        assert running.board.state.lost_since is None


def test_a_day_that_the_owner_does_not_know_is_not_asked_for_again(keeping: Keeping) -> None:
    def refuse(_key: DayKey) -> tuple[list[ReferencePrice], int]:
        raise InvalidInput("no such day")

    keeping.owner.day = refuse  # type: ignore[method-assign]

    keeping.looked()

    assert keeping.board.behind() == []


class TestTheFirstLook:
    """At a day whose prices nobody has loaded yet."""

    @pytest.fixture
    def board(self) -> PriceBoard:
        board = PriceBoard(SystemClock())
        board.on_look(lambda: None)
        return board

    def test_waits_for_its_prices(self, board: PriceBoard) -> None:
        def loading() -> None:
            board.put(KEY, [price(14, "50")], as_of_seq=1, asked_s=0)

        board.on_look(threading.Timer(0.05, loading).start)
        board.await_first([KEY])

        assert board.prices(KEY).at(start_s(DAY, 14)) is not None

    def test_is_over_when_the_owner_is_lost_or_knows_no_such_day(self, board: PriceBoard) -> None:
        board.on_look(threading.Timer(0.05, lambda: board.give_up(KEY)).start)
        board.await_first([KEY])
        assert board.prices(KEY).is_loaded

        other = DayKey("DE", DAY + timedelta(days=1))
        board.on_look(threading.Timer(0.05, board.lost).start)
        board.await_first([other])
        assert not board.prices(other).is_loaded
        assert not board.is_waited_for(other)

    def test_waits_once_a_day_and_not_once_a_look(self) -> None:
        clock = FakeClock(NOW)
        board = PriceBoard(clock)
        board.on_look(lambda: None)
        board.prices(KEY)
        assert board.is_waited_for(KEY)

        clock.advance(FIRST_LOOK_S)

        assert not board.is_waited_for(KEY)
        board.await_first([KEY])  # returns; the clock stands still, so waiting would not end soon

    def test_keeps_few_threads_waiting(self, board: PriceBoard) -> None:
        released = threading.Event()
        entered = threading.Semaphore(0)
        settled = board._is_settled

        def noted(keys: Iterable[DayKey]) -> bool:
            entered.release()
            return released.is_set() or settled(keys)

        board._is_settled = noted  # type: ignore[method-assign]
        waiting = [
            threading.Thread(target=board.await_first, args=([DayKey("DE", DAY + timedelta(days=at))],))
            for at in range(MOST_WAITING)
        ]
        for thread in waiting:
            thread.start()
            assert entered.acquire(timeout=5)
        one_more = DayKey("DE", DAY + timedelta(days=30))

        board.await_first([one_more])

        assert not board.prices(one_more).is_loaded
        released.set()
        for thread in waiting:
            thread.join(5)

    def test_nobody_waits_where_nothing_loads(self) -> None:
        board = PriceBoard(SystemClock(), is_used=False)
        board.await_first([KEY])

        assert not board.is_waited_for(KEY)
