"""Delivery periods: (area, start in UTC, minutes). Delivery day and hour are labels computed from them.

Hours are local to the area. On the last Sunday of October 02:00-03:00 happens twice, two separately
tradable hours; on the last Sunday of March it does not exist (source: EPEX product pages).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

HOUR_MINUTES = 60
TRADED_MINUTES = (60, 30, 15)
FIRST_DAY = date(1990, 1, 1)
LAST_DAY = date(2199, 12, 31)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Area:
    """A market area: its code and the IANA time zone in which its delivery days are counted."""

    code: str
    time_zone: str

    @property
    def zone(self) -> ZoneInfo:
        """The zone's rules."""
        return ZoneInfo(self.time_zone)


DEFAULT_AREA = "DE"
AREAS: dict[str, Area] = {
    area.code: area
    for area in (
        Area("DE", "Europe/Berlin"),
        Area("AT", "Europe/Vienna"),
        Area("BE", "Europe/Brussels"),
        Area("CH", "Europe/Zurich"),
        Area("FR", "Europe/Paris"),
        Area("GB", "Europe/London"),
        Area("NL", "Europe/Amsterdam"),
    )
}


class NoSuchPeriod(ValueError):
    """The labels name no delivery period: unknown area, a day out of range, an hour that does not exist."""


@dataclass(frozen=True, slots=True, order=True)
class DeliveryPeriod:
    """A period of delivery; ``start`` is aware and in UTC."""

    area: str
    start: datetime
    minutes: int

    @property
    def end(self) -> datetime:
        """The first instant after it, in UTC."""
        return self.start + timedelta(minutes=self.minutes)

    @property
    def local_start(self) -> datetime:
        """Its start on the area's wall clock; ``fold`` is 1 in the second of a doubled hour."""
        return self.start.astimezone(area_of(self.area).zone)

    @property
    def delivery_day(self) -> date:
        """The local day it belongs to."""
        return self.local_start.date()

    @property
    def delivery_hour(self) -> int:
        """The local hour it starts in, 0-23."""
        return self.local_start.hour

    @property
    def doubled(self) -> bool:
        """Whether its wall-clock hour happens twice that day, so that the labels alone do not name it."""
        return _is_doubled(self.area, self.delivery_day, self.delivery_hour)

    @property
    def label(self) -> str:
        """What a trader reads: ``14–15``, ``02A–03`` and ``02B–03`` of a doubled hour, ``14:15–14:30``."""
        local = self.local_start
        mark = ("B" if local.fold else "A") if self.doubled else ""
        if self.minutes == HOUR_MINUTES:
            return f"{local.hour:02d}{mark}–{(local.hour + 1):02d}"
        until = (local.replace(tzinfo=None) + timedelta(minutes=self.minutes)).time()
        return f"{local.hour:02d}:{local.minute:02d}{mark}–{until:%H:%M}"


def area_of(code: str) -> Area:
    """The area of a code; ``""`` is the default area.

    Raises:
        NoSuchPeriod: no such area.
    """
    area = AREAS.get(code or DEFAULT_AREA)
    if area is None:
        raise NoSuchPeriod(f"unknown area {code!r}; known are {', '.join(sorted(AREAS))}")
    return area


def day_bounds(area: str, day: date) -> tuple[datetime, datetime]:
    """The local day as a half-open interval in UTC.

    Raises:
        NoSuchPeriod: unknown area, or a day outside 1990-2199.
    """
    if not FIRST_DAY <= day <= LAST_DAY:
        raise NoSuchPeriod(f"delivery day {day} is outside {FIRST_DAY}…{LAST_DAY}")
    zone = area_of(area).zone
    return _midnight(day, zone), _midnight(day + timedelta(days=1), zone)


@lru_cache(maxsize=4096)
def periods_of_day(area: str, day: date, minutes: int = HOUR_MINUTES) -> tuple[DeliveryPeriod, ...]:
    """Every period of a day in order: 23, 24 or 25 hours; 92, 96 or 100 quarters.

    Raises:
        NoSuchPeriod: unknown area, day out of range, or a length that is not traded.
    """
    if minutes not in TRADED_MINUTES:
        raise NoSuchPeriod(f"{minutes} minutes is not a traded length; {TRADED_MINUTES} are")
    code = area_of(area).code
    start, end = day_bounds(code, day)
    count = int((end - start) / timedelta(minutes=minutes))
    return tuple(
        DeliveryPeriod(code, start + timedelta(minutes=minutes * index), minutes) for index in range(count)
    )


@lru_cache(maxsize=65536)
def hours_of(area: str, day: date, hour: int) -> tuple[DeliveryPeriod, ...]:
    """The hour that local labels name, in order both of a doubled one.

    Raises:
        NoSuchPeriod: unknown area, day out of range, hour not 0-23, or the hour that March skips.
    """
    if not 0 <= hour <= 23:
        raise NoSuchPeriod(f"delivery hour {hour} is not in 0–23")
    found = tuple(period for period in periods_of_day(area, day) if period.delivery_hour == hour)
    if not found:
        raise NoSuchPeriod(f"{day} has no hour {hour:02d}–{hour + 1:02d} in {area_of(area).time_zone}")
    return found


def hour_of(area: str, day: date, hour: int) -> tuple[DeliveryPeriod, bool]:
    """The hour that local labels name, and whether they were ambiguous (then it is the first of the two).

    Raises:
        NoSuchPeriod: as :func:`hours_of`.
    """
    found = hours_of(area, day, hour)
    return found[0], len(found) > 1


def traded_hour(hours: tuple[DeliveryPeriod, ...], *, executed: datetime) -> DeliveryPeriod:
    """The one of :func:`hours_of` that a trade executed then is for, where it does not say which.

    An hour is traded until it begins: who trades once the first of two has begun can only mean the second.
    """
    return hours[-1] if executed >= hours[0].start else hours[0]


def hour_starting(area: str, start: datetime) -> DeliveryPeriod:
    """The hour that starts at an instant.

    Raises:
        NoSuchPeriod: unknown area, out of range, or no hour starts then.
    """
    code = area_of(area).code
    # With a day to spare on both sides, else an offset may lead out of what dates can say.
    if FIRST_DAY - _DAY <= start.date() <= LAST_DAY + _DAY:
        period = DeliveryPeriod(code, start.astimezone(UTC), HOUR_MINUTES)
        day = period.delivery_day
        if FIRST_DAY <= day <= LAST_DAY and period in periods_of_day(code, day):
            return period
    raise NoSuchPeriod(f"no delivery hour starts at {start.isoformat()}")


@lru_cache(maxsize=4096)
def _is_doubled(area: str, day: date, hour: int) -> bool:
    return sum(period.local_start.hour == hour for period in periods_of_day(area, day)) > 1


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)
