"""Three RabbitMQ nodes, one of which dies while messages go through it: to a bare consumer, and to a desk."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from wattbook_cli.domain.desk import BUS_URL, store_variable

from tests.faults.test_rabbitmq import Load
from tests.faults.test_rabbitmq_desk import CLOCK, TEN_THOUSAND_A_REAL_MINUTE
from tests.support import rabbitmq
from tests.support.engines import stored_rows
from tests.support.live_desk import LiveDesk, running
from tests.support.live_faults import SETTINGS, assert_whole
from tests.support.postgres import Lender
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(480),
]  # fmt: skip


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[rabbitmq.Server]]:
    """A cluster of three on this machine."""
    cookie, password = secrets.token_hex(10), secrets.token_urlsafe(12)
    with ExitStack() as running:
        first = running.enter_context(rabbitmq.running(cookie=cookie, password=password))
        others = [
            running.enter_context(
                rabbitmq.running(cookie=cookie, password=password, epmd_port=first.epmd_port)
            )
            for _ in range(2)
        ]
        for other in others:
            other.join(first)
        yield [first, *others]


def url_of_all(nodes: list[rabbitmq.Server], vhost: str) -> str:
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    return nodes[0].url(vhost).replace(f"127.0.0.1:{nodes[0].port}", hosts)


def leader_of(nodes: list[rabbitmq.Server], vhost: str, queue_name: str) -> rabbitmq.Server:
    """The node that leads the queue, once messages went through it and all three nodes have it."""

    def settled() -> str | None:
        queue = nodes[0].queues(vhost)[queue_name]
        return queue["leader"] if "message_stats" in queue and len(queue["online"]) == 3 else None

    leader = wait_until(settled, timeout_s=60, what=f"{queue_name} has three members")
    return next(node for node in nodes if node.node == leader)


def test_a_killed_leader_loses_nothing_that_was_confirmed(nodes: list[rabbitmq.Server]) -> None:
    vhost = nodes[0].vhost()
    with Load(url_of_all(nodes, vhost)) as load:
        load.wait_confirmed(200)
        leader = leader_of(nodes, vhost, "wattbook.g")
        leader.kill()
        load.wait_confirmed(500, timeout_s=120)
        leader.start()
        load.wait_confirmed(100, timeout_s=120)

        load.assert_nothing_lost()


@pytest.mark.flow("Live trade")
def test_a_killed_leader_costs_a_desk_on_postgresql_no_trade_and_doubles_none(
    nodes: list[rabbitmq.Server], databases: Lender, tmp_path: Path
) -> None:
    """Under 10,000 trades a minute, counted in the book itself and at every end of it."""
    vhost = nodes[0].vhost()
    stores = {store_variable(name): databases.new_url() for name in ("trade", "pricing", "gateway")}
    spool = {store_variable("ingest"): f"sqlite:///{tmp_path}/spool/ingest.db"}
    environment = {**SETTINGS, **stores, **spool, BUS_URL: url_of_all(nodes, vhost)}
    with running(LiveDesk(tmp_path, "--sandbox", *CLOCK, environment=environment)) as desk:
        desk.wait_listeners(1)

        def wait_heard(more: int) -> None:
            target = desk.exchange("GET", "stats")["heard"] + more
            wait_until(
                lambda: desk.exchange("GET", "stats")["heard"] >= target,
                timeout_s=60,
                what=f"{more} more trades are heard",
            )

        desk.exchange("POST", "rate", trades_per_min=TEN_THOUSAND_A_REAL_MINUTE)
        desk.exchange("POST", "resume")
        wait_heard(400)
        leader = leader_of(nodes, vhost, "wattbook.trade-service")
        leader.kill()
        wait_heard(800)
        leader.start()
        wait_heard(400)
        desk.exchange("POST", "pause")

        assert_whole(desk)
        rows = stored_rows(
            stores[store_variable("trade")],
            "SELECT min(booking_seq), max(booking_seq), count(*), count(DISTINCT trade_id) FROM trades",
        )
    ((first, last, count, ids),) = rows
    assert (first, last, ids) == (1, count, count)
    assert count >= 1_600
