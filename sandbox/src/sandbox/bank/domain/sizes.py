"""How much there is of everything, and how time is cut into windows of five UTC days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

DAY_S = 86_400
WINDOW_DAYS = 5
WINDOW_S = WINDOW_DAYS * DAY_S
SEPA, SWIFT = "sepa", "swift"
SOURCES = (SEPA, SWIFT)
DEFAULT_FROM, DEFAULT_TO = date(2018, 1, 1), date(2022, 1, 1)
DEFAULT_WINDOWS = 293  # those that the default range touches: together they have a size's payments
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Size:
    """A size by name; ``payments`` by source are those of the default range."""

    name: str
    companies: int
    payments: dict[str, int]

    def rows_before(self, source: str, window: int) -> int:
        """Payments in all windows since 1970 before one; of any 293 in a row together ``payments``."""
        return window * self.payments[source] // DEFAULT_WINDOWS

    def rows(self, source: str, window: int) -> int:
        """Payments in a window, whatever else is made."""
        return self.rows_before(source, window + 1) - self.rows_before(source, window)


SIZES = {
    size.name: size
    for size in (
        Size("small", 100, {SEPA: 10_000, SWIFT: 100_000}),
        Size("medium", 1_000, {SEPA: 100_000, SWIFT: 1_000_000}),
        Size("large", 10_000, {SEPA: 1_000_000, SWIFT: 10_000_000}),
        Size("mega", 100_000, {SEPA: 10_000_000, SWIFT: 100_000_000}),
    )
}


@dataclass(frozen=True, slots=True)
class Span:
    """Whole UTC days from ``first_day`` on, before ``end_day``, both counted since 1970."""

    first_day: int
    end_day: int

    @classmethod
    def of(cls, start: date, end: date) -> Span:
        """The days from ``start`` on, before ``end``.

        Raises:
            ValueError: there are none, or the years are out of 1970–2100.
        """
        if not date(1970, 1, 1) <= start < end <= date(2101, 1, 1):
            raise ValueError(f"{start} … {end} is no range of days between 1970-01-01 and 2101-01-01")
        return cls((start - _EPOCH).days, (end - _EPOCH).days)

    @property
    def windows(self) -> range:
        """The windows that it touches."""
        return range(self.first_day // WINDOW_DAYS, (self.end_day - 1) // WINDOW_DAYS + 1)

    def allows(self, window: int) -> tuple[bool, ...]:
        """Which of a window's days are in it."""
        first = window * WINDOW_DAYS
        return tuple(self.first_day <= day < self.end_day for day in range(first, first + WINDOW_DAYS))


def day_of(day: int) -> date:
    """The date of a day counted since 1970."""
    return _EPOCH + timedelta(days=day)


def window_at(instant: datetime) -> int:
    """The window that an instant is in."""
    return int(instant.timestamp()) // WINDOW_S


def window_start(window: int) -> datetime:
    """When a window begins."""
    return datetime.fromtimestamp(window * WINDOW_S, UTC)
