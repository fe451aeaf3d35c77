"""The embedded bus's own ways: leases, trimming, its file, and what goes wrong with it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from wattbook.bus import Message, open_bus
from wattbook.bus.embedded import bus as engine
from wattbook.bus.embedded import leases
from wattbook.bus.embedded.bus import EmbeddedBus
from wattbook.bus.embedded.groups import RESCAN_S, GroupSubscription, Terms
from wattbook.bus.topology import PRICING_SERVICE, TRADE_SERVICE
from wattbook.clock import FakeClock
from wattbook.errors import Unavailable
from wattbook.retry import Backoff

from tests.support.children import started
from tests.support.disks import Ballast, small_disk

WHEN = datetime(2023, 2, 28, tzinfo=UTC)
LEASE_S = 60.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(WHEN)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bus" / "bus.db"


@pytest.fixture
def bus(path: Path, clock: FakeClock) -> Iterator[EmbeddedBus]:
    at_once = Backoff(first_s=0.0, most_s=0.0)
    made = EmbeddedBus(path, retention_s=600, terms=Terms(lease_s=LEASE_S, backoff=at_once), clock=clock)
    yield made
    made.close()


def publish(bus: EmbeddedBus, *numbers: int, kind: str = "a.b") -> None:
    bus.publish([Message(type=kind, body=str(number).encode(), occurred_at=WHEN) for number in numbers])


def take(subscription: GroupSubscription, *, most: int = 100) -> list[tuple[int, int]]:
    """(number, attempt) of what is there now."""
    return [(int(item.message.body), item.attempt) for item in subscription.receive(timeout_s=0.0, most=most)]


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    """Asked of the file by a connection of SQLite's."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_a_group_that_may_have_no_member_is_not_kept_for_before_one_comes(path: Path) -> None:
    bus = EmbeddedBus(path, groups=[TRADE_SERVICE, PRICING_SERVICE])
    assert bus.group_names() == ["trade-service"]

    bus.subscribe(PRICING_SERVICE.types, group=PRICING_SERVICE.name).close()
    bus.close()

    again = EmbeddedBus(path)
    assert again.group_names() == ["pricing-service", "trade-service"]
    again.close()


# --- leases


def test_what_a_hung_member_keeps_too_long_goes_to_another(bus: EmbeddedBus, clock: FakeClock) -> None:
    hung, other = (bus.subscribe(["a.b"], group="g") for _ in range(2))
    publish(bus, 1, 2)
    in_hand = hung.receive(timeout_s=0.0)

    clock.advance(LEASE_S - 1)
    assert take(other) == []
    clock.advance(2)
    assert take(other) == [(1, 2), (2, 2)]

    hung.retry(in_hand[0], "too late")  # not its message any more: nothing happens
    hung.ack(in_hand[1:])  # but work that was done is done
    clock.advance(LEASE_S + 1)
    assert take(hung) == [(1, 3)]
    for each in (hung, other):
        each.close()


def test_a_member_that_says_so_may_keep_its_messages_longer(bus: EmbeddedBus, clock: FakeClock) -> None:
    slow, other = (bus.subscribe(["a.b"], group="g") for _ in range(2))
    publish(bus, 1)
    in_hand = slow.receive(timeout_s=0.0)

    for _ in range(5):
        clock.advance(LEASE_S - 1)
        slow.hold(in_hand)
        assert take(other) == []
    slow.ack(in_hand)
    clock.advance(LEASE_S + 1)

    assert take(other) == take(slow) == []
    for each in (slow, other):
        each.close()


def test_a_message_that_kills_its_consumers_is_handed_out_alone_and_given_up_in_the_end(
    bus: EmbeddedBus, clock: FakeClock
) -> None:
    subscription = bus.subscribe(["a.b"], group="g")
    publish(bus, *range(5))
    culprit = 2

    done: list[int] = []
    kills = 0
    while deliveries := subscription.receive(timeout_s=0.0):
        numbers = [int(item.message.body) for item in deliveries]
        if culprit in numbers:
            kills += 1
            clock.advance(LEASE_S + 1)  # as if its process had died
        else:
            assert kills <= leases.ALONE_FROM_LAPSES + 1  # the others do not wait for its end
            done += numbers
            subscription.ack(deliveries)

    assert sorted(done) == [0, 1, 3, 4]
    (dead,) = bus.dead_letters()
    assert int(dead.message.body) == culprit
    assert dead.attempts == leases.MAX_LAPSES
    assert take(subscription) == []
    subscription.close()


def test_retried_messages_come_before_newer_ones(bus: EmbeddedBus) -> None:
    subscription = bus.subscribe(["a.b"], group="g")
    publish(bus, 1, 2)
    for delivery in subscription.receive(timeout_s=0.0):
        subscription.retry(delivery, "no")
    publish(bus, 3)

    assert take(subscription) == [(1, 2), (2, 2), (3, 1)]
    subscription.close()


def test_a_group_that_wants_little_of_a_long_log_finds_it_and_keeps_up(
    bus: EmbeddedBus, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SCAN_POSITIONS", 50)
    subscription = bus.subscribe(["rare.one"], group="g")
    publish(bus, *range(120))
    publish(bus, 7, kind="rare.one")
    publish(bus, *range(120))

    assert take(subscription) == [(7, 1)]
    assert take(subscription) == []
    assert rows(path, "SELECT position FROM groups") == [(241,)]
    subscription.close()


# --- trimming


def kept(path: Path) -> list[int]:
    return [
        int(str(body), 10) for (body,) in rows(path, "SELECT CAST(body AS TEXT) FROM log ORDER BY position")
    ]


@pytest.fixture
def trim_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "TRIM_AFTER_MESSAGES", 1)


@pytest.mark.usefixtures("trim_always")
def test_only_what_is_old_and_done_with_by_every_group_is_trimmed(
    bus: EmbeddedBus, path: Path, clock: FakeClock
) -> None:
    quick, slow = (bus.subscribe(["a.b"], group=name) for name in ("quick", "slow"))
    publish(bus, 1, 2, 3)
    quick.ack(quick.receive(timeout_s=0.0))
    slow_has = slow.receive(timeout_s=0.0)
    slow.ack(slow_has[:1])
    publish(bus, 4)
    assert kept(path) == [1, 2, 3, 4]  # young

    clock.advance(601)
    publish(bus, 5)
    assert kept(path) == [2, 3, 4, 5]  # slow is not done with 2

    slow.ack(slow_has)
    for each in (quick, slow):
        each.ack(each.receive(timeout_s=0.0))
    clock.advance(601)
    publish(bus, 6)
    assert kept(path) == [6]

    late = bus.subscribe(["a.b"], group="late")
    publish(bus, 7)
    assert take(late) == [(7, 1)]  # positions go on though the log is nearly empty
    for each in (quick, slow, late):
        each.close()


@pytest.mark.usefixtures("trim_always")
def test_a_spool_that_was_thrown_away_holds_up_nothing_but_what_is_meant_for_it(
    bus: EmbeddedBus, path: Path, clock: FakeClock
) -> None:
    orphan = bus.subscribe(["trade.refused"], group="ingest-service.0123abcd")
    orphan.close()
    there = bus.subscribe(["*.*"], group="there")
    publish(bus, 1, kind="trade.confirmed")
    publish(bus, 2, kind="trade.refused")
    publish(bus, 3, kind="trade.confirmed")
    there.ack(there.receive(timeout_s=0.0))
    there.close()

    clock.advance(601)
    publish(bus, 4)

    assert kept(path) == [2, 4]
    back = bus.subscribe(["trade.refused"], group="ingest-service.0123abcd")
    heard = back.receive(timeout_s=0.0)
    assert [delivery.message.type for delivery in heard] == ["trade.refused"]  # nothing of it was lost
    back.ack(heard)
    clock.advance(601)
    publish(bus, 5)
    assert kept(path) == [4, 5]
    back.close()


@pytest.mark.usefixtures("trim_always")
def test_without_groups_what_is_old_is_trimmed_a_bounded_number_at_a_time(
    bus: EmbeddedBus, path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "TRIM_MOST", 4)
    publish(bus, *range(10))
    clock.advance(601)

    publish(bus, 10)
    assert kept(path) == list(range(4, 11))
    publish(bus, 11)
    assert kept(path) == [8, 9, 10, 11]
    publish(bus, 12)
    assert kept(path) == [10, 11, 12]


@pytest.mark.usefixtures("trim_always")
def test_a_dead_letter_outlives_the_log_and_can_still_be_replayed(
    bus: EmbeddedBus, path: Path, clock: FakeClock
) -> None:
    subscription = bus.subscribe(["a.b"], group="g")
    publish(bus, 1)
    for _ in range(5):
        (delivery,) = subscription.receive(timeout_s=1.0)
        subscription.retry(delivery, "no")
    clock.advance(601)
    publish(bus, 2)
    subscription.ack(subscription.receive(timeout_s=0.0))
    assert kept(path) == [2]

    (dead,) = bus.dead_letters()
    bus.replay(dead)

    assert take(subscription) == [(1, 1)]
    subscription.close()


# --- waking up


def test_a_lost_wake_up_costs_a_rescan_at_most(bus: EmbeddedBus, path: Path) -> None:
    for group in ("g", None):
        subscription = bus.subscribe(["a.b"], group=group)
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("UPDATE members SET port = 1")  # nobody listens there
        connection.close()
        timer = threading.Timer(0.05, lambda: publish(bus, 1))
        timer.start()
        began = time.monotonic()

        assert len(subscription.receive(timeout_s=30.0)) == 1

        assert time.monotonic() - began < 0.05 + 20 * RESCAN_S
        timer.join()
        subscription.close()


def test_members_whose_process_is_gone_are_forgotten(bus: EmbeddedBus, path: Path) -> None:
    program = """
        import sys
        from wattbook.bus import open_bus
        bus = open_bus(sys.argv[1])
        kept = [bus.subscribe(["a.b"], group=group) for group in ("g", None)]
        print("up", flush=True)
        input()
    """
    with started(program, f"sqlite:///{path}") as child:
        assert child.line() == "up"
        assert len(rows(path, "SELECT * FROM members")) == 2
    mine = bus.subscribe(["a.b"], group="other")

    assert len(rows(path, "SELECT * FROM members")) == 1
    mine.close()
    assert rows(path, "SELECT * FROM members") == []


# --- the file


def test_the_file_is_for_its_user_only(bus: EmbeddedBus, path: Path) -> None:
    publish(bus, 1)

    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("url", "kind", "said"),
    [
        ("sqlite:///{folder}/bus.db?retention_s=x", ValueError, "could not convert"),
        ("sqlite:///{folder}/bus.db?retention=1", ValueError, "no option retention"),
        ("sqlite://", ValueError, "is not sqlite:///<file>"),
        ("sqlite:///", ValueError, "is not sqlite:///<file>"),
        ("sqlite:///{folder}/a-file/bus.db", Unavailable, "the bus at .* cannot be opened: "),
        ("sqlite:///{folder}", Unavailable, "the bus at .* cannot be opened: "),
        ("sqlite:///{folder}/a-file", Unavailable, "the bus at .* cannot be opened: .*not a database"),
        ("sqlite:///{folder}/newer.db", Unavailable, "its layout is 99, this release knows 1"),
    ],
)
def test_a_bus_that_cannot_be_opened_says_why(
    tmp_path: Path, url: str, kind: type[Exception], said: str
) -> None:
    (tmp_path / "a-file").write_text("a letter to my aunt " * 100)
    connection = sqlite3.connect(tmp_path / "newer.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(kind, match=said):
        open_bus(url.format(folder=tmp_path))


def test_a_retention_may_be_part_of_the_address(tmp_path: Path) -> None:
    bus = open_bus(f"sqlite:///{tmp_path}/bus.db?retention_s=5")

    bus.close()
    assert (tmp_path / "bus.db").exists()


@pytest.mark.slow
def test_a_bus_opened_twice_stays_whole_when_others_come_and_go(path: Path) -> None:
    program = """
        import sys
        from wattbook.bus import open_bus
        subscription = open_bus(sys.argv[1]).subscribe(["a.b"], group="g")
        subscription.ack(subscription.receive(timeout_s=5))
        subscription.close()
    """
    first = EmbeddedBus(path)
    first.subscribe(["a.b"], group="g").close()
    for number in range(4):
        EmbeddedBus(path).close()
        publish(first, number)
        with started(program, f"sqlite:///{path}") as child:
            assert child.ended() == 0
    first.close()

    assert kept(path) == list(range(4))
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_full_disk_is_unavailable_and_nothing_is_half_published(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", mebibytes=4) as disk:
        bus = EmbeddedBus(disk / "bus.db")
        subscription = bus.subscribe(["a.b"], group="g")
        publish(bus, 1)
        ballast = Ballast(disk)
        ballast.fill()
        large = [Message(type="a.b", body=b"9" * 100_000, occurred_at=WHEN) for _ in range(10)]

        with pytest.raises(Unavailable, match="the bus cannot be used now: its disk is full"):
            bus.publish(large)

        ballast.free()
        publish(bus, 2)
        assert take(subscription) == [(1, 1), (2, 1)]
        subscription.close()
        bus.close()


def test_many_threads_may_publish_at_once(bus: EmbeddedBus, path: Path) -> None:
    threads = [
        threading.Thread(target=lambda n=n: [publish(bus, 100 * n + m) for m in range(20)]) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(kept(path)) == sorted(100 * n + m for n in range(8) for m in range(20))
    for n in range(8):
        assert [body for body in kept(path) if body // 100 == n] == [100 * n + m for m in range(20)]
