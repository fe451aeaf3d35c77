"""Companies' cash over the started product: found, opened, and the same figure everywhere."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.live_desk import LiveDesk
from tests.support.pages import PageReader
from tests.support.waiting import wait_until

pytestmark = pytest.mark.flow("Company cash")

LOADED_S = 120.0
MONTH_DAYS = 35


@dataclass(frozen=True)
class Loaded:
    """A company, and a month whose payments are all had: the bank's oldest come first, and change no more."""

    number: int
    begins: date
    ends: date


@pytest.fixture(scope="module")
def loaded(desk: LiveDesk) -> Loaded:
    def found() -> Loaded | None:
        listed = desk.get("/v1/companies", limit="1")["companies"]
        page = desk.get(f"/v1/companies/{listed[0]['id']}") if listed else {"first_payment": None}
        if not page["first_payment"] or not page["data"]["complete_to"]:
            return None
        begins = date.fromisoformat(page["first_payment"][:10]).replace(day=1)
        ends = (begins + timedelta(days=MONTH_DAYS)).replace(day=1)
        is_had = page["data"]["complete_to"][:10] >= ends.isoformat()
        return Loaded(listed[0]["id"], begins, ends) if is_had else None

    return wait_until(found, timeout_s=LOADED_S, what="a month of payments is had")


def test_a_company_is_found_and_its_balance_is_the_same_everywhere(desk: LiveDesk, loaded: Loaded) -> None:
    begins, ends = loaded.begins, loaded.ends
    last = ends - timedelta(days=1)
    company = f"/v1/companies/{loaded.number}"
    known = desk.get(company)
    balance = desk.get(f"{company}/balance", at=last.isoformat())
    period = {"from": begins.isoformat(), "to": ends.isoformat()}
    (bucket,) = desk.get(f"{company}/history", **period)["buckets"]
    sums = desk.get(f"{company}/transactions", **period)["sums"]
    told = desk.run("balance", known["company"]["name"], "--at", last.isoformat(), "--json")
    with PageReader(desk.pages_url, "admin", desk.admin_password) as reader:
        found = reader.http.get("/cash", params={"q": known["accounts"][0]["iban"]})
        page = reader.http.get(f"{found.headers['location']}?from={begins}&until={last}")

    assert found.headers["location"] == f"/cash/companies/{loaded.number}"
    assert bucket["closing"] == balance["balance"] == json.loads(told.stdout)["balance"]
    assert cells(page.text)["closing"] == Decimal(balance["balance"])
    moved = figure(bucket, "in") - figure(bucket, "out") + figure(bucket, "rounding")
    assert figure(bucket, "closing") == figure(bucket, "opening") + moved
    assert (sums["in"], sums["out"]) == (bucket["in"], bucket["out"])


def figure(bucket: dict[str, Any], name: str) -> Decimal:
    return Decimal(bucket[name])


def cells(page: str) -> dict[str, Decimal]:
    """The named cells of the first row of buckets."""
    row = re.search(r'<tbody data-slot="rows"><tr.*?</tr>', page, re.DOTALL)
    assert row is not None, page[:500]
    found = re.findall(r'<td class="(\w+)"[^>]*>(.*?)</td>', row[0])
    texts = {name: re.sub(r"<abbr.*?</abbr> |<[^>]+>", "", text) for name, text in found}
    return {name: Decimal(text.replace(",", "").replace("−", "-")) for name, text in texts.items()}


def test_a_treasurer_sees_cash_and_no_trades_and_a_trader_no_cash(desk: LiveDesk, loaded: Loaded) -> None:
    company = f"companies/{loaded.number}"
    paths = ["/v1/companies", f"/v1/{company}/balance", "/v1/cash/status", "/v1/trades", "/v1/reports/desk"]
    query = {"delivery_day": "2023-02-28"}
    with desk.user("treasurer") as treasurer, desk.user("trader", trader_id="trader_1") as trader:
        may = [treasurer.http.get(path, params=query if "reports" in path else None) for path in paths]
        refused = [trader.http.get(path) for path in paths[:3]]
        with PageReader(desk.pages_url, treasurer.name, treasurer.password) as reader:
            pages = [
                reader.http.get(path) for path in ("/", "/cash", f"/cash/{company}", "/traders", "/desk")
            ]
        with PageReader(desk.pages_url, trader.name, trader.password) as reader:
            hidden = reader.http.get("/cash")

    assert [answer.status_code for answer in may] == [200, 200, 200, 403, 403]
    assert [answer.status_code for answer in refused] == [403] * 3
    assert (pages[0].status_code, pages[0].headers["location"]) == (302, "/cash")
    assert [page.status_code for page in pages[1:]] == [200, 200, 403, 403]
    assert hidden.status_code == 403
