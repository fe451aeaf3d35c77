"""When our orders match, and what trade comes of it."""

from __future__ import annotations

from datetime import datetime
from random import Random

from wattbook.clock import from_epoch_us, to_epoch_us

from sandbox.exchange.domain.trades import FrameStyle, Trade
from sandbox.market.flow import OrderFlow

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_US_PER_MIN = 60_000_000
_MOST_FILLS = 3


class Trading:
    """A stream of trades at a rate, at irregular moments (Poisson) that depend on the seed only."""

    def __init__(
        self, *, flow: OrderFlow, style: FrameStyle, seed: int, start: datetime, id_prefix: str
    ) -> None:
        """Begin at ``start``, paused. Ids are ``<prefix><start>-<number>``: no two runs share one."""
        self._flow = flow
        self._style = style
        self._random = Random(seed ^ 0x7A7E)  # noqa: S311  # a simulation must be repeatable
        self.ids = f"{id_prefix}{_base36(to_epoch_us(start) // 1000)}-"
        self._seq = 0
        self._next_us: int | None = None
        self.trades_per_min = 0.0

    def run(self, *, trades_per_min: float, now: datetime) -> None:
        """Go on at a rate in trades a simulated minute, from ``now``; 0 pauses."""
        self.trades_per_min = trades_per_min
        self._next_us = to_epoch_us(now) + self._gap_us() if trades_per_min > 0 else None

    def due(self, now: datetime, *, most: int) -> list[Trade]:
        """The trades due up to ``now``, each at its own moment; ``most`` or a few more at once."""
        now_us = to_epoch_us(now)
        found: list[Trade] = []
        while self._next_us is not None and self._next_us <= now_us and len(found) < most:
            made = self._make(self._next_us, most=_MOST_FILLS)
            for _ in made:  # an order that met three others is worth three moments, so that the rate holds
                self._next_us += self._gap_us()
            found += made
        return found

    def now(self, at: datetime, *, count: int) -> list[Trade]:
        """Exactly so many trades at once."""
        found: list[Trade] = []
        while len(found) < count:
            found += self._make(to_epoch_us(at), most=min(count - len(found), _MOST_FILLS))
        return found

    @property
    def next_due(self) -> datetime | None:
        """When the next order matches; nothing while paused."""
        return None if self._next_us is None else from_epoch_us(self._next_us)

    def _make(self, at_us: int, *, most: int) -> list[Trade]:
        trades: list[Trade] = []
        for made in self._flow.trades(from_epoch_us(at_us), most=most):
            self._seq += 1
            trades.append(
                Trade(
                    seq=self._seq,
                    id=f"{self.ids}{self._seq}",
                    price_ct=made.price_ct,
                    quantity_kw=made.quantity_kw,
                    direction=made.direction,
                    hour=made.hour,
                    trader_id=made.trader_id,
                    executed_us=self._style.cut_us(at_us),
                )
            )
        return trades

    def _gap_us(self) -> int:
        return max(1, int(self._random.expovariate(self.trades_per_min / _US_PER_MIN)))


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"
