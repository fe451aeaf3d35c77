"""The book as a report sees it: exact integer sums a trader and delivery period, never the trades."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    replaced: CellKey | None = None
    """Whose sums had the content that this one replaced."""

    @property
    def key(self) -> CellKey:
        """Whose sums it is in."""
        return CellKey._make(self[1:5])


class Link(NamedTuple):
    """A commit in the book's chain: the digests after its number ``before_seq`` and ``after_seq``."""

    epoch: str
    before_seq: int
    before: str
    after_seq: int
    after: str


class Head(NamedTuple):
    """How far a book is, or is known: its epoch, its last number, its digest there ("": not known)."""

    epoch: str
    seq: int
    digest: str


@dataclass(frozen=True, slots=True)
class Event:
    """What an event tells: bookings, and their commit's link where the event has one."""

    bookings: Sequence[Booking]
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Bookings that follow what is known; ``diverged``: what is known is no part of this book."""

    bookings: Sequence[Booking]
    head: Head
    diverged: bool = False


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
        _, _, _, _, _, is_buy, quantity_kw, price_ct_per_mwh, execution_time_us, _, _ = booking
        self.trades += 1
        if is_buy:
            self.buy_kw += quantity_kw
            self.buy_ct_kw_per_mwh += price_ct_per_mwh * quantity_kw
        else:
            self.sell_kw += quantity_kw
            self.sell_ct_kw_per_mwh += price_ct_per_mwh * quantity_kw
        if execution_time_us > self.last_execution_time_us:
            self.last_execution_time_us = execution_time_us


@dataclass(frozen=True, slots=True)
class TraderSummary:
    """A trader the book knows: how much, and when last."""

    trader_id: str
    trades: int
    last_day: date


@dataclass(slots=True, eq=False)
class _Day:
    """A trader's day in an area: its report's key, and how many trades."""

    key: ReportKey
    trades: int = 0


@lru_cache(maxsize=16384)
def day_of(area: str, hour_start_s: int) -> date:
    """The local delivery day that an hour belongs to."""
    return from_epoch_s(hour_start_s).astimezone(area_of(area).zone).date()


class Book:
    """Every trader's cells, as of ``last_seq``. One thread may change it; see the read model for readers."""

    def __init__(
        self,
        *,
        last_seq: int = 0,
        cells: Iterable[tuple[CellKey, Cell]] = (),
        epoch: str = "",
        digest: str = "",
    ) -> None:
        """Start from a snapshot that includes every booking up to ``last_seq``, where it has ``digest``."""
        self.last_seq = last_seq
        self.epoch, self.digest = epoch, digest
        # By a CellKey; a plain tuple is equal to it, and made in a fraction of the time.
        self._cells: dict[tuple[str, str, int, int], tuple[Cell, _Day]] = {}
        self._days: dict[str, dict[tuple[date, str], _Day]] = {}
        for key, cell in cells:
            self._put(key, cell).trades += cell.trades

    def apply(
        self, bookings: Iterable[Booking], recomputed: Mapping[CellKey, Cell | None] | None = None
    ) -> set[ReportKey]:
        """Count bookings that continue the sequence; returns the reports they changed.

        ``recomputed``: the sums, after all of these, of whatever a correction among them touches; None where
        nothing is left of them.

        Raises:
            ValueError: a booking is not the next one; those before it are counted.
        """
        changed: set[_Day] = set()
        cells = self._cells
        known = recomputed or {}
        for booking in bookings:
            if booking[0] != self.last_seq + 1:
                raise ValueError(f"booking {booking.seq} does not follow {self.last_seq}")
            self.last_seq = booking[0]
            if known and booking[1:5] in known:
                continue
            found = cells.get(booking[1:5])
            if found is None:
                cell = Cell()
                day = self._put(CellKey._make(booking[1:5]), cell)
            else:
                cell, day = found
            cell.add(booking)
            day.trades += 1
            changed.add(day)
        for key, exact in known.items():
            changed.add(self._exchange(key, exact))
        return {day.key for day in changed}

    def _exchange(self, key: CellKey, cell: Cell | None) -> _Day:
        """Have ``cell`` for a key, whatever was there; a day, and a trader, without trades is gone."""
        before = self._cells.pop(key, None)
        day = self._put(key, cell or Cell())
        if before is not None:
            day.trades -= before[0].trades
        if cell is None:
            del self._cells[key]
        else:
            day.trades += cell.trades
        if not day.trades:
            days = self._days[key.trader_id]
            del days[day.key.day, key.area]
            if not days:
                del self._days[key.trader_id]
        return day

    def cell(self, key: CellKey) -> Cell | None:
        """The sums of a key; None where it has no trade."""
        found = self._cells.get(key)
        return found[0] if found else None

    def cells_in(self, *, trader_id: str, area: str, hour_start_s: int) -> Iterator[tuple[int, Cell]]:
        """(minutes, cell) of every period within an hour: the hour itself, its halves, its quarters."""
        for minutes in (60, 30, 15):
            for start_s in range(hour_start_s, hour_start_s + _HOUR_S, minutes * 60):
                found = self._cells.get((trader_id, area, start_s, minutes))
                if found is not None:
                    yield minutes, found[0]

    def traders(self) -> list[TraderSummary]:
        """Everybody with a trade, by name."""
        return [
            TraderSummary(trader_id, sum(each.trades for each in days.values()), max(day for day, _ in days))
            for trader_id, days in sorted(self._days.items())
        ]

    @property
    def trader_count(self) -> int:
        """How many traders have a trade."""
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

    def _put(self, key: CellKey, cell: Cell) -> _Day:
        hour_start_s = key.delivery_start_s - key.delivery_start_s % _HOUR_S
        day = day_of(key.area, hour_start_s)
        days = self._days.setdefault(key.trader_id, {})
        found = days.get((day, key.area))
        if found is None:
            found = days[day, key.area] = _Day(ReportKey(key.area, key.trader_id, day))
        self._cells[key] = cell, found
        return found
