"""The desk's figures against the reference price, checked against the vectors of the domain rules."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_service.domain.book import Booking, ReportKey
from report_service.domain.performance import Light, Performance, Standing, desk_day, performance
from report_service.domain.pnl import report
from report_service.domain.prices import DayPrices

from tests.unit.report_service.fakes import DAY, booking, day_prices, price, recomputed

KEY = ReportKey("DE", "trader_1", DAY)


def day_of(*bookings: Booking, prices: DayPrices, key: ReportKey = KEY) -> Performance:
    return performance(report(recomputed(bookings), key), prices)


def hour(found: Performance, label: str = "14–15") -> Standing:
    return next(each for period, each in found.hours if period.label == label)


AT_50 = day_prices(price(14, "50"))


def test_a_sale_of_10_at_60_and_a_purchase_of_4_at_45_against_50_gain_120() -> None:
    sale, purchase = booking(1, buy=False, mw=10, eur=60), booking(2, mw=4, eur=45)

    found = day_of(sale, purchase, prices=AT_50)

    for each in (hour(found), found.total):
        assert each.figures.pnl_eur == Decimal("420.00")
        assert each.figures.open_mwh == -6
        assert each.edge_eur == Decimal("120.00")
        assert each.figures.average_eur_per_mwh == Decimal("55.71")
        assert each.reference_eur_per_mwh == Decimal("50.00")
        assert each.delta_eur_per_mwh == Decimal("5.71")
        assert (each.light, each.grey_reason) == (Light.GREEN, "")


def test_a_sale_of_10_at_51_and_a_purchase_of_9_at_60_against_50_lose_80() -> None:
    found = day_of(booking(1, buy=False, mw=10, eur=51), booking(2, mw=9, eur=60), prices=AT_50)

    assert found.total.figures.pnl_eur == Decimal("-30.00")
    assert found.total.figures.open_mwh == -1
    assert found.total.edge_eur == Decimal("-80.00")


def test_a_buyer_below_the_market_has_a_red_light_and_a_positive_edge() -> None:
    found = hour(day_of(booking(1, mw=2, eur=40), prices=AT_50))

    assert found.light is Light.RED
    assert found.delta_eur_per_mwh == Decimal("-10.00")
    assert found.edge_eur == Decimal("20.00")


def test_an_average_equal_to_the_reference_price_is_red_since_it_is_not_higher() -> None:
    assert hour(day_of(booking(1, eur=50), prices=AT_50)).light is Light.RED


def test_the_light_is_decided_before_rounding() -> None:
    found = hour(day_of(booking(1, eur=50.01), prices=day_prices(price(14, "50.009"))))

    assert found.delta_eur_per_mwh == Decimal("0.00")
    assert found.light is Light.GREEN


def test_a_light_is_grey_with_its_reason_while_either_price_is_undefined() -> None:
    found = day_of(booking(1, hour=3), prices=AT_50)
    untraded, unpriced, neither = hour(found), hour(found, "03–04"), hour(found, "05–06")

    assert [each.light for each in (untraded, unpriced, neither)] == [Light.GREY] * 3
    assert untraded.grey_reason == neither.grey_reason == "no trades"
    assert unpriced.grey_reason == "no reference price"
    assert untraded.reference_eur_per_mwh == Decimal("50.00")
    for each in (untraded, unpriced, neither):
        assert each.edge_eur is None
        assert each.delta_eur_per_mwh is None
    assert unpriced.reference_eur_per_mwh is None


def test_a_reference_price_of_zero_is_a_price() -> None:
    found = hour(day_of(booking(1, buy=False, mw=3, eur=5), prices=day_prices(price(14, "0"))))

    assert found.light is Light.GREEN
    assert found.reference_eur_per_mwh == 0
    assert found.edge_eur == Decimal("15.00")


def test_the_reference_of_the_total_is_weighted_by_our_energy() -> None:
    prices = day_prices(price(1, "10"), price(2, "40"), price(3, "1000"))

    total = day_of(booking(1, hour=1, mw=1, eur=12), booking(2, hour=2, mw=2, eur=42), prices=prices).total

    assert total.reference_eur_per_mwh == Decimal("30.00")  # (1·10 + 2·40) / 3; nothing traded at 1000
    assert total.figures.average_eur_per_mwh == Decimal("32.00")
    assert total.delta_eur_per_mwh == Decimal("2.00")


def test_a_total_compares_the_priced_trades_with_their_own_reference_prices() -> None:
    trades = booking(1, hour=1, mw=1, eur=12), booking(2, hour=2, mw=1, eur=500)

    total = day_of(*trades, prices=day_prices(price(1, "10"))).total

    assert total.figures.average_eur_per_mwh == Decimal("256.00")
    assert total.reference_eur_per_mwh == Decimal("10.00")
    assert total.delta_eur_per_mwh == Decimal("2.00")
    assert total.unpriced_trades == 1


def test_a_total_without_any_price_is_grey_because_there_is_no_reference_price() -> None:
    total = day_of(booking(1), prices=DayPrices()).total

    assert (total.light, total.grey_reason, total.edge_eur) == (Light.GREY, "no reference price", None)


def test_quarters_are_measured_against_the_price_of_their_hour() -> None:
    quarter = booking(1, buy=False, mw=4, eur=60, minutes=15, offset_s=2700)

    assert hour(day_of(quarter, prices=AT_50)).edge_eur == Decimal("10.00")


def test_a_total_is_as_old_as_the_oldest_price_that_it_uses() -> None:
    prices = day_prices(price(1, "10", at_s=300), price(2, "10", at_s=200), price(3, "10", at_s=100))

    total = day_of(booking(1, hour=1), booking(2, hour=2), prices=prices).total

    assert total.oldest_update_us == 200_000_000


def test_a_desk_adds_up_its_traders() -> None:
    first = day_of(booking(1, buy=False, mw=10, eur=60), prices=AT_50)
    other = ReportKey("DE", "trader_2", DAY)
    second = day_of(booking(1, trader="trader_2", mw=4, eur=45), prices=AT_50, key=other)

    found = desk_day(area="DE", day=DAY, traders=(first, second))

    assert found.total.edge_eur == Decimal("120.00")
    assert found.total.figures.pnl_eur == Decimal("420.00")
    assert found.total.delta_eur_per_mwh == Decimal("5.71")


class TestTheVersion:
    def test_is_the_same_for_the_same_trades_and_prices(self) -> None:
        prices = day_prices(price(14, "50"), price(15, "51"))
        turned = day_prices(price(15, "51"), price(14, "50"))

        assert day_of(booking(1), prices=prices).version == day_of(booking(1), prices=turned).version

    @pytest.mark.parametrize(
        "other",
        [
            *(day_prices(price(14, "50.01")), day_prices(price(14, "50", at_s=9)), DayPrices()),
            day_prices(price(15, "50")),
        ],
    )
    def test_changes_with_each_price(self, other: DayPrices) -> None:
        assert day_of(booking(1), prices=AT_50).version != day_of(booking(1), prices=other).version

    def test_changes_with_each_trade(self) -> None:
        one, two = day_of(booking(1), prices=AT_50), day_of(booking(1), booking(2), prices=AT_50)

        assert one.version != two.version
        assert (
            desk_day(area="DE", day=DAY, traders=[one]).version
            != desk_day(area="DE", day=DAY, traders=[two]).version
        )


trades = st.lists(
    st.builds(
        booking,
        st.just(0),
        buy=st.booleans(),
        mw=st.integers(1, 10_000).map(lambda tenths: tenths / 10),
        eur=st.integers(-999_999, 999_999).map(lambda ct: ct / 100),
        hour=st.integers(0, 5),
        minutes=st.sampled_from([15, 30, 60]),
    ),
    max_size=20,
)
references = st.dictionaries(
    st.integers(0, 5), st.decimals("-9999.99", "9999.99", places=4).map(str), max_size=6
)


@given(trades, references)
def test_the_edge_is_the_sum_over_trades_and_equals_pnl_plus_open_position_at_the_reference(
    booked: list[Booking], quoted: dict[int, str]
) -> None:
    found = day_of(*booked, prices=day_prices(*(price(at, value) for at, value in quoted.items())))

    expected = Fraction(0)
    for _, each in found.hours:
        if each.price is None or not each.figures.trades:
            assert each.edge_eur is None
            continue
        open_kw_min = each.figures.buy_kw_min - each.figures.sell_kw_min
        assert each.edge_ct_kw_min == each.figures.pnl_ct_kw_min + open_kw_min * each.price.ct_per_mwh
        start_s = each.price.delivery_start_s
        for trade in (one for one in booked if one.delivery_start_s == start_s):
            gained = each.price.ct_per_mwh - trade.price_ct_per_mwh
            expected += (1 if trade.is_buy else -1) * gained * trade.quantity_kw * trade.delivery_minutes
    assert found.total.edge_ct_kw_min == expected


@given(trades, references)
def test_where_every_traded_hour_is_priced_the_total_delta_is_average_minus_reference(
    booked: list[Booking], quoted: dict[int, str]
) -> None:
    prices = day_prices(*(price(at, quoted.get(at, "1.5")) for at in range(6)))
    total = day_of(*booked, prices=prices).total
    figures = total.figures

    energy = figures.buy_kw_min + figures.sell_kw_min
    if not energy:
        assert total.light is Light.GREY
        return
    average = Fraction(figures.buy_ct_kw_min + figures.sell_ct_kw_min, energy)
    reference, delta = total.reference_exact_ct_per_mwh, total.delta_exact_ct_per_mwh
    assert reference is not None
    assert delta == average - reference
    assert (total.light is Light.GREEN) == (average > reference)
