"""The book as a report sees it: exact integer sums a trader and delivery period, never the trades."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from wattbook.clock import from_epoch_s
from wattbook.periods import area_of

_HOUR_S = 3600


class Booking(NamedTuple):
    """A booked trade, as much of it as reports need. A tuple, since a million of them pass through."""

    seq: int
    trader_id: str
    area: str
    delivery_start_s: int
    delivery_minutes: int
    is_buy: bool
    quantity_kw: int
    price_ct_per_mwh: int
    execution_time_us: int
    id: str = ""


class CellKey(NamedTuple):
    """Whose sums, and of which delivery period."""

    trader_id: str
    area: str
    delivery_start_s: int
    delivery_minutes: int


class ReportKey(NamedTuple):
    """A trader's day in an area: what a report is about."""

    area: str
    trader_id: str
    day: date


@dataclass(slots=True)
class Cell:
    """Sums of one trader and delivery period. Prices are summed times power; minutes follow from the key."""

    trades: int = 0
    buy_kw: int = 0
    sell_kw: int = 0
    buy_ct_kw_per_mwh: int = 0
    sell_ct_kw_per_mwh: int = 0
    last_execution_time_us: int = 0

    def add(self, booking: Booking) -> None:
        """Count one more trade."""
        self.trades += 1
        worth = booking.price_ct_per_mwh * booking.quantity_kw
        if booking.is_buy:
            self.buy_kw += booking.quantity_kw
            self.buy_ct_kw_per_mwh += worth
        else:
            self.sell_kw += booking.quantity_kw
            self.sell_ct_kw_per_mwh += worth
        self.last_execution_time_us = max(self.last_execution_time_us, booking.execution_time_us)


@dataclass(frozen=True, slots=True)
class TraderSummary:
    """A trader the book knows: how much, and when last."""

    trader_id: str
    trades: int
    last_day: date


@lru_cache(maxsize=16384)
def day_of(area: str, hour_start_s: int) -> date:
    """The local delivery day that an hour belongs to."""
    return from_epoch_s(hour_start_s).astimezone(area_of(area).zone).date()


class Book:
    """Every trader's cells, as of ``last_seq``. One thread may change it; see the read model for readers."""

    def __init__(self, *, last_seq: int = 0, cells: Iterable[tuple[CellKey, Cell]] = ()) -> None:
        """Start from a snapshot that includes every booking up to ``last_seq``."""
        self.last_seq = last_seq
        self.last_id = ""
        self._cells: dict[CellKey, Cell] = {}
        self._days: dict[str, dict[tuple[date, str], int]] = {}
        for key, cell in cells:
            self._cells[key] = cell
            self._count(key, cell.trades)

    def apply(self, bookings: Iterable[Booking]) -> set[ReportKey]:
        """Count bookings that continue the sequence; returns the reports they changed.

        Raises:
            ValueError: a booking is not the next one; those before it are counted.
        """
        touched: dict[CellKey, int] = {}
        try:
            for booking in bookings:
                if booking.seq != self.last_seq + 1:
                    raise ValueError(f"booking {booking.seq} does not follow {self.last_seq}")
                key = CellKey(booking[1], booking[2], booking[3], booking[4])
                cell = self._cells.get(key)
                if cell is None:
                    cell = self._cells[key] = Cell()
                cell.add(booking)
                touched[key] = touched.get(key, 0) + 1
                self.last_seq = booking.seq
                self.last_id = booking.id
        finally:
            changed = {self._count(key, trades) for key, trades in touched.items()}
        return changed

    def cells_in(self, *, trader_id: str, area: str, hour_start_s: int) -> Iterator[tuple[int, Cell]]:
        """(minutes, cell) of every period within an hour: the hour itself, its halves, its quarters."""
        for minutes in (60, 30, 15):
            for start_s in range(hour_start_s, hour_start_s + _HOUR_S, minutes * 60):
                # A plain tuple: equal to its CellKey, and made in a fraction of the time.
                cell = self._cells.get((trader_id, area, start_s, minutes))  # type: ignore[call-overload]
                if cell is not None:
                    yield minutes, cell

    def traders(self) -> list[TraderSummary]:
        """Everybody with a trade, by name."""
        return [
            TraderSummary(trader_id, sum(days.values()), max(day for day, _ in days))
            for trader_id, days in sorted(self._days.items())
        ]

    @property
    def trader_count(self) -> int:
        """How many traders have a trade; it only grows."""
        return len(self._days)

    def trader_names(self) -> list[str]:
        """Everybody with a trade, by name."""
        return sorted(self._days)

    def traders_on(self, area: str, day: date) -> list[str]:
        """Everybody with a trade for a delivery day, by name."""
        return sorted(name for name, days in self._days.items() if (day, area) in days)

    def days_of(self, trader_id: str) -> list[tuple[date, str]]:
        """The days, with their area, on which a trader has trades, in order."""
        return sorted(self._days.get(trader_id, ()))

    def __len__(self) -> int:
        return len(self._cells)

    def _count(self, key: CellKey, trades: int) -> ReportKey:
        hour_start_s = key.delivery_start_s - key.delivery_start_s % _HOUR_S
        report = ReportKey(key.area, key.trader_id, day_of(key.area, hour_start_s))
        days = self._days.setdefault(key.trader_id, {})
        day = (report.day, report.area)
        days[day] = days.get(day, 0) + trades
        return report
