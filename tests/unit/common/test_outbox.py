"""State and event commit together; the relay carries the events on, in order, at least once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from wattbook import outbox, telemetry
from wattbook.bus import MAX_BODY_BYTES, Bus, Message, open_bus
from wattbook.db import Store, open_store
from wattbook.errors import InvalidInput, Unavailable
from wattbook.outbox import Relay
from wattbook.retry import Backoff

from tests.support.children import started
from tests.support.engines import NewStoreUrl
from tests.support.waiting import wait_until

WHEN = datetime(2023, 2, 28, 11, 12, 35, 1, tzinfo=UTC)
metadata = sa.MetaData()
table = outbox.outbox_table(metadata)


@pytest.fixture
def store_url(new_store_url: NewStoreUrl) -> str:
    return new_store_url("store")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url, name="test")
    with opened.write() as connection:
        metadata.create_all(connection)
    yield opened
    opened.close()


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    opened = open_bus(f"sqlite:///{tmp_path}/bus.db")
    opened.subscribe(["a.b"], group="g").close()
    yield opened
    opened.close()


@pytest.fixture
def relaying(store: Store) -> Iterator[Callable[[Bus], Relay]]:
    relays: list[Relay] = []

    def make(bus: Bus) -> Relay:
        relays.append(Relay(store, bus, backoff=Backoff(first_s=0.01, most_s=0.05)))
        return relays[-1]

    yield make
    for relay in relays:
        relay.stop()


class Faulty:
    """A bus in front of a real one: refuses while ``down``, and may lose its confirmation."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.down = False
        self.lose_confirmations = 0
        self.refused = 0

    def publish(self, messages: Sequence[Message]) -> None:
        if self.down:
            self.refused += 1
            raise Unavailable("the bus is down")
        self._bus.publish(messages)
        if self.lose_confirmations:
            self.lose_confirmations -= 1
            raise Unavailable("the connection broke")

    def __getattr__(self, name: str) -> object:
        return getattr(self._bus, name)


def enqueue(store: Store, *numbers: int) -> None:
    with store.write() as connection:
        outbox.enqueue(
            connection,
            [Message(type="a.b", body=str(number).encode(), occurred_at=WHEN) for number in numbers],
        )


def arrived(bus: Bus) -> list[Message]:
    subscription = bus.subscribe(["a.b"], group="g")
    found: list[Message] = []
    while deliveries := subscription.receive(timeout_s=0.1, most=1000):
        found += [delivery.message for delivery in deliveries]
        subscription.ack(deliveries)
    subscription.close()
    return found


def published(bus: Bus) -> list[int]:
    return [int(message.body) for message in arrived(bus)]


def test_a_message_leaves_with_everything_it_carries(
    store: Store, bus: Bus, relaying: Callable[[Bus], Relay]
) -> None:
    sent = Message(type="a.b", body=b"\x00\xff", occurred_at=WHEN, version=2, traceparent="00-x-y-01")
    with telemetry.within(telemetry.new_context()) as context:
        traced = Message(type="a.b", body=b"", occurred_at=WHEN)
    with store.write() as connection:
        outbox.enqueue(connection, [sent, traced])
        outbox.enqueue(connection, [])
    relay = relaying(bus)
    relay.start()
    subscription = bus.subscribe(["a.b"], group="g")

    got = [delivery.message for delivery in subscription.receive(timeout_s=10)]

    assert got == [sent, traced]
    assert traced.traceparent == context.traceparent
    wait_until(lambda: relay.depth() == 0, timeout_s=5, what="the outbox is empty")
    subscription.close()


def test_what_was_handed_over_leaves_as_it_was_written_and_in_its_place(
    store: Store, bus: Bus, relaying: Callable[[Bus], Relay]
) -> None:
    faulty = Faulty(bus)
    faulty.down = True
    relay = relaying(faulty)  # type: ignore[arg-type]
    made = [Message(type="a.b", body=str(number).encode(), occurred_at=WHEN) for number in range(1000)]
    with store.write() as connection:
        outbox.enqueue(connection, made)
    relay.notify(made[::3])  # the others are another replica's
    relay.notify([replace(made[0], traceparent="00-not-as-written-01")])
    relay.notify([Message(type="a.b", body=b"-1", occurred_at=WHEN)])  # another replica was faster
    relay.start()
    wait_until(lambda: faulty.refused >= 3, timeout_s=10, what="it is tried again and again")
    faulty.down = False
    faulty.lose_confirmations = 1
    wait_until(lambda: relay.depth() == 0, timeout_s=10, what="the outbox is empty")

    assert arrived(bus) == made[: outbox.BATCH_MESSAGES] + made


def test_what_is_at_hand_is_bounded(store: Store, bus: Bus, relaying: Callable[[Bus], Relay]) -> None:
    relay = relaying(bus)
    body = b"x" * MAX_BODY_BYTES
    sizes = []
    for number in range(2 * outbox.FRESH_BYTES // MAX_BODY_BYTES + 1):
        relay.notify([Message(type="a.b", body=body, occurred_at=WHEN, id=str(number))])
        sizes.append(sum(len(each.body) for each in relay._fresh._messages.values()))

    assert max(sizes) <= outbox.FRESH_BYTES
    assert sizes[-1] > outbox.FRESH_BYTES - MAX_BODY_BYTES
    assert next(reversed(relay._fresh._messages)) == str(number)


def test_what_is_rolled_back_never_leaves(store: Store, bus: Bus, relaying: Callable[[Bus], Relay]) -> None:
    def half() -> None:
        with store.write() as connection:
            outbox.enqueue(connection, [Message(type="a.b", body=b"1", occurred_at=WHEN)])
            raise KeyError("x")

    with pytest.raises(KeyError):
        half()
    relay = relaying(bus)
    relay.start()
    enqueue(store, 2)
    relay.notify()
    relay.stop()

    assert published(bus) == [2]


def test_order_is_kept_over_many_commits_and_threads(
    store: Store, bus: Bus, relaying: Callable[[Bus], Relay]
) -> None:
    relay = relaying(bus)
    relay.start()
    order: list[int] = []

    def commit(first: int) -> None:
        for number in range(first, first + 30):
            with store.write() as connection:
                outbox.enqueue(connection, [Message(type="a.b", body=str(number).encode(), occurred_at=WHEN)])
                order.append(number)
            relay.notify()

    threads = [threading.Thread(target=commit, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    wait_until(lambda: relay.depth() == 0, timeout_s=10, what="the outbox is empty")

    assert published(bus) == order


def test_an_outage_of_the_bus_delays_and_loses_nothing(
    store: Store, bus: Bus, relaying: Callable[[Bus], Relay]
) -> None:
    faulty = Faulty(bus)
    faulty.down = True
    relay = relaying(faulty)  # type: ignore[arg-type]
    relay.start()
    enqueue(store, *range(1000))
    relay.notify()
    wait_until(lambda: faulty.refused >= 3, timeout_s=10, what="it is tried again and again")
    assert relay.depth() == 1000

    faulty.down = False

    wait_until(lambda: relay.depth() == 0, timeout_s=10, what="the outbox is empty")
    assert published(bus) == list(range(1000))


def test_a_lost_confirmation_publishes_again_in_order(
    store: Store, bus: Bus, relaying: Callable[[Bus], Relay]
) -> None:
    faulty = Faulty(bus)
    faulty.lose_confirmations = 1
    relay = relaying(faulty)  # type: ignore[arg-type]
    relay.start()
    enqueue(store, 1, 2)

    wait_until(lambda: relay.depth() == 0, timeout_s=10, what="the outbox is empty")

    assert published(bus) == [1, 2, 1, 2]


def test_a_forgotten_notification_costs_a_moment_at_most(
    store: Store, bus: Bus, relaying: Callable[[Bus], Relay]
) -> None:
    relay = relaying(bus)
    relay.start()
    enqueue(store, 1)

    wait_until(lambda: relay.depth() == 0, timeout_s=10, what="the outbox is empty")

    assert published(bus) == [1]


def test_stop_publishes_what_is_there(store: Store, bus: Bus, relaying: Callable[[Bus], Relay]) -> None:
    relay = relaying(bus)
    relay.start()
    enqueue(store, *range(500))
    relay.stop()

    assert relay.depth() == 0
    assert published(bus) == list(range(500))


def test_stop_does_not_wait_for_a_bus_that_is_down(
    store: Store, bus: Bus, relaying: Callable[[Bus], Relay]
) -> None:
    faulty = Faulty(bus)
    faulty.down = True
    relay = relaying(faulty)  # type: ignore[arg-type]
    relay.start()
    enqueue(store, 1)
    relay.stop()

    assert not relay._thread.is_alive()
    assert relay.depth() == 1


def test_a_message_that_the_bus_would_refuse_is_refused_at_once(store: Store) -> None:
    huge = Message(type="a.b", body=b"x" * (MAX_BODY_BYTES + 1), occurred_at=WHEN)

    with pytest.raises(InvalidInput), store.write() as connection:
        outbox.enqueue(connection, [huge])


def test_a_relay_that_never_started_can_be_stopped(store: Store, bus: Bus) -> None:
    Relay(store, bus).stop()


BOOKER = """
    import sys
    from datetime import UTC, datetime
    from wattbook import outbox
    from wattbook.bus import Message, open_bus
    from wattbook.db import open_store
    store = open_store(sys.argv[1], name="test")
    relay = outbox.Relay(store, open_bus(sys.argv[2]))
    relay.start()
    for number in range(int(sys.argv[3]), 1_000_000):
        with store.write() as connection:
            message = Message(type="a.b", body=str(number).encode(), occurred_at=datetime.now(UTC))
            outbox.enqueue(connection, [message])
        relay.notify()
        print(number, flush=True)
"""


@pytest.mark.slow
def test_a_process_killed_between_commit_and_publish_loses_nothing(
    tmp_path: Path, store_url: str, store: Store, bus: Bus, relaying: Callable[[Bus], Relay]
) -> None:
    last = -1
    for run in range(3):
        urls = (store_url, f"sqlite:///{tmp_path}/bus.db")
        with started(BOOKER, *urls, str(1000 * run)) as booker:
            for line in booker.lines():
                last = int(line)
                if last == 1000 * run + 50 + 13 * run:
                    booker.kill()
    relay = relaying(bus)
    relay.start()
    wait_until(lambda: relay.depth() == 0, timeout_s=10, what="the outbox is empty")

    arrived = published(bus)
    distinct = sorted(set(arrived))
    for run in range(3):
        numbers = [number for number in distinct if number // 1000 == run]
        assert numbers == list(range(1000 * run, 1000 * run + len(numbers)))
        assert len(numbers) > 50 + 13 * run
    assert list(dict.fromkeys(arrived)) == distinct  # first arrivals are in order
