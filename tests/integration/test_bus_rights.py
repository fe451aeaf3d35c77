"""The rights that the deployment gives each service on RabbitMQ are those that it needs, and no more."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

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

from tests.support.rabbitmq import Server

pytestmark = [pytest.mark.servers]
RIGHTS = Path(__file__).parents[2] / "deploy/k8s/components/engines/rabbitmq/start.sh"
WHEN = datetime(2023, 2, 28, 11, 12, 35, tzinfo=UTC)
SOON = Backoff(first_s=0.01, most_s=0.02)


class Users:
    """A virtual host and the users that the deployment makes, with their rights in it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._vhost = server.vhost()
        script = RIGHTS.read_text()
        for user, configure, write, read in re.findall(r"may (\w+) '(.*?)' '(.*?)' '(.*?)'", script):
            server.manage("PUT", f"users/{self._name(user)}", {"password": server.password, "tags": ""})
            rights = {"configure": configure, "write": write, "read": read}
            server.manage("PUT", f"permissions/{self._vhost}/{self._name(user)}", rights)
        for user, write, read in re.findall(r"says (\w+) '(.*?)' '(.*?)'", script):
            rights = {"exchange": "wattbook", "write": write, "read": read}
            server.manage("PUT", f"topic-permissions/{self._vhost}/{self._name(user)}", rights)

    @contextmanager
    def channel(self, user: str) -> Iterator[BlockingChannel]:
        """What a thief does with a password, past our code."""
        url = self._server.url(self._vhost).replace("//wattbook:", f"//{self._name(user)}:")
        connection = pika.BlockingConnection(pika.URLParameters(url))
        try:
            yield connection.channel()
        finally:
            connection.close()

    def bus(self, user: str, *groups: Group) -> Bus:
        url = self._server.url(self._vhost).replace("//wattbook:", f"//{self._name(user)}:")
        return RabbitBus(Address.of(url), groups=groups, backoff=SOON)

    def delete_queue(self, name: str) -> None:
        self._server.manage("DELETE", f"queues/{self._vhost}/{name}")

    def _name(self, user: str) -> str:
        return f"{user}-{self._vhost}"


def message(type_: str) -> Message:
    return Message(type=type_, body=type_.encode(), occurred_at=WHEN)


THEFTS: dict[str, Callable[[BlockingChannel, str], object]] = {
    "consume": lambda channel, queue: channel.basic_consume(queue, lambda *_: None),
    "get": lambda channel, queue: channel.basic_get(queue),
    "purge": lambda channel, queue: channel.queue_purge(queue),
    "delete": lambda channel, queue: channel.queue_delete(queue),
    "unbind": lambda channel, queue: channel.queue_unbind(queue, "wattbook", "trade.confirmed"),
}


def refusal(steal: Callable[[BlockingChannel, str], object], channel: BlockingChannel, queue: str) -> int:
    """The broker's answer; 0 where it let it happen."""
    try:
        steal(channel, queue)
    except ChannelClosedByBroker as refused:
        return int(refused.reply_code)
    return 0


@pytest.mark.parametrize("user", ["ingest", "trade", "pricing", "report"])
def test_a_stolen_password_takes_nothing_from_the_queues_of_others(
    rabbitmq_server: Server, user: str
) -> None:
    users, spool = Users(rabbitmq_server), ingest_spool("one")
    ops = users.bus("ops")
    owners = {"trade": TRADE_SERVICE, "pricing": PRICING_SERVICE, "ingest": spool}
    ops.declare(owners.values())
    foreign = [group.name for owner, group in owners.items() if owner != user]

    for queue in [f"wattbook.{dead}{name}" for name in foreign for dead in ("", "dead.")]:
        for what, steal in THEFTS.items():
            with users.channel(user) as channel:
                assert refusal(steal, channel, queue) == 403, f"{user} may {what} {queue}"
    ops.close()


def test_each_service_can_do_its_part_and_not_that_of_others(rabbitmq_server: Server) -> None:
    users, spool = Users(rabbitmq_server), ingest_spool("one")
    ops = users.bus("ops")
    ops.declare([TRADE_SERVICE, PRICING_SERVICE])
    ingest, trade = (
        users.bus("ingest", TRADE_SERVICE, spool),
        users.bus("trade", INGEST_SPOOLS, PRICING_SERVICE),
    )
    pricing, report = users.bus("pricing"), users.bus("report")
    refusals = ingest.subscribe(spool.types, group=spool.name)
    confirmations = trade.subscribe(TRADE_SERVICE.types, group=TRADE_SERVICE.name)
    traded = pricing.subscribe(PRICING_SERVICE.types, group=PRICING_SERVICE.name)
    shown = report.subscribe(["trade.booked", "price.updated"], group=None)

    ingest.publish([message("trade.confirmed")])
    trade.publish([message("trade.booked"), message("trade.refused")])
    pricing.publish([message("price.updated")])

    assert len(refusals.receive(timeout_s=10)) == len(traded.receive(timeout_s=10)) == 1
    assert {each.message.type for _ in range(2) for each in shown.receive(timeout_s=10, most=1)} == {
        "trade.booked",
        "price.updated",
    }
    for _ in range(MAX_ATTEMPTS):
        (delivery,) = confirmations.receive(timeout_s=10)
        confirmations.retry(delivery, "no good")
    (dead,) = ops.dead_letters(group=TRADE_SERVICE.name)
    ops.replay(dead)
    assert len(confirmations.receive(timeout_s=10)) == 1
    for bus, type_ in ((pricing, "trade.booked"), (report, "price.updated"), (trade, "trade.confirmed")):
        with pytest.raises(Unavailable):
            bus.publish([message(type_)])
    with pytest.raises(Unavailable):
        pricing.subscribe(TRADE_SERVICE.types, group=TRADE_SERVICE.name)
    for bus in (ops, ingest, trade, pricing, report):
        bus.close()


def test_what_pricing_must_hear_waits_while_its_queue_is_away_and_nobody_may_make_it(
    rabbitmq_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a first start before the job that declares it, and though a read model would take its messages."""
    monkeypatch.setattr(publisher, "LOOK_S", 0.0)
    users = Users(rabbitmq_server)
    ops, trade, report = (
        users.bus("ops"),
        users.bus("trade", INGEST_SPOOLS, PRICING_SERVICE),
        users.bus("report"),
    )
    ops.declare([TRADE_SERVICE])
    shown = report.subscribe(PRICING_SERVICE.types, group=None)
    booked = [message("trade.booked")]
    with pytest.raises(Unavailable, match=r"wattbook\.dead\.pricing-service is missing"):
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
