"""The simulated market: hours, order books, prices, orders."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox.market.book import BUY, SELL, Order, OrderBook
from sandbox.market.figures import euro_text, mw_text
from sandbox.market.flow import OrderFlow
from sandbox.market.hours import hours_named, label_of, opening, tradable_hours
from sandbox.market.prices import HourMarket, Market
from wattbook.periods import NoSuchPeriod, periods_of_day

pytestmark = pytest.mark.slow

AT_10_31 = datetime(2023, 2, 6, 9, 31, tzinfo=UTC)


def test_at_10_31_the_hours_from_11_to_23_of_the_next_day_are_tradable() -> None:
    hours = tradable_hours(AT_10_31)

    named = [(str(hour.delivery_day), hour.delivery_hour) for hour in hours]
    today, tomorrow = "2023-02-06", "2023-02-07"
    assert named == [(today, hour) for hour in range(11, 24)] + [(tomorrow, hour) for hour in range(24)]


@pytest.mark.parametrize(
    ("at", "count"),
    [
        (datetime(2023, 2, 6, 9, 59, 59, tzinfo=UTC), 37),
        (datetime(2023, 2, 6, 10, 0, tzinfo=UTC), 36),  # 11:00: that hour's gate has just closed
        (datetime(2023, 2, 6, 22, 59, 59, tzinfo=UTC), 24),
        (datetime(2023, 2, 6, 23, 0, tzinfo=UTC), 23 + 24),  # midnight opens another day
        (datetime(2023, 3, 25, 22, 59, tzinfo=UTC), 23),
        (datetime(2023, 10, 28, 21, 59, tzinfo=UTC), 25),
        (datetime(2023, 10, 29, 0, 30, tzinfo=UTC), 22 + 24),  # in the first 02:30: the second is next
    ],
)
def test_an_hours_gate_closes_when_it_starts(at: datetime, count: int) -> None:
    hours = tradable_hours(at)

    assert len(hours) == count
    assert all(opening(hour) <= at < hour.start for hour in hours)


def test_labels_run_from_00_01_to_23_24() -> None:
    labels = [label_of(hour) for hour in periods_of_day("DE", date(2023, 2, 6))]

    assert labels == [f"{hour:02d}-{hour + 1:02d}" for hour in range(24)]


@pytest.mark.parametrize("day", [date(2023, 2, 6), date(2023, 3, 26), date(2023, 10, 29)])
def test_a_label_names_the_hours_that_have_it(day: date) -> None:
    hours = periods_of_day("DE", day)

    named = [hour for label in dict.fromkeys(map(label_of, hours)) for hour in hours_named(day, label)]

    assert named == list(hours)


@pytest.mark.parametrize("label", ["", "12", "12-14", "24-25", "1-2", "12-13 ", "aa-bb", "１2-13"])
def test_what_is_no_label_names_nothing(label: str) -> None:
    with pytest.raises(NoSuchPeriod):
        hours_named(date(2023, 2, 6), label)


def test_a_bid_of_5_at_11_against_an_ask_of_10_at_10_trades_5_at_10() -> None:
    book = OrderBook()
    ask = Order(SELL, 1000, 10_000)
    book.place(ask)

    (fill,) = book.place(Order(BUY, 1100, 5_000, "trader_1"))

    assert (fill.quantity_kw, fill.price_ct) == (5_000, 1000)
    assert fill.resting is ask
    assert (ask.quantity_kw, book.best(SELL), book.best(BUY)) == (5_000, ask, None)


def test_better_prices_go_first_and_at_one_price_the_older_order() -> None:
    book = OrderBook()
    asks = [Order(SELL, price, 1000, name) for price, name in ((12, "a"), (11, "b"), (11, "c"), (13, "d"))]
    for ask in asks:
        book.place(ask)

    fills = book.place(Order(BUY, 12, 2500))

    assert [(fill.resting.trader_id, fill.price_ct, fill.quantity_kw) for fill in fills] == [
        ("b", 11, 1000),
        ("c", 11, 1000),
        ("a", 12, 500),
    ]


def test_what_is_not_met_rests() -> None:
    book = OrderBook()
    book.place(Order(SELL, -50, 1000))

    fills = book.place(Order(BUY, -50, 1500))

    assert [(fill.price_ct, fill.quantity_kw) for fill in fills] == [(-50, 1000)]
    rest = book.best(BUY)
    assert rest is not None
    assert (rest.price_ct, rest.quantity_kw) == (-50, 500)
    assert not book.place(Order(SELL, -49, 100))


@given(st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(-5, 5), st.integers(1, 9)), max_size=40))
def test_no_energy_appears_or_vanishes_and_no_book_stays_crossed(orders: list[tuple[str, int, int]]) -> None:
    book = OrderBook()
    traded_kw = 0

    for side, price_ct, quantity_kw in orders:
        traded_kw += sum(fill.quantity_kw for fill in book.place(Order(side, price_ct, quantity_kw)))

    resting_kw = sum(order.quantity_kw for side in (BUY, SELL) for order in book.resting(side))
    assert resting_kw + 2 * traded_kw == sum(quantity_kw for _, _, quantity_kw in orders)
    bid, ask = book.best(BUY), book.best(SELL)
    assert bid is None or ask is None or bid.price_ct < ask.price_ct


def test_an_hours_market_is_the_same_however_it_is_looked_at() -> None:
    hour = hours_named(date(2023, 2, 6), "18-19")[0]
    moments = [opening(hour) + timedelta(minutes=minutes, seconds=17) for minutes in range(0, 2400, 97)]
    forwards, backwards = HourMarket(seed=1, hour=hour), HourMarket(seed=1, hour=hour)

    seen = [(forwards.mid_ct(at), forwards.traded(at)) for at in moments]

    assert seen == [(backwards.mid_ct(at), backwards.traded(at)) for at in reversed(moments)][::-1]
    assert seen != [
        (other.mid_ct(at), other.traded(at)) for other in [HourMarket(seed=2, hour=hour)] for at in moments
    ]
    volumes = [volume for _, (volume, _) in seen]
    assert volumes == sorted(volumes)


def test_prices_have_the_shape_of_days_and_can_be_negative() -> None:
    market = Market(seed=1)
    noons, evenings = [], []
    for number in range(60):
        day = date(2023, 5, 1) + timedelta(days=number)
        for label, found in (("13-14", noons), ("18-19", evenings)):
            (hour,) = hours_named(day, label)
            found.append(market.of(hour).mid_ct(hour.start - timedelta(minutes=1)))

    assert min(noons) < 0 < min(evenings)
    assert sum(noons) < sum(evenings)
    assert all(abs(price_ct) < 50_000 for price_ct in noons + evenings)


def test_prices_move_within_an_hour_and_do_not_jump() -> None:
    (hour,) = hours_named(date(2023, 2, 6), "18-19")
    market = HourMarket(seed=1, hour=hour)
    prices = [market.mid_ct(hour.start - timedelta(seconds=seconds)) for seconds in range(7200, 0, -1)]

    assert len(set(prices)) > 200
    assert max(abs(later - before) for before, later in pairwise(prices)) < 20


def _flow(*, seed: int = 1, traders: tuple[str, ...] = ("trader_1", "trader_2")) -> OrderFlow:
    return OrderFlow(market=Market(seed=seed), traders=traders)


def test_the_same_orders_come_of_the_same_seed_and_moments() -> None:
    moments = [AT_10_31 + timedelta(seconds=seconds) for seconds in range(500)]
    first, again, other = _flow(), _flow(), _flow(seed=2)

    trades = [first.trades(at, most=3) for at in moments]

    assert trades == [again.trades(at, most=3) for at in moments]
    assert trades != [other.trades(at, most=3) for at in moments]


def test_our_trades_are_near_the_market_on_step_and_by_all_our_traders() -> None:
    flow, market = _flow(), Market(seed=1)
    trades = [
        (at, trade)
        for at in (AT_10_31 + timedelta(seconds=2 * number) for number in range(3000))
        for trade in flow.trades(at, most=3)
    ]

    away_ct = [abs(trade.price_ct - market.of(trade.hour).mid_ct(at)) for at, trade in trades]
    assert max(away_ct) <= 700
    assert sum(away_ct) / len(away_ct) < 100
    assert all(trade.quantity_kw > 0 and trade.quantity_kw % 100 == 0 for _, trade in trades)
    assert {trade.trader_id for _, trade in trades} == {"trader_1", "trader_2"}
    assert {trade.direction for _, trade in trades} == {BUY, SELL}
    assert len({trade.hour for _, trade in trades}) > 30


def test_one_order_makes_one_trade_where_only_one_is_wanted() -> None:
    flow = _flow()

    assert {len(flow.trades(AT_10_31, most=1)) for _ in range(2000)} == {1}
    assert {len(flow.trades(AT_10_31, most=3)) for _ in range(2000)} == {1, 2, 3}


@pytest.mark.parametrize(
    ("price_ct", "text"),
    [(2050, "20.5"), (2000, "20.0"), (2055, "20.55"), (-7, "-0.07"), (0, "0.0"), (-999_999, "-9999.99")],
)
def test_euros_are_written_exactly(price_ct: int, text: str) -> None:
    assert euro_text(price_ct) == text


@pytest.mark.parametrize(("quantity_kw", "text"), [(12_300, "12.3"), (12_000, "12.0"), (100, "0.1")])
def test_megawatts_are_written_exactly(quantity_kw: int, text: str) -> None:
    assert mw_text(quantity_kw) == text
