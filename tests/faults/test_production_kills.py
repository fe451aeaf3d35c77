"""``kill -9`` of everything that production is made of, while 10,000 trades a minute come and clients book.

The fleet is what ``deploy/k8s/base`` says. Clients send again what was not answered.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import fleet as fleets
from tests.support.fleet import SERVICES, Fleet
from tests.support.fleet_counts import assert_whole
from tests.support.live_faults import PREFIX
from tests.support.load import Load
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.servers,
    pytest.mark.alone,
    pytest.mark.flow("Live trade"),
    pytest.mark.timeout(900),
]
SPEED = 20
TRADES_PER_MIN = 10_000
CAUGHT_UP_S = 180


class Counted:
    """All that clients of this module were told; what one test breaks the next ones find."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._acknowledged: dict[str, dict[str, Any]] = {}
        self._unanswered: set[str] = set()

    def assert_whole(self, load: Load) -> None:
        self._acknowledged |= load.told.acknowledged
        self._unanswered |= load.told.unanswered.keys()
        assert_whole(self._fleet, acknowledged=self._acknowledged, unanswered=self._unanswered)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleets.running(tmp_path_factory.mktemp("fleet"), speed=SPEED) as started:
        yield started


@pytest.fixture(scope="module")
def counted(fleet: Fleet) -> Counted:
    return Counted(fleet)


@pytest.fixture
def feed(fleet: Fleet) -> Iterator[None]:
    """Both listen, and the exchange trades for the length of a test."""
    fleet.wait_listeners(2)
    fleet.exchange("POST", "rate", trades_per_min=TRADES_PER_MIN / SPEED)
    fleet.exchange("POST", "resume")
    yield
    fleet.exchange("POST", "pause")


def heard(fleet: Fleet) -> int:
    return int(fleet.exchange("GET", "stats")["heard"])


def wait_heard(fleet: Fleet, more: int) -> None:
    enough = heard(fleet) + more
    wait_until(lambda: heard(fleet) >= enough, timeout_s=CAUGHT_UP_S, what=f"{more} more trades are heard")


def wait_all_booked(fleet: Fleet) -> None:
    """Until as many trades of the exchange are booked as it has said by now."""
    said = heard(fleet)
    count = f"SELECT count(*) FROM trades WHERE trade_id LIKE '{PREFIX}%'"

    def is_booked() -> bool:
        ((booked,),) = fleet.rows("trade", count)
        return int(str(booked)) >= said

    wait_until(is_booked, timeout_s=CAUGHT_UP_S, what=f"{said} trades are booked")


def settle(fleet: Fleet, load: Load) -> None:
    """No more comes in, and all pods are ready; then everything counts."""
    load.wait_acknowledged(50, timeout_s=CAUGHT_UP_S)
    fleet.exchange("POST", "pause")
    load.finish()
    for pod in fleet.pods:
        pod.wait_ready()
    wait_all_booked(fleet)
    assert not load.told.surprises, load.told.surprises[:5]


@pytest.mark.usefixtures("feed")
def test_killed_replicas_of_every_service_cost_no_trade(fleet: Fleet, counted: Counted) -> None:
    """Each replica of each service, so each service twice, in a random order; somebody always listens."""
    chance = random.Random(11)
    victims = [pod for name in SERVICES for pod in fleet.of(name)]
    chance.shuffle(victims)
    with Load(fleet, threads=4, traders=2) as load:
        for victim in victims:
            wait_heard(fleet, chance.randint(200, 600))
            fleet.kill(victim)
            if victim.name == "ingest-service":
                # What only the other one heard meanwhile must not be lost with it: it is its turn, too.
                fleet.wait_listeners(2)
                wait_all_booked(fleet)
        settle(fleet, load)

    counted.assert_whole(load)


@pytest.mark.usefixtures("feed")
@pytest.mark.parametrize("engine", ["PostgreSQL", "RabbitMQ"])
def test_a_killed_engine_costs_no_trade(fleet: Fleet, counted: Counted, engine: str) -> None:
    server = fleet.postgres if engine == "PostgreSQL" else fleet.bus
    with Load(fleet, threads=4, traders=2) as load:
        for _ in range(2):
            wait_heard(fleet, 600)
            server.kill()
            wait_heard(fleet, 600)
            server.start()
            load.wait_acknowledged(50, timeout_s=CAUGHT_UP_S)
        settle(fleet, load)

    counted.assert_whole(load)
