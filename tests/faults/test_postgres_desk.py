"""A whole desk on PostgreSQL and RabbitMQ: databases that are away or slow, a message that nobody can read.

Meanwhile the exchange sends 10,000 trades a minute, and clients book over REST. As in production the spool of
ingest-service is a file: what is heard needs no database.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

import pytest
from wattbook.bus import MAX_ATTEMPTS, Message, open_bus
from wattbook_cli.domain.desk import BUS_URL, store_variable

from tests.support import proxy, rabbitmq
from tests.support.engines import stored_rows
from tests.support.live_desk import LiveDesk
from tests.support.live_faults import SETTINGS, assert_whole
from tests.support.load import DAY, Load, assert_nothing_lost_or_doubled, assert_report_equals_book
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.servers, pytest.mark.flow("Live trade"),
    pytest.mark.timeout(300),
]  # fmt: skip
SPEED = 200
CLOCK = ("--clock-start", "2026-03-10T00:30:00+01:00", "--clock-speed", str(SPEED))
TEN_THOUSAND_A_REAL_MINUTE = 10_000 / SPEED  # trades a simulated minute
CLIENTS = 6
SLOW_S = 5.0
ANSWER_S = 60.0  # a batch waits for its turn, then for its commit: 40 s at most


@dataclass
class Engines:
    """A server of this module's own, the network before it, and a bus."""

    server: PostgresServer
    network: proxy.Proxy
    broker: rabbitmq.Server
    bus_url: str

    def store_url(self) -> str:
        """An empty database, at the other end of the network."""
        return self.server.url(self.server.take()).replace(f":{self.server.port}/", f":{self.network.port}/")


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    with (
        PostgresServer().running() as server,
        proxy.before(server.port) as network,
        rabbitmq.running() as broker,
    ):
        yield Engines(server, network, broker, broker.url(broker.vhost()))


@pytest.fixture(scope="module")
def live(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDesk]:
    folder = tmp_path_factory.mktemp("live")
    stores = {store_variable(name): engines.store_url() for name in ("trade", "pricing", "gateway")}
    spool = {store_variable("ingest"): f"sqlite:///{folder}/spool/ingest.db"}
    environment = {**SETTINGS, **stores, **spool, BUS_URL: engines.bus_url}
    desk = LiveDesk(folder, "--sandbox", *CLOCK, environment=environment)
    try:
        desk.start()
        desk.wait_said("Ctrl-C stops.")
        yield desk
        assert desk.stop() == 0, desk.logs()
    finally:
        desk.kill_all()
    said = desk.logs(lines=10_000).splitlines()
    assert not [line for line in said if "Traceback" in line and '"handling failed"' not in line]
    assert not [line for line in said if engines.server.password in line or engines.broker.password in line]


@contextmanager
def trading(live: LiveDesk, *, retry_for_s: float) -> Iterator[Load]:
    """Both ways in are busy for the block. Then all is counted; clients heard nothing but 200 and 503."""
    live.wait_listeners(1)
    live.exchange("POST", "rate", trades_per_min=TEN_THOUSAND_A_REAL_MINUTE)
    live.exchange("POST", "resume")
    try:
        with Load(live, threads=CLIENTS, retry_for_s=retry_for_s, answer_s=ANSWER_S) as load:
            load.wait_acknowledged(200)
            yield load
            load.wait_acknowledged(200, timeout_s=90)
    finally:
        live.exchange("POST", "pause")
    assert set(load.told.statuses) == {"200", "503"}
    assert_nothing_lost_or_doubled(load)
    assert_report_equals_book(load, timeout_s=60)
    assert_whole(live)


def wait_refused(load: Load, count: int, *, timeout_s: float = 60) -> None:
    enough = load.told.statuses["503"] + count
    wait_until(lambda: load.told.statuses["503"] >= enough, timeout_s=timeout_s, what=f"{count} are refused")


def wait_heard(live: LiveDesk, more: int) -> None:
    """The feed is heard and written down, whatever becomes of the databases."""
    enough = spooled(live) + more
    wait_until(lambda: spooled(live) >= enough, timeout_s=60, what=f"{more} more frames are on disk")


def assert_told(live: LiveDesk, trader_id: str) -> None:
    """While the book is away: reports are answered from memory, what needs the book says so, nobody dies."""
    with live.client() as admin:
        assert admin.http.get("/healthz").status_code == 200
        report = {"trader_id": trader_id, "delivery_day": DAY.isoformat()}
        assert admin.http.get("/v1/reports/pnl", params=report).status_code == 200
        refused = admin.http.get("/v1/trades", params={"trader_id": trader_id})
    assert refused.status_code == 503
    assert refused.json()["message"] == "the store cannot read now: its server cannot be reached; try again"


def spooled(live: LiveDesk) -> int:
    ((frames,),) = stored_rows(live.store_url("ingest"), "SELECT frames FROM feed_state")
    return int(frames)


@pytest.mark.parametrize("away_s", [3.0, 60.0])
def test_databases_that_are_away_cost_refusals_only(live: LiveDesk, engines: Engines, away_s: float) -> None:
    with trading(live, retry_for_s=away_s + 60) as load:
        back_at_s = monotonic() + away_s
        engines.server.stop()
        wait_refused(load, 3 * CLIENTS)
        wait_heard(live, 100)
        assert_told(live, load.traders[0])
        wait_until(lambda: monotonic() >= back_at_s, timeout_s=away_s, what="its time is over")
        wait_refused(load, CLIENTS)  # and each process lives
        engines.server.start()


def test_databases_that_answer_five_seconds_late_cost_refusals_only(live: LiveDesk, engines: Engines) -> None:
    with trading(live, retry_for_s=120) as load, engines.network.slow(by_s=SLOW_S):
        wait_refused(load, 2 * CLIENTS)
        wait_heard(live, 100)


def test_a_message_that_nobody_can_read_is_buried_and_holds_up_no_trade(
    live: LiveDesk, engines: Engines
) -> None:
    """It comes to the person who looks after the desk, who may try it again, and throw it away."""
    bus = open_bus(engines.bus_url)
    bus.publish([Message(type="trade.confirmed", body=b"\xff poison", occurred_at=datetime.now(UTC))])
    bus.close()
    live.emit(500)

    (dead,) = wait_until(lambda: dead_letters(live), timeout_s=60, what="it is a dead letter")
    assert (dead["group"], dead["attempts"]) == ("trade-service", MAX_ATTEMPTS)
    assert_whole(live)

    assert live.run("dead", "replay", str(dead["number"])).returncode == 0
    (again,) = wait_until(lambda: dead_letters(live), timeout_s=60, what="it is one again")
    assert live.run("dead", "drop", str(again["number"])).returncode == 0
    assert dead_letters(live) == []


def dead_letters(live: LiveDesk) -> list[dict[str, object]]:
    done = live.run("dead", "list", "--json")
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout)["items"])
