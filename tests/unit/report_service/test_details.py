"""What stands behind a row: its trades with their effects, its price's history; asked for once a change."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from report_service.domain.book import ReportKey
from report_service.domain.effects import PeriodTrade, effects
from report_service.domain.performance import performance
from report_service.domain.prices import DayKey
from report_service.usecases.details import Details

from tests.unit.report_service.fakes import DAY, booking, day_prices, price, recomputed
from tests.unit.report_service.test_pages import Pages

TRADES = "/traders/trader_1/days/2023-02-28/trades/14-15"
PRICES = "/traders/trader_1/days/2023-02-28/prices/14-15"
PART = {"X-Part": "detail"}

sides = st.tuples(
    st.booleans(), st.integers(1, 500), st.integers(-30_000, 30_000), st.sampled_from([60, 30, 15])
)


def cells(page: str) -> list[list[str]]:
    """The rows of the panel's table, texts only."""
    body = re.search(r'<table class="figures detail-table".*?<tbody>(.*?)</tbody>', page, flags=re.DOTALL)
    rows = re.findall(r"<tr\b.*?</tr>", body.group(1) if body else "", flags=re.DOTALL)
    found = [re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL) for row in rows]
    return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in found]


@given(st.lists(sides, min_size=1, max_size=30), st.integers(-20_000, 20_000))
def test_effects_add_up_to_the_row(stated: list[tuple[bool, int, int, int]], reference_ct: int) -> None:
    bookings = [
        booking(seq, buy=buy, mw=tenths / 10, eur=ct / 100, minutes=minutes)
        for seq, (buy, tenths, ct, minutes) in enumerate(stated, 1)
    ]
    quoted = price(14, str(Decimal(reference_ct) / 100))
    row = performance(_report(bookings), day_prices(quoted)).hours[14][1]

    found = effects([PeriodTrade(each) for each in reversed(bookings)], quoted)

    rounding = Fraction(len(bookings), 200)
    assert abs(sum(Fraction(each.pnl_eur) for each in found) - Fraction(row.figures.pnl_eur)) <= rounding + 1
    edges = [Fraction(each.edge_eur) for each in found if each.edge_eur is not None]
    assert row.edge_eur is not None
    assert abs(sum(edges) - Fraction(row.edge_eur)) <= rounding + 1
    assert found[-1].average_eur_per_mwh == row.figures.average_eur_per_mwh
    assert [each.trade.booking.seq for each in found] == list(range(1, len(bookings) + 1))


def _report(bookings: list[object]) -> object:
    from report_service.domain.pnl import report

    return report(recomputed(bookings), ReportKey("DE", "trader_1", DAY))  # type: ignore[arg-type]


@pytest.fixture
def pages() -> Pages:
    made = Pages()
    made.board.prices(DayKey("DE", DAY))
    for value, at_s in (("48", 1_677_570_000), ("50.5", 1_677_570_600), ("50", 1_677_571_200)):
        made.prices.publish(14, value, at_s=at_s)
    made.board.put(DayKey("DE", DAY), made.prices.day(DayKey("DE", DAY))[0], as_of_seq=3, asked_s=0)
    return made


@pytest.fixture
def ana(pages: Pages) -> FlaskClient:
    return pages.as_("ana")


class TestTrades:
    def test_are_listed_newest_first_with_what_each_did_to_the_row(self, ana: FlaskClient) -> None:
        page = ana.get(TRADES).text

        assert cells(page) == [
            ["t_2 Buy · 12:00:00", "Buy", "4.0", "45.00", "−180.00", "+20.00", "55.71"],
            ["t_1 Sell · 12:00:00", "Sell", "10.0", "60.00", "+600.00", "+100.00", "60.00"],
        ]
        assert 'id="live"' in page
        assert re.search(r'<tr id="h14" class="traded looked"', page)

    def test_come_alone_where_scripts_ask_for_the_panel(self, ana: FlaskClient) -> None:
        part = ana.get(TRADES, headers=PART).text

        assert part.lstrip().startswith("<section")
        assert len(cells(part)) == 2

    def test_have_their_links_in_the_table(self, ana: FlaskClient) -> None:
        page = ana.get("/traders/trader_1/days/2023-02-28").text

        assert f'href="{TRADES}"' in page
        assert f'href="{PRICES}"' in page

    def test_tell_flags_and_parts_of_the_hour(self) -> None:
        pages = Pages((booking(1, minutes=15, offset_s=900),))
        pages.book.flags = {"t_1": ("late",)}

        (row,) = cells(pages.as_("ana").get(TRADES).text)
        assert row[0] == "t_1 Buy · 12:00:00 · 14:15–14:30 late"

    def test_are_asked_for_once_a_change_of_the_row(self, pages: Pages, ana: FlaskClient) -> None:
        pages.book.calls.clear()
        for _ in range(3):
            ana.get(TRADES, headers=PART)
        assert pages.book.calls == ["trades of trader_1 14–15"]

        pages.book.book(booking(5))
        pages.model.apply([booking(5)])

        assert len(cells(ana.get(TRADES, headers=PART).text)) == 3
        assert len(pages.book.calls) == 2

    def test_of_a_busy_row_come_in_pages(self) -> None:
        pages = Pages(tuple(booking(seq) for seq in range(1, 452)))
        ana = pages.as_("ana")
        first, last = ana.get(TRADES, headers=PART).text, ana.get(f"{TRADES}?page=3", headers=PART).text

        assert (len(cells(first)), len(cells(last))) == (200, 51)
        assert cells(first)[0][0].startswith("t_451 ")
        assert cells(last)[-1][0].startswith("t_1 ")
        assert f'href="{TRADES}?page=2"' in first
        assert "401–451 of 451" in last
        assert len(cells(ana.get(f"{TRADES}?page=99999999999", headers=PART).text)) == 200

    def test_that_cannot_be_had_are_said_in_the_panel_and_the_figures_stay(
        self, pages: Pages, ana: FlaskClient
    ) -> None:
        pages.book.is_away = True
        answer = ana.get(TRADES)

        assert answer.status_code == 503
        assert "The trades cannot be shown now." in answer.text
        assert answer.headers["X-Request-Id"] in answer.text
        assert "+420.00" in answer.text

    def test_of_an_empty_row_say_what_comes_next(self, ana: FlaskClient) -> None:
        page = ana.get("/traders/trader_1/days/2023-02-28/trades/05-06", headers=PART).text

        assert "No trades in this period yet." in page

    def test_are_refused_to_other_traders(self, pages: Pages) -> None:
        tim = pages.as_("tim")

        assert tim.get(TRADES).status_code == 200
        for kind in ("trades", "prices"):
            assert tim.get(f"/traders/trader_2/days/2023-02-28/{kind}/14-15").status_code == 403

    @pytest.mark.parametrize("slug", ["24-25", "02A-03", "x", "14–15x"])
    def test_of_a_period_that_the_day_does_not_have_are_not_found(self, ana: FlaskClient, slug: str) -> None:
        assert ana.get(f"/traders/trader_1/days/2023-02-28/trades/{slug}").status_code == 404

    def test_of_both_doubled_hours_have_addresses(self, ana: FlaskClient) -> None:
        for slug in ("02A-03", "02B-03"):
            assert ana.get(f"/traders/trader_1/days/2023-10-29/trades/{slug}").status_code == 200


class TestThePricesHistory:
    def test_tells_every_value_and_when_it_was_known(self, ana: FlaskClient) -> None:
        page = ana.get(PRICES).text

        assert cells(page) == [
            ["09:00:00", "50.00", "−0.50", "09:00:01", "1.0 s"],
            ["08:50:00", "50.50", "+2.50", "08:50:01", "1.0 s"],
            ["08:40:00", "48.00", "first", "08:40:01", "1.0 s"],
        ]
        assert "<polyline points=" in page

    def test_is_asked_for_once_a_price(self, pages: Pages, ana: FlaskClient) -> None:
        for _ in range(3):
            ana.get(PRICES, headers=PART)
        assert pages.prices.calls.count("history 14–15") == 1

        pages.board.offer([pages.prices.publish(14, "51", at_s=1_677_571_800)])

        assert len(cells(ana.get(PRICES, headers=PART).text)) == 4

    def test_that_cannot_be_had_is_said(self, pages: Pages, ana: FlaskClient) -> None:
        pages.prices.is_away = True
        answer = ana.get(PRICES, headers=PART)

        assert answer.status_code == 503
        assert "The history cannot be shown now." in answer.text

    def test_without_an_owner_of_prices_says_so(self, pages: Pages, ana: FlaskClient) -> None:
        object.__setattr__(pages.site, "details", Details(pages.book, None))
        answer = ana.get(PRICES, headers=PART)

        assert answer.status_code == 200
        assert "Reference prices are not set up here." in answer.text
