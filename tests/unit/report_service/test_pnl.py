"""The desk's figures, checked against the vectors of the domain rules."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_service.domain.book import Book, Booking, Cell, CellKey, ReportKey
from report_service.domain.pnl import Figures, Report, day_in, report

from tests.unit.report_service.fakes import DAY, booking, recomputed, start_s

KEY = ReportKey("DE", "trader_1", DAY)
MARCH = date(2023, 3, 26)
OCTOBER = date(2023, 10, 29)


def report_of(*bookings: Booking, key: ReportKey = KEY) -> Report:
    return report(recomputed(bookings), key)


def hour(found: Report, label: str) -> Figures:
    return next(figures for period, figures in found.hours if period.label == label)


def test_a_sale_of_10_at_60_and_a_purchase_of_4_at_45_earn_420() -> None:
    figures = hour(
        report_of(booking(1, buy=False, mw=10, eur=60), booking(2, buy=True, mw=4, eur=45)), "14–15"
    )

    assert figures.pnl_eur == Decimal("420.00")
    assert figures.open_mwh == Decimal(-6)
    assert figures.average_eur_per_mwh == Decimal("55.71")
    assert (figures.trades, figures.buy_mw, figures.sell_mw) == (2, Decimal(4), Decimal(10))


def test_a_sale_of_10_at_51_and_a_purchase_of_9_at_60_lose_30() -> None:
    figures = report_of(booking(1, buy=False, mw=10, eur=51), booking(2, buy=True, mw=9, eur=60)).total

    assert figures.pnl_eur == Decimal("-30.00")
    assert figures.open_mwh == Decimal(-1)


def test_negative_prices_turn_a_purchase_into_income() -> None:
    assert report_of(booking(1, buy=True, mw=2, eur=-15.5)).total.pnl_eur == Decimal("31.00")


def test_an_hour_without_trades_is_listed_with_zeros_and_no_averages() -> None:
    found = report_of(booking(1, hour=14))
    idle = hour(found, "03–04")

    assert idle == Figures()
    assert str(idle.pnl_eur) == "0.00"
    assert idle.average_eur_per_mwh is None
    assert idle.average_buy_eur_per_mwh is None


@pytest.mark.parametrize(("day", "hours"), [(DAY, 24), (MARCH, 23), (OCTOBER, 25)])
def test_all_hours_of_a_day_are_listed(day: date, hours: int) -> None:
    found = report_of(key=ReportKey("DE", "trader_1", day))

    assert len(found.hours) == hours
    assert found.is_empty


def test_the_doubled_october_hour_is_two_rows() -> None:
    key = ReportKey("DE", "trader_1", OCTOBER)
    first = booking(1, hour=2, day=OCTOBER, mw=1)
    second = booking(2, hour=2, day=OCTOBER, offset_s=3600, mw=2)
    found = report_of(first, second, key=key)

    assert hour(found, "02A–03").buy_mw == 1
    assert hour(found, "02B–03").buy_mw == 2
    assert found.total.buy_mw == 3


def test_the_skipped_march_hour_is_no_row() -> None:
    labels = [period.label for period, _ in report_of(key=ReportKey("DE", "trader_1", MARCH)).hours]

    assert "02–03" not in labels
    assert labels[:3] == ["00–01", "01–02", "03–04"]


def test_quarters_and_halves_count_in_the_hour_that_contains_them() -> None:
    found = report_of(
        booking(1, mw=10, eur=40, minutes=15, offset_s=2700),
        booking(2, mw=10, eur=40, minutes=30, offset_s=1800),
        booking(3, mw=10, eur=40, minutes=60),
    )
    figures = hour(found, "14–15")

    assert figures.trades == 3
    assert figures.buy_mwh == Decimal("17.5")
    assert figures.pnl_eur == Decimal("-700.00")
    assert found.total == figures


def test_a_trade_of_another_trader_area_or_day_does_not_count() -> None:
    found = report_of(
        booking(1, trader="trader_2"),
        booking(2, area="GB", hour=13),
        booking(3, day=date(2023, 3, 1)),
    )

    assert found.is_empty


def test_sums_are_rounded_once_and_half_even() -> None:
    # Two halves of a cent: 0.1 MW over a quarter at 0.20 €/MWh is half a cent each.
    half_cent: dict[str, Any] = {"buy": False, "mw": 0.1, "eur": 0.20, "minutes": 15}
    one = report_of(booking(1, **half_cent))
    two = report_of(booking(1, **half_cent, hour=3), booking(2, **half_cent, hour=4))

    assert one.total.pnl_eur == Decimal("0.00")
    assert hour(two, "03–04").pnl_eur == Decimal("0.00")
    assert two.total.pnl_eur == Decimal("0.01")


def test_averages_of_a_total_are_weighted_by_volume() -> None:
    found = report_of(booking(1, mw=1, eur=10, hour=1), booking(2, mw=9, eur=20, hour=2))

    assert found.total.average_buy_eur_per_mwh == Decimal("19.00")
    assert found.total.average_sell_eur_per_mwh is None


def test_sums_beyond_64_bits_stay_exact() -> None:
    key = CellKey("trader_1", "DE", start_s(DAY, 5), 60)
    cell = Cell(trades=1, buy_kw=1, buy_ct_kw_per_mwh=10**40 + 1)
    found = report(Book(last_seq=1, cells=[(key, cell)]), KEY)

    assert found.total.pnl_ct_kw_min == -60 * (10**40 + 1)


class TestTheVersion:
    def test_is_the_same_for_the_same_trades_in_another_order_of_counting(self) -> None:
        first, second = booking(1, mw=3), booking(2, mw=5, hour=9)
        swapped = (second._replace(seq=1), first._replace(seq=2))
        later = [each._replace(execution_time_us=0) for each in swapped]

        assert report_of(first, second).version == report_of(second, first).version
        assert report_of(*later).version != report_of(first, second).version  # its last execution is shown

    def test_differs_for_another_trader_and_another_day_even_without_trades(self) -> None:
        keys = [
            KEY,
            ReportKey("DE", "trader_2", DAY),
            ReportKey("DE", "trader_1", MARCH),
            ReportKey("AT", *KEY[1:]),
        ]

        assert len({report_of(key=key).version for key in keys}) == 4

    @given(st.integers(0, 23), st.integers(1, 50), st.booleans())
    def test_changes_with_each_trade(self, at_hour: int, mw: int, buy: bool) -> None:
        before = report_of(booking(1))
        after = report_of(booking(1), booking(2, hour=at_hour, mw=mw, buy=buy))

        assert before.version != after.version


@given(
    st.lists(
        st.builds(
            booking,
            st.just(0),
            buy=st.booleans(),
            mw=st.integers(1, 10_000).map(lambda tenths: tenths / 10),
            eur=st.integers(-999_999, 999_999).map(lambda ct: ct / 100),
            hour=st.integers(0, 23),
        ),
        max_size=30,
    )
)
def test_the_total_is_the_exact_sum_of_the_hours(trades: list[Booking]) -> None:
    found = report_of(*trades)
    exact = sum((-1 if each.is_buy else 1) * each.quantity_kw * each.price_ct_per_mwh * 60 for each in trades)

    assert found.total.pnl_ct_kw_min == exact
    assert sum(figures.pnl_ct_kw_min for _, figures in found.hours) == exact
    assert found.total.trades == len(trades)


@pytest.mark.parametrize(
    "text",
    ["", "2023-2-28", "2023-02-30", "20230228", "2023-W09-2", "2023-02-28T", "1889-01-01", "２０２３-02-28"],
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"day"):
        day_in("DE", text)


def test_an_unknown_area_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown area 'XX'"):
        day_in("XX", "2023-02-28")
