"""Which delivery hours can be traded when, and how the exchange names them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from wattbook.periods import (
    DEFAULT_AREA,
    DeliveryPeriod,
    NoSuchPeriod,
    area_of,
    day_bounds,
    periods_of_day,
)

_LABEL = re.compile(r"(\d\d)-(\d\d)")


def local_day(at: datetime) -> date:
    """The day on the exchange's wall clock (Berlin)."""
    return at.astimezone(area_of(DEFAULT_AREA).zone).date()


def local_midnight(day: date) -> datetime:
    """When a day begins, in UTC."""
    return day_bounds(DEFAULT_AREA, day)[0]


def tradable_hours(at: datetime) -> tuple[DeliveryPeriod, ...]:
    """At 10:31 every hour from 11:00 to 23:00 of the next day; an hour's gate closes when it starts."""
    today = local_day(at)
    days = (today, today + timedelta(days=1))
    return tuple(hour for day in days for hour in periods_of_day(DEFAULT_AREA, day) if hour.start > at)


def opening(hour: DeliveryPeriod) -> datetime:
    """When an hour becomes tradable: as the day before its own begins."""
    return local_midnight(hour.delivery_day - timedelta(days=1))


def label_of(hour: DeliveryPeriod) -> str:
    """The exchange's name, ``00-01`` … ``23-24``; both hours of a doubled one have the same."""
    return f"{hour.delivery_hour:02d}-{hour.delivery_hour + 1:02d}"


def hours_named(day: date, label: str) -> tuple[DeliveryPeriod, ...]:
    """The hours of a day that a label names: one, or both of a doubled one.

    Raises:
        NoSuchPeriod: it is no label, the day is out of range, or it is the hour that March skips.
    """
    found = _LABEL.fullmatch(label)
    if found is None or int(found[2]) != int(found[1]) + 1 or int(found[1]) > 23:
        raise NoSuchPeriod(f"{label!r} is no delivery hour; they run from 00-01 to 23-24")
    hours = tuple(hour for hour in periods_of_day(DEFAULT_AREA, day) if label_of(hour) == label)
    if not hours:
        raise NoSuchPeriod(f"{day} has no hour {label}")
    return hours
