"""What others put on RabbitMQ: a member that cannot take a message buries that one, and no other.

Operators publish through the management's pages, where headers are text and properties are left out; another
version of the same service binds types that this one does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pika
import pytest
from wattbook.bus import Bus, DeadLetter, Message, open_bus
from wattbook.bus.rabbitmq.places import DELIVERY_LIMIT, EXCHANGE
from wattbook.bus.topology import TRADE_BOOKED, TRADE_CONFIRMED, Group
from wattbook.errors import InvalidInput, NotFound

from tests.support.rabbitmq import Server
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers]

WHEN = datetime(2023, 2, 28, 11, 12, 35, 250_000, tzinfo=UTC)
GROUP = Group("g", (TRADE_BOOKED,))


@pytest.fixture
def url(rabbitmq_server: Server) -> str:
    return rabbitmq_server.url(rabbitmq_server.vhost())


@pytest.fixture
def bus(url: str) -> Iterator[Bus]:
    """It knows the group, whose queue is there."""
    opened = open_bus(url, groups=[GROUP])
    opened.publish([message("first")])
    yield opened
    opened.close()


def message(body: str, kind: str = TRADE_BOOKED) -> Message:
    return Message(type=kind, body=body.encode(), occurred_at=WHEN)


def publish_raw(url: str, body: str, *, key: str = TRADE_BOOKED, **properties: Any) -> None:
    """As an operator does, with no help of ours."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_publish(EXCHANGE, key, body.encode(), pika.BasicProperties(**properties), mandatory=True)
    connection.close()


def taken(bus: Bus, *bodies: str, types: tuple[str, ...] = GROUP.types) -> list[Message]:
    """What a member gets until it has these, in its order, all acknowledged."""
    subscription = bus.subscribe(types, group=GROUP.name)
    found: list[Message] = []

    def complete() -> bool:
        deliveries = subscription.receive(timeout_s=0.2)
        subscription.ack(deliveries)
        found.extend(each.message for each in deliveries)
        return {each.body.decode() for each in found} >= set(bodies)

    wait_until(complete, timeout_s=20, what=f"{bodies} have come")
    assert subscription.receive(timeout_s=0.2) == []
    subscription.close()
    return found


def the_dead_letter(bus: Bus) -> DeadLetter:
    (dead,) = wait_until(bus.dead_letters, timeout_s=20, what="it is a dead letter")
    return dead


BAD = {
    "its occurred_us is no time": {"type": TRADE_BOOKED, "headers": {"occurred_us": "soon"}},
    "its occurred_us is no time ": {"type": TRADE_BOOKED, "headers": {"occurred_us": 2**62}},
    "its occurred_us is no time  ": {"type": TRADE_BOOKED, "timestamp": 2**60},
    "its version is no whole number": {"type": TRADE_BOOKED, "headers": {"version": "two"}},
    "it has no type": {"headers": {"occurred_us": 5}},
}


@pytest.mark.parametrize("fault", BAD)
def test_a_message_that_cannot_be_read_is_buried_and_its_neighbours_are_not(
    bus: Bus, url: str, fault: str
) -> None:
    publish_raw(url, "bad", **BAD[fault])
    bus.publish([message("last")])

    assert [each.body for each in taken(bus, "first", "last")] == [b"first", b"last"]

    dead = the_dead_letter(bus)
    assert (dead.group, dead.message.body, dead.attempts) == ("g", b"bad", 1)
    assert dead.reason == f"its envelope cannot be read: {fault.strip()}"
    assert abs((datetime.now(UTC) - dead.died_at).total_seconds()) < 120
    with pytest.raises(InvalidInput, match="it would only come back"):
        bus.replay(dead)
    assert bus.dead_letters() == [dead]
    bus.drop(dead)
    assert bus.dead_letters() == []
    with pytest.raises(NotFound):
        bus.drop(dead)


def test_a_message_that_cannot_be_read_costs_a_listener_without_a_group_nothing(bus: Bus, url: str) -> None:
    tail = bus.subscribe(GROUP.types, group=None)
    publish_raw(url, "bad", type=TRADE_BOOKED, headers={"occurred_us": "soon"})
    bus.publish([message("last")])

    (delivery,) = tail.receive(timeout_s=10)

    assert delivery.message.body == b"last"
    tail.close()


def test_what_an_operator_copies_by_hand_is_read_though_its_headers_are_text(bus: Bus, url: str) -> None:
    headers = {"occurred_us": "1677582755250000", "version": "1", "traceparent": ""}
    publish_raw(url, "copied", type=TRADE_BOOKED, headers=headers, message_id="x")

    (_, copied) = taken(bus, "first", "copied")

    assert copied == Message(
        type=TRADE_BOOKED, body=b"copied", occurred_at=WHEN, version=1, id="x", traceparent=""
    )


def test_dead_letters_are_shown_whatever_others_wrote_into_them(bus: Bus, url: str) -> None:
    headers = {"x-death": "once", "x-wattbook-attempts": "many", "occurred_us": [1]}
    connection = pika.BlockingConnection(pika.URLParameters(url))
    for more in ({}, {"x-wattbook-reason": 7, "x-wattbook-died-us": 2**62}):
        properties = pika.BasicProperties(headers={**headers, **more})
        connection.channel().basic_publish("", "wattbook.dead.g", b"odd", properties)
    connection.close()

    found = wait_until(lambda: bus.dead_letters() if len(bus.dead_letters()) == 2 else None, timeout_s=10,
                       what="both are seen")  # fmt: skip

    assert {each.reason for each in found} == {"the broker put it here: unknown", "7"}
    for each in found:
        bus.drop(each)


def test_what_a_newer_version_bound_is_kept_by_an_older_one_for_a_replay(bus: Bus) -> None:
    newer = (TRADE_BOOKED, TRADE_CONFIRMED)
    bus.subscribe(newer, group=GROUP.name).close()  # it binds the type, and one of the older ones takes over
    sent = message("new", TRADE_CONFIRMED)
    bus.publish([sent, message("last")])

    assert [each.body for each in taken(bus, "first", "last")] == [b"first", b"last"]
    dead = the_dead_letter(bus)
    assert (dead.message, dead.reason) == (sent, "this group knows no 'trade.confirmed'")
    bus.replay(dead)

    assert taken(bus, "new", types=newer) == [sent]


@pytest.mark.parametrize("header", ["x-delivery-count", "x-acquired-count"])
def test_either_count_of_the_broker_tells_whose_consumers_keep_ending(
    bus: Bus, url: str, header: str
) -> None:
    for body, count in (("suspect", 3), ("hopeless", DELIVERY_LIMIT + 1)):
        publish_raw(url, body, type=TRADE_BOOKED, headers={header: count, "occurred_us": 5})
    bus.publish([message("last")])

    assert [each.body for each in taken(bus, "suspect")] == [b"first", b"last", b"suspect"]

    dead = the_dead_letter(bus)
    assert (dead.message.body, dead.attempts) == (b"hopeless", DELIVERY_LIMIT + 1)
    assert dead.reason == "each consumer that had it died or hung"
