"""The exchange's statement of a trade wins over a client's: in lists, in reports, and for whom each is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.desk import Desk
from tests.support.trades import as_csv, as_ndjson, trade, unique
from tests.support.waiting import wait_until

pytestmark = pytest.mark.flow("Nightly file")
DAY = "2023-02-28"


def pnl_of(client: Client, trader_id: str) -> tuple[int, float]:
    total = client.report(trader_id, DAY)["total"]
    return total["trades"], float(total["pnl_eur"])


def drop(desk: Desk, *trades: dict[str, Any]) -> str:
    """Take a nightly file in; its name."""
    name = f"epex_trades_20230228_{unique()}.csv"
    desk.drop(name, as_csv(trades))
    desk.wait_archived(name)
    return name


def corrections(client: Client, trader_id: str) -> list[dict[str, Any]]:
    answer = client.http.get("/v1/trades/corrections", params={"trader_id": trader_id})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def differing(client: Client, trade_id: str, **params: str) -> list[dict[str, Any]]:
    answer = client.http.get("/v1/trades/differing", params={"trade_id": trade_id, **params})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def test_the_nightly_file_corrects_what_a_client_booked_and_everything_follows(desk: Desk) -> None:
    ours, theirs = unique("trader"), unique("trader")
    booked = trade(trader_id=ours, price=12000, quantity=10)
    said = {**booked, "trader_id": theirs, "price": 9000}
    with desk.user("desk") as dora, desk.user("trader", trader_id=ours) as owner:
        owner.added(booked)
        other = trade(trader_id=ours, price=5000, quantity=1)
        owner.added(other)

        drop(desk, said)

        wait_until(lambda: pnl_of(dora, theirs) == (1, 900.0), timeout_s=20, what="the correction is counted")
        assert pnl_of(dora, ours) == (1, 50.0)
        (found,) = dora.trades(trader_id=theirs)
        assert found == {**said, "corrected": True, "replaced": booked}
        assert owner.trades() == [other]
        ((mine,), (whole,)) = corrections(owner, ours), corrections(dora, ours)
        assert (mine["replaced"], "by" in mine) == (booked, False)
        assert (whole["by"], whole["accepted_by"]) == (said, None)
        again = owner.http.post("/v1/trades", json=booked)
        assert (again.status_code, again.json()["message"]) == (409, "conflict")
        unconfirmed = dora.http.get("/v1/trades", params={"trader_id": ours, "unconfirmed": "only"})
        assert unconfirmed.json() == [other]


def test_a_second_statement_of_the_exchange_waits_for_somebody_of_the_desk(desk: Desk) -> None:
    trader_id = unique("trader")
    first = trade(trader_id=trader_id, price=12000)
    second = {**first, "price": 1}
    with desk.user("desk") as dora, desk.user("trader", trader_id=trader_id) as owner:
        drop(desk, first)
        drop(desk, second)
        assert dora.trades(trader_id=trader_id) == [first]

        assert owner.http.post("/v1/trades/corrections", json=second).status_code == 403
        assert owner.http.get("/v1/trades/differing").status_code == 403
        (waits,) = differing(dora, first["id"])
        assert (waits["stated"], waits["booked"], waits["stated_by"]) == (second, first, "file")
        invented = dora.http.post("/v1/trades/corrections", json={**first, "price": 2})
        assert (invented.status_code, "has not stated it so" in invented.json()["message"]) == (409, True)
        accepted = dora.http.post("/v1/trades/corrections", json=waits["stated"])

        assert accepted.json() == {"result": "added", "id": first["id"], "corrected": True}
        assert dora.trades(trader_id=trader_id) == [{**second, "corrected": True, "replaced": first}]
        assert differing(dora, first["id"]) == []
        assert {each["settled_by"] for each in differing(dora, first["id"], state="all")} == {dora.name}
        (newest, *_) = dora.http.get("/v1/trades/corrections", params={"before": 0}).json()
        assert (newest["id"], newest["accepted_by"]) == (first["id"], dora.name)


def test_a_file_that_somebody_else_sends_is_no_word_of_the_exchange(desk: Desk) -> None:
    booked = trade(trader_id=unique("trader"))
    with desk.user("desk") as dora, desk.user("service") as program:
        dora.added(booked)
        for client in (dora, program):
            answer = client.http.post(
                "/v1/trades/batch?source=file",
                content=as_csv([{**booked, "price": 1}]),
                headers={"Content-Type": "text/csv"},
            )
            assert answer.json()["conflict"] == 1, answer.text


@pytest.mark.parametrize("form", ["one", "array", "lines", "csv"])
def test_a_conflict_with_a_trade_of_another_trader_says_nothing_of_it(desk: Desk, form: str) -> None:
    ours, theirs = unique("trader"), unique("trader")
    booked = trade(trader_id=theirs)
    guess = {**booked, "trader_id": ours, "price": booked["price"] + 1}
    with desk.user("desk") as dora, desk.user("trader", trader_id=ours) as guesser:
        dora.added(booked)
        assert reason_of(guesser, guess, form) == "conflict"
        assert "price" in reason_of(dora, {**booked, "price": 1}, form)


def reason_of(client: Client, sent: dict[str, Any], form: str) -> str:
    """Why a trade is a conflict, by one of the ways to send it."""
    if form == "one":
        answer = client.http.post("/v1/trades", json=sent)
        assert answer.status_code == 409
        return str(answer.json()["message"])
    content, kind = {
        "array": (json.dumps([sent]), "application/json"),
        "lines": (as_ndjson([sent]), "application/x-ndjson"),
        "csv": (as_csv([sent]), "text/csv"),
    }[form]
    answer = client.http.post("/v1/trades/batch", content=content, headers={"Content-Type": kind})
    (row,) = answer.json()["rows"]
    assert row["result"] == "conflict"
    return str(row["reason"])
