"""kill -9, a bus that is away, disks that are full: what was heard is booked exactly once all the same."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.feed_world import FeedWorld, feed_world, rows_of
from tests.support import engines
from tests.support.disks import Ballast, small_disk
from tests.support.waiting import wait_until
from tests.unit.ingest_service.fakes import FakeGateway

pytestmark = pytest.mark.slow

FAST = {"WATTBOOK_FEED_PING_S": "1"}
# A process that gets no processor for seconds answers no ping: not what these tests are about.
PATIENT = {"WATTBOOK_FEED_PING_S": "100", "WATTBOOK_FEED_SILENCE_S": "600"}
KILLS = 4


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    gateway = FakeGateway().up()
    yield gateway
    gateway.down()


def assert_recovered(world: FeedWorld, fake: FakeGateway, heard: list[str]) -> None:
    """The nightly file recovers exactly what nobody heard, and closes the day."""
    path = world.exchange.nightly_file()
    in_file = [row["id"] for row in rows_of(path)]
    world.ingest.drop(path.read_bytes(), path.name)
    world.ingest.wait_archived(path.name)

    day = f"{path.stem[-8:-4]}-{path.stem[-4:-2]}-{path.stem[-2:]}"
    found = world.ingest.reconciliation(day)
    assert found.reconciled
    assert found.file_name == path.name
    assert (found.in_both, found.feed_only, found.differing) == (len(heard), 0, 0)
    assert found.recovered == len(in_file) - len(heard)
    listed = {each.trade_id for each in found.differences}
    assert listed == set(in_file) - set(heard) or (len(listed) == 1000 and found.recovered > 1000)
    assert set(fake.trades) == set(in_file)


def test_kills_of_both_services_cost_only_what_was_sent_while_nobody_listened(
    tmp_path: Path, fake: FakeGateway
) -> None:
    chance = random.Random(3)
    written: set[str] = set()
    with feed_world(tmp_path, gateway_url=fake.url, **FAST) as world:
        world.exchange.post("rate", trades_per_min=10_000)
        for number in range(KILLS):
            before = world.exchange.get("stats")["heard"]
            enough = before + chance.randint(20, 200)
            wait_until(partial(_has_heard, world, enough), timeout_s=60, what="trades go on")
            if number % 2:
                world.trade.signal(signal.SIGKILL)
                world.trade.start()
            else:
                world.ingest.kill()
                written |= written_down(world)
                world.ingest.start()
                world.exchange.wait_listeners(2)
        world.exchange.post("pause")

        heard = world.exchange.heard_ids()
        # What the kernel had and the killed process had not read yet is heard for the exchange alone.
        world.ingest.wait_drained()
        wait_until(lambda: _is_settled(world), timeout_s=60, what="everything is booked")
        booked = [trade.id for trade in world.booked()]
        assert len(booked) == len(set(booked))
        assert written <= set(booked) <= set(heard)
        assert len(written) > 100
        assert len(world.exchange.sent()) > len(booked) > 200
        assert_recovered(world, fake, booked)


def written_down(world: FeedWorld) -> set[str]:
    """The trades whose frames are on disk: what a killed process had read, and no more, is its to keep."""
    frames = engines.stored_rows(world.ingest.store_url, "SELECT frame FROM spool")
    return {json.loads(bytes(frame))["trade_confirmation"]["id"] for (frame,) in frames}


def _has_heard(world: FeedWorld, count: int) -> bool:
    return int(world.exchange.get("stats")["heard"]) > count


def _is_settled(world: FeedWorld) -> bool:
    """Nothing is on its way: all that ingest announced has been booked."""
    ((announced,),) = engines.stored_rows(world.ingest.store_url, "SELECT count(*) FROM feed_trades")
    return len(world.booked()) == announced


def test_a_gap_is_told_until_the_nightly_file_closes_it(tmp_path: Path, fake: FakeGateway) -> None:
    with feed_world(tmp_path, gateway_url=fake.url, **FAST) as world:
        day = world.exchange.get("state")["trading_day"]
        world.exchange.post("emit", count=10)
        world.ingest.wait_drained()
        wait_until(
            lambda: world.ingest.reconciliation(day).complete_to_us, timeout_s=10, what="it is covered"
        )
        world.ingest.kill()
        world.exchange.post("emit", count=7)
        killed_us = int(time.time() * 1e6)
        world.ingest.start()
        world.exchange.wait_listeners(2)
        world.exchange.post("emit", count=5)
        world.wait_booked(15)
        wait_until(lambda: world.ingest.said("nobody listened"), timeout_s=10, what="the gap is told")

        found = world.ingest.reconciliation(day)
        assert not found.reconciled
        assert 0 < found.complete_to_us < killed_us
        assert found.gap
        assert_recovered(world, fake, world.exchange.heard_ids())
        closed = world.ingest.reconciliation(day)
        assert closed.complete_to_us > killed_us
        assert not closed.gap


def test_the_file_tells_what_differs_and_what_only_the_feed_has(tmp_path: Path, fake: FakeGateway) -> None:
    with feed_world(tmp_path, gateway_url=fake.url, **FAST) as world:
        world.exchange.post("emit", count=20)
        different = world.exchange.post("emit", count=2, file="different")["ids"]
        missing = world.exchange.post("emit", count=3, file="missing")["ids"]
        withheld = world.exchange.post("emit", count=4, withhold=True)["ids"]
        world.wait_booked(25)
        path = world.exchange.nightly_file()

        for _ in range(2):  # the same content again is compared again, with the same result
            world.ingest.drop(path.read_bytes(), path.name)
            wait_until(
                lambda: not (world.ingest.inbox / path.name).exists(), timeout_s=20, what="it is taken"
            )

        found = world.ingest.reconciliation(world.exchange.get("state")["trading_day"])
        assert (found.in_both, found.recovered, found.feed_only, found.differing) == (20, 4, 3, 2)
        by_kind: dict[str, set[str]] = {}
        for each in found.differences:
            by_kind.setdefault(each.kind, set()).add(each.trade_id)
        assert by_kind == {"differs": set(different), "feed_only": set(missing), "recovered": set(withheld)}
        assert "price: " in next(each.detail for each in found.differences if each.kind == "differs")


def test_trades_wait_in_the_outbox_while_the_bus_takes_nothing(tmp_path: Path) -> None:
    with feed_world(tmp_path, **FAST) as world:
        world.exchange.post("emit", count=10)
        world.wait_booked(10)
        with engines.held(world.trade.bus_url):
            world.exchange.post("emit", count=500)

            def waits_in_the_outbox() -> bool:
                status = world.ingest.status()
                return status.frames == 1020 and not status.spool_depth and status.outbox_depth > 0

            wait_until(waits_in_the_outbox, timeout_s=20, what="the outbox holds")
            assert len(world.booked()) == 10

        world.assert_booked_once(world.exchange.heard_ids(listeners=2))
        world.ingest.wait_drained()


def test_trades_wait_on_the_bus_while_trade_service_is_down(tmp_path: Path) -> None:
    with feed_world(tmp_path, **FAST) as world:
        world.trade.signal(signal.SIGTERM)
        world.exchange.post("emit", count=3000)
        world.ingest.wait_drained()
        world.trade.start()

        world.assert_booked_once(world.exchange.heard_ids(listeners=2))


def test_what_is_heard_before_the_owner_ever_started_is_booked_when_it_starts(tmp_path: Path) -> None:
    with feed_world(tmp_path, start=("ingest",), **FAST) as world:
        world.exchange.post("emit", count=50)
        world.ingest.wait_drained()
        world.trade.start()

        world.assert_booked_once(world.exchange.heard_ids(listeners=2))


def test_frames_wait_in_memory_while_the_spool_is_locked(tmp_path: Path) -> None:
    with feed_world(tmp_path, **PATIENT) as world:
        with engines.locked(world.ingest.store_url):
            world.exchange.post("emit", count=2000)
            world.ingest.wait_said("cannot be written down", timeout_s=40)
        world.assert_booked_once(world.exchange.heard_ids(listeners=2))
        assert all(listener.connects == 1 for listener in world.ingest.status().listeners)


def test_a_full_disk_holds_frames_in_memory_then_the_socket_and_loses_none(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", mebibytes=24) as disk:
        settings = {
            "WATTBOOK_INGEST_STORE_URL": f"sqlite:///{disk}/ingest.db",
            "WATTBOOK_FEED_QUEUE_FRAMES": "1000",
            **PATIENT,
        }
        with feed_world(tmp_path, listeners=1, **settings) as world:
            world.exchange.post("emit", count=100)
            world.wait_booked(100)
            ballast = Ballast(disk)
            ballast.fill()
            world.exchange.post("emit", count=20_000)
            world.ingest.wait_said("the exchange is not read", timeout_s=40)
            ballast.free()

            world.assert_booked_once(world.exchange.heard_ids())
            assert world.ingest.said("the exchange is read again")
            assert world.ingest.status().listeners[0].connects == 1
            assert world.ingest.terminate() == 0


@pytest.mark.embedded
def test_a_full_bus_holds_trades_in_the_outbox_until_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "bus", mebibytes=8) as disk, feed_world(tmp_path, **FAST) as world:
        world.exchange.post("emit", count=10)
        world.wait_booked(10)
        ballast = Ballast(disk)
        ballast.fill()
        world.exchange.post("emit", count=5000)
        wait_until(
            lambda: world.ingest.status().frames == 10_020, timeout_s=40, what="all frames are on disk"
        )
        assert world.ingest.status().outbox_depth > 0
        ballast.free()

        world.assert_booked_once(world.exchange.heard_ids(listeners=2))
        world.ingest.wait_drained()
