"""The rights that the deployment gives each service on RabbitMQ are those that it needs, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker
from wattbook.bus import MAX_ATTEMPTS, Bus, Message
from wattbook.bus.rabbitmq import RabbitBus, publisher
from wattbook.bus.rabbitmq.address import Address
from wattbook.bus.topology import INGEST_SPOOLS, PRICING_SERVICE, TRADE_SERVICE, Group, ingest_spool
from wattbook.errors import Unavailable
from wattbook.retry import Backoff

from tests.support import roots
from tests.support.rabbitmq import Server, available, running

pytestmark = [pytest.mark.servers]
WHEN = datetime(2023, 2, 28, 11, 12, 35, tzinfo=UTC)
SOON = Backoff(first_s=0.01, most_s=0.02)


@pytest.fixture(scope="module", params=["deployed", "4.0", "this machine's"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The deployed version first; the older ones look for a queue without any right to it."""
    if request.param == "deployed":
        yield request.getfixturevalue("rabbitmq_server")
        return
    programs = roots.rabbitmq(root=roots.TRIXIE if request.param == "4.0" else None)
    if programs is None or programs == available():
        pytest.skip(f"there is no other RabbitMQ here: {request.param}")
    with running(programs=programs) as started:
        yield started


class Users:
    """A virtual host as it is deployed, and its users with their rights in it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._vhost = server.deployed_vhost()

    @contextmanager
    def channel(self, user: str) -> Iterator[BlockingChannel]:
        """What a thief does with a password, past our code."""
        connection = pika.BlockingConnection(pika.URLParameters(self._server.url(self._vhost, user=user)))
        try:
            yield connection.channel()
        finally:
            connection.close()

    def bus(self, user: str, *groups: Group) -> Bus:
        url = self._server.url(self._vhost, user=user)
        return RabbitBus(Address.of(url), groups=groups, backoff=SOON)

    def delete_queue(self, name: str) -> None:
        self._server.manage("DELETE", f"queues/{self._vhost}/{name}")

    def bindings(self) -> set[tuple[str, str, str]]:
        """(exchange, queue, key) of all that is sent anywhere."""
        found = self._server.manage("GET", f"bindings/{self._vhost}")
        return {
            (each["source"], each["destination"], each["routing_key"]) for each in found if each["source"]
        }


def message(type_: str) -> Message:
    return Message(type=type_, body=type_.encode(), occurred_at=WHEN)


THEFTS: dict[str, Callable[[BlockingChannel, str], object]] = {
    "consume": lambda channel, queue: channel.basic_consume(queue, lambda *_: None),
    "get": lambda channel, queue: channel.basic_get(queue),
    "purge": lambda channel, queue: channel.queue_purge(queue),
    "delete": lambda channel, queue: channel.queue_delete(queue),
}


def refusal(steal: Callable[[BlockingChannel, str], object], channel: BlockingChannel, queue: str) -> int:
    """The broker's answer; 0 where it let it happen."""
    try:
        steal(channel, queue)
    except ChannelClosedByBroker as refused:
        return int(refused.reply_code)
    return 0


@pytest.mark.parametrize("user", ["ingest", "trade", "pricing", "cash", "report"])
def test_a_stolen_password_takes_nothing_from_the_queues_of_others(server: Server, user: str) -> None:
    users, spool = Users(server), ingest_spool("one")
    ops = users.bus("ops")
    owners = {"trade": TRADE_SERVICE, "pricing": PRICING_SERVICE, "ingest": spool}
    ops.declare(owners.values())
    foreign = [group.name for owner, group in owners.items() if owner != user]

    for queue in [f"wattbook.{dead}{name}" for name in foreign for dead in ("", "dead.")]:
        for what, steal in THEFTS.items():
            with users.channel(user) as channel:
                assert refusal(steal, channel, queue) == 403, f"{user} may {what} {queue}"
    for exchange, queue, key in users.bindings():
        if queue.endswith(tuple(foreign)):
            with users.channel(user) as channel:
                unbind = partial(BlockingChannel.queue_unbind, exchange=exchange, routing_key=key)
                answer = refusal(unbind, channel, queue)
                assert answer == 403, f"{user} may unbind {queue} from {exchange}: {key}"
    ops.close()


def test_each_service_can_do_its_part_and_not_that_of_others(server: Server) -> None:
    users, spool = Users(server), ingest_spool("one")
    ops = users.bus("ops")
    ops.declare([TRADE_SERVICE, PRICING_SERVICE])
    ingest, trade = (
        users.bus("ingest", TRADE_SERVICE, spool),
        users.bus("trade", INGEST_SPOOLS, PRICING_SERVICE),
    )
    pricing, cash, report = users.bus("pricing"), users.bus("cash"), users.bus("report")
    refusals = ingest.subscribe(spool.types, group=spool.name)
    confirmations = trade.subscribe(TRADE_SERVICE.types, group=TRADE_SERVICE.name)
    traded = pricing.subscribe(PRICING_SERVICE.types, group=PRICING_SERVICE.name)
    shown = report.subscribe(["trade.booked", "price.updated", "cash.changed"], group=None)

    ingest.publish([message("trade.confirmed")])
    trade.publish([message("trade.booked"), message("trade.refused")])
    pricing.publish([message("price.updated")])
    cash.publish([message("cash.changed")])

    assert len(refusals.receive(timeout_s=10)) == len(traded.receive(timeout_s=10)) == 1
    assert {each.message.type for _ in range(3) for each in shown.receive(timeout_s=10, most=1)} == {
        "trade.booked",
        "price.updated",
        "cash.changed",
    }
    for _ in range(MAX_ATTEMPTS):
        (delivery,) = confirmations.receive(timeout_s=10)
        confirmations.retry(delivery, "no good")
    (dead,) = ops.dead_letters(group=TRADE_SERVICE.name)
    ops.replay(dead)
    assert len(confirmations.receive(timeout_s=10)) == 1
    for bus, type_ in (
        (pricing, "trade.booked"),
        (cash, "price.updated"),
        (report, "cash.changed"),
        (trade, "trade.confirmed"),
    ):
        with pytest.raises(Unavailable):
            bus.publish([message(type_)])
    with pytest.raises(Unavailable):
        pricing.subscribe(TRADE_SERVICE.types, group=TRADE_SERVICE.name)
    for bus in (ops, ingest, trade, pricing, cash, report):
        bus.close()


def test_what_pricing_must_hear_waits_while_its_queue_is_away_and_nobody_may_make_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a first start before the job that declares it, and though a read model would take its messages."""
    monkeypatch.setattr(publisher, "LOOK_S", 0.0)
    users = Users(server)
    ops, trade, report = (
        users.bus("ops"),
        users.bus("trade", INGEST_SPOOLS, PRICING_SERVICE),
        users.bus("report"),
    )
    ops.declare([TRADE_SERVICE])
    shown = report.subscribe(PRICING_SERVICE.types, group=None)
    booked = [message("trade.booked")]
    with pytest.raises(Unavailable, match=r"wattbook\.(dead\.)?pricing-service is missing"):
        trade.publish(booked)
    ops.declare([PRICING_SERVICE])
    trade.publish(booked)
    users.delete_queue("wattbook.pricing-service")

    with pytest.raises(Unavailable, match=r"^wattbook\.pricing-service is missing"):
        trade.publish(booked)
    ops.declare([PRICING_SERVICE])
    trade.publish(booked)

    traded = users.bus("pricing").subscribe(PRICING_SERVICE.types, group=PRICING_SERVICE.name)
    assert len(traded.receive(timeout_s=10)) == 1
    shown.close()
    for bus in (ops, trade, report):
        bus.close()
