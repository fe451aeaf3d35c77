"""Orders of our traders and of everybody else, met in order books; what comes out are our desk's trades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from wattbook.periods import DeliveryPeriod
from wattbook.units import PRICE_MAX_CT_PER_MWH, PRICE_MIN_CT_PER_MWH, QUANTITY_STEP_KW

from sandbox.market.book import BUY, SELL, Order, OrderBook
from sandbox.market.hours import tradable_hours
from sandbox.market.prices import Market

_STALE_CT = 400  # quotes farther than this from the middle are withdrawn
_DEPTH = 20
_REST_SHARE = 0.25  # of our orders wait for somebody to come to them
_NEAR_HOURS = 6.0  # most trading is in the hours about to be delivered


@dataclass(frozen=True, slots=True)
class DeskTrade:
    """One of our orders met: from our side, before the exchange gave it an id."""

    hour: DeliveryPeriod
    price_ct: int
    quantity_kw: int
    direction: str
    trader_id: str


@dataclass(slots=True)
class _Venue:
    book: OrderBook
    placed: int = 0


class OrderFlow:
    """A stream of trades that depends on the seed and on the instants it is asked at, and on nothing else."""

    def __init__(self, *, market: Market, traders: Sequence[str]) -> None:
        """Let ``traders`` of our desk trade on ``market``."""
        self._market = market
        self._random = Random(market.seed)  # noqa: S311  # a simulation must be repeatable
        self._traders = tuple(traders)
        # Each trader leans to one side: some have wind to sell, some load to cover.
        self._buy_share = {trader: self._random.uniform(0.25, 0.75) for trader in traders}
        self._venues: dict[datetime, _Venue] = {}
        self._hours: tuple[DeliveryPeriod, ...] = ()

    def trades(self, at: datetime, *, most: int) -> list[DeskTrade]:
        """What our next order that meets others trades, at least one trade and at most ``most``."""
        hour = self._choose_hour(at)
        venue = self._venues.get(hour.start)
        if venue is None:
            venue = self._venues[hour.start] = _Venue(OrderBook())
        mid_ct = self._market.of(hour).mid_ct(at)
        venue.placed += 1
        if venue.placed % 4 == 1:
            venue.book.withdraw_beyond(low_ct=mid_ct - _STALE_CT, high_ct=mid_ct + _STALE_CT, most=_DEPTH)
        trader = self._traders[int(self._random.random() * len(self._traders))]
        side = BUY if self._random.random() < self._buy_share[trader] else SELL
        ours = Order(side, 0, self._quantity_kw(), trader)
        if self._random.random() < _REST_SHARE:
            return self._wait_for_others(ours, hour=hour, book=venue.book, mid_ct=mid_ct)
        return self._meet_others(ours, hour=hour, book=venue.book, mid_ct=mid_ct, most=most)

    def _meet_others(
        self, ours: Order, *, hour: DeliveryPeriod, book: OrderBook, mid_ct: int, most: int
    ) -> list[DeskTrade]:
        """Our order takes what rests on the other side, up to ``most`` orders of it."""
        facing = SELL if ours.side == BUY else BUY
        self._quote(book, side=facing, mid_ct=mid_ct)
        waiting = book.resting(facing)[: max(1, min(most, 3))]
        ours.quantity_kw = min(ours.quantity_kw, sum(order.quantity_kw for order in waiting))
        ours.price_ct = waiting[-1].price_ct
        return [
            DeskTrade(hour, fill.price_ct, fill.quantity_kw, ours.side, ours.trader_id)
            for fill in book.place(ours)
        ]

    def _wait_for_others(
        self, ours: Order, *, hour: DeliveryPeriod, book: OrderBook, mid_ct: int
    ) -> list[DeskTrade]:
        """Our order improves on the best price of its side, and somebody comes to it."""
        self._quote(book, side=SELL if ours.side == BUY else BUY, mid_ct=mid_ct)
        self._quote(book, side=ours.side, mid_ct=mid_ct)
        ours.price_ct = self._between_the_best(book, ours.side)
        met = book.best(SELL if ours.side == BUY else BUY)
        if met is not None and met.price_ct == ours.price_ct:
            return self._meet_others(ours, hour=hour, book=book, mid_ct=mid_ct, most=1)
        book.place(ours)
        theirs = Order(SELL if ours.side == BUY else BUY, ours.price_ct, ours.quantity_kw)
        return [
            DeskTrade(hour, fill.price_ct, fill.quantity_kw, ours.side, ours.trader_id)
            for fill in book.place(theirs)
        ]

    def _between_the_best(self, book: OrderBook, side: str) -> int:
        best_bid, best_ask = book.best(BUY), book.best(SELL)
        assert best_bid is not None
        assert best_ask is not None
        return min(best_bid.price_ct + 1, best_ask.price_ct) if side == BUY else max(
            best_ask.price_ct - 1, best_bid.price_ct
        )  # fmt: skip

    def _quote(self, book: OrderBook, *, side: str, mid_ct: int) -> None:
        """Somebody outside our desk offers; at least one order rests on ``side`` afterwards."""
        while True:  # ends: each round takes from the other side, or rests
            away_ct = 5 + min(int(self._random.expovariate(1 / 40)), _STALE_CT // 2)
            price_ct = mid_ct - away_ct if side == BUY else mid_ct + away_ct
            price_ct = min(max(price_ct, PRICE_MIN_CT_PER_MWH), PRICE_MAX_CT_PER_MWH)
            # Met at once it trades among the others, which is no trade of ours.
            book.place(Order(side, price_ct, self._quantity_kw()))
            if book.best(side) is not None:
                return

    def _quantity_kw(self) -> int:
        """0.1 to about 40 MW, mostly small, in steps of the exchange."""
        return QUANTITY_STEP_KW * (1 + min(int(self._random.expovariate(1 / 60)), 400))

    def _choose_hour(self, at: datetime) -> DeliveryPeriod:
        if not self._hours or self._hours[0].start <= at:
            self._hours = tradable_hours(at)
            open_starts = {hour.start for hour in self._hours}
            self._venues = {start: venue for start, venue in self._venues.items() if start in open_starts}
        ahead = int(self._random.expovariate(1 / _NEAR_HOURS))
        return self._hours[min(ahead, len(self._hours) - 1)]
