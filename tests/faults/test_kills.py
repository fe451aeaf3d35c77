"""``kill -9`` of each process in the middle of the load: nothing acknowledged is lost, nothing is doubled."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest

from tests.support.client import Client
from tests.support.desk import Desk
from tests.support.load import DAY, Load, assert_nothing_lost_or_doubled, assert_report_equals_book
from tests.support.trades import as_csv, figures_of_day, random_trade, report_figures, unique
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.timeout(120)]
NIGHTLY_ROWS = 50_000


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A product to be mistreated; the tests of this file one after the other."""
    desk = Desk(tmp_path_factory.mktemp("victim")).start()
    try:
        yield desk
        code = desk.stop()
    finally:
        desk.kill_all()
    assert code == 0, desk.logs()


@pytest.mark.parametrize(
    ("service", "kills"),
    [("gateway", 2), ("trade-service", 3), ("report-service", 1), ("ingest-service", 1)],
)
def test_a_killed_process_loses_nothing_that_was_acknowledged(victim: Desk, service: str, kills: int) -> None:
    chooser = random.Random(f"kill {service}")

    with Load(victim, threads=8, seed=len(service)) as load:
        for _ in range(kills):
            load.wait_acknowledged(chooser.randint(50, 600))
            dead = victim.kill(service)
            victim.wait_restarted(service, dead)
        load.wait_acknowledged(200)

    if service in {"gateway", "trade-service"}:  # else nobody who books need notice
        assert set(load.told.statuses) - {"200"}, "no client noticed the kill"
    assert_nothing_lost_or_doubled(load)
    assert_report_equals_book(load)


def test_all_processes_killed_at_once_lose_nothing_either(victim: Desk) -> None:
    services = ("gateway", "trade-service", "report-service", "ingest-service")

    with Load(victim, threads=12, seed=99) as load:
        load.wait_acknowledged(300)
        killers = [threading.Thread(target=victim.kill, args=(service,)) for service in services]
        for killer in killers:
            killer.start()
        for killer in killers:
            killer.join()
        victim.wait_ready()
        load.wait_acknowledged(300)

    assert_nothing_lost_or_doubled(load)
    assert_report_equals_book(load)


@pytest.mark.parametrize("services", [("ingest-service",), ("gateway",), ("trade-service",)], ids="-".join)
def test_a_nightly_file_is_booked_exactly_once_whoever_is_killed_meanwhile(
    victim: Desk, services: tuple[str, ...]
) -> None:
    """Killed twice at random moments of the upload, the second time while it recovers from the first."""
    chooser = random.Random(f"nightly {services}")
    trader_id = unique("trader")
    rows = [random_trade(chooser, trader_id=trader_id, day=DAY) for _ in range(NIGHTLY_ROWS)]
    name = f"epex_trades_20230228_{unique('x')}.csv"

    with victim.client() as client:
        victim.drop(name, as_csv(rows))
        for service in services:
            for share in (0.02, 0.4):
                wait_for_booked(client, trader_id, int(NIGHTLY_ROWS * share * chooser.random()) + 1)
                dead = victim.kill(service)
                victim.wait_restarted(service, dead)
        victim.wait_archived(name, timeout_s=60)

        stored = client.trades(trader_id=trader_id)
        assert len(stored) == NIGHTLY_ROWS
        assert {found["id"] for found in stored} == {row["id"] for row in rows}
        assert not (victim.rejected / name).exists()
        assert not (victim.inbox / name).exists()
        expected = figures_of_day(stored, DAY)
        wait_until(
            lambda: report_figures(client.report(trader_id, DAY)) == expected,
            timeout_s=20,
            what="the report equals the book",
        )


def wait_for_booked(client: Client, trader_id: str, count: int) -> None:
    """Until the report, fed by every commit, shows that many of the file's trades."""
    wait_until(
        lambda: client.report(trader_id, DAY)["total"]["trades"] >= count,
        timeout_s=40,
        what=f"{count} of the file's rows are booked",
    )
