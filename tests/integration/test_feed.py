"""The exchange's feed through real sockets, disks and processes: what was heard is booked exactly once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from ingest_service.domain import execution_day
from report_service.api.watching import FeedWatcher
from report_service.clients.feed import FeedService
from report_service.domain.feed import Standing
from report_service.usecases.feed import FeedBoard, FeedKeeper
from wattbook.clock import SystemClock, to_epoch_us
from wattbook_proto import feed_pb2, trades_pb2

from tests.integration.feed_world import FeedWorld, feed_world
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow  # a process each

FAST = {"WATTBOOK_FEED_PING_S": "0.3"}
EXAMPLE: dict[str, Any] = {
    "id": "123",
    "price": 20.5,
    "quantity": 12.3,
    "direction": "buy",
    "delivery_day": "2023-02-06",
    "delivery_hour": "08-09",
    "trader_id": "trader_1",
    "execution_time": "2023-02-06T06:13:45Z",
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[FeedWorld]:
    with feed_world(tmp_path, **FAST) as made:
        yield made


@pytest.fixture
def patient_world(tmp_path: Path) -> Iterator[FeedWorld]:
    """Pings as usual: a busy machine may answer one later than the hasty ones of ``world``."""
    with feed_world(tmp_path) as made:
        yield made


def confirmation(envelope: str = "trade_confirmation", **changes: Any) -> dict[str, Any]:
    return {envelope: {**EXAMPLE, **changes}}


def test_both_envelopes_and_every_way_to_write_a_time_are_booked_as_said(tmp_path: Path) -> None:
    style = {
        "WATTBOOK_SANDBOX_EXCHANGE_ENVELOPE": "mixed",
        "WATTBOOK_SANDBOX_EXCHANGE_TIME_STYLE": "mixed",
        "WATTBOOK_SANDBOX_EXCHANGE_FRACTION_DIGITS": "6",
    }
    with feed_world(tmp_path, exchange=style) as world:
        world.exchange.post("emit", count=500)

        world.assert_booked_once(world.exchange.heard_ids(listeners=2))
        status = world.ingest.wait_drained()
        assert (status.frames, status.quarantined) == (1000, 0)
        assert [listener.frames for listener in status.listeners] == [500, 500]
        said = {trade["id"]: trade["execution_time"] for trade in world.exchange.sent()}
        for trade in world.booked():
            assert trade.execution_time_us == to_epoch_us(datetime.fromisoformat(said[trade.id]))


def test_the_pages_know_of_the_feed_what_its_owner_says_and_keep_it_while_that_is_away(
    world: FeedWorld,
) -> None:
    clock = SystemClock()
    board = FeedBoard(clock)
    day = execution_day(to_epoch_us(clock.now()))
    watcher = FeedWatcher(FeedKeeper(board, FeedService(world.ingest.channel)), board)
    watcher.start()
    try:
        world.exchange.post("emit", count=3)
        world.exchange.post("frame", text="no trade")

        def known() -> bool:
            feed, found = board.watch.feed, board.day(day)
            return feed is not None and (feed.frames, feed.quarantined) == (8, 2) and found is not None

        wait_until(known, timeout_s=20, what="all frames are counted")
        feed = board.watch.feed
        assert feed is not None
        assert (feed.standing, feed.connected, len(feed.listeners)) == (Standing.LIVE, 2, 2)
        wait_until(lambda: board.day(day).complete_to_us, timeout_s=20, what="the day is covered")  # type: ignore[union-attr]

        world.ingest.kill()
        wait_until(lambda: board.watch.lost_since, timeout_s=20, what="the owner is missed")
        assert board.watch.feed is not None
        assert board.watch.feed.frames == 8
        world.ingest.start()
        wait_until(lambda: board.watch.lost_since is None, timeout_s=20, what="the owner is found again")
        wait_until(lambda: board.day(day).has_gap, timeout_s=20, what="the gap is known")  # type: ignore[union-attr]
    finally:
        watcher.stop()


def test_the_contracts_own_example_is_booked_to_the_cent_and_the_kilowatt(world: FeedWorld) -> None:
    world.exchange.post("frame", json=confirmation())
    world.exchange.post("frame", json=confirmation("deal_confirmation", id="124", delivery_hour="23-24"))
    world.exchange.post("frame", json=confirmation(id="125", price=-0.01, quantity=0.1, direction="sell"))

    world.wait_booked(3)
    booked = {trade.id: trade for trade in world.booked()}
    assert (booked["123"].price_ct_per_mwh, booked["123"].quantity_kw) == (2050, 12_300)
    assert booked["123"].delivery_start_s == 1675666800  # 2023-02-06 08:00 Berlin
    assert booked["124"].delivery_start_s == 1675720800  # 23:00 Berlin
    assert (booked["125"].price_ct_per_mwh, booked["125"].quantity_kw) == (-1, 100)
    assert {trade.source for trade in booked.values()} == {trades_pb2.FEED}


def test_two_listeners_that_each_miss_half_lose_nothing(world: FeedWorld) -> None:
    world.exchange.faults(split=True)
    world.exchange.post("emit", count=2000)

    assert len(world.exchange.heard_ids(listeners=1)) == 2000
    assert world.exchange.heard_ids(listeners=2) == []
    world.assert_booked_once(world.exchange.heard_ids())


def test_duplicated_and_reordered_frames_are_booked_once(world: FeedWorld) -> None:
    world.exchange.faults(duplicate_rate=0.3, reorder_rate=0.3, reorder_by=7)
    world.exchange.post("emit", count=3000)

    wait_until(lambda: world.exchange.get("stats")["held"] == 0, timeout_s=20, what="none is held back")
    world.assert_booked_once(world.exchange.heard_ids(listeners=2))
    assert world.exchange.get("stats")["duplicated"] > 500
    assert world.ingest.wait_drained().quarantined == 0


def test_malformed_and_unknown_frames_are_kept_and_the_connection_goes_on(patient_world: FeedWorld) -> None:
    world = patient_world
    world.exchange.faults(malformed_rate=0.01, unknown_rate=0.01)
    world.exchange.post("emit", count=4000)
    world.exchange.post("frame", base64="gAD//g==")

    world.assert_booked_once(world.exchange.heard_ids())
    stats = world.exchange.get("stats")
    noise = stats["malformed"] + stats["unknown"] + 1
    assert noise > 50

    def told() -> int:
        """Both listeners heard each; what is legible and not bookable reaches the owner only once."""
        items = world.ingest.quarantine(feed_pb2.OPEN)
        return sum(2 if item.origin == "booking" else 1 for item in items)

    wait_until(lambda: told() == 2 * noise, timeout_s=20, what="all noise is quarantined")
    assert all(listener.connects == 1 for listener in world.ingest.status().listeners)
    items = world.ingest.quarantine(feed_pb2.OPEN)
    assert len(items) == world.ingest.status().quarantined
    assert all(item.reason and not item.frame for item in items)
    frames = [world.ingest.show(item.id).frame for item in items]
    assert frames.count(b"\x80\x00\xff\xfe") == 2


@pytest.mark.parametrize("how", ["503", "reset"])
def test_a_refusing_exchange_is_asked_again_ever_more_slowly(world: FeedWorld, how: str) -> None:
    world.exchange.post("refuse", how=how)
    world.exchange.post("drop")
    wait_until(lambda: world.exchange.get("stats")["refused"] >= 6, timeout_s=30, what="six refusals")

    listeners = world.ingest.status().listeners
    assert not any(listener.connected for listener in listeners)
    assert all(listener.trouble and listener.next_attempt_us for listener in listeners)
    world.exchange.post("accept")
    world.exchange.wait_listeners(2)
    world.exchange.post("emit", count=100)
    world.assert_booked_once(world.exchange.heard_ids(listeners=2))


def test_a_frozen_socket_is_closed_and_opened_again(world: FeedWorld) -> None:
    world.exchange.post("emit", count=100)
    world.exchange.post("freeze", who="all", pongs=False)
    wait_until(
        lambda: min(each.connects for each in world.ingest.status().listeners) == 2,
        timeout_s=20,
        what="both connected again",
    )
    world.exchange.post("emit", count=100)

    heard = world.exchange.heard_ids()
    assert len(heard) == 200
    world.assert_booked_once(heard)


def test_a_socket_that_answers_pings_and_says_nothing_is_replaced(tmp_path: Path) -> None:
    with feed_world(tmp_path, listeners=1, WATTBOOK_FEED_SILENCE_S="1", **FAST) as world:
        world.exchange.post("emit", count=10)
        world.exchange.post("freeze", who="all", pongs=True)
        wait_until(
            lambda: world.ingest.status().listeners[0].connects == 2, timeout_s=20, what="connected again"
        )
        world.exchange.wait_listeners(1)
        world.exchange.post("emit", count=10)

        world.assert_booked_once(world.exchange.heard_ids())
        assert world.ingest.said("no frame for 1 s")


def test_a_quiet_night_makes_no_storm_of_connections(tmp_path: Path) -> None:
    quick = {"WATTBOOK_FEED_SILENCE_S": "0.2", "WATTBOOK_FEED_PING_S": "0.1"}
    with feed_world(tmp_path, listeners=1, **quick) as world:
        wait_until(
            lambda: world.ingest.status().listeners[0].connects >= 4, timeout_s=20, what="four silences"
        )

        waits = [float(line["message"].split()[-2]) for line in world.ingest.said("no frame for")]
        assert waits[:3] == [0.2, 0.4, 0.8]


def test_what_the_owner_refuses_is_quarantined_with_its_frame(world: FeedWorld) -> None:
    world.exchange.post("frame", json=confirmation(price=1))
    world.wait_booked(1)
    world.exchange.post("frame", json=confirmation())
    world.exchange.post(
        "frame", json=confirmation(id="999", delivery_day="2023-03-26", delivery_hour="02-03")
    )
    world.exchange.post("frame", json=confirmation(id="888", price=20.505))
    world.exchange.post("frame", json=confirmation(id="777"))

    # What each listener heard: once what the first one told is known, twice what differs from that.
    wait_until(lambda: world.ingest.status().quarantined == 5, timeout_s=20, what="five are set aside")
    items = {item.trade_id: item for item in world.ingest.quarantine()}
    assert set(items) == {"123", "999", "888"}
    assert "stated by the exchange with another price" in items["123"].reason
    assert "02–03" in items["999"].reason
    assert "finer than a cent" in items["888"].reason
    assert (items["123"].origin, items["999"].origin) == ("booking", "booking")
    assert json.loads(world.ingest.show(items["123"].id).frame) == confirmation()
    assert {trade.id for trade in world.booked()} == {"123", "777"}


def test_replaying_after_a_fix_books_and_otherwise_it_opens_again(world: FeedWorld) -> None:
    world.exchange.post(
        "frame", json=confirmation(id="999", delivery_day="2023-03-26", delivery_hour="02-03")
    )
    world.exchange.post("frame", json={"notice": "no trade"})
    wait_until(lambda: world.ingest.status().quarantined == 3, timeout_s=20, what="all are set aside")
    refused = next(item for item in world.ingest.quarantine() if item.trade_id == "999")
    notice = next(item for item in world.ingest.quarantine() if not item.trade_id)

    assert world.ingest.replay(notice.id).state == feed_pb2.OPEN
    replayed = world.ingest.replay(refused.id)
    assert (replayed.state, replayed.decided_by) == (feed_pb2.REPLAYED, "anybody")

    wait_until(
        lambda: world.ingest.show(refused.id).state == feed_pb2.OPEN, timeout_s=20, what="refused again"
    )
    assert world.ingest.status().quarantined == 3
