"""Full and read-only disks, a bus that is away: said as 503, nothing half-booked, all well afterwards."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import engines
from tests.support.client import Client
from tests.support.desk import Desk
from tests.support.disks import Ballast, read_only, small_disk
from tests.support.live_desk import LiveDesk
from tests.support.live_faults import SETTINGS, assert_whole
from tests.support.trades import as_csv, as_ndjson, trade, unique
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.timeout(120)]
DAY = "2023-02-28"


@contextmanager
def started(desk: Desk) -> Iterator[Desk]:
    desk.start()
    try:
        yield desk
        code = desk.stop()
    finally:
        desk.kill_all()
    assert code == 0, desk.logs()


def assert_refused_for_now(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["status_code"] == 503
    assert answer.json()["message"]
    assert "Traceback" not in answer.text


def book_until_refused(client: Client, trader_id: str, *, most: int = 4000) -> tuple[list[str], list[str]]:
    """Book singles until the first 503; the ids acknowledged and the ids refused."""
    acknowledged: list[str] = []
    for _ in range(most):
        one = trade(trader_id=trader_id)
        answer = client.book(one)
        if answer.status_code != 200:
            assert_refused_for_now(answer)
            return acknowledged, [one["id"]]
        acknowledged.append(one["id"])
    raise AssertionError(f"the disk took {most} trades more")


def assert_book_is(client: Client, trader_id: str, ids: list[str]) -> None:
    assert [found["id"] for found in client.trades(trader_id=trader_id)] == ids


def wait_reported(client: Client, trader_id: str, count: int) -> None:
    wait_until(
        lambda: client.report(trader_id, DAY)["total"]["trades"] == count,
        timeout_s=20,
        what=f"the report shows all {count} trades",
    )


def recovers(client: Client, trader_id: str) -> str:
    """Book one trade, trying again while the store comes back; its id."""
    one = trade(trader_id=trader_id)
    wait_until(lambda: client.book(one).status_code == 200, timeout_s=20, what="bookings are taken again")
    return str(one["id"])


@pytest.mark.embedded
def test_a_full_disk_refuses_bookings_and_loses_none(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    trader_id = unique("trader")
    with small_disk(desk.data / "stores", mebibytes=24), started(desk), desk.client() as client:
        before = trade(trader_id=trader_id)
        client.added(before)
        ballast = Ballast(desk.data / "stores")

        ballast.fill()
        acknowledged, refused = book_until_refused(client, trader_id)
        batch = client.post_batch(as_ndjson([trade(trader_id=trader_id) for _ in range(3000)]))
        assert_refused_for_now(batch)
        kept = [before["id"], *acknowledged]
        stored = [found["id"] for found in client.trades(trader_id=trader_id)]
        assert stored[: len(kept)] == kept
        assert not set(refused) & set(stored)

        ballast.free()
        last = recovers(client, trader_id)
        assert_book_is(client, trader_id, [*stored, last])
        wait_reported(client, trader_id, len(stored) + 1)


@pytest.mark.embedded
def test_a_file_size_limit_refuses_bookings_and_loses_none(make_desk: Callable[..., Desk]) -> None:
    """The same by another road: the kernel stops the trade-service's files from growing."""
    desk = make_desk()
    trader_id = unique("trader")
    with started(desk), desk.client() as client:
        before = trade(trader_id=trader_id)
        client.added(before)
        process = desk.process_of("trade-service")
        assert process is not None
        unlimited = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)

        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
        answer = client.book(trade(trader_id=trader_id))
        assert_refused_for_now(answer)
        assert_refused_for_now(client.post_batch(as_ndjson([trade(trader_id=trader_id)])))
        assert_book_is(client, trader_id, [before["id"]])

        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
        last = recovers(client, trader_id)
        assert_book_is(client, trader_id, [before["id"], last])
        wait_reported(client, trader_id, 2)
        assert desk.process_of("trade-service") is not None


@pytest.mark.embedded
def test_a_store_that_turns_read_only_refuses_bookings_and_still_answers_questions(
    make_desk: Callable[..., Desk],
) -> None:
    desk = make_desk()
    trader_id = unique("trader")
    with started(desk), desk.client() as client:
        before = trade(trader_id=trader_id)
        client.added(before)
        store = desk.data / "stores" / "trade.db"

        with read_only(*(path for path in (store, Path(f"{store}-wal")) if path.exists())):
            assert_refused_for_now(client.book(trade(trader_id=trader_id)))
            assert_book_is(client, trader_id, [before["id"]])
            assert client.report(trader_id, DAY)["delivery_day"] == DAY

        last = recovers(client, trader_id)
        assert_book_is(client, trader_id, [before["id"], last])
        wait_reported(client, trader_id, 2)


def test_a_bus_that_takes_nothing_holds_up_no_booking(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    trader_id = unique("trader")
    with started(desk), desk.client() as client:
        with engines.held(desk.bus_url):
            booked = [trade(trader_id=trader_id) for _ in range(300)]
            for one in booked[:20]:
                client.added(one)
            assert client.batch(as_ndjson(booked[20:])).added == 280

        wait_reported(client, trader_id, len(booked))


@pytest.mark.embedded
def test_a_full_bus_holds_up_no_booking_and_keeps_what_the_exchange_sends(tmp_path: Path) -> None:
    desk = LiveDesk(tmp_path, "--sandbox", environment=SETTINGS)
    trader_id = unique("trader")
    with small_disk(desk.data / "bus", mebibytes=8), started(desk), desk.client() as client:
        desk.wait_listeners(1)
        ballast = Ballast(desk.data / "bus")

        ballast.fill()
        booked = [trade(trader_id=trader_id) for _ in range(3_000)]
        for one in booked[:20]:
            client.added(one)
        assert client.batch(as_ndjson(booked[20:])).added == 2_980
        desk.emit(3_000)
        wait_until(
            lambda: (told := desk.get("/v1/feed"))["frames"] == 3_000 and told["outbox_depth"] > 0,
            timeout_s=30, what="the outbox holds what was heard",
        )  # fmt: skip
        assert len(client.trades()) < 6_000

        ballast.free()
        wait_reported(client, trader_id, len(booked))
        assert_whole(desk)


def test_a_full_disk_under_the_spool_is_told_and_costs_nothing_that_was_heard(tmp_path: Path) -> None:
    """The spool is a file on a disk of its own in production too: no other engine's trouble reaches it."""
    with small_disk(tmp_path / "spool", mebibytes=16) as disk:
        spool = {
            "WATTBOOK_INGEST_STORE_URL": f"sqlite:///{disk}/ingest.db",
            "WATTBOOK_FEED_QUEUE_FRAMES": "1000",
            "WATTBOOK_FEED_PING_S": "100",  # a crowded machine is not what this is about
        }
        desk = LiveDesk(tmp_path, "--sandbox", environment={**SETTINGS, **spool})
        trader_id = unique("trader")
        with started(desk), desk.client() as client:
            desk.wait_listeners(1)
            before = desk.emit(100)
            desk.wait_booked(before)
            ballast = Ballast(disk)

            ballast.fill()
            desk.emit(6_000)
            told = wait_until(
                lambda: desk.get("/v1/feed")["listeners"][0]["trouble"], timeout_s=40, what="it is told"
            )
            assert told == "frames wait in memory: the store cannot write now: its disk is full; try again"
            log = desk.data / "logs" / "ingest-service.log"
            wait_until(
                lambda: "the exchange is not read" in log.read_text(), timeout_s=40, what="memory is full"
            )
            booked = trade(trader_id=trader_id)
            client.added(booked)  # whoever needs no spool is not held up
            assert len(client.trades()) < 6_000

            ballast.free()
            assert_whole(desk)
            assert_book_is(client, trader_id, [booked["id"]])
            assert desk.get("/v1/feed")["listeners"][0]["trouble"] is None
            assert desk.exchange("GET", "stats")["connections"] == 1


@pytest.mark.embedded
def test_a_nightly_file_waits_out_a_full_disk(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    trader_id = unique("trader")
    rows: list[dict[str, Any]] = [trade(trader_id=trader_id) for _ in range(4_000)]
    name = "epex_trades_20230228.csv"
    with started(desk), desk.client() as client:
        process = desk.process_of("trade-service")
        assert process is not None
        unlimited = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
        desk.drop(name, as_csv(rows))
        log = desk.data / "logs" / "ingest-service.log"
        wait_until(lambda: name in log.read_text(), timeout_s=20, what="the upload was tried")
        assert (desk.inbox / name).exists()

        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
        desk.wait_archived(name, timeout_s=45)

        assert len(client.trades(trader_id=trader_id)) == len(rows)
        assert not (desk.rejected / name).exists()
        wait_reported(client, trader_id, len(rows))
