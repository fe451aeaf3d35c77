"""Each booking is counted exactly once, however its events arrive."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_service.domain.book import Booking, ReportKey
from report_service.domain.pnl import report
from report_service.usecases.follow import CHECK_EVERY_S, GAP_WAIT_S, Follower
from report_service.usecases.model import ReadModel
from wattbook import telemetry
from wattbook.clock import FakeClock
from wattbook.errors import Unavailable

from tests.support.otlp_sink import otlp_sink, recorded
from tests.unit.report_service.fakes import DAY, NOW, FakeTradeBook, booking, recomputed

KEY = ReportKey("DE", "trader_1", DAY)


class Following:
    """A follower of a book, with a clock in the test's hand."""

    def __init__(self, *bookings: Booking) -> None:
        self.clock = FakeClock(NOW)
        self.trades = FakeTradeBook(bookings)
        self.model = ReadModel(self.clock)
        self.follower = Follower(self.model, self.trades, self.clock)

    def started(self) -> Following:
        self.follower.start_over()
        return self

    @property
    def counted(self) -> int:
        return self.model.report(KEY).total.trades


def bookings(count: int) -> list[Booking]:
    return [booking(seq, hour=seq % 24, buy=bool(seq % 2), mw=seq) for seq in range(1, count + 1)]


def test_what_the_book_tells_on_asking_is_within_a_trace_that_leads_on() -> None:
    causes: list[str] = []
    with otlp_sink() as sink, recorded(sink, service="report-service"):
        following = Following(*bookings(2)).started()
        following.model.on_change(lambda _: causes.append(telemetry.recorded_traceparent()))
        following.trades.book(booking(3))
        following.follower.catch_up()

    spans = {span.name: span for span in sink.spans}
    assert set(spans) == {"load the book", "catch up with the book"}
    told = spans["catch up with the book"]
    assert causes == [f"00-{told.trace_id}-{told.span_id}-01"]


def test_nothing_is_answered_before_the_first_snapshot() -> None:
    with pytest.raises(Unavailable, match="being loaded"):
        _ = Following().counted


def test_a_snapshot_makes_it_ready_and_tells_those_who_wait() -> None:
    following = Following(*bookings(3))
    told: list[bool] = []
    following.model.on_ready(lambda: told.append(following.model.state.ready))

    following.started()
    following.started()

    assert following.counted == 3
    assert told == [True]


def test_events_of_what_the_snapshot_holds_are_ignored() -> None:
    following = Following(*bookings(3)).started()

    following.follower.offer(bookings(3))

    assert following.counted == 3


def test_events_that_arrived_while_the_snapshot_was_read_count_once() -> None:
    following = Following(*bookings(5))
    late = bookings(8)[3:]  # heard on the bus meanwhile: two in the snapshot, three not
    following.trades.during_snapshot = lambda: following.trades.book(*bookings(8)[5:])

    following.started()
    following.follower.offer(late)

    assert following.counted == 8


def test_events_that_overtake_each_other_wait_for_the_missing_one() -> None:
    following = Following().started()
    first, second, third = bookings(3)

    following.follower.offer([third, second])
    assert following.counted == 0
    assert following.follower.has_gap

    following.follower.offer([first])
    assert following.counted == 3
    assert not following.follower.has_gap


def test_a_gap_that_lasts_is_filled_from_the_book() -> None:
    following = Following().started()
    following.trades.book(*bookings(4))
    following.follower.offer(bookings(4)[2:])

    following.follower.tend()
    assert following.counted == 0

    following.clock.advance(GAP_WAIT_S)
    following.follower.tend()
    assert following.counted == 4
    assert following.trades.calls == ["snapshot", "after 0"]


def test_lost_events_without_a_successor_are_found_by_looking() -> None:
    following = Following(*bookings(2)).started()
    following.trades.book(*bookings(4)[2:])

    following.clock.advance(CHECK_EVERY_S)
    following.follower.tend()
    following.clock.advance(GAP_WAIT_S)
    following.follower.tend()

    assert following.counted == 4


def test_the_look_waits_for_an_event_that_is_under_way() -> None:
    following = Following(*bookings(2)).started()
    following.trades.book(*bookings(3)[2:])
    following.clock.advance(CHECK_EVERY_S)
    following.follower.tend()

    following.follower.offer(bookings(3)[2:])
    following.clock.advance(GAP_WAIT_S)
    following.follower.tend()

    assert following.counted == 3
    assert following.trades.calls == ["snapshot", "after 2"]


@pytest.mark.parametrize("restored", [bookings(2), [*bookings(4), booking(5, id="other")]])
def test_a_book_restored_from_a_backup_is_read_again(restored: list[Booking]) -> None:
    following = Following(*bookings(5)).started()
    following.trades.bookings = list(restored)

    following.clock.advance(CHECK_EVERY_S)
    following.follower.tend()

    assert following.model.last_seq == len(restored)
    assert following.counted == len(restored)


def test_the_same_book_is_not_read_again() -> None:
    following = Following(*bookings(5)).started()

    for _ in range(3):
        following.clock.advance(CHECK_EVERY_S)
        following.follower.tend()

    assert following.trades.calls == ["snapshot", "after 5", "after 5", "after 5"]


def test_what_is_known_stays_while_the_book_is_away() -> None:
    following = Following(*bookings(5)).started()
    following.trades.is_away = True
    following.clock.advance(CHECK_EVERY_S)

    with pytest.raises(Unavailable):
        following.follower.tend()
    following.model.lost()
    following.clock.advance(60)
    following.model.lost()

    assert following.counted == 5
    assert following.model.state.lost_since == NOW + timedelta(seconds=CHECK_EVERY_S)
    following.model.found()
    assert following.model.state.lost_since is None


def test_a_report_is_made_once_a_change_and_shared() -> None:
    following = Following(*bookings(5)).started()
    other = ReportKey("DE", "trader_2", DAY)
    mine, theirs = following.model.reports([KEY, other])

    following.follower.offer([booking(6)])
    mine_after, theirs_after = following.model.reports([KEY, other])

    assert following.model.report(KEY) is mine_after
    assert mine_after is not mine
    assert mine_after.version != mine.version
    assert theirs_after is theirs


def test_reports_kept_are_bounded() -> None:
    clock = FakeClock(NOW)
    model = ReadModel(clock, most_reports=10)
    Follower(model, FakeTradeBook(), clock).start_over()

    for number in range(100):
        model.report(ReportKey("DE", f"trader_{number}", DAY))

    assert len(model._reports) == 10


arrivals = st.lists(st.integers(1, 12), max_size=60)


@given(snapshot_at=st.integers(0, 12), arriving=arrivals, lengths=st.lists(st.integers(1, 5), min_size=60))
def test_it_equals_a_recomputation_whatever_repeats_overtakes_or_is_lost(
    snapshot_at: int, arriving: list[int], lengths: list[int]
) -> None:
    everything = bookings(12)
    following = Following(*everything[:snapshot_at]).started()
    following.trades.book(*everything[snapshot_at:])

    while arriving:
        count = lengths.pop()
        following.follower.offer([everything[seq - 1] for seq in arriving[:count]])
        arriving = arriving[count:]
    following.clock.advance(CHECK_EVERY_S)
    following.follower.tend()
    following.clock.advance(GAP_WAIT_S)
    following.follower.tend()

    expected = report(recomputed(everything), KEY)
    assert following.model.report(KEY).version == expected.version
    assert following.model.report(KEY).hours == expected.hours
    assert following.model.last_seq == 12


@given(st.permutations(range(1, 9)), st.integers(0, 8))
def test_a_restarted_model_gives_the_same_versions(order: list[int], snapshot_at: int) -> None:
    everything = bookings(8)
    running = Following().started()
    running.follower.offer([everything[seq - 1] for seq in order])
    restarted = Following(*everything[:snapshot_at]).started()
    restarted.follower.offer(everything)

    assert running.model.report(KEY).version == restarted.model.report(KEY).version


def corrected(following: Following, seq: int, **changes: Any) -> Booking:
    """A correction of what is booked under a number; without changes the trader is another one."""
    stated: dict[str, Any] = {"trader": "trader_2", "buy": True, **changes}
    return following.trades.correct(seq, booking(len(following.trades.bookings) + 1, **stated))


def test_a_correction_moves_sums_last_execution_and_the_lists_of_traders() -> None:
    following = Following(booking(1), booking(2, hour=15)).started()
    other = ReportKey("DE", "trader_2", DAY)
    assert following.model.trader_names() == ["trader_1"]

    following.follower.hear([following.trades.event(corrected(following, 2))])

    assert following.counted == 1
    assert following.model.report(KEY).total.last_execution_time_us == booking(1).execution_time_us
    assert following.model.report(other).total.trades == 1
    assert following.model.trader_names() == ["trader_1", "trader_2"]

    following.follower.hear([following.trades.event(corrected(following, 1))])

    assert following.counted == 0
    assert following.model.trader_names() == ["trader_2"]
    assert following.model.days_of("trader_1") == []
    assert [each.trades for each in following.model.traders()] == [2]


def test_a_correction_waits_for_a_book_that_cannot_be_asked() -> None:
    following = Following(booking(1)).started()
    event = following.trades.event(corrected(following, 1))
    following.trades.is_away = True

    with pytest.raises(Unavailable):
        following.follower.hear([event])
    assert following.counted == 1

    following.trades.is_away = False
    following.follower.catch_up()
    assert following.counted == 0


@given(
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["trader_1", "trader_2"]), st.booleans())),
    st.integers(0, 12),
    st.lists(st.integers(1, 12), max_size=30),
)
def test_with_corrections_it_equals_a_recomputation_whatever_repeats_overtakes_or_is_lost(
    steps: list[tuple[int, str, bool]], snapshot_at: int, arriving: list[int]
) -> None:
    whole = Following()
    for target, trader, buy in steps[:12]:
        seq = len(whole.trades.bookings) + 1
        if 0 < target < seq and target not in whole.trades.replaced:
            corrected(whole, target, trader=trader, buy=buy)
        else:
            whole.trades.book(booking(seq, trader=trader, buy=buy))
    everything = whole.trades.bookings
    following = Following(*everything[:snapshot_at])
    following.trades.replaced = dict(whole.trades.replaced)
    following.started()
    following.trades.bookings = list(everything)

    for seq in arriving:
        if seq <= len(everything):
            following.follower.hear([following.trades.event(everything[seq - 1])])
    following.follower.catch_up()

    expected = recomputed(everything, replaced=whole.trades.replaced)
    for trader in ("trader_1", "trader_2"):
        key = ReportKey("DE", trader, DAY)
        assert following.model.report(key).version == report(expected, key).version
    assert following.model.traders() == expected.traders()


def test_an_event_that_does_not_chain_makes_it_start_over_and_say_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    following = Following(*bookings(5)).started()
    following.trades.bookings = [*bookings(4), booking(5, id="other"), booking(6)]

    following.follower.hear([following.trades.event(booking(6))])

    assert following.trades.calls == ["snapshot", "after 5", "snapshot"]
    assert following.model.last_seq == 6
    assert "the book is another one than the one followed; starting over" in caplog.messages


def test_an_event_of_a_book_that_is_gone_is_not_counted() -> None:
    following = Following(*bookings(5)).started()
    late = following.trades.event(booking(6, trader="trader_2"))
    following.trades.epoch = "second"
    following.clock.advance(CHECK_EVERY_S)
    following.follower.tend()
    assert following.trades.calls == ["snapshot", "after 5", "snapshot"]

    following.follower.hear([late])

    assert following.model.last_seq == 5
    assert following.model.trader_names() == ["trader_1"]


def test_a_renewed_epoch_in_an_event_makes_it_start_over() -> None:
    following = Following(*bookings(5)).started()
    following.trades.epoch = "second"
    following.trades.book(booking(6))

    following.follower.hear([following.trades.event(booking(6))])

    assert following.trades.calls == ["snapshot", "after 5", "snapshot"]
    assert following.model.last_seq == 6


def test_events_without_a_digest_are_counted_as_those_of_an_earlier_release() -> None:
    following = Following(*bookings(2)).started()
    following.trades.book(*bookings(4)[2:])
    silent = {"before": "", "after": "", "epoch": ""}

    following.follower.hear([following.trades.event(each, **silent) for each in bookings(4)[2:]])

    assert following.counted == 4
    assert following.trades.calls == ["snapshot"]
