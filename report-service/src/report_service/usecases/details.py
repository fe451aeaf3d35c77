"""What stands behind one row: its trades, from the book, and its reference price's history, from its owner.

Nobody keeps these in memory beforehand, since few look. What was asked for is kept as long as the row is the
same, so that many who look at a row, and refresh, ask its owner once a change.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, TypeVar

from wattbook.errors import NotFound
from wattbook.periods import DeliveryPeriod

from report_service.domain.effects import Effect, PeriodTrade, effects
from report_service.domain.performance import Performance, Standing
from report_service.domain.prices import ReferencePrice

MOST_KEPT = 256
MOST_TRADES = 20_000
_Found = TypeVar("_Found")


class PeriodTrades(Protocol):
    """The owner of the trades. Raises Unavailable where it is away."""

    def of_period(self, *, trader_id: str, period: DeliveryPeriod, limit: int) -> Sequence[PeriodTrade]:
        """The first ``limit`` trades of a trader that deliver within a period, in booking order."""
        ...


class PriceHistory(Protocol):
    """The owner of the prices. Raises Unavailable where it is away."""

    def history(self, period: DeliveryPeriod) -> Sequence[ReferencePrice]:
        """Every value that a period had, oldest first."""
        ...


class Details:
    """Asks the owners; thread-safe."""

    def __init__(self, trades: PeriodTrades, prices: PriceHistory | None) -> None:
        """Ask ``trades``, and ``prices`` where there is such an owner."""
        self._trades = trades
        self._prices = prices
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, object] = OrderedDict()

    def trades(self, found: Performance, period: DeliveryPeriod, each: Standing) -> list[Effect]:
        """The trades of a row, at most ``MOST_TRADES``, each with its effect, in the order of execution.

        Raises:
            Unavailable: the book cannot be asked now.
        """
        trader_id = found.key.trader_id
        # The figures decide: while they are the same, so are the trades.
        listed = self._once(
            ("trades", trader_id, period, each.figures),
            lambda: tuple(self._trades.of_period(trader_id=trader_id, period=period, limit=MOST_TRADES)),
        )
        return effects(listed, each.price)

    def history(self, period: DeliveryPeriod, newest: ReferencePrice | None) -> tuple[ReferencePrice, ...]:
        """Every value that a period's reference price had, oldest first; ``newest`` as the row shows it.

        Raises:
            NotFound: there are no reference prices here.
            Unavailable: their owner cannot be asked now.
        """
        prices = self._prices
        if prices is None:
            raise NotFound("reference prices are not set up here")
        if newest is None:  # perhaps not loaded yet: there is nothing that says whether an answer still holds
            return tuple(prices.history(period))
        seen = (newest.seq, newest.last_update_us, newest.fetched_us)
        return self._once(("prices", period, seen), lambda: tuple(prices.history(period)))

    def _once(self, key: Hashable, ask: Callable[[], _Found]) -> _Found:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found  # type: ignore[return-value]
        made = ask()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return made
