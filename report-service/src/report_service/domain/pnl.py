"""A trader's day: PnL = Σ sell price·E − Σ buy price·E by hour and in total (source: the desk)."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from hashlib import blake2b

from wattbook.clock import to_epoch_us
from wattbook.periods import DeliveryPeriod, area_of, periods_of_day
from wattbook.units import eur_from_ct_kw_min, mw_from_kw, mwh_from_kw_min

from report_service.domain.book import Book, ReportKey

_US_PER_S = 1_000_000
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Figures:
    """Exact sums of any set of trades; what is shown is computed from them and rounded once."""

    trades: int = 0
    buy_kw: int = 0
    sell_kw: int = 0
    buy_kw_min: int = 0
    sell_kw_min: int = 0
    buy_ct_kw_min: int = 0
    sell_ct_kw_min: int = 0
    last_execution_time_us: int = 0

    def __add__(self, other: Figures) -> Figures:
        """Both sets of trades together."""
        return Figures(
            self.trades + other.trades,
            self.buy_kw + other.buy_kw,
            self.sell_kw + other.sell_kw,
            self.buy_kw_min + other.buy_kw_min,
            self.sell_kw_min + other.sell_kw_min,
            self.buy_ct_kw_min + other.buy_ct_kw_min,
            self.sell_ct_kw_min + other.sell_ct_kw_min,
            max(self.last_execution_time_us, other.last_execution_time_us),
        )

    @property
    def buy_mw(self) -> Decimal:
        """Power bought, summed over trades."""
        return mw_from_kw(self.buy_kw)

    @property
    def sell_mw(self) -> Decimal:
        """Power sold, summed over trades."""
        return mw_from_kw(self.sell_kw)

    @property
    def buy_mwh(self) -> Decimal:
        """Energy bought."""
        return mwh_from_kw_min(self.buy_kw_min)

    @property
    def sell_mwh(self) -> Decimal:
        """Energy sold."""
        return mwh_from_kw_min(self.sell_kw_min)

    @property
    def open_mwh(self) -> Decimal:
        """Open position: bought less sold."""
        return mwh_from_kw_min(self.buy_kw_min - self.sell_kw_min)

    @property
    def pnl_ct_kw_min(self) -> int:
        """PnL, exact."""
        return self.sell_ct_kw_min - self.buy_ct_kw_min

    @property
    def pnl_eur(self) -> Decimal:
        """PnL in EUR, rounded half even to the cent."""
        return eur_from_ct_kw_min(self.pnl_ct_kw_min)

    @property
    def average_buy_eur_per_mwh(self) -> Decimal | None:
        """Volume-weighted price of what was bought; None where nothing was."""
        return _average(self.buy_ct_kw_min, self.buy_kw_min)

    @property
    def average_sell_eur_per_mwh(self) -> Decimal | None:
        """Volume-weighted price of what was sold; None where nothing was."""
        return _average(self.sell_ct_kw_min, self.sell_kw_min)

    @property
    def average_eur_per_mwh(self) -> Decimal | None:
        """Average realised price, both sides together; None without trades."""
        return _average(self.buy_ct_kw_min + self.sell_ct_kw_min, self.buy_kw_min + self.sell_kw_min)


_FIELDS = tuple(field.name for field in fields(Figures))


@dataclass(frozen=True, eq=False)
class Report:
    """A trader's day, every hour of it. Compared by identity: it is made once a change and shared."""

    key: ReportKey
    hours: tuple[tuple[DeliveryPeriod, Figures], ...]
    total: Figures
    version: str

    @cached_property
    def time_zone(self) -> str:
        """The zone in which the day is counted."""
        return area_of(self.key.area).time_zone

    @property
    def is_empty(self) -> bool:
        """Whether nothing was traded."""
        return self.total.trades == 0


def report(book: Book, key: ReportKey) -> Report:
    """The report of a key, from the book as it stands.

    Raises:
        NoSuchPeriod: unknown area, or a day out of range.
    """
    hours = tuple(
        (period, _hour(book, key, to_epoch_us(period.start) // _US_PER_S))
        for period in periods_of_day(key.area, key.day)
    )
    total = sum((figures for _, figures in hours), Figures())
    return Report(key, hours, total, _version(key, hours))


def _hour(book: Book, key: ReportKey, hour_start_s: int) -> Figures:
    total = _NOTHING
    for minutes, cell in book.cells_in(trader_id=key.trader_id, area=key.area, hour_start_s=hour_start_s):
        total += Figures(
            cell.trades,
            cell.buy_kw,
            cell.sell_kw,
            cell.buy_kw * minutes,
            cell.sell_kw * minutes,
            cell.buy_ct_kw_per_mwh * minutes,
            cell.sell_ct_kw_per_mwh * minutes,
            cell.last_execution_time_us,
        )
    return total


_NOTHING = Figures()


def _version(key: ReportKey, hours: tuple[tuple[DeliveryPeriod, Figures], ...]) -> str:
    """A digest of what the report is about and of its sums: the same after a restart and on every replica."""
    digest = blake2b(repr((key.area, key.trader_id, key.day.isoformat())).encode(), digest_size=12)
    for _, figures in hours:
        digest.update(repr([getattr(figures, name) for name in _FIELDS] if figures.trades else 0).encode())
    return digest.hexdigest()


@lru_cache(maxsize=32_768)  # as in wattbook.units: most hours stay as they were
def _average(ct_kw_min: int, kw_min: int) -> Decimal | None:
    if kw_min == 0:
        return None
    return Decimal(round(Fraction(ct_kw_min, kw_min))).scaleb(-2)  # whole eurocent, half even, exactly


def day_in(area: str, text: str) -> date:
    """The day that ``YYYY-MM-DD`` names.

    Raises:
        ValueError: it names none, or one outside of what can be traded.
    """
    try:
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None:
        raise ValueError(f"{text!r} is not a day; write it as YYYY-MM-DD")
    periods_of_day(area, day)
    return day
