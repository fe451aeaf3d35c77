"""Windows of five days, months, and the intervals of a history; all in UTC."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from wattbook.clock import EPOCH, to_epoch_us

DAY_US = 86_400_000_000
WINDOW_DAYS = 5
WINDOW_US = WINDOW_DAYS * DAY_US
FIRST_YEAR, LAST_YEAR = 1970, 2100
FIRST_US = 0
LAST_US = to_epoch_us(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC))
MOST_BUCKETS = 3_700
FUTURE_US = DAY_US


class Interval(StrEnum):
    """How a history is cut."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    ALL = "all"


class Span(NamedTuple):
    """A half-open period of time with the name of its interval."""

    label: str
    from_us: int
    before_us: int


def window_of(time_us: int) -> int:
    """The number of the window that an instant is in."""
    return time_us // WINDOW_US


def window_span(number: int) -> tuple[int, int]:
    """The first instant of a window, and the first after it."""
    return number * WINDOW_US, (number + 1) * WINDOW_US


def month_of(time_us: int) -> int:
    """The month of an instant: 0 is January 1970."""
    day = date(1970, 1, 1) + timedelta(days=time_us // DAY_US)
    return (day.year - FIRST_YEAR) * 12 + day.month - 1


def month_start_us(month: int) -> int:
    """The first instant of a month."""
    return _us(date(FIRST_YEAR + month // 12, month % 12 + 1, 1))


def read_time(text: str) -> int | None:
    """Microseconds since 1970 of a bank's time: with an offset, without (UTC), or a bare date (00:00).

    Digits past microseconds are cut. None where it is no time, or not of the years 1970 to 2100.
    """
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    try:
        time_us = (aware - EPOCH) // timedelta(microseconds=1)
    except OverflowError:
        return None
    return time_us if FIRST_US <= time_us < LAST_US else None


def spans(from_us: int, before_us: int, interval: Interval) -> list[Span]:
    """The period cut at the borders of the interval; the first and the last may be shorter.

    Raises:
        ValueError: there would be more than ``MOST_BUCKETS``.
    """
    if interval is Interval.ALL:
        return [Span("", from_us, before_us)]
    borders = [from_us]
    for day in _starts(_day(from_us), interval):
        start_us = _us(day)
        if start_us >= before_us:
            break
        if start_us > from_us:
            borders.append(start_us)
        if len(borders) > MOST_BUCKETS:
            raise ValueError(f"over {MOST_BUCKETS} buckets")
    borders.append(before_us)
    return [Span(_label(_day(start), interval), start, end) for start, end in pairwise(borders)]


def _starts(first: date, interval: Interval) -> Iterator[date]:
    """Starts of intervals, from that of ``first`` on."""
    if interval in (Interval.DAY, Interval.WEEK):
        day = first if interval is Interval.DAY else first - timedelta(days=first.weekday())
        step = timedelta(days=1 if interval is Interval.DAY else 7)
        while True:
            yield day
            day += step
    months = {Interval.MONTH: 1, Interval.QUARTER: 3, Interval.YEAR: 12}[interval]
    number = (first.year * 12 + first.month - 1) // months * months
    while True:
        yield date(number // 12, number % 12 + 1, 1)
        number += months


def _label(day: date, interval: Interval) -> str:
    if interval is Interval.WEEK:
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02d}"
    return {
        Interval.DAY: day.isoformat(),
        Interval.MONTH: f"{day:%Y-%m}",
        Interval.QUARTER: f"{day.year}-Q{(day.month + 2) // 3}",
        Interval.YEAR: str(day.year),
    }[interval]


def _day(time_us: int) -> date:
    return date(1970, 1, 1) + timedelta(days=time_us // DAY_US)


def _us(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY_US
