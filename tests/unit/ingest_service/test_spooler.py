"""The thread that writes frames down, over a real store: what a killed process left, faults, trimming."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ingest_service.api import confirmed_events
from ingest_service.domain import NOTHING_MORE, FrameRules, Heard, HeardKind, QuarantineState
from ingest_service.store import QuarantineStore, Spool
from ingest_service.store.tables import OUTBOX
from ingest_service.usecases import Housekeeping, Intake, Quarantine, Spooler, restored, spooling
from sqlalchemy import delete, select
from wattbook.clock import FakeClock, to_epoch_us
from wattbook.db import Store, migrate, open_store
from wattbook.errors import Conflict, InvalidInput, NotFound, Unavailable
from wattbook_proto import events_pb2

from tests.support.engines import NewStoreUrl
from tests.support.otlp_sink import otlp_sink, recorded
from tests.support.waiting import wait_until
from tests.unit.ingest_service.test_frames import EXAMPLE

START = datetime(2023, 2, 6, 12, tzinfo=UTC)


@pytest.fixture
def store(new_store_url: NewStoreUrl) -> Iterator[Store]:
    opened = open_store(new_store_url("ingest"), name="ingest")
    migrate(opened, "ingest_service")
    yield opened
    opened.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


def heard(data: bytes, *, session: int = 1, at_us: int = to_epoch_us(START)) -> Heard:
    return Heard(HeardKind.FRAME, session, at_us, f"ws://listener-{session}", data)


def sign(kind: HeardKind, at_us: int) -> Heard:
    return Heard(kind, 1, at_us, "ws://listener-1", b"")


def frame(**changes: Any) -> bytes:
    return json.dumps({"trade_confirmation": {**EXAMPLE, **changes}}).encode()


class Feed:
    """A spooler over a real store, its relay left out."""

    def __init__(self, store: Store, clock: FakeClock, rules: FrameRules = NOTHING_MORE, **keep: Any) -> None:
        self.store, self.clock = store, clock
        self.spool = Spool(store)
        self.intake = Intake(most_frames=100, most_bytes=10_000)
        self.commits = 0
        self.quarantine = Quarantine(
            QuarantineStore(store), clock=clock, spool=self.spool.state().spool,
            announce=confirmed_events, committed=self.committed, rules=rules,
        )  # fmt: skip
        terms = {"keep_s": 60.0, "most_frames": 1000, "keep_days": 40, **keep}
        self.housekeeping = Housekeeping(self.spool, clock=clock, **terms)
        self.spooler = Spooler(
            intake=self.intake, spool=self.spool, clock=clock, announce=confirmed_events,
            committed=self.committed, housekeeping=self.housekeeping, rules=rules,
        )  # fmt: skip

    def committed(self) -> None:
        self.commits += 1

    def run(self, *signs: Heard) -> None:
        """All of these through the thread to its end."""
        for each in signs:
            self.intake.offer(each)
        self.spooler.start()
        self.spooler.stop()
        assert not self.spooler.is_alive

    def announced(self) -> list[events_pb2.ConfirmedTrade]:
        with self.store.read() as connection:
            bodies = connection.execute(select(OUTBOX.c.body).order_by(OUTBOX.c.id)).scalars()
            return [trade for body in bodies for trade in events_pb2.TradesConfirmed.FromString(body).trades]


@pytest.fixture
def feed(store: Store, clock: FakeClock) -> Feed:
    return Feed(store, clock)


def test_a_trade_heard_by_two_listeners_is_announced_once(feed: Feed) -> None:
    feed.run(heard(frame()), heard(frame(), session=2), heard(frame(id="124"), session=2))

    announced = feed.announced()
    assert [(each.trade.id, each.frame_id) for each in announced] == [("123", 1), ("124", 3)]
    assert {each.spool for each in announced} == {feed.spool.state().spool}
    assert (feed.spool.state().frames, feed.spool.state().parsed_to) == (3, 3)


def test_the_same_id_with_other_content_is_announced_for_its_owner_to_judge(feed: Feed) -> None:
    feed.run(heard(frame()), heard(frame(price=21)), heard(frame()))

    assert [each.trade.price_ct_per_mwh for each in feed.announced()] == [2050, 2100]


def test_frames_that_a_killed_process_had_written_and_not_read_are_read_first(
    store: Store, clock: FakeClock, feed: Feed
) -> None:
    feed.spool.keep([heard(frame(id=f"old-{number}")) for number in range(2500)])

    again = Feed(store, clock)
    again.run(heard(frame(id="new")))

    assert [each.trade.id for each in again.announced()] == [*(f"old-{n}" for n in range(2500)), "new"]


def test_frames_that_are_read_again_begin_a_trace_that_leads_on(
    store: Store, clock: FakeClock, feed: Feed
) -> None:
    feed.spool.keep([heard(frame())])

    with otlp_sink() as sink, recorded(sink, service="ingest-service"):
        again = Feed(store, clock)
        again.spooler.start()
        wait_until(again.announced, timeout_s=10, what="the frame is settled, though nothing more is heard")
        again.spooler.stop()

    (settled,) = [span for span in sink.spans if span.name == "settle frames"]
    assert settled.parent_id == ""
    with store.read() as connection:
        told = connection.execute(select(OUTBOX.c.traceparent)).scalars().all()
    assert told == [f"00-{settled.trace_id}-{settled.span_id}-01"]


def test_a_fault_of_ours_with_one_frame_quarantines_that_frame_alone(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = spooling.read_frame

    def faulty(data: bytes, *rules: Any) -> Any:
        if b"poison" in data:
            raise ZeroDivisionError("oops")
        return read(data, *rules)

    monkeypatch.setattr(spooling, "read_frame", faulty)
    feed.run(heard(frame(id="a")), heard(frame(id="poison")), heard(frame(id="b")))

    assert [each.trade.id for each in feed.announced()] == ["a", "b"]
    items = feed.quarantine.page(state=None, before=None, limit=0).items
    assert [item.reason for item in items] == ["a fault of ours: ZeroDivisionError('oops')"]


def test_heartbeats_are_kept_and_not_quarantined(feed: Feed) -> None:
    feed.run(*(heard(b'{"heartbeat": %d}' % number) for number in range(50)), heard(frame(id="a")))

    assert [each.trade.id for each in feed.announced()] == ["a"]
    assert (feed.spool.state().parsed_to, feed.quarantine.count_open()) == (51, 0)


def test_allowing_a_field_replays_what_waited_for_it_and_nothing_else(store: Store, clock: FakeClock) -> None:
    before = Feed(store, clock)
    before.run(
        heard(frame(id="a", venue="EPEX")),
        heard(frame(id="b", venue="EPEX", status="RECALLED")),
        heard(frame(id="c", venue="EPEX", price="x")),
        heard(frame(id="d", venue="EPEX")),
        heard(b"nonsense"),
    )
    before.quarantine.drop(4, by="anna", reason="not ours")
    assert (before.announced(), before.quarantine.count_open()) == ([], 4)

    feed = Feed(store, clock, rules=FrameRules(allowed_fields=frozenset({"venue"})))
    replayed = feed.quarantine.replay_allowed(keep_going=lambda: True)
    again = feed.quarantine.replay_allowed(keep_going=lambda: True)

    assert (replayed, again) == (1, 0)
    assert [each.trade.id for each in feed.announced()] == ["a"]
    items = {item.trade_id: item for item in feed.quarantine.page(state=None, before=None, limit=0).items}
    assert items["a"].state is QuarantineState.REPLAYED
    assert items["a"].decided_by == "WATTBOOK_FEED_ALLOWED_FIELDS"
    assert (items["b"].state, items["b"].reason) == (QuarantineState.OPEN, "unknown field: status, venue")
    assert (items["c"].state, items["c"].reason) == (QuarantineState.OPEN, "price is no number")
    assert items["d"].state is QuarantineState.DROPPED


def test_conflicts_from_before_the_exchanges_statement_won_are_replayed_until_the_book_says_otherwise(
    feed: Feed,
) -> None:
    feed.run(heard(frame(id="a")), heard(frame(id="b")), heard(frame(id="c")))
    reasons = ("already booked with another price", "stated by the exchange with another price", "odd")
    feed.quarantine.refused([(at, name, reasons[at - 1]) for at, name in enumerate("abc", start=1)])
    told = len(feed.announced())

    assert feed.quarantine.replay_conflicts(keep_going=lambda: True) == 1
    assert feed.quarantine.replay_conflicts(keep_going=lambda: True) == 0

    assert [each.trade.id for each in feed.announced()[told:]] == ["a"]
    feed.quarantine.refused([(1, "a", reasons[1])])
    assert feed.quarantine.replay_conflicts(keep_going=lambda: True) == 0
    assert feed.quarantine.count_open() == 3


def test_a_trade_is_booked_under_its_odd_id_for_a_named_trader_and_says_who_wanted_that(feed: Feed) -> None:
    feed.run(heard(frame(id="p_1 ", trader_id="trader_x\u00a0")))
    feed.quarantine.refused([(1, "p_1 ", "id: character 4 (U+0020 SPACE) stands at the end")])

    replayed = feed.quarantine.replay(1, by="anna", trader_id="trader_x")

    first, second = feed.announced()
    assert (first.trade.trader_id, first.accepted_by) == ("trader_x\u00a0", "")
    assert (second.trade.id, second.trade.trader_id, second.accepted_by) == ("p_1 ", "trader_x", "anna")
    assert (replayed.state, replayed.decided_by) == (QuarantineState.REPLAYED, "anna")
    assert replayed.reason.endswith("stands at the end (booked for trader_x)")
    with pytest.raises(InvalidInput, match="trader_id: character 9"):
        feed.quarantine.replay(1, by="anna", trader_id="trader_x\u00a0")


def test_settled_frames_are_let_go_when_old_and_never_before_they_are_settled(feed: Feed) -> None:
    old_us = to_epoch_us(START) - 61_000_000
    feed.spool.keep([heard(frame(id="old"), at_us=old_us)])
    feed.housekeeping.tidy()
    assert len(feed.spool.after(0, most=10)) == 1

    feed.run(heard(frame(id="new")))
    feed.housekeeping.tidy()

    assert [each.frame_id for each in feed.spool.after(0, most=10)] == [2]
    assert Spool(feed.store).last_frame_id == 2


def test_no_more_settled_frames_are_kept_than_allowed(store: Store, clock: FakeClock) -> None:
    feed = Feed(store, clock, most_frames=10)
    feed.run(*(heard(frame(id=str(number))) for number in range(50)))
    feed.housekeeping.tidy()

    assert [each.frame_id for each in feed.spool.after(0, most=100)] == list(range(41, 51))


def test_trades_of_days_long_past_are_forgotten(store: Store, clock: FakeClock) -> None:
    feed = Feed(store, clock, keep_days=1)
    feed.run(heard(frame()), heard(frame(id="long ago", execution_time="2023-02-04T06:13:45Z")))
    feed.housekeeping.tidy()

    with feed.spool.settling() as settling:
        assert set(settling.known(["123", "long ago"])) == {"123"}


def test_nothing_is_called_complete_that_a_clock_set_back_has_yet_to_reach(
    store: Store, clock: FakeClock
) -> None:
    clock.advance(2)  # it looks around once a second
    later_us = to_epoch_us(START)
    Feed(store, clock).run(sign(HeardKind.OPENED, later_us), sign(HeardKind.PONG, later_us + 1))
    before = FakeClock(START - timedelta(hours=1))
    before.advance(2)
    began_us = to_epoch_us(before.now())

    feed = Feed(store, before)
    feed.run(sign(HeardKind.OPENED, began_us + 5), sign(HeardKind.PONG, began_us + 9))

    state = feed.spool.state()
    assert (state.first_us, state.covered_to_us) == (began_us, began_us + 9)


def test_what_was_quarantined_is_shown_replayed_and_dropped(feed: Feed) -> None:
    feed.run(heard(frame(price="x")), heard(b"{}"), heard(frame(id="9", quantity=0)))
    feed.quarantine.refused([(3, "9", "quantity must be above 0")])
    feed.quarantine.refused([(3, "9", "quantity must be above 0")])

    page = feed.quarantine.page(state=None, before=None, limit=2)
    assert [item.trade_id for item in page.items] == ["9", ""]
    rest = feed.quarantine.page(state=None, before=page.following, limit=2)
    assert ([item.trade_id for item in rest.items], rest.following) == (["123"], None)
    refused, notice = page.items
    assert feed.quarantine.show(refused.id).frame == frame(id="9", quantity=0)

    assert feed.quarantine.replay(notice.id, by="ops").state is QuarantineState.OPEN
    assert feed.quarantine.replay(refused.id, by="ops").state is QuarantineState.REPLAYED
    assert [each.frame_id for each in feed.announced()] == [3, 3]
    feed.quarantine.refused([(3, "9", "still 0")])
    assert feed.quarantine.show(refused.id).reason == "still 0"
    assert feed.quarantine.count_open() == 3

    dropped = feed.quarantine.drop(refused.id, by="ops", reason="a test of theirs")
    assert (dropped.state, dropped.decided_by) == (QuarantineState.DROPPED, "ops")
    assert dropped.reason == "still 0 (dropped: a test of theirs)"
    feed.quarantine.refused([(3, "9", "once more")])
    assert feed.quarantine.show(refused.id).state is QuarantineState.DROPPED
    assert feed.quarantine.count_open() == 2
    with pytest.raises(Conflict):
        feed.quarantine.replay(refused.id, by="ops")


def test_a_refused_trade_whose_frame_was_let_go_is_quarantined_all_the_same(feed: Feed) -> None:
    feed.quarantine.refused([(77, "gone", "already booked")])

    (item,) = feed.quarantine.page(state=QuarantineState.OPEN, before=None, limit=0).items
    assert (item.trade_id, item.reason) == ("gone", "already booked (its frame is no longer in the spool)")
    with pytest.raises(Conflict):
        feed.quarantine.replay(item.id, by="ops")


def test_a_decision_needs_a_name_and_something_to_decide(feed: Feed) -> None:
    feed.run(heard(b""))

    with pytest.raises(InvalidInput):
        feed.quarantine.drop(1, by=" ", reason="")
    with pytest.raises(NotFound):
        feed.quarantine.show(2)


def test_a_full_intake_lets_listeners_wait_and_keeps_the_order() -> None:
    intake = Intake(most_frames=3, most_bytes=1000)

    async def listen() -> list[bool]:
        answers = [intake.offer(heard(b"%d" % number)) for number in range(3)]
        waiting = asyncio.create_task(intake.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        taken = await asyncio.to_thread(intake.take, timeout_s=1)
        await asyncio.wait_for(waiting, 5)
        assert [each.data for each in taken] == [b"0", b"1", b"2"]
        return answers

    assert asyncio.run(listen()) == [True, True, False]
    assert intake.offer(heard(b"x" * 1000)) is False


def test_a_lone_frame_does_not_wait_for_company(feed: Feed) -> None:
    feed.spooler.start()
    try:
        feed.intake.offer(heard(frame()))
        wait_until(lambda: feed.commits == 1, timeout_s=5, what="it is announced")
    finally:
        feed.spooler.stop()


class LosesAnswers:
    """A store whose commits are kept while their answers are lost, as where a connection breaks then."""

    def __init__(self, store: Store, *, times: int) -> None:
        self._store, self._left = store, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Any]:
        with self._store.write(durable=durable) as connection:
            yield connection
        if durable and self._left:
            self._left -= 1
            raise Unavailable("the connection broke")


def test_frames_whose_commit_was_kept_and_not_answered_are_kept_once(store: Store, clock: FakeClock) -> None:
    feed = Feed(LosesAnswers(store, times=2), clock)  # type: ignore[arg-type]
    feed.run(*(heard(frame(id=f"t{number}")) for number in range(5)))

    assert [each.trade.id for each in feed.announced()] == [f"t{number}" for number in range(5)]
    assert feed.spool.state().frames == feed.spool.state().parsed_to == 5


@pytest.mark.parametrize("name", ["id", "trader_id", "delivery_day", "delivery_hour", "execution_time"])
def test_a_text_that_no_store_keeps_is_quarantined_with_its_reason(feed: Feed, name: str) -> None:
    feed.run(heard(frame(**{name: "a\0b"})), heard(b'{"a\\u0000": 1}'), heard(frame(id="good")))

    assert [each.trade.id for each in feed.announced()] == ["good"]
    items = feed.quarantine.page(state=None, before=None, limit=0).items
    assert [item.reason.split(" but ")[0] for item in items] == [
        "it has neither trade_confirmation nor deal_confirmation",
        f"{name} has a zero character",
    ]


def test_after_the_book_went_back_what_was_heard_since_is_announced_again_as_it_was(feed: Feed) -> None:
    names = ("trader|1", "trader_2", "trader_3")
    times = (to_epoch_us(START) - 1, to_epoch_us(START), to_epoch_us(START) + 1)
    feed.run(
        *(heard(frame(id=name, trader_id=name), at_us=at) for name, at in zip(names, times, strict=True))
    )
    first = {each.trade.id: each.trade for each in feed.announced()}
    with feed.store.write() as connection:
        connection.execute(delete(OUTBOX))

    said = restored(feed.store, START, announce=confirmed_events)

    again = feed.announced()
    assert [each.trade for each in again] == [first["trader_2"], first["trader_3"]]
    assert len({each.frame_id for each in again}) == 2  # each can be refused by itself
    assert said.startswith("2 trades")
