"""Every service is rolled out anew, replica by replica, while users and the exchange go on: nobody notices.

The fleet is what ``deploy/k8s/base`` says, on PostgreSQL and RabbitMQ. Users ask 200 times a second on
connections that they keep, and the exchange says 1,000 trades a minute. Two cores that also run the users,
both servers and the sandbox carry that with nothing to spare; ``WATTBOOK_FAULT_RATE_PER_S`` asks for less.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support import fleet as fleets
from tests.support.fleet import SERVICES, Fleet
from tests.support.fleet_counts import assert_whole
from tests.support.pages import TOTAL_SLOTS, PageReader, figure
from tests.support.steady_load import SteadyLoad
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.servers,
    pytest.mark.alone,
    pytest.mark.flow("Live trade"),
    pytest.mark.timeout(900),
]
SPEED = 20  # simulated seconds a real one: the provider is asked as often as it allows
RATE_PER_S = float(os.environ.get("WATTBOOK_FAULT_RATE_PER_S", "200"))
TRADES_PER_MIN = 1000


@pytest.fixture
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleets.running(tmp_path_factory.mktemp("fleet"), speed=SPEED) as started:
        yield started


def test_a_rolling_restart_of_every_service_costs_no_request_and_no_trade(fleet: Fleet) -> None:
    day = (datetime.now(UTC) + timedelta(days=1)).date()
    replicas = len(fleet.pods)
    fleet.wait_listeners(2)
    fleet.exchange("POST", "rate", trades_per_min=TRADES_PER_MIN / SPEED)
    fleet.exchange("POST", "resume")

    with SteadyLoad(fleet, rate_per_s=RATE_PER_S, day=day) as load:
        wait_until(lambda: load.sent > 5 * RATE_PER_S, timeout_s=60, what="the load is under way")
        for service in SERVICES:
            fleet.roll_out(service)
        settled = load.sent + 2 * RATE_PER_S
        wait_until(lambda: load.sent > settled, timeout_s=60, what="the load goes on after it")
        load.hold()
        fleet.exchange("POST", "pause")
        assert_streams_show_what_pages_do(fleet, load)

    print(f"{load.sent} requests at {load.rate_per_s:.0f}/s, p50 {load.percentile_s(0.5) * 1e3:.0f} ms,")
    print(f"p99 {load.percentile_s(0.99) * 1e3:.0f} ms, {dict(load.answers)}")
    assert not load.failures, (
        f"{len(load.failures)} of {load.sent} failed: {tally(load)}\n{load.failures[:20]}\n{fleet.lapses()}"
    )
    assert load.rate_per_s > 0.95 * RATE_PER_S
    assert load.answers["page 304"] > 0
    assert len(fleet.ended) == replicas
    fleet.assert_ended_well()
    assert_whole(fleet, acknowledged=load.acknowledged)
    assert all(stream.opened > 1 for stream in load.streams), "no stream was opened again"
    assert not fleet.tracebacks()


def tally(load: SteadyLoad) -> Counter[str]:
    return Counter(f"{each.what}: {each.why[:80]}" for each in load.failures)


def assert_streams_show_what_pages_do(fleet: Fleet, load: SteadyLoad) -> None:
    """Also those that were opened again, and so went on from an older state."""

    def agree() -> bool:
        shown = [
            {name: figure(stream.slots[slot]) for name, slot in TOTAL_SLOTS.items()}
            for stream in load.streams
        ]
        return shown == [reader.totals(stream.trader_id, str(load.day)) for stream in load.streams]

    with PageReader(fleet.pages_url, "admin", fleet.admin_password) as reader:
        wait_until(agree, timeout_s=60, what="streams and pages agree")
