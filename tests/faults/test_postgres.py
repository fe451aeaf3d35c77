"""What PostgreSQL can do under bookings, and what it must not cost: none lost, none twice, no gap."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from wattbook import probe, rpc
from wattbook.db import Migration, migrate, open_store
from wattbook.errors import Unavailable

from tests.integration.gateway.test_process import Process as GatewayProcess
from tests.integration.trade_process import ADDED, DUPLICATE, Caller, Listener, TradeProcess, stated
from tests.support.postgres import PostgresServer
from tests.support.trades import unique
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers]

ROOT = Path(__file__).parents[2]
WORKERS = 6
# How long the database is away; the whole minute takes WATTBOOK_FAULT_S=60.
AWAY_S = float(os.environ.get("WATTBOOK_FAULT_S", "3"))
CALL_S = 2.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that may be killed; whoever kills it starts it again."""
    with PostgresServer().running() as started:
        yield started


@dataclass
class Desk:
    """Two trade-services over one database and one bus, and who hears all that they tell."""

    server: PostgresServer
    replicas: list[TradeProcess]
    listener: Listener

    @property
    def url(self) -> str:
        return self.replicas[0].environment["WATTBOOK_TRADE_STORE_URL"]


@pytest.fixture(scope="module")
def desk(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("replicas")
    url = server.url(server.take())
    made = [TradeProcess(folder, WATTBOOK_TRADE_STORE_URL=url) for _ in range(2)]
    for number, each in enumerate(made):
        each.log_path = folder / f"trade{number}.log"
        each.launch()
    for each in made:
        each.wait_ready()
    yield Desk(server, made, Listener(made[0].bus_url))
    for each in made:
        each.close()


class Load:
    """Clients that send the same trades again until they are answered, at both replicas by turns."""

    def __init__(self, desk: Desk) -> None:
        self._name = unique("load")
        self._desk = desk
        self.answered: list[str] = []
        self.refused = 0
        self.faults: list[str] = []
        self._callers = [Caller(each.target) for each in desk.replicas]
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(worker,)) for worker in range(WORKERS)]
        for thread in self._threads:
            thread.start()

    def more(self, count: int) -> None:
        """Until so many more trades are answered."""
        enough = len(self.answered) + count
        wait_until(lambda: len(self.answered) >= enough, timeout_s=60, what=f"{count} more are answered")

    def more_refused(self, count: int) -> None:
        """Until so many more requests are refused: each within its deadline, or nobody would come so far."""
        enough = self.refused + count
        wait_until(lambda: self.refused >= enough, timeout_s=60, what=f"{count} more are refused")

    def stop(self) -> None:
        """Everything that was begun is answered, and is in the book once, without gaps, and told once."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
        booked = self._callers[0].announced()
        heard = self._desk.listener.hear_until(len(booked))
        for caller in self._callers:
            caller.close()

        assert self.faults == []
        assert [trade.booking_seq for trade in booked] == list(range(1, len(booked) + 1))
        mine = Counter(trade.id for trade in booked if trade.id.startswith(self._name))
        assert mine == Counter(self.answered)
        assert [heard[trade.booking_seq] for trade in booked] == booked
        for each in self._desk.replicas:
            assert "Traceback" not in each.log()

    def _run(self, worker: int) -> None:
        for number in itertools.count():
            if self._stopping.is_set():
                return
            ids = [f"{self._name}_{worker}_{number}_{row}" for row in range(1 if worker % 2 else 20)]
            for attempt in itertools.count(worker):
                if self._answered(ids, self._callers[attempt % len(self._callers)]):
                    break

    def _answered(self, ids: list[str], caller: Caller) -> bool:
        try:
            results = caller.book(*map(stated, ids), timeout_s=CALL_S).results
        except Unavailable:
            self.refused += 1
            self._stopping.wait(0.02)
            return False
        except Exception as error:
            self.faults.append(repr(error))
            return True
        if not set(results) <= {ADDED, DUPLICATE}:
            self.faults.append(f"{ids}: {results}")
        self.answered.extend(ids)
        return True


def test_a_killed_database_costs_no_booking(desk: Desk) -> None:
    load = Load(desk)
    for _ in range(3):
        load.more(300)
        desk.server.kill()
        load.more_refused(1)
        desk.server.start()
    load.more(300)

    load.stop()


def test_a_database_that_is_away_for_a_while_costs_refusals_only(desk: Desk) -> None:
    load = Load(desk)
    load.more(100)
    desk.server.stop()
    threading.Event().wait(AWAY_S)
    load.more_refused(WORKERS)
    desk.server.start()
    load.more(300)

    load.stop()


def test_a_database_that_stands_still_refuses_within_the_deadline_and_comes_back(desk: Desk) -> None:
    load = Load(desk)
    load.more(100)
    with desk.server.frozen():
        load.more_refused(2 * WORKERS)  # about five seconds
    load.more(300)

    load.stop()


def test_a_lock_held_for_seconds_refuses_within_the_deadline_and_comes_back(desk: Desk) -> None:
    load = Load(desk)
    load.more(100)
    with desk.server.connect(desk.url.rpartition("/")[2], autocommit=False) as other:
        other.execute("LOCK TABLE trades IN ACCESS EXCLUSIVE MODE")
        load.more_refused(2 * WORKERS)
        other.rollback()
    load.more(300)

    load.stop()


NEWER = """
import sqlalchemy as sa
from alembic import op
revision = "9999"
down_revision = "{previous}"
def upgrade():
    op.add_column("trades", sa.Column("book", sa.String(20)))
    op.create_index("ix_trades_book", "trades", ["book"])
"""


@pytest.fixture
def newer_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with trade-service's migrations and one more; its name."""
    name = "newer_trade_service"
    folder = tmp_path / "newer" / name
    shutil.copytree(ROOT / "trade-service/src/trade_service/migrations", folder / "migrations")
    (folder / "__init__.py").touch()
    versions = folder / "migrations" / "versions"
    previous = max(path.name for path in versions.glob("[0-9]*_*.py")).partition("_")[0]
    (versions / "9999_book.py").write_text(NEWER.format(previous=previous))
    monkeypatch.syspath_prepend(folder.parent)
    return name


def test_old_code_books_on_while_and_after_a_newer_release_migrates(desk: Desk, newer_release: str) -> None:
    load = Load(desk)
    load.more(300)
    stores = [open_store(desk.url, name=f"migrator {number}") for number in range(2)]
    done: list[Migration] = []
    migrating = [
        threading.Thread(target=lambda store=store: done.append(migrate(store, newer_release)))
        for store in stores
    ]  # from two places at once
    for thread in migrating:
        thread.start()
    for thread in migrating:
        thread.join(60)
    refused = load.refused
    load.more(300)
    desk.replicas[1].close()
    desk.replicas[1].start()  # old code starts on the new schema
    load.more(300)

    assert {each.after for each in done} == {"9999"}
    assert refused == 0
    load.stop()
    for store in stores:
        store.close()


def test_services_that_start_while_their_database_is_away_wait_for_it_alive(tmp_path: Path) -> None:
    with PostgresServer().running() as server:
        trades, users = (server.url(server.take()) for _ in range(2))
        server.kill()
        trade = TradeProcess(tmp_path, WATTBOOK_TRADE_STORE_URL=trades)
        gateway = GatewayProcess(tmp_path, WATTBOOK_GATEWAY_STORE_URL=users)
        with gateway:
            trade.launch()
            api = f"http://127.0.0.1:{gateway.port}"
            wait_until(lambda: probe.is_well(f"grpc://{trade.target}/live"), timeout_s=30, what="it lives")
            gateway.wait_alive()

            assert not rpc.is_healthy(trade.target)
            assert "not ready: the store trade at" in trade.log()
            answer = httpx.post(f"{api}/v1/trades", json={}, trust_env=False)
            assert (answer.status_code, answer.json()["status_code"]) == (503, 503)
            assert int(answer.headers["Retry-After"]) > 0

            server.start()
            trade.wait_ready()
            wait_until(
                lambda: httpx.get(f"{api}/v1/trades", trust_env=False).status_code == 401,
                timeout_s=30, what="the gateway itself answers",
            )  # fmt: skip
        assert trade.signal(signal.SIGTERM) == 0


def test_a_service_that_waits_for_its_database_stops_when_it_is_told_to(tmp_path: Path) -> None:
    trade = TradeProcess(tmp_path, WATTBOOK_TRADE_STORE_URL="postgresql+psycopg://a:b@127.0.0.1:1/none")
    trade.launch()
    wait_until(lambda: probe.is_well(f"grpc://{trade.target}/live"), timeout_s=30, what="it lives")

    assert trade.signal(signal.SIGTERM) == 1
    assert "cannot be opened" in trade.log()
