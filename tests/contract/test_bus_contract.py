"""What every bus engine promises. Another engine is another parameter of ``engine``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import pytest
from wattbook import telemetry
from wattbook.bus import MAX_ATTEMPTS, MAX_BODY_BYTES, Bus, Delivery, Depths, Message, Subscription, open_bus
from wattbook.bus.consumer import Consumer
from wattbook.errors import InvalidInput, NotFound, Unavailable
from wattbook.retry import Backoff

from tests.support.children import started
from tests.support.waiting import wait_until

WHEN = datetime(2023, 2, 28, 11, 12, 35, 123456, tzinfo=UTC)
SOON = Backoff(first_s=0.01, most_s=0.05)


@dataclass
class Engine:
    """A place for a bus, and the buses and subscriptions opened there."""

    name: str
    url: str
    _opened: list[Bus | Subscription] = field(default_factory=list)

    def open(self) -> Bus:
        bus = open_bus(self.url)
        self._opened.append(bus)
        return bus

    def subscribe(self, bus: Bus, *types: str, group: str | None) -> Subscription:
        subscription = bus.subscribe(types or ("trade.booked",), group=group)
        self._opened.append(subscription)
        return subscription

    def close(self) -> None:
        for each in reversed(self._opened):
            each.close()


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.servers)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "embedded":
        url = f"sqlite:///{tmp_path}/bus/bus.db"
    else:
        server = request.getfixturevalue("rabbitmq_server")
        url = server.url(server.vhost())
    made = Engine(request.param, url)
    yield made
    made.close()


@pytest.fixture
def bus(engine: Engine) -> Bus:
    return engine.open()


def messages(count: int, *, first: int = 0, kind: str = "trade.booked") -> list[Message]:
    return [Message(type=kind, body=str(first + n).encode(), occurred_at=WHEN) for n in range(count)]


def bodies(deliveries: Sequence[Delivery] | Sequence[Message]) -> list[int]:
    return [int((item.message if isinstance(item, Delivery) else item).body) for item in deliveries]


def receive_all(subscription: Subscription, count: int, *, timeout_s: float = 10.0) -> list[Delivery]:
    """``count`` deliveries, not acknowledged."""
    found: list[Delivery] = []
    deadline = time.monotonic() + timeout_s
    while len(found) < count and time.monotonic() < deadline:
        found += subscription.receive(timeout_s=0.2, most=count - len(found))
    assert len(found) == count
    return found


# --- groups


def test_a_message_arrives_whole_and_in_order(engine: Engine, bus: Bus) -> None:
    subscription = engine.subscribe(bus, group="g")
    sent = Message(
        type="trade.booked", body=bytes(range(256)) * 40, occurred_at=WHEN, version=3, traceparent="00-a-b-01"
    )
    bus.publish([sent, *messages(250)])

    first, *rest = receive_all(subscription, 251)

    assert first.message == sent
    assert first.attempt == 1
    assert bodies(rest) == list(range(250))


def test_what_is_acknowledged_never_comes_again(engine: Engine, bus: Bus) -> None:
    subscription = engine.subscribe(bus, group="g")
    bus.publish(messages(10))
    subscription.ack(receive_all(subscription, 10))

    assert subscription.receive(timeout_s=0.15) == []
    subscription.close()
    assert engine.subscribe(bus, group="g").receive(timeout_s=0.15) == []


def test_what_was_not_acknowledged_goes_to_the_next_member_uncounted(engine: Engine, bus: Bus) -> None:
    subscription = engine.subscribe(bus, group="g")
    bus.publish(messages(10))
    deliveries = receive_all(subscription, 10)
    subscription.ack(deliveries[:4])
    subscription.close()

    again = receive_all(engine.subscribe(bus, group="g"), 6)

    assert bodies(again) == list(range(4, 10))
    assert {delivery.attempt for delivery in again} == {1}


def test_a_group_keeps_its_place_while_nobody_is_there(engine: Engine, bus: Bus) -> None:
    engine.subscribe(bus, group="g").close()
    bus.publish(messages(5))
    bus.close()

    other = engine.open()
    other.publish(messages(5, first=5))

    assert bodies(receive_all(engine.subscribe(other, group="g"), 10)) == list(range(10))


def test_a_group_hears_what_is_published_after_it_first_subscribed(engine: Engine, bus: Bus) -> None:
    bus.publish(messages(3))
    subscription = engine.subscribe(bus, group="new")
    bus.publish(messages(3, first=3))

    assert bodies(receive_all(subscription, 3)) == [3, 4, 5]
    assert subscription.receive(timeout_s=0.15) == []


def test_each_group_gets_every_message(engine: Engine, bus: Bus) -> None:
    groups = [engine.subscribe(bus, group=name) for name in ("a", "b", "c")]
    bus.publish(messages(5))

    for subscription in groups:
        deliveries = receive_all(subscription, 5)
        assert bodies(deliveries) == list(range(5))
        subscription.ack(deliveries)


def test_members_of_a_group_share_its_messages(engine: Engine, bus: Bus) -> None:
    got: list[list[int]] = [[], [], []]
    done = threading.Event()
    ready = threading.Barrier(4)

    def work(mine: list[int]) -> None:
        subscription = bus.subscribe(["trade.booked"], group="g")
        ready.wait(10)
        while not done.is_set():
            deliveries = subscription.receive(timeout_s=0.05, most=7)
            mine += bodies(deliveries)
            subscription.ack(deliveries)
            if sum(map(len, got)) >= 300:
                done.set()
        subscription.close()

    threads = [threading.Thread(target=work, args=(mine,)) for mine in got]
    for thread in threads:
        thread.start()
    ready.wait(10)
    for n in range(30):
        bus.publish(messages(10, first=10 * n))
    assert done.wait(20)
    for thread in threads:
        thread.join(10)

    assert sorted(chain.from_iterable(got)) == list(range(300))


# --- failing messages


def test_a_failing_message_comes_again_and_does_not_hold_up_the_others(engine: Engine, bus: Bus) -> None:
    subscription = engine.subscribe(bus, group="g")
    bus.publish(messages(3))
    first, *rest = receive_all(subscription, 3)
    subscription.retry(first, "not now")
    subscription.ack(rest)
    bus.publish(messages(1, first=3))

    later = receive_all(subscription, 2)

    assert sorted((int(item.message.body), item.attempt) for item in later) == [(0, 2), (3, 1)]


def fail_until_dead(subscription: Subscription, *, reason: str) -> None:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        (delivery,) = receive_all(subscription, 1, timeout_s=20)
        assert delivery.attempt == attempt
        subscription.retry(delivery, f"{reason} {attempt}")


def test_a_message_that_keeps_failing_becomes_a_dead_letter_and_can_be_replayed(
    engine: Engine, bus: Bus
) -> None:
    subscription, other = (engine.subscribe(bus, group=name) for name in ("g", "other"))
    tail = engine.subscribe(bus, group=None)
    (sent,) = messages(1)
    bus.publish([sent])
    other.ack(receive_all(other, 1))
    assert bodies(receive_all(tail, 1)) == [0]

    fail_until_dead(subscription, reason="no")
    assert subscription.receive(timeout_s=0.15) == []
    (dead,) = bus.dead_letters()
    assert (dead.group, dead.message, dead.attempts, dead.reason) == ("g", sent, MAX_ATTEMPTS, "no 5")
    assert abs((datetime.now(UTC) - dead.died_at).total_seconds()) < 60

    bus.replay(dead)
    for again_or_never in (bus.replay, bus.drop):
        with pytest.raises(NotFound, match=f"dead letter {dead.id} is gone"):
            again_or_never(dead)
    assert bus.dead_letters() == []
    (again,) = receive_all(subscription, 1)
    assert (again.message, again.attempt) == (sent, 1)
    subscription.ack([again])
    for each in (subscription, other, tail):
        assert each.receive(timeout_s=0.15) == []


def test_dead_letters_are_listed_by_group_oldest_first_and_at_most_so_many(engine: Engine, bus: Bus) -> None:
    subscriptions = [engine.subscribe(bus, group=name) for name in ("a", "b")]
    bus.publish(messages(1))
    for subscription in subscriptions:
        fail_until_dead(subscription, reason="x")

    assert [dead.group for dead in bus.dead_letters()] == ["a", "b"]
    assert [dead.group for dead in bus.dead_letters(most=1)] == ["a"]
    assert [dead.group for dead in bus.dead_letters(group="b")] == ["b"]
    assert bus.dead_letters(group="unknown") == []


# --- without a group


def test_depths_tell_what_waits_for_a_group_and_what_died(engine: Engine, bus: Bus) -> None:
    engine.subscribe(bus, group="g").close()
    bus.publish([*messages(3), *messages(4, kind="price.updated")])

    def are(waiting: int, dead: int) -> bool:
        return bus.depths(["trade.booked"], group="g") == Depths(waiting, dead)

    wait_until(lambda: are(waiting=3, dead=0), timeout_s=10, what="three wait")
    subscription = engine.subscribe(bus, group="g")
    subscription.ack(receive_all(subscription, 3))
    bus.publish(messages(1))
    fail_until_dead(subscription, reason="x")
    wait_until(lambda: are(waiting=0, dead=1), timeout_s=10, what="one is dead")

    assert bus.depths(["trade.booked"], group="unknown") == Depths(waiting=0, dead=0)


def test_without_a_group_one_hears_what_is_published_from_now_on(engine: Engine, bus: Bus) -> None:
    bus.publish(messages(3))
    tails = [engine.subscribe(bus, group=None) for _ in range(2)]
    bus.publish(messages(3, first=3))

    for tail in tails:
        deliveries = receive_all(tail, 3)
        assert bodies(deliveries) == [3, 4, 5]
        tail.ack(deliveries)
        assert tail.receive(timeout_s=0.15) == []


def test_without_a_group_a_failing_message_comes_again_a_bounded_number_of_times(
    engine: Engine, bus: Bus
) -> None:
    tail = engine.subscribe(bus, group=None)
    bus.publish(messages(1))

    fail_until_dead(tail, reason="no")

    assert tail.receive(timeout_s=0.15) == []
    assert bus.dead_letters() == []


# --- receiving


@pytest.mark.parametrize(
    ("types", "heard"),
    [
        (["trade.booked"], ["trade.booked"]),
        (["trade.*"], ["trade.booked", "trade.confirmed"]),
        (["*.updated", "trade.booked"], ["trade.booked", "price.updated"]),
        (["trade.*", "trade.booked"], ["trade.booked", "trade.confirmed"]),
        (["trades.*"], []),
    ],
)
@pytest.mark.parametrize("group", ["g", None])
def test_patterns_choose_messages(
    engine: Engine, bus: Bus, types: list[str], heard: list[str], group: str | None
) -> None:
    subscription = engine.subscribe(bus, *types, group=group)
    published = ["trade.booked", "trade.confirmed", "price.updated", "trade.booked.twice"]
    bus.publish([message for kind in published for message in messages(1, kind=kind)])

    got = receive_all(subscription, len(heard))

    assert [delivery.message.type for delivery in got] == heard
    assert subscription.receive(timeout_s=0.1) == []


@pytest.mark.parametrize(
    "types", [[], [""], ["trade booked"], ["trade.booked' OR 1=1 --"], ["a..b"], ["a[b].c"]]
)
def test_what_is_no_pattern_is_refused(bus: Bus, types: list[str]) -> None:
    for group in ("g", None):
        with pytest.raises(ValueError, match="not message types"):
            bus.subscribe(types, group=group)


def test_receive_takes_at_most_so_many(engine: Engine, bus: Bus) -> None:
    subscriptions = [engine.subscribe(bus, group=group) for group in ("g", None)]
    bus.publish(messages(7))

    for subscription in subscriptions:
        sizes = []
        while sum(sizes) < 7:
            sizes.append(len(subscription.receive(timeout_s=5, most=3)))
        assert all(0 < size <= 3 for size in sizes)
        assert subscription.receive(timeout_s=0.1, most=3) == []


@pytest.mark.parametrize("group", ["g", None])
def test_a_waiting_receiver_gets_a_message_at_once(engine: Engine, bus: Bus, group: str | None) -> None:
    publisher = engine.open()
    subscription = engine.subscribe(bus, group=group)
    timer = threading.Timer(0.2, lambda: publisher.publish(messages(1)))
    timer.start()
    began = time.monotonic()

    (delivery,) = subscription.receive(timeout_s=30)
    waited_s = time.monotonic() - began
    timer.join()

    assert bodies([delivery]) == [0]
    assert waited_s < 5


@pytest.mark.parametrize("group", ["g", None])
def test_a_receiver_waits_no_longer_than_it_was_told(engine: Engine, bus: Bus, group: str | None) -> None:
    subscription = engine.subscribe(bus, group=group)
    began = time.monotonic()

    assert subscription.receive(timeout_s=0.3) == []

    assert 0.29 <= time.monotonic() - began < 3


# --- publishing


def test_which_groups_there_are_is_told_or_said_to_be_unknown(engine: Engine, bus: Bus) -> None:
    for name in ("b", "a"):
        engine.subscribe(bus, group=name)

    assert bus.group_names() == (["a", "b"] if engine.name == "embedded" else None)


def test_a_batch_with_one_message_too_large_is_refused_whole(engine: Engine, bus: Bus) -> None:
    subscription = engine.subscribe(bus, group="g")
    huge = Message(type="trade.booked", body=b"x" * (MAX_BODY_BYTES + 1), occurred_at=WHEN)

    with pytest.raises(InvalidInput):
        bus.publish([*messages(3), huge])
    bus.publish([])

    assert subscription.receive(timeout_s=0.15) == []


def test_large_messages_pass_and_a_batch_of_them_is_bounded(engine: Engine, bus: Bus) -> None:
    subscription = engine.subscribe(bus, group="g")
    bus.publish(
        [Message(type="trade.booked", body=b"x" * MAX_BODY_BYTES, occurred_at=WHEN) for _ in range(3)]
    )

    batches = [subscription.receive(timeout_s=5) for _ in range(3)]

    assert [len(batch) for batch in batches] == [1, 1, 1]


def test_a_closed_bus_is_unavailable(bus: Bus) -> None:
    bus.close()
    bus.close()

    for attempt in (
        lambda: bus.publish(messages(1)),
        lambda: bus.subscribe(["a"], group="g"),
        bus.dead_letters,
    ):
        with pytest.raises(Unavailable):
            attempt()


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="no bus engine for 'kafka'"):
        open_bus("kafka://somewhere")


# --- killed processes

PUBLISHER = """
    import sys
    from datetime import UTC, datetime
    from wattbook.bus import Message, open_bus
    bus, now = open_bus(sys.argv[1]), datetime.now(UTC)
    for batch in range(100_000):
        bus.publish([
            Message(type="trade.booked", body=f"{sys.argv[2]} {batch} {n}".encode(), occurred_at=now)
            for n in range(50)
        ])
        print(batch, flush=True)
"""

CONSUMER = """
    import sys, time
    from wattbook.bus import open_bus
    subscription = open_bus(sys.argv[1]).subscribe(["trade.booked"], group="g")
    print("ready", flush=True)
    deliveries = []
    while len(deliveries) < 10:
        deliveries += subscription.receive(timeout_s=1)
    subscription.ack(deliveries[:3])
    print("received", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_publisher_killed_in_the_middle_leaves_all_confirmed_batches_whole(
    engine: Engine, bus: Bus
) -> None:
    subscription = engine.subscribe(bus, group="g")
    confirmed: dict[int, int] = {}
    for run in range(3):
        with started(PUBLISHER, engine.url, str(run)) as publisher:
            for line in publisher.lines():
                confirmed[run] = int(line)
                if confirmed[run] == 10 + 7 * run:
                    publisher.kill()

    found: list[tuple[int, ...]] = []
    while deliveries := subscription.receive(timeout_s=0.3, most=500):
        found += [tuple(map(int, delivery.message.body.split())) for delivery in deliveries]
        subscription.ack(deliveries)

    assert len(found) == len(set(found))
    for run, last in confirmed.items():
        its = [(batch, n) for its_run, batch, n in found if its_run == run]
        whole = [(batch, n) for batch in range(its[-1][0] + 1) for n in range(50)]
        assert its[: (last + 1) * 50] == whole[: (last + 1) * 50]
        if engine.name == "embedded":
            assert its == whole
        else:  # what was not confirmed may be there in part
            assert its == whole[: len(its)]


def test_what_a_killed_consumer_had_in_hand_comes_again(engine: Engine, bus: Bus) -> None:
    with started(CONSUMER, engine.url) as consumer:
        assert consumer.line() == "ready"
        bus.publish(messages(10))
        assert consumer.line() == "received"
        other = engine.subscribe(bus, group="g")
        assert other.receive(timeout_s=0.15) == []  # in the hands of a living member
        consumer.kill()

        again = receive_all(other, 7)

    assert bodies(again) == list(range(3, 10))
    # RabbitMQ's broker counts such returns by itself, apart from failures; so it does those of a closed one.
    assert {delivery.attempt for delivery in again} == {2 if engine.name == "embedded" else 1}


# --- the consumer thread


class Recorder:
    """A handler that does as it is told and remembers what it handled."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.traces: list[str] = []
        self.react: Callable[[list[int]], None] = lambda _numbers: None

    def __call__(self, batch: Sequence[Message]) -> None:
        context = telemetry.current()
        assert context is not None
        numbers = bodies(batch)
        self.batches.append(numbers)
        self.traces.append(context.trace_id)
        self.react(numbers)

    @property
    def seen(self) -> list[int]:
        return list(chain.from_iterable(self.batches))


@pytest.fixture
def consume(bus: Bus) -> Iterator[Callable[[Recorder], Consumer]]:
    consumers: list[Consumer] = []

    def make(recorder: Recorder) -> Consumer:
        bus.subscribe(["trade.booked"], group="g").close()  # so that nothing published from now on is missed
        consumer = Consumer(
            lambda: bus.subscribe(["trade.booked"], group="g"), recorder, name="test", backoff=SOON
        )
        consumers.append(consumer)
        consumer.start()
        return consumer

    yield make
    for consumer in consumers:
        consumer.stop()


def test_a_consumer_handles_and_acknowledges(
    engine: Engine, bus: Bus, consume: Callable[[Recorder], Consumer]
) -> None:
    recorder = Recorder()
    consumer = consume(recorder)
    bus.publish(messages(20))

    wait_until(lambda: len(recorder.seen) == 20, timeout_s=10, what="all are handled")
    consumer.stop()

    assert recorder.seen == list(range(20))
    assert engine.subscribe(bus, group="g").receive(timeout_s=0.15) == []


def test_one_bad_message_does_not_take_the_others_with_it(
    bus: Bus, consume: Callable[[Recorder], Consumer]
) -> None:
    recorder = Recorder()
    worked: set[int] = set()

    def react(numbers: list[int]) -> None:
        if 7 in numbers:
            raise ValueError("7 is bad")
        worked.update(numbers)

    recorder.react = react
    consume(recorder)
    bus.publish(messages(20))

    (dead,) = wait_until(bus.dead_letters, timeout_s=30, what="the bad one is a dead letter")

    assert worked == set(range(20)) - {7}
    assert (bodies([dead.message]), dead.reason) == ([7], "ValueError: 7 is bad")


def test_what_a_handler_needs_may_be_down_for_long_and_nothing_dies_of_it(
    bus: Bus, consume: Callable[[Recorder], Consumer]
) -> None:
    recorder = Recorder()
    tries = 0

    def react(_numbers: list[int]) -> None:
        nonlocal tries
        tries += 1
        if tries <= 3 * MAX_ATTEMPTS:
            raise Unavailable("the store is down")

    recorder.react = react
    consumer = consume(recorder)
    bus.publish(messages(5))

    def worked() -> bool:  # the last of them too, if they came in two batches
        return tries > 3 * MAX_ATTEMPTS and recorder.batches[-1][-1] == 4

    wait_until(worked, timeout_s=30, what="it works in the end")
    consumer.stop()

    assert set(recorder.seen) == set(range(5))
    assert bus.dead_letters() == []


def test_stopping_while_waiting_gives_the_messages_back_uncounted(
    engine: Engine, bus: Bus, consume: Callable[[Recorder], Consumer]
) -> None:
    recorder = Recorder()

    def react(_numbers: list[int]) -> None:
        raise Unavailable("down")

    recorder.react = react
    consumer = consume(recorder)
    bus.publish(messages(5))
    wait_until(lambda: len(recorder.batches) > 3, timeout_s=10, what="it is tried")
    consumer.stop()

    again = receive_all(engine.subscribe(bus, group="g"), 5)

    assert bodies(again) == list(range(5))
    assert {delivery.attempt for delivery in again} == {1}


def test_stop_finishes_the_batch_in_hand(
    engine: Engine, bus: Bus, consume: Callable[[Recorder], Consumer]
) -> None:
    recorder = Recorder()
    inside, go_on = threading.Event(), threading.Event()

    def react(_numbers: list[int]) -> None:
        inside.set()
        assert go_on.wait(10)

    recorder.react = react
    consumer = consume(recorder)
    bus.publish(messages(5))
    assert inside.wait(10)
    stopper = threading.Thread(target=consumer.stop)
    stopper.start()
    go_on.set()
    stopper.join(10)

    assert not stopper.is_alive()
    done = len(recorder.seen)
    assert recorder.seen == list(range(done))
    rest = engine.subscribe(bus, group="g")
    assert bodies(receive_all(rest, 5 - done)) == list(range(done, 5))
    assert rest.receive(timeout_s=0.15) == []


def test_the_trace_of_a_message_goes_on_in_its_handler(
    bus: Bus, consume: Callable[[Recorder], Consumer]
) -> None:
    recorder = Recorder()
    consume(recorder)
    with telemetry.within(telemetry.new_context()) as mine:
        bus.publish(messages(1))

    wait_until(lambda: recorder.traces, timeout_s=10, what="it is handled")

    assert recorder.traces == [mine.trace_id]


def test_a_consumer_waits_for_a_bus_that_is_not_there(engine: Engine, bus: Bus) -> None:
    recorder = Recorder()
    tries = 0

    def subscribe() -> Subscription:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise Unavailable("the bus is down")
        return bus.subscribe(["trade.booked"], group="g")

    bus.subscribe(["trade.booked"], group="g").close()
    bus.publish(messages(1))
    consumer = Consumer(subscribe, recorder, name="test", backoff=SOON)
    consumer.start()
    wait_until(lambda: recorder.seen == [0], timeout_s=10, what="it is handled")
    consumer.stop()

    assert tries == 4
