"""Pages of trades: each trade once, none skipped, whatever the page size and whatever happens meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tests.support.client import Client
from tests.support.desk import Desk
from tests.support.trades import as_ndjson, trade, unique

pytestmark = pytest.mark.flow("Book over REST")
TRADES = 2_500
CHUNK = 1_000


@pytest.fixture(scope="module")
def many(desk: Desk) -> tuple[str, list[str]]:
    """A trader whose trades all tie: same execution time, same hour, same everything but the id."""
    trader_id = unique("trader")
    booked = [trade(trader_id=trader_id) for _ in range(TRADES)]
    with desk.client() as client:
        for start in range(0, TRADES, CHUNK):  # a batch of one part is booked in its order
            part = booked[start : start + CHUNK]
            assert client.batch(as_ndjson(part), results="refused").added == len(part)
    return trader_id, [each["id"] for each in booked]


@pytest.mark.parametrize("limit", [1000, 997, 100, 2_500, 10_000])
def test_pages_hold_every_tied_trade_once_in_booking_order(
    admin: Client, many: tuple[str, list[str]], limit: int
) -> None:
    trader_id, ids = many

    pages = list(admin.pages(trader_id=trader_id, limit=limit))

    assert [found["id"] for page in pages for found in page] == ids
    assert all(len(page) == limit for page in pages[:-1])
    assert len(pages) == -(-TRADES // limit)


def test_without_a_limit_all_come_at_once(admin: Client, many: tuple[str, list[str]]) -> None:
    trader_id, ids = many

    assert [found["id"] for found in admin.trades(trader_id=trader_id)] == ids
    assert [found["id"] for found in admin.trades(trader_id=trader_id, delivery_day="2023-02-28")] == ids


def test_the_next_page_keeps_the_question(admin: Client, many: tuple[str, list[str]]) -> None:
    trader_id, _ = many

    first = admin.http.get("/v1/trades", params={"trader_id": trader_id, "limit": 1})

    assert trader_id in first.links["next"]["url"]
    assert "limit=1" in first.links["next"]["url"]
    assert admin.http.get(first.links["next"]["url"]).json()[0]["trader_id"] == trader_id


@pytest.mark.parametrize("limit", [1, 7])
def test_the_smallest_pages_work_too(admin: Client, limit: int) -> None:
    trader_id = unique("trader")
    booked = [trade(trader_id=trader_id) for _ in range(20)]
    assert admin.batch(as_ndjson(booked)).added == 20

    pages = list(admin.pages(trader_id=trader_id, limit=limit))

    assert [found["id"] for page in pages for found in page] == [each["id"] for each in booked]


def test_what_is_booked_meanwhile_neither_repeats_nor_hides_what_was_there(desk: Desk) -> None:
    trader_id = unique("trader")
    before = [trade(trader_id=trader_id) for _ in range(600)]
    finished = Event()

    def keep_booking() -> int:
        added = 0
        with desk.client() as client:
            while not finished.is_set():
                added += client.batch(as_ndjson([trade(trader_id=trader_id) for _ in range(5)])).added
        return added

    with desk.client() as client, ThreadPoolExecutor(2) as pool:
        assert client.batch(as_ndjson(before)).added == len(before)
        bookers = [pool.submit(keep_booking) for _ in range(2)]
        try:
            seen: list[str] = []
            for page in client.pages(trader_id=trader_id, limit=37):
                seen.extend(found["id"] for found in page)
                if len(seen) >= len(before) + 100:
                    break
        finally:
            finished.set()
        added = sum(booker.result() for booker in bookers)

        assert len(set(seen)) == len(seen)
        assert seen[: len(before)] == [each["id"] for each in before]
        assert len(client.trades(trader_id=trader_id)) == len(before) + added


@pytest.mark.parametrize(
    ("query", "about"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "10001"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "no-such-place", "limit": "10"}, "cursor"),
        ({"delivery_day": "2023-02-30"}, "delivery_day"),
        ({"delivery_day": "28.02.2023"}, "delivery_day"),
        ({"area": "XX"}, "area"),
    ],
)
def test_a_wrong_question_is_refused_and_says_what_is_wrong(
    admin: Client, query: dict[str, str], about: str
) -> None:
    answer = admin.http.get("/v1/trades", params=query)

    assert answer.status_code == 400
    assert answer.json()["status_code"] == 400
    assert about in answer.json()["message"]
