"""Three RabbitMQ nodes, one of which dies while messages go through it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.faults.test_rabbitmq import Load
from tests.support import rabbitmq
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.rabbitmq, pytest.mark.own_engines, pytest.mark.faults, pytest.mark.slow,
    pytest.mark.timeout(480),
]  # fmt: skip


@pytest.fixture
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


def test_a_killed_leader_loses_nothing_that_was_confirmed(nodes: list[rabbitmq.Server]) -> None:
    vhost = nodes[0].vhost()
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    url = nodes[0].url(vhost).replace(f"127.0.0.1:{nodes[0].port}", hosts)
    with Load(url) as load:
        load.wait_confirmed(200)
        queue = wait_until(
            lambda: next(
                (
                    found
                    for name, found in nodes[0].queues(vhost).items()
                    if name == "wattbook.g" and "message_stats" in found and len(found["online"]) == 3
                ),
                None,
            ),
            timeout_s=30,
            what="the queue has three members",
        )
        leader = next(node for node in nodes if node.node == queue["leader"])
        leader.kill()
        load.wait_confirmed(500, timeout_s=120)
        leader.start()
        load.wait_confirmed(100, timeout_s=120)

        load.assert_nothing_lost()
