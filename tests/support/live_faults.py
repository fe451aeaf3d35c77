"""What must hold after every fault of the live desk, counted at its ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import date
from decimal import Decimal
from typing import Any

from tests.support.live_desk import Live
from tests.support.pages import PageReader
from tests.support.recomputed import lines_of_day, lines_of_report
from tests.support.waiting import wait_until

WHOLE_S = 60.0
PREFIX = "x_"  # so that the exchange's trades can be told from those that a test books itself
SETTINGS = {
    "WATTBOOK_SANDBOX_EXCHANGE_TRADES_PER_MIN": "0",
    "WATTBOOK_SANDBOX_EXCHANGE_NIGHTLY_FILE": "false",
    "WATTBOOK_SANDBOX_EXCHANGE_ID_PREFIX": PREFIX,
    "WATTBOOK_INGEST_SETTLE_S": "0.2",
    "WATTBOOK_FEED_PING_S": "0.5",
    "WATTBOOK_FEED_TRADES_KEEP_DAYS": "36500",  # simulated days may lie long ago
}


def assert_booked_as_heard(live: Live, *, filed: Collection[str] = ()) -> list[dict[str, Any]]:
    """Booked is, each once and as the exchange said it, what it sent to at least one listener; the trades.

    And those that it ``filed``, heard or not.
    """
    heard = {trade["id"]: trade for trade in live.sent() if trade["listeners"] or trade["id"] in filed}

    def booked() -> list[dict[str, Any]]:
        with live.client() as admin:
            served = [trade for trade in admin.trades() if trade["id"].startswith(PREFIX)]
        return served if len(served) >= len(heard) else []

    trades = wait_until(booked, timeout_s=WHOLE_S, what=f"{len(heard)} trades are booked")
    assert max(Counter(trade["id"] for trade in trades).values(), default=1) == 1, "a trade is booked twice"
    assert {trade["id"] for trade in trades} == heard.keys()
    for trade in trades:
        said = heard[trade["id"]]
        assert Decimal(trade["price"]) == Decimal(str(said["price"]))
        assert Decimal(trade["quantity"]) == Decimal(str(said["quantity"]))
        for field in ("trader_id", "direction", "delivery_day", "delivery_hour"):
            assert trade[field] == said[field]
    return trades


def assert_dashboards_agree(live: Live, trades: list[dict[str, Any]]) -> None:
    """Reports, desk and page are what trades and prices, as their owners serve them, add up to."""
    assert trades, "nothing to compare"
    with PageReader(live.pages_url, "admin", live.admin_password) as reader:
        for day in sorted({trade["delivery_day"] for trade in trades}):
            of_day = [trade for trade in trades if trade["delivery_day"] == day]
            for trader_id in sorted({trade["trader_id"] for trade in of_day}):
                of_trader = [trade for trade in of_day if trade["trader_id"] == trader_id]
                wait_until(
                    lambda asked=(trader_id, day), of_trader=of_trader: _agrees(
                        live, reader, *asked, of_trader
                    ),
                    timeout_s=WHOLE_S,
                    what=f"report and page of {trader_id}, {day} agree with the store",
                )


def assert_within_limits(live: Live) -> None:
    """The provider counted no request too many."""
    stats = live.provider("stats")
    assert (stats["violations"], stats["minute"]["violations"], stats["hour"]["violations"]) == (0, 0, 0)
    assert stats["minute"]["most_asked_in_any"] <= 50
    assert stats["hour"]["most_asked_in_any"] <= 1000


def assert_whole(live: Live, *, filed: Collection[str] = ()) -> None:
    """All of it."""
    assert_dashboards_agree(live, assert_booked_as_heard(live, filed=filed))
    assert_within_limits(live)


def _agrees(live: Live, reader: PageReader, trader_id: str, day: str, trades: list[dict[str, Any]]) -> bool:
    prices = live.get("/v1/reference-prices", delivery_day=day)["prices"]
    report = lines_of_report(live.get("/v1/reports/performance", trader_id=trader_id, delivery_day=day))
    shown = reader.totals(trader_id, day)
    expected = lines_of_day(trades, prices, date.fromisoformat(day))
    if report != expected:
        differing = [hour for hour in expected if report.get(hour) != expected[hour]]
        raise AssertionError(f"{differing[0]}: {report[differing[0]]} is not {expected[differing[0]]}")
    total = expected[None]
    assert shown == {name: getattr(total, name) for name in shown}, f"the page shows {shown}, not {total}"
    return True
