"""What somebody looks at of a company's cash: which period, by what, counting what. Days are UTC."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from wattbook.clock import to_epoch_us
from wattbook_proto import cash_pb2

INTERVALS = {"day": 31, "week": 26, "month": 12, "quarter": 12, "year": 10}  # and how many are shown first
CURRENCIES = ("EUR", "USD")
INCLUDES = ("batch", "batch-once", "invalid-iban")
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2100, 12, 31)
MOST_BUCKETS = 3_700
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Look:
    """A company from ``first`` to ``last``, both included, in buckets of ``interval``."""

    company_id: int
    interval: str
    first: date
    last: date
    currency: str = "EUR"
    include: tuple[str, ...] = ()
    account: str = ""

    @property
    def from_us(self) -> int:
        """When the period begins."""
        return _midnight_us(self.first)

    @property
    def before_us(self) -> int:
        """When it is over."""
        return _midnight_us(self.last + _DAY)

    def moved(self, times: int) -> Look:
        """The same so many lengths of the period later; within the years that there are."""
        count = buckets_between(self.interval, self.first, self.last) * times
        first = moved(self.interval, self.first, count)
        last = moved(self.interval, self.last + _DAY, count) - _DAY
        return replace(self, first=first, last=max(first, last))


@dataclass(frozen=True, slots=True)
class Answers:
    """All that a company's page shows, as its owner answered."""

    company: cash_pb2.CompanyReply
    balance: cash_pb2.BalanceReply
    history: cash_pb2.HistoryReply
    countries: cash_pb2.CountriesReply
    counterparties: cash_pb2.CounterpartiesReply
    quality: cash_pb2.QualityReply

    @property
    def size(self) -> int:
        """In bytes, as they came."""
        parts = (self.company, self.balance, self.history, self.countries, self.counterparties, self.quality)
        return sum(each.ByteSize() for each in parts)


def newest(interval: str, today: date) -> tuple[date, date]:
    """The first and the last day of the newest buckets, today's the last."""
    last = moved(interval, start_of(interval, today), 1) - _DAY
    return moved(interval, start_of(interval, today), 1 - INTERVALS[interval]), last


def start_of(interval: str, day: date) -> date:
    """The first day of the bucket that a day is in; weeks are ISO's."""
    if interval == "week":
        return max(day - timedelta(days=day.weekday()), FIRST_DAY)
    if interval == "day":
        return day
    months = _MONTHS[interval]
    return date(day.year, (day.month - 1) // months * months + 1, 1)


def moved(interval: str, day: date, count: int) -> date:
    """So many buckets later; the end of a month where a month has no such day."""
    if interval in ("day", "week"):
        days = count * (7 if interval == "week" else 1)
        return _within(day.toordinal() + days)
    months = day.year * 12 + day.month - 1 + count * _MONTHS[interval]
    year, month = divmod(months, 12)
    if not FIRST_DAY.year <= year <= LAST_DAY.year:
        return FIRST_DAY if year < FIRST_DAY.year else LAST_DAY
    following = date(year + month // 11, (month + 1) % 12 + 1, 1)
    return date(year, month + 1, min(day.day, (following - _DAY).day))


def buckets_between(interval: str, first: date, last: date) -> int:
    """How many buckets the days from first to last touch."""
    if interval in ("day", "week"):
        days = (last - start_of(interval, first)).days
        return days // (7 if interval == "week" else 1) + 1
    begins, ends = start_of(interval, first), start_of(interval, last)
    return ((ends.year - begins.year) * 12 + ends.month - begins.month) // _MONTHS[interval] + 1


def _within(ordinal: int) -> date:
    return date.fromordinal(min(max(ordinal, FIRST_DAY.toordinal()), LAST_DAY.toordinal()))


def _midnight_us(day: date) -> int:
    return to_epoch_us(datetime.combine(day, time(), tzinfo=UTC))
