"""Which delivery period a statement means."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from wattbook.clock import from_epoch_s, from_epoch_us, to_epoch_us
from wattbook.periods import (
    DeliveryPeriod,
    NoSuchPeriod,
    area_of,
    hour_of,
    hour_starting,
    hours_of,
    traded_hour,
)

AREA_LIMIT = 16
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class InvalidTrade(ValueError):
    """A statement that cannot be booked, and why in words for its sender."""


class Delivery(NamedTuple):
    """A delivery period as the book keeps it; ``ambiguous`` where the labels did not say which hour."""

    area: str
    start_s: int
    minutes: int
    day: int
    ambiguous: bool


def delivery_of(area: str, day: str, hour: int, start_s: int | None, *, execution_time_us: int) -> Delivery:
    """The delivery period that local labels name, or of a doubled hour the one that starts at ``start_s``.

    Where no start says which of a doubled hour is meant, the time of execution does.

    Raises:
        InvalidTrade: there is no such period, or the start disagrees with the labels.
    """
    named = _named(area, day, hour, start_s)
    if named.ambiguous:
        hours = hours_of(area, _day(day), hour)
        meant = traded_hour(hours, executed=from_epoch_us(execution_time_us))
        return named._replace(start_s=to_epoch_us(meant.start) // 1_000_000)
    return named


@lru_cache(maxsize=65536)
def _named(area: str, day: str, hour: int, start_s: int | None) -> Delivery:
    if len(area) > AREA_LIMIT:
        raise InvalidTrade(f"area is longer than {AREA_LIMIT} characters")
    try:
        period, ambiguous = hour_of(area, _day(day), hour)
        if start_s is not None:
            period, ambiguous = _stated_start(period, start_s), False
    except NoSuchPeriod as error:
        raise InvalidTrade(str(error)) from None
    start = to_epoch_us(period.start) // 1_000_000
    return Delivery(period.area, start, period.minutes, day_number(day), ambiguous)


def local_hour(area: str, start_s: int) -> tuple[date, int]:
    """Delivery day and hour of what starts then: the same for both of a doubled hour."""
    period = hour_starting(area, from_epoch_s(start_s))
    return period.delivery_day, period.delivery_hour


def _stated_start(labelled: DeliveryPeriod, start_s: int) -> DeliveryPeriod:
    try:
        start = from_epoch_s(start_s)
    except OverflowError:
        raise InvalidTrade("delivery_start is out of range") from None
    if start == labelled.start:
        return labelled
    stated = hour_starting(labelled.area, start)
    if (stated.delivery_day, stated.delivery_hour) != (labelled.delivery_day, labelled.delivery_hour):
        raise InvalidTrade("delivery_start disagrees with delivery_day and delivery_hour")
    return stated


def day_of(area: str, start_s: int) -> int:
    """The local delivery day of a period that starts then, as the book keeps it.

    Raises:
        InvalidTrade: there is no such area or instant.
    """
    try:
        zone = area_of(area).zone
        day = from_epoch_s(start_s).astimezone(zone)
    except (NoSuchPeriod, OverflowError) as error:
        raise InvalidTrade(str(error)) from None
    return day.year * 10_000 + day.month * 100 + day.day


def day_number(delivery_day: str) -> int:
    """A day ``YYYY-MM-DD`` as the number that the book keeps: 20230228.

    Raises:
        InvalidTrade: it is no such day.
    """
    day = _day(delivery_day)
    return day.year * 10_000 + day.month * 100 + day.day


def _day(text: str) -> date:
    if not _DAY.fullmatch(text):
        raise InvalidTrade("delivery_day must be a date, YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidTrade(f"delivery_day {text} does not exist") from None
