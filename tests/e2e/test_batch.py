"""Batches: three forms, one answer a row, and a refused row never takes its neighbours with it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.support.client import CSV, JSON, NDJSON, Client
from tests.support.desk import Desk
from tests.support.trades import FIELDS, as_csv, as_ndjson, trade, unique

pytestmark = pytest.mark.flow("Book over REST")
FORMS = (JSON, NDJSON, CSV)


def encoded(trades: list[dict[str, Any]], content_type: str) -> str:
    if content_type == JSON:
        return json.dumps(trades)
    return as_ndjson(trades) if content_type == NDJSON else as_csv(trades)


@pytest.mark.parametrize("accept", [JSON, NDJSON])
@pytest.mark.parametrize("form", FORMS)
def test_each_row_is_answered_in_order_with_what_became_of_it(admin: Client, form: str, accept: str) -> None:
    trader_id = unique("trader")
    known = trade(trader_id=trader_id)
    admin.added(known)
    rows = [
        trade(trader_id=trader_id),
        known,
        {**known, "price": 1},
        trade(trader_id=trader_id, direction="BUY"),
        trade(trader_id=trader_id, quantity=12.3),
        trade(trader_id=trader_id, delivery_day="2023-02-30"),
    ]

    answer = admin.batch(encoded(rows, form), form, accept=accept)

    assert answer.counts == (2, 1, 1, 2)
    assert [row["result"] for row in answer.rows] == [
        "added",
        "duplicate",
        "conflict",
        "invalid",
        "added",
        "invalid",
    ]
    assert [row["row"] for row in answer.rows] == [1, 2, 3, 4, 5, 6]
    assert [row["id"] for row in answer.rows] == [row["id"] for row in rows]
    assert "direction" in answer.reason(4)
    assert "delivery_day" in answer.reason(6)
    assert {found["id"] for found in admin.trades(trader_id=trader_id)} == {
        known["id"],
        rows[0]["id"],
        rows[4]["id"],
    }


@pytest.mark.parametrize("form", FORMS)
def test_only_refused_rows_are_listed_if_asked(admin: Client, form: str) -> None:
    rows = [trade(), trade(quantity=0), trade()]

    answer = admin.batch(encoded(rows, form), form, results="refused")

    assert answer.counts == (2, 0, 0, 1)
    assert [(row["row"], row["result"]) for row in answer.rows] == [(2, "invalid")]


@pytest.mark.parametrize("form", FORMS)
def test_sending_a_batch_again_adds_nothing(admin: Client, form: str) -> None:
    rows = [trade() for _ in range(30)]

    first = admin.batch(encoded(rows, form), form)
    again = admin.batch(encoded(rows, form), form)

    assert (first.counts, again.counts) == ((30, 0, 0, 0), (0, 30, 0, 0))


def test_the_same_id_twice_in_one_batch_is_booked_once(admin: Client) -> None:
    trader_id = unique("trader")
    twice = trade(trader_id=trader_id)

    answer = admin.batch(as_ndjson([twice, twice, {**twice, "price": 1}]))

    assert [row["result"] for row in answer.rows] == ["added", "duplicate", "conflict"]
    assert admin.trades(trader_id=trader_id) == [twice]


def test_a_batch_of_many_chunks_is_answered_completely(admin: Client) -> None:
    trader_id = unique("trader")
    rows = [trade(trader_id=trader_id) for _ in range(5_321)]
    rows[4_000] = trade(trader_id=trader_id, price=1.5)

    answer = admin.batch(as_ndjson(rows))

    assert answer.counts == (5_320, 0, 0, 1)
    assert [row["row"] for row in answer.rows] == list(range(1, len(rows) + 1))
    assert "price" in answer.reason(4_001)
    assert len(admin.trades(trader_id=trader_id)) == 5_320


def test_many_small_batches_at_once_take_turns(desk: Desk) -> None:
    clients = 24
    start = Barrier(clients)

    def send(_number: int) -> tuple[int, int, int, int]:
        with desk.client() as client:
            start.wait(30)
            return client.batch(as_ndjson([trade() for _ in range(20)])).counts

    with ThreadPoolExecutor(clients) as pool:
        assert set(pool.map(send, range(clients))) == {(20, 0, 0, 0)}


def test_blank_lines_are_not_rows(admin: Client) -> None:
    first, second = trade(), trade()
    text = f"\n{json.dumps(first)}\n\n  \n{json.dumps(second)}"

    answer = admin.batch(text)

    assert [(row["row"], row["id"]) for row in answer.rows] == [(1, first["id"]), (2, second["id"])]


def test_a_line_that_is_no_json_is_refused_alone(admin: Client) -> None:
    answer = admin.batch(f"{json.dumps(trade())}\n{{torn\n[]\n{json.dumps(trade())}\n")

    assert [row["result"] for row in answer.rows] == ["added", "invalid", "invalid", "added"]


def test_csv_columns_may_come_in_any_order(admin: Client) -> None:
    trader_id = unique("trader")
    rows = [trade(trader_id=trader_id, quantity=12.3)]

    answer = admin.batch(as_csv(rows, header=list(reversed(FIELDS))), CSV)

    assert answer.counts == (1, 0, 0, 0)
    assert admin.trades(trader_id=trader_id)[0]["execution_time"] == rows[0]["execution_time"]


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        ("", NDJSON, 400),
        ("", CSV, 400),
        ("", JSON, 400),
        ("{}", JSON, 400),
        ("[1", JSON, 400),
        ("id,price\nt,1\n", CSV, 400),
        ("just text", "text/plain", 415),
        ("<xml/>", "application/xml", 415),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(
    admin: Client, content: str, content_type: str, status: int
) -> None:
    answer = admin.post_batch(content, content_type)

    assert answer.status_code == status
    assert answer.json()["status_code"] == status
    assert answer.json()["message"]
