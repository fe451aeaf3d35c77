"""The live desk over REST with every owner behind it: exchange and provider in, figures and decisions out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.integration.feed_world import FeedWorld, feed_world
from tests.integration.pricing_process import PricingProcess, ProviderProcess, Time, closing
from tests.integration.report_process import ReportProcess
from tests.support.waiting import wait_until
from tests.unit.gateway.started import Started

pytestmark = pytest.mark.slow  # a process each

DAY = "2023-02-06"
HOUR = 12
TRADE: dict[str, Any] = {
    "id": "123", "price": 20.5, "quantity": 12.3, "direction": "buy", "delivery_day": DAY,
    "delivery_hour": f"{HOUR}-{HOUR + 1}", "trader_id": "trader_1", "execution_time": "2023-02-06T09:20:45Z",
}  # fmt: skip
NO_UTF8 = "gAD//g=="


class Live:
    """Everything started; ``rest`` is the admin's connection to the gateway."""

    def __init__(self, folder: Path, ending: ExitStack) -> None:
        time = Time(speed=60)
        self.feed: FeedWorld = ending.enter_context(feed_world(folder, listeners=1))
        provider = ProviderProcess(folder, time)
        self.pricing = PricingProcess(
            folder, time, url=f"{provider.url}/v1", WATTBOOK_TRADE_TARGET=self.feed.trade.target
        )
        ending.enter_context(closing(self.pricing, provider))
        provider.start()
        self.pricing.start()
        assert self.pricing.bus_url == self.feed.trade.bus_url
        reports = ReportProcess(
            folder, bus_url=self.pricing.bus_url, trade_target=self.feed.trade.target,
            WATTBOOK_PRICING_TARGET=self.pricing.target,
        )  # fmt: skip
        ending.callback(reports.close)
        reports.start()
        gateway = ending.enter_context(
            Started(
                folder, trade_target=self.feed.trade.target, report_target=reports.target,
                pricing_target=self.pricing.target, ingest_target=f"127.0.0.1:{self.feed.ingest.port}",
            )
        )  # fmt: skip
        self.rest: httpx.Client = ending.enter_context(gateway.client())

    def get(self, path: str) -> Any:
        return self.rest.get(f"/v1/{path}").raise_for_status().json(parse_float=Decimal)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with ExitStack() as ending:
        yield Live(tmp_path_factory.mktemp("live"), ending)


def test_a_trade_of_the_feed_is_measured_against_a_price_of_the_provider(live: Live) -> None:
    path = f"reports/performance?trader_id=trader_1&delivery_day={DAY}"

    def measured() -> Any:
        report = live.get(path)
        return report if report["hours"][HOUR]["light"] != "grey" else None

    live.feed.exchange.post("frame", json={"trade_confirmation": TRADE})
    report = wait_until(measured, timeout_s=60, what="the trade is measured")

    hour, total = report["hours"][HOUR], report["total"]
    assert hour["label"] == "12–13"
    assert (hour["trades"], hour["buy_mw"], hour["pnl_eur"]) == (1, Decimal("12.3"), Decimal("-252.15"))
    assert hour["average_eur_per_mwh"] == Decimal("20.50")
    assert total["delta_eur_per_mwh"] == hour["delta_eur_per_mwh"]
    assert hour["light"] == ("green" if hour["delta_eur_per_mwh"] > 0 else "red")
    known = live.get(f"reference-prices/{hour['delivery_start']}/history")["prices"]
    assert hour["reference_eur_per_mwh"] in [round(price["value_eur_per_mwh"], 2) for price in known]
    day = live.get(f"reference-prices?delivery_day={DAY}")["prices"]
    assert hour["delivery_start"] in [price["delivery_start"] for price in day]
    (row,) = live.get(f"reports/desk?delivery_day={DAY}")["rows"]
    assert (row["trader_id"], row["trades"], row["pnl_eur"]) == ("trader_1", 1, Decimal("-252.15"))
    assert len(row["cumulative_pnl_eur"]) == 24
    assert 0 < live.get("feed")["prices"]["hour_budget_left"] < 1000


def test_the_exchanges_own_odd_id_is_booked_by_the_desk_for_a_named_trader(live: Live) -> None:
    odd = {**TRADE, "id": "odd_1\u200b", "trader_id": "trader_1\u00a0"}
    live.feed.exchange.post("frame", json={"trade_confirmation": odd})

    def waiting() -> list[Any]:
        return [item for item in live.get("quarantine?state=open")["items"] if item["trade_id"] == odd["id"]]

    (item,) = wait_until(waiting, timeout_s=20, what="it is set aside")
    replayed = live.rest.post(f"/v1/quarantine/{item['id']}/replay?trader_id=trader_1").json()

    def booked() -> Any:
        return [each for each in live.get("trades?trader_id=trader_1") if each["id"] == odd["id"]]

    assert item["reason"] == "id: character 6 (U+200B ZERO WIDTH SPACE) cannot be seen"
    assert (replayed["state"], replayed["decided_by"]) == ("replayed", "anybody")
    assert wait_until(booked, timeout_s=20, what="it is booked")
    assert waiting() == []
    refused = live.rest.post(f"/v1/quarantine/{item['id']}/replay?trader_id=..")
    assert (refused.status_code, "has no page" in refused.json()["message"]) == (400, True)


def test_what_cannot_be_read_is_shown_and_decided_over(live: Live) -> None:
    live.feed.exchange.post("frame", base64=NO_UTF8)
    live.feed.exchange.post("frame", json={"trade_confirmation": {**TRADE, "price": "dear"}})
    wait_until(lambda: live.get("feed")["quarantined"] == 2, timeout_s=20, what="both are set aside")

    first = live.rest.get("/v1/quarantine?state=open&limit=1")
    second = live.rest.get(first.links["next"]["url"])
    (priced,), (odd,) = first.json()["items"], second.json()["items"]
    replayed = live.rest.post(f"/v1/quarantine/{priced['id']}/replay").json()
    dropped = live.rest.post(f"/v1/quarantine/{odd['id']}/drop", json={"reason": "noise"}).json()

    assert "next" not in second.links
    assert '"dear"' in live.get(f"quarantine/{priced['id']}")["frame"]
    assert (replayed["state"], replayed["decided_by"]) == ("open", "anybody")  # these walls are open
    assert (dropped["state"], dropped["frame_base64"]) == ("dropped", NO_UTF8)
    assert dropped["reason"].endswith("(dropped: noise)")
    assert live.get("feed")["quarantined"] == 1
    assert live.rest.post(f"/v1/quarantine/{odd['id']}/replay").status_code == 409
    assert live.rest.get("/v1/quarantine/4711").status_code == 404


def test_a_day_without_its_file_is_not_tied_out(live: Live) -> None:
    found = live.get(f"reconciliations/{DAY}")

    assert (found["day"], found["reconciled"], found["reconciled_at"], found["differences"]) == (
        DAY, False, None, []
    )  # fmt: skip
    assert live.rest.get(f"/v1/reconciliations/{DAY}?area=AT").status_code == 400
    assert live.rest.get("/v1/reference-prices/2023-02-06T11:30:00Z/history").status_code == 400


@pytest.mark.parametrize(
    "start",
    [
        "9999-12-31T23:00:00-14:00",
        "9999-12-31T23:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00Z",
    ],
)
def test_an_hour_at_the_end_of_the_calendar_is_refused_by_name(live: Live, start: str) -> None:
    answer = live.rest.get(f"/v1/reference-prices/{quote(start)}/history")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert answer.json()["message"].startswith("delivery_start: no delivery hour starts at")
