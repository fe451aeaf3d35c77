"""What RabbitMQ, the network before it and bad messages can do, and what they must not cost."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from wattbook import db
from wattbook.bus import Bus, Message, Subscription, TlsFiles, open_bus
from wattbook.bus.consumer import Consumer
from wattbook.bus.rabbitmq import link, publisher
from wattbook.bus.rabbitmq.inbox import Inbox
from wattbook.bus.rabbitmq.places import DELIVERY_LIMIT
from wattbook.bus.topology import Group
from wattbook.errors import Unavailable
from wattbook.retry import Backoff

from tests.support import proxy, rabbitmq
from tests.support.certificates import Authority
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers]

WHEN = datetime(2023, 2, 28, 11, 12, 35, tzinfo=UTC)
SOON = Backoff(first_s=0.02, most_s=0.2)
GROUP = Group("g", ("trade.booked",))
BATCH = 20
PREFETCH = 2 * BATCH


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rabbitmq.Server]:
    """A server that may be killed, with TLS besides; whoever kills it starts it again."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    with rabbitmq.running(tls=authority) as server:
        yield server


def message(number: int) -> Message:
    return Message(type="trade.booked", body=str(number).encode(), occurred_at=WHEN)


def published(bus: Bus, messages: Sequence[Message]) -> bool:
    try:
        bus.publish(messages)
    except Unavailable:
        return False
    return True


class Load:
    """A publisher that never gives up, and a consumer whose effect has a natural key.

    The key makes an effect happen once, whatever the bus does. What the bus does is counted beside it: a
    message, known by its id, may come again only if a consumer had it in hand when its connection was lost.
    """

    def __init__(self, url: str) -> None:
        self.confirmed: list[int] = []
        self.refused = 0
        self.effects: set[int] = set()
        self._deliveries: Counter[str] = Counter()
        self._subscriptions = 0
        self._bus = open_bus(f"{url}?prefetch={PREFETCH}", groups=[GROUP])
        self._stopping = threading.Event()
        self._publisher = threading.Thread(target=self._publish)
        self._consumer = Consumer(self._subscribe, self._handle, name="load", backoff=SOON)

    def __enter__(self) -> Load:
        self._consumer.start()
        self._publisher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._publisher.join(60)
        self._consumer.stop()
        self._bus.close()

    def wait_confirmed(self, more: int, *, timeout_s: float = 60) -> None:
        target = len(self.confirmed) + more
        wait_until(lambda: len(self.confirmed) >= target, timeout_s=timeout_s, what=f"{target} are confirmed")

    def assert_nothing_lost(self) -> None:
        """All that was confirmed had its effect, nothing else had one, and nothing done with came again."""
        self._stopping.set()
        self._publisher.join(60)
        wait_until(
            lambda: set(self.confirmed) <= self.effects,
            timeout_s=60,
            what="all that was confirmed is handled",
        )
        assert self.effects == set(self.confirmed)
        again = self._deliveries.total() - len(self._deliveries)
        assert again <= (self._subscriptions - 1) * PREFETCH, f"{again} came again"

    def _subscribe(self) -> Subscription:
        subscription = self._bus.subscribe(GROUP.types, group=GROUP.name)
        self._subscriptions += 1
        return subscription

    def _publish(self) -> None:
        for start in count(step=BATCH):
            numbers = range(start, start + BATCH)
            messages = [message(number) for number in numbers]
            while not published(self._bus, messages):
                self.refused += 1
                self._stopping.wait(0.02)
            self.confirmed += numbers
            if self._stopping.is_set():
                return

    def _handle(self, messages: Sequence[Message]) -> None:
        numbers = [int(each.body) for each in messages]
        self._deliveries.update(each.id for each in messages)
        self.effects.update(numbers)


def settled(server: rabbitmq.Server, vhost: str) -> None:
    """A quorum queue that is killed within a second of its making may stay down for good."""
    wait_until(
        lambda: all(
            "message_stats" in queue for name, queue in server.queues(vhost).items() if "dead" not in name
        ),
        timeout_s=20,
        what="the server has counted what went through its queues",
    )


def test_a_killed_and_restarted_server_loses_nothing_that_it_confirmed(breakable: rabbitmq.Server) -> None:
    vhost = breakable.vhost()
    with Load(breakable.url(vhost)) as load:
        load.wait_confirmed(500)
        settled(breakable, vhost)
        breakable.kill()
        wait_until(lambda: load.refused, timeout_s=30, what="publishing is refused")
        breakable.start()
        load.wait_confirmed(500)

        load.assert_nothing_lost()


def test_a_memory_alarm_refuses_publishers_and_the_outbox_keeps_what_waits(
    breakable: rabbitmq.Server, tmp_path: Path
) -> None:
    import sqlalchemy as sa
    from wattbook.outbox import Relay, enqueue, outbox_table

    vhost = breakable.vhost()
    bus = open_bus(breakable.url(vhost), groups=[GROUP])
    bus.publish([message(0)])
    subscription = bus.subscribe(GROUP.types, group=GROUP.name)
    with breakable.short_of_memory():
        with pytest.raises(Unavailable, match="takes nothing now"):
            bus.publish([message(1)])
        metadata = sa.MetaData()
        outbox_table(metadata)
        store = db.open_store(f"sqlite:///{tmp_path}/outbox.db", name="outbox")
        with store.write() as connection:
            metadata.create_all(connection)
            enqueue(connection, [message(number) for number in range(2, 302)])
        relay = Relay(store, bus, backoff=SOON)
        relay.start()
        with pytest.raises(Unavailable, match="takes nothing now"):
            bus.publish([message(1)])
        assert relay.depth() == 300
    wait_until(lambda: relay.depth() == 0, timeout_s=30, what="the outbox is empty")
    got: set[int] = set()

    def all_came() -> bool:
        deliveries = subscription.receive(timeout_s=0.2, most=500)
        subscription.ack(deliveries)
        got.update(int(delivery.message.body) for delivery in deliveries)
        return got >= {0, *range(2, 302)}

    wait_until(all_came, timeout_s=30, what="all that was kept has come")
    relay.stop()
    store.close()
    bus.close()


def test_a_connection_lost_between_a_message_and_its_confirm_sends_it_again(
    breakable: rabbitmq.Server,
) -> None:
    vhost = breakable.vhost()
    with proxy.before(breakable.port) as network:
        bus = open_bus(
            breakable.url(vhost).replace(f":{breakable.port}/", f":{network.port}/"), groups=[GROUP]
        )
        bus.publish([message(0)])
        network.silence()
        failures: list[Unavailable] = []

        def publish() -> None:
            try:
                bus.publish([message(1)])
            except Unavailable as error:
                failures.append(error)

        publishing = threading.Thread(target=publish)
        publishing.start()
        network.wait_heard()  # the server has it and says so, and nobody hears that
        network.cut()
        publishing.join(20)

        assert len(failures) == 1
        wait_until(lambda: published(bus, [message(1)]), timeout_s=10, what="it is sent again")
        subscription = bus.subscribe(GROUP.types, group=GROUP.name)
        found: list[int] = []
        while deliveries := subscription.receive(timeout_s=0.5):
            found += [int(delivery.message.body) for delivery in deliveries]
        assert found == [0, 1, 1]
        bus.close()


def test_connections_that_break_again_and_again_cost_nothing(breakable: rabbitmq.Server) -> None:
    vhost = breakable.vhost()
    with proxy.before(breakable.port) as network:
        with Load(breakable.url(vhost).replace(f":{breakable.port}/", f":{network.port}/")) as load:
            for _ in range(15):
                load.wait_confirmed(3 * BATCH)
                network.cut()
            load.wait_confirmed(3 * BATCH)

            load.assert_nothing_lost()
        assert load.refused >= 5


def test_a_server_that_falls_silent_is_noticed_by_its_heartbeat(breakable: rabbitmq.Server) -> None:
    vhost = breakable.vhost()
    with proxy.before(breakable.port) as network:
        url = breakable.url(vhost).replace(f":{breakable.port}/", f":{network.port}/") + "?heartbeat_s=1"
        bus = open_bus(url)
        subscription = bus.subscribe(["trade.booked"], group="g")
        network.silence()

        def noticed() -> bool:
            try:
                subscription.receive(timeout_s=0.2)
            except Unavailable:
                return True
            return False

        wait_until(noticed, timeout_s=15, what="the silence is noticed")
        network.cut()
        again = wait_until(
            lambda: bus.subscribe(["trade.booked"], group="g"),
            timeout_s=10,
            what="another connection is made",
        )
        again.close()
        bus.close()


def test_the_message_that_kills_its_consumers_dies_alone_and_can_be_replayed(
    breakable: rabbitmq.Server,
) -> None:
    bus = open_bus(breakable.url(breakable.vhost()), groups=[GROUP])
    bus.publish([message(number) for number in range(30)])
    poison, done, deaths = 13, set[int](), 0
    while deaths <= DELIVERY_LIMIT:
        subscription = bus.subscribe(GROUP.types, group=GROUP.name)
        while deliveries := subscription.receive(timeout_s=3, most=10):
            numbers = [int(delivery.message.body) for delivery in deliveries]
            if poison in numbers:
                break  # as if it had died: nothing is acknowledged, and the channel goes
            subscription.ack(deliveries)
            done.update(numbers)
        else:
            break
        deaths += 1
        subscription.close()

    (dead,) = wait_until(bus.dead_letters, timeout_s=20, what="it is a dead letter")
    assert done == set(range(30)) - {poison}
    assert (dead.group, int(dead.message.body), dead.reason) == (
        "g", poison, "each consumer that had it died or hung",
    )  # fmt: skip
    assert dead.attempts == DELIVERY_LIMIT + 1
    assert abs((datetime.now(UTC) - dead.died_at).total_seconds()) < 120

    bus.replay(dead)

    subscription = bus.subscribe(GROUP.types, group=GROUP.name)
    (again,) = wait_until(lambda: subscription.receive(timeout_s=1), timeout_s=10, what="it comes again")
    assert (int(again.message.body), again.message) == (poison, dead.message)
    subscription.ack([again])
    assert bus.dead_letters() == []
    bus.close()


def test_a_queue_that_was_deleted_refuses_its_messages_until_it_is_made_again(
    breakable: rabbitmq.Server,
) -> None:
    vhost = breakable.vhost()
    bus = open_bus(breakable.url(vhost), groups=[GROUP])
    bus.publish([message(0)])
    breakable.manage("DELETE", f"queues/{vhost}/wattbook.g")

    with pytest.raises(Unavailable, match=r"no queue of the bus takes 'trade\.booked'"):
        bus.publish([message(1)])
    bus.publish([message(1)])  # made again by whoever must not publish into nothing

    (delivery,) = bus.subscribe(GROUP.types, group=GROUP.name).receive(timeout_s=10)
    assert int(delivery.message.body) == 1
    bus.close()


def test_a_deleted_queue_is_missed_also_while_another_takes_the_same_messages(
    breakable: rabbitmq.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "LOOK_S", 0.0)
    vhost = breakable.vhost()
    bus = open_bus(breakable.url(vhost), groups=[GROUP])
    tail = bus.subscribe(GROUP.types, group=None)
    bus.publish([message(0)])
    breakable.manage("DELETE", f"queues/{vhost}/wattbook.g")

    bus.publish([message(1)])

    (delivery,) = bus.subscribe(GROUP.types, group=GROUP.name).receive(timeout_s=10)
    assert int(delivery.message.body) == 1
    tail.close()
    bus.close()


def test_a_consumer_whose_start_was_not_answered_in_time_is_not_left_behind(
    breakable: rabbitmq.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    vhost = breakable.vhost()
    with proxy.before(breakable.port) as network:
        url = breakable.url(vhost).replace(f":{breakable.port}/", f":{network.port}/") + "?heartbeat_s=600"
        bus = open_bus(url, groups=[GROUP])
        bus.publish([message(number) for number in range(5)])
        monkeypatch.setattr(link, "ANSWER_S", 2.0)
        consume = Inbox.consume

        def unanswered(inbox: Inbox, name: str) -> None:
            network.silence()
            consume(inbox, name)

        with monkeypatch.context() as patch:
            patch.setattr(Inbox, "consume", unanswered)
            with pytest.raises(Unavailable, match="does not answer in time"):
                bus.subscribe(GROUP.types, group=GROUP.name)
        network.speak()

        other = open_bus(breakable.url(vhost))
        subscription = other.subscribe(GROUP.types, group=GROUP.name)
        found: list[int] = []

        def all_came() -> bool:
            found.extend(int(each.message.body) for each in subscription.receive(timeout_s=0.5))
            return sorted(found) == list(range(5))

        wait_until(all_came, timeout_s=10, what="nobody else has them")
        other.close()
        bus.close()


def test_what_only_passing_listeners_could_hear_goes_nowhere_while_there_is_none(
    breakable: rabbitmq.Server,
) -> None:
    bus = open_bus(breakable.url(breakable.vhost()), groups=[GROUP])

    bus.publish([Message(type="price.updated", body=b"", occurred_at=WHEN)])

    bus.close()


# --- signing in


def refusal(bus: Bus) -> str:
    with pytest.raises(Unavailable) as caught:
        bus.publish([message(0)])
    bus.close()
    return str(caught.value)


def test_a_wrong_password_is_said_in_one_line_that_holds_no_secret(
    breakable: rabbitmq.Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = breakable.url(password="not-this-word")

    said = refusal(open_bus(url))

    assert said == (
        f"the bus at 127.0.0.1:{breakable.port} cannot be used: 127.0.0.1:{breakable.port} "
        "refuses user 'admin': unknown, or the password is wrong"
    )
    assert "not-this-word" not in caplog.text + repr(open_bus(url).__dict__)


def test_a_virtual_host_that_is_not_there_is_named(breakable: rabbitmq.Server) -> None:
    assert "user 'admin' has no virtual host 'nowhere' there" in refusal(open_bus(breakable.url("nowhere")))


def test_hosts_are_tried_until_one_answers(breakable: rabbitmq.Server) -> None:
    vhost = breakable.vhost()
    url = breakable.url(vhost).replace(f":{breakable.port}/", f":{breakable.port},127.0.0.1:9,localhost:9/")
    for _ in range(5):
        bus = open_bus(url)
        bus.publish([message(0)])
        bus.close()


@pytest.fixture
def tls(breakable: rabbitmq.Server) -> str:
    """The address over TLS."""
    return breakable.url(breakable.vhost()).replace("amqp:", "amqps:").replace(
        f":{breakable.port}/", f":{breakable.tls_port}/"
    )  # fmt: skip


def test_tls_works_with_the_authority_named_and_the_password_apart(
    breakable: rabbitmq.Server, tls: str
) -> None:
    assert breakable.tls is not None
    bare = tls.replace(f":{breakable.password}@", "@")
    bus = open_bus(
        bare, groups=[GROUP], password=breakable.password, tls_files=TlsFiles(ca=breakable.tls.file)
    )
    bus.publish([message(0)])
    (delivery,) = bus.subscribe(GROUP.types, group=GROUP.name).receive(timeout_s=10)
    assert int(delivery.message.body) == 0
    bus.close()


def test_a_server_that_nobody_vouches_for_is_refused(tls: str) -> None:
    assert "its certificate is not accepted: " in refusal(open_bus(tls))


def test_a_server_under_another_name_is_refused(breakable: rabbitmq.Server, tls: str) -> None:
    assert breakable.tls is not None
    url = tls.replace("@127.0.0.1:", "@localhost:") + f"?ca_file={breakable.tls.file}"

    assert "its certificate is not accepted: Hostname mismatch" in refusal(open_bus(url))


def test_an_expired_certificate_is_refused_and_said(breakable: rabbitmq.Server, tls: str) -> None:
    assert breakable.tls is not None
    url = f"{tls}?ca_file={breakable.tls.file}"
    bus = open_bus(url, groups=[GROUP])
    bus.publish([message(0)])
    bus.close()
    breakable.renew_certificate(days=-1)

    assert "its certificate is not accepted: certificate has expired" in refusal(open_bus(url))

    breakable.renew_certificate(days=10)
    again = open_bus(url, groups=[GROUP])
    again.publish([message(1)])
    again.close()
