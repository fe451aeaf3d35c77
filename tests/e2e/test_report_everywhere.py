"""The same figures in the terminal, over REST and on the page."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import httpx
import pytest

from tests.support.client import Client
from tests.support.desk import Desk
from tests.support.trades import as_ndjson, random_trade, unique
from tests.support.waiting import wait_until

pytestmark = pytest.mark.flow("Report")
DAYS = (date(2023, 2, 28), date(2023, 3, 26), date(2023, 10, 29))
COLUMNS = ["Hour", "Number of trades", "Total BUY [MW]", "Total SELL [MW]", "PnL [EUR]"]


@pytest.fixture(scope="module")
def trader_id(desk: Desk) -> str:
    """A trader with 60 trades on each of the days, all in the report."""
    trader_id = unique("trader")
    chooser = random.Random(7)
    booked = [random_trade(chooser, trader_id=trader_id, day=day) for day in DAYS for _ in range(60)]
    with desk.client() as client:
        assert client.batch(as_ndjson(booked)).added == len(booked)
        for day in DAYS:
            wait_until(
                lambda day=day: client.report(trader_id, day)["total"]["trades"] == 60,
                timeout_s=10,
                what="the trades are in the report",
            )
    return trader_id


@pytest.fixture(scope="module")
def pages(desk: Desk) -> Iterator[httpx.Client]:
    """The report pages, signed in."""
    options = {"timeout": 20, "trust_env": False, "follow_redirects": True}
    with httpx.Client(base_url=desk.pages_url, headers={"Accept-Language": "en"}, **options) as http:
        sign_in(http, "admin", desk.admin_password)
        yield http


def sign_in(http: httpx.Client, name: str, password: str) -> httpx.Response:
    """Fill in the form the way a browser does."""
    form = http.get("/sign-in")
    assert form.status_code == 200, form.text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form.text)
    assert token is not None, form.text
    fields = {"csrf_token": token.group(1), "username": name, "password": password}
    return http.post(str(form.url), data=fields, headers={"Referer": str(form.url)})


def rest_rows(admin: Client, trader_id: str, day: date) -> list[list[str]]:
    answer = admin.get_report(trader_id, day, headers={"Accept": "text/csv"})
    return list(csv.reader(io.StringIO(answer.text)))


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_the_csv_over_rest_holds_the_figures_of_the_json(admin: Client, trader_id: str, day: date) -> None:
    report = admin.report(trader_id, day)
    rows = rest_rows(admin, trader_id, day)

    expected = [[row["label"], *figures(row)] for row in report["hours"]]
    expected.append(["Total", *figures(report["total"])])
    assert rows[0] == COLUMNS
    assert [[row[0], *map(Decimal, row[1:])] for row in rows[1:]] == expected


def figures(row: dict[str, object]) -> list[Decimal]:
    return [Decimal(str(row[name])) for name in ("trades", "buy_mw", "sell_mw", "pnl_eur")]


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_the_terminal_prints_what_rest_serves(desk: Desk, admin: Client, trader_id: str, day: date) -> None:
    as_csv = desk.run("report", trader_id, "--day", day.isoformat(), "--csv")
    as_json = desk.run("report", trader_id, "--day", day.isoformat(), "--json")
    as_table = desk.run("report", trader_id, "--day", day.isoformat())

    rows = rest_rows(admin, trader_id, day)
    assert as_csv.returncode == as_json.returncode == as_table.returncode == 0, as_csv.stderr
    assert list(csv.reader(io.StringIO(as_csv.stdout))) == rows
    served = admin.report(trader_id, day)
    printed = json.loads(as_json.stdout, parse_float=Decimal)
    assert [figures(row) for row in printed["hours"]] == [figures(row) for row in served["hours"]]
    assert figures(printed["total"]) == figures(served["total"])
    assert "\x1b[" not in as_table.stdout
    assert table_figures(as_table.stdout) == [[row[0], *map(Decimal, row[1:])] for row in rows[1:]]


def table_figures(text: str) -> list[list[object]]:
    """Label and four figures of each printed row."""
    found: list[list[object]] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"[│|┃]|\s{2,}", line) if cell.strip()]
        if len(cells) == 5 and re.fullmatch(r"\d\d[AB]?[–-]\d\d|Total", cells[0]):
            found.append([cells[0], *(number(cell) for cell in cells[1:])])
    return found


def number(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("−", "-").replace("+", ""))


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_the_page_offers_the_same_figures_for_download(
    admin: Client, pages: httpx.Client, trader_id: str, day: date
) -> None:
    page = pages.get(f"/traders/{trader_id}/days/{day.isoformat()}")
    assert page.status_code == 200

    link = re.search(r'href="([^"]*csv[^"]*)"', page.text)
    assert link is not None, page.text
    every_column = pages.get(link.group(1).replace("&amp;", "&"))
    pnl = pages.get(f"/traders/{trader_id}/days/{day.isoformat()}.csv")

    assert every_column.headers["content-type"].startswith("text/csv")
    served = admin.get_report(trader_id, day, kind="performance", headers={"Accept": "text/csv"})
    assert csv_rows(every_column.text) == csv_rows(served.text)
    assert csv_rows(pnl.text) == rest_rows(admin, trader_id, day)


def csv_rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_the_page_shows_the_same_figures(
    admin: Client, pages: httpx.Client, trader_id: str, day: date
) -> None:
    text = pages.get(f"/traders/{trader_id}/days/{day.isoformat()}").text
    labels = re.findall(r'data-label="([^"]+)"', text)
    slots = [f"h{at}" for at in range(len(labels))]
    shown = [
        [label, *(number(cell_of(text, f"{slot}.{name}")) for name in ("trades", "buy_mw", "sell_mw", "pnl"))]
        for label, slot in zip([*labels, "Total"], [*slots, "total"], strict=True)
    ]

    rows = rest_rows(admin, trader_id, day)
    assert shown == [[row[0], *map(Decimal, row[1:])] for row in rows[1:]]


def cell_of(page: str, slot: str) -> str:
    found = re.search(rf'data-slot="{slot}">(.*?)</td>', page, flags=re.DOTALL)
    assert found is not None, slot
    return re.sub(r"<[^>]+>", "", found.group(1)).strip()
