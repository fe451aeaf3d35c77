"""Trades in, trades out, and the report of a day: all three must tell the same story."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.desk import Desk
from tests.support.trades import (
    FIELDS,
    as_ndjson,
    figures_of_day,
    hours_of,
    random_trade,
    report_figures,
    trade,
    unique,
)
from tests.support.waiting import wait_until

SHORT_DAY = date(2023, 3, 26)
LONG_DAY = date(2023, 10, 29)
PLAIN_DAY = date(2023, 2, 28)
SHOWN_WITHIN_S = 10.0


def report_with(client: Client, trader_id: str, day: date, *, trades: int) -> dict[str, Any]:
    """The report once it counts that many trades."""

    def shown() -> dict[str, Any] | None:
        report = client.report(trader_id, day)
        return report if report["total"]["trades"] == trades else None

    return wait_until(shown, timeout_s=SHOWN_WITHIN_S, what=f"{trades} trades in {trader_id}'s report")


@pytest.fixture
def trader_id() -> str:
    return unique("trader")


@pytest.mark.flow("Book over REST")
def test_a_booked_trade_is_served_exactly_as_it_was_sent(admin: Client, trader_id: str) -> None:
    sent = [
        trade(trader_id=trader_id),
        trade(trader_id=trader_id, quantity=12.3, price=-501),
        trade(trader_id=trader_id, quantity=0.1, direction="buy", execution_time="2023-02-28T11:12:35.25Z"),
        trade(trader_id=trader_id, quantity=1_000_000, price=0, delivery_hour=23),
    ]

    for each in sent:
        admin.added(each)

    served = admin.trades(trader_id=trader_id)
    assert [tuple(found) for found in served] == [FIELDS] * 4
    assert [{**found, "quantity": float(found["quantity"])} for found in served] == sent
    assert [str(found["quantity"]) for found in served] == ["12", "12.3", "0.1", "1000000"]


@pytest.mark.flow("Book over REST")
def test_the_trades_of_a_day_are_those_of_its_local_delivery_day(admin: Client, trader_id: str) -> None:
    first = trade(trader_id=trader_id, delivery_hour=0)
    last = trade(trader_id=trader_id, delivery_hour=23)
    next_day = trade(trader_id=trader_id, delivery_day="2023-03-01", delivery_hour=0)
    for each in (first, last, next_day):
        admin.added(each)

    assert [found["id"] for found in admin.trades(trader_id=trader_id, delivery_day="2023-02-28")] == [
        first["id"],
        last["id"],
    ]
    assert len(admin.trades(trader_id=trader_id)) == 3


@pytest.mark.flow("Book over REST")
def test_an_unknown_trader_has_no_trades_and_that_is_no_error(admin: Client, trader_id: str) -> None:
    assert admin.trades(trader_id=trader_id) == []
    report = admin.report(trader_id, PLAIN_DAY)
    assert len(report["hours"]) == 24
    assert report["total"]["trades"] == 0
    assert Decimal(str(report["total"]["pnl_eur"])) == 0


@pytest.mark.flow("Book over REST")
def test_the_same_trade_again_adds_nothing(admin: Client, trader_id: str) -> None:
    sent = trade(trader_id=trader_id, quantity=12)
    admin.added(sent)

    again = [admin.book({**sent, "quantity": same}) for same in (12, 12.0)]

    assert [(answer.status_code, answer.json()["result"]) for answer in again] == [(200, "duplicate")] * 2
    assert len(admin.trades(trader_id=trader_id)) == 1


@pytest.mark.flow("Book over REST")
@pytest.mark.parametrize(
    "change",
    [
        {"price": 12001},
        {"quantity": 12.1},
        {"direction": "buy"},
        {"delivery_day": "2023-03-01"},
        {"delivery_hour": 15},
        {"trader_id": "somebody_else"},
        {"execution_time": "2023-02-28T11:12:36Z"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_same_id_with_other_content_is_a_conflict(
    admin: Client, trader_id: str, change: dict[str, Any]
) -> None:
    sent = trade(trader_id=trader_id)
    admin.added(sent)

    answer = admin.book({**sent, **change})

    assert answer.status_code == 409
    assert answer.json()["status_code"] == 409
    assert "already booked" in answer.json()["message"]
    assert admin.trades(trader_id=trader_id) == [sent]


@pytest.mark.flow("Book over REST")
def test_one_of_fifty_clients_racing_with_one_id_wins_and_the_others_are_told(desk: Desk) -> None:
    contested = trade(trader_id=unique("trader"))
    variants = [{**contested, "price": 100 + number // 2} for number in range(50)]
    start = Barrier(len(variants))

    def race(variant: dict[str, Any]) -> tuple[int, str]:
        with desk.client() as client:
            client.http.get("/v1/me")
            start.wait(30)
            answer = client.book(variant)
            return answer.status_code, answer.json().get("result", "refused")

    with ThreadPoolExecutor(len(variants)) as pool:
        answers = list(pool.map(race, variants))

    with desk.client() as client:
        stored = client.trades(trader_id=contested["trader_id"])
    assert len(stored) == 1
    assert answers.count((200, "added")) == 1
    winner = stored[0]["price"]
    for variant, answer in zip(variants, answers, strict=True):
        if variant["price"] == winner:
            assert answer in {(200, "added"), (200, "duplicate")}
        else:
            assert answer == (409, "refused")


@pytest.mark.flow("From the book to the report")
@pytest.mark.parametrize("day", [PLAIN_DAY, SHORT_DAY, LONG_DAY], ids=str)
def test_the_report_equals_the_figures_worked_out_from_the_served_trades(admin: Client, day: date) -> None:
    chooser = random.Random(day.toordinal())
    traders = [unique("trader") for _ in range(3)]
    booked = [random_trade(chooser, trader_id=trader, day=day) for trader in traders for _ in range(120)]
    assert admin.batch(as_ndjson(booked), results="refused").counts == (len(booked), 0, 0, 0)

    for trader in traders:
        report = report_with(admin, trader, day, trades=120)
        served = admin.trades(trader_id=trader, delivery_day=day)

        assert len(served) == 120
        assert report_figures(report) == figures_of_day(served, day)
        assert len(report["hours"]) == len(hours_of(day))
        assert (report["trader_id"], report["delivery_day"]) == (trader, day.isoformat())
        assert (report["area"], report["time_zone"]) == ("DE", "Europe/Berlin")


@pytest.mark.flow("From the book to the report")
def test_the_two_hours_of_the_october_night_are_told_apart(admin: Client, trader_id: str) -> None:
    labels = {"trader_id": trader_id, "delivery_day": LONG_DAY.isoformat(), "delivery_hour": 2, "quantity": 1}
    admin.added(trade(**labels, price=100, delivery_start="2023-10-29T00:00:00Z"))
    admin.added(trade(**labels, price=1000, delivery_start="2023-10-29T01:00:00Z"))
    admin.added(trade(**labels, price=10000))

    report = report_with(admin, trader_id, LONG_DAY, trades=3)
    night = [row for row in report["hours"] if row["delivery_hour"] == 2]
    assert [(row["label"], row["delivery_start"], row["trades"]) for row in night] == [
        ("02A–03", "2023-10-29T00:00:00Z", 2),
        ("02B–03", "2023-10-29T01:00:00Z", 1),
    ]
    assert [Decimal(str(row["pnl_eur"])) for row in night] == [Decimal("101.00"), Decimal("10.00")]


@pytest.mark.flow("Book over REST")
@pytest.mark.parametrize("hour", [2], ids=["02-03"])
def test_the_hour_that_march_skips_is_refused(admin: Client, trader_id: str, hour: int) -> None:
    answer = admin.book(trade(trader_id=trader_id, delivery_day=SHORT_DAY.isoformat(), delivery_hour=hour))

    assert answer.status_code == 400
    assert admin.trades(trader_id=trader_id) == []


@pytest.mark.flow("Report")
def test_a_sum_keeps_every_tenth_of_a_cent_until_it_is_shown(admin: Client, trader_id: str) -> None:
    """Ten times 0.1 MW at 0.05 EUR is 0.05 EUR; rounded one by one it would be 0 or 0.10."""
    booked = [trade(trader_id=trader_id, quantity=0.1, price=5) for _ in range(10)]
    assert admin.batch(as_ndjson(booked)).added == 10

    report = report_with(admin, trader_id, PLAIN_DAY, trades=10)
    assert Decimal(str(report["total"]["pnl_eur"])) == Decimal("0.05")
    assert Decimal(str(report["total"]["sell_mw"])) == 1


@pytest.fixture
def reported(admin: Client, trader_id: str) -> str:
    admin.added(trade(trader_id=trader_id))
    report_with(admin, trader_id, PLAIN_DAY, trades=1)
    return trader_id


@pytest.mark.flow("Report")
def test_a_report_that_did_not_change_is_not_sent_again(admin: Client, reported: str) -> None:
    first = admin.get_report(reported, PLAIN_DAY)
    again = admin.get_report(reported, PLAIN_DAY, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")

    admin.added(trade(trader_id=reported, price=1))

    def changed() -> bool:
        answer = admin.get_report(reported, PLAIN_DAY, headers={"If-None-Match": first.headers["etag"]})
        return answer.status_code == 200 and answer.headers["etag"] != first.headers["etag"]

    assert wait_until(changed, timeout_s=SHOWN_WITHIN_S, what="the report changed")


@pytest.mark.flow("Report")
def test_the_csv_of_a_report_has_the_agreed_columns_and_a_total(admin: Client, reported: str) -> None:
    by_accept = admin.get_report(reported, PLAIN_DAY, headers={"Accept": "text/csv"})
    by_query = admin.get_report(reported, PLAIN_DAY, format="csv")

    lines = by_accept.text.splitlines()
    assert by_accept.headers["content-type"].startswith("text/csv")
    assert by_accept.text == by_query.text
    assert lines[0] == "Hour,Number of trades,Total BUY [MW],Total SELL [MW],PnL [EUR]"
    assert len(lines) == 1 + 24 + 1
    assert lines[15].startswith("14–15,1,0,12,")
    assert lines[-1].startswith("Total,1,0,12,")
