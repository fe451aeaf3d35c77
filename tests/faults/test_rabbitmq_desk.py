"""A whole desk whose bus is RabbitMQ: nothing that was heard is lost or doubled while that dies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import rabbitmq
from tests.support.live_desk import LiveDesk, running
from tests.support.live_faults import SETTINGS, assert_whole
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.servers, pytest.mark.flow("Live trade"), pytest.mark.timeout(240)
]  # fmt: skip
SPEED = 200
CLOCK = ("--clock-start", "2026-03-10T00:30:00+01:00", "--clock-speed", str(SPEED))
TEN_THOUSAND_A_REAL_MINUTE = 10_000 / SPEED  # trades a simulated minute


@pytest.fixture(scope="module")
def server() -> Iterator[rabbitmq.Server]:
    """A server of this module's own: it is killed."""
    with rabbitmq.running() as started:
        yield started


@pytest.fixture(scope="module")
def live(server: rabbitmq.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDesk]:
    environment = {
        **SETTINGS,
        "WATTBOOK_BUS_URL": server.url(server.vhost(), password=""),
        "WATTBOOK_BUS_PASSWORD": server.password,
    }
    folder = tmp_path_factory.mktemp("live")
    with running(LiveDesk(folder, "--sandbox", *CLOCK, environment=environment)) as desk:
        yield desk


def test_what_the_exchange_says_is_booked_shown_or_set_aside(live: LiveDesk) -> None:
    live.wait_listeners(1)
    live.faults(malformed_rate=0.05)
    live.emit(1000)
    live.faults()
    noise = live.exchange("GET", "stats")["malformed"]
    assert noise >= 10

    wait_until(lambda: live.get("/v1/feed")["quarantined"] == noise, timeout_s=30, what="noise is set aside")
    assert_whole(live)


def test_a_killed_and_restarted_bus_costs_no_trade(live: LiveDesk, server: rabbitmq.Server) -> None:
    def heard() -> int:
        return int(live.exchange("GET", "stats")["heard"])

    before = heard()
    live.exchange("POST", "rate", trades_per_min=TEN_THOUSAND_A_REAL_MINUTE)
    live.exchange("POST", "resume")
    for more in (400, 1600):
        wait_until(lambda more=more: heard() >= before + more, timeout_s=60, what=f"{more} trades are heard")
        server.kill()
        wait_until(lambda more=more: heard() >= before + more + 400, timeout_s=60, what="the feed goes on")
        server.start()
    live.exchange("POST", "pause")

    assert_whole(live)
    log = "\n".join(path.read_text() for path in live.data.glob("logs/*.log"))
    assert "the outbox cannot be published now" in log
    assert server.password not in log
