"""What can be asked for: an hour of a day under the provider's label, and which hours are tradable when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from wattbook.clock import from_epoch_s, to_epoch_us
from wattbook.periods import DEFAULT_AREA, area_of, periods_of_day

AREA = DEFAULT_AREA  # the provider's only one
HOUR_S = 3600


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """One label of one day. In October ``02-03`` stands for two hours, which then share one answer."""

    starts_s: tuple[int, ...]
    day: str
    label: str

    def __hash__(self) -> int:
        """By its start alone, which is quick."""
        return hash(self.starts_s[0])

    @property
    def closes_s(self) -> int:
        """Gate closure: an hour is traded until it starts, a doubled one until its second does."""
        return self.starts_s[-1]


@lru_cache(maxsize=64)
def slots_of(day: date) -> tuple[Slot, ...]:
    """Every label of a local day in order: 23 in March, else 24."""
    starts: dict[int, list[int]] = {}
    for period in periods_of_day(AREA, day):
        starts.setdefault(period.delivery_hour, []).append(to_epoch_us(period.start) // 1_000_000)
    return tuple(
        Slot(tuple(found), day.isoformat(), f"{hour:02d}-{hour + 1:02d}") for hour, found in starts.items()
    )


def tradable(at_s: float) -> tuple[Slot, ...]:
    """At 10:31 every hour from 11:00 to the end of the next day (source: the provider's description)."""
    today = local_day(at_s)
    days = (today, today + timedelta(days=1))
    return tuple(slot for day in days for slot in slots_of(day) if slot.closes_s > at_s)


def window_starts_s(at_s: float) -> tuple[int, ...]:
    """Starts of the tradable hours."""
    return tuple(start for slot in tradable(at_s) for start in slot.starts_s if start > at_s)


def closed_since(at_s: float, *, within_s: float) -> tuple[Slot, ...]:
    """Hours whose gates closed not long ago, the last first."""
    today = local_day(at_s)
    days = (today - timedelta(days=1), today)
    found = [slot for day in days for slot in slots_of(day) if at_s - within_s < slot.closes_s <= at_s]
    return tuple(reversed(found))


def days_about(at_s: float) -> tuple[date, date, date]:
    """The local days whose hours may be asked for: yesterday, today, tomorrow."""
    today = local_day(at_s)
    return today - timedelta(days=1), today, today + timedelta(days=1)


def slots_about(at_s: float) -> dict[int, Slot]:
    """What may be asked for, by the start of each hour."""
    return {start: slot for day in days_about(at_s) for slot in slots_of(day) for start in slot.starts_s}


def hour_start_s(start_s: int) -> int:
    """The start of the hour that a period of any traded length lies in."""
    return start_s - start_s % HOUR_S


def local_day(at_s: float) -> date:
    """The day on the area's wall clock."""
    return from_epoch_s(int(at_s)).astimezone(area_of(AREA).zone).date()
