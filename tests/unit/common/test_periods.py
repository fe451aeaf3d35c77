"""Delivery periods on ordinary days and on both clock-change days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattbook.periods import (
    AREAS,
    FIRST_DAY,
    LAST_DAY,
    TRADED_MINUTES,
    NoSuchPeriod,
    area_of,
    day_bounds,
    hour_of,
    hour_starting,
    periods_of_day,
)

ORDINARY = date(2023, 2, 28)
SPRING = date(2023, 3, 26)
AUTUMN = date(2023, 10, 29)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize("area", sorted(AREAS))
@pytest.mark.parametrize(("day", "hours"), [(ORDINARY, 24), (SPRING, 23), (AUTUMN, 25)])
@pytest.mark.parametrize("minutes", TRADED_MINUTES)
def test_a_day_has_23_24_or_25_hours_at_every_length(area: str, day: date, hours: int, minutes: int) -> None:
    periods = periods_of_day(area, day, minutes)

    assert len(periods) == hours * 60 // minutes
    assert (periods[0].start, periods[-1].end) == day_bounds(area, day)
    assert all(one.end == next_.start for one, next_ in pairwise(periods))
    assert all(period.delivery_day == day and period.start.tzinfo is UTC for period in periods)


@pytest.mark.parametrize(
    ("area", "day", "hour", "start", "ambiguous", "label"),
    [
        ("DE", ORDINARY, 0, utc(2023, 2, 27, 23), False, "00–01"),
        ("DE", ORDINARY, 14, utc(2023, 2, 28, 13), False, "14–15"),
        ("DE", ORDINARY, 23, utc(2023, 2, 28, 22), False, "23–24"),
        ("DE", date(2023, 7, 1), 14, utc(2023, 7, 1, 12), False, "14–15"),
        ("DE", SPRING, 1, utc(2023, 3, 26, 0), False, "01–02"),
        ("DE", SPRING, 3, utc(2023, 3, 26, 1), False, "03–04"),
        ("DE", AUTUMN, 1, utc(2023, 10, 28, 23), False, "01–02"),
        ("DE", AUTUMN, 2, utc(2023, 10, 29, 0), True, "02A–03"),
        ("DE", AUTUMN, 3, utc(2023, 10, 29, 2), False, "03–04"),
        ("", AUTUMN, 23, utc(2023, 10, 29, 22), False, "23–24"),
        ("FR", AUTUMN, 2, utc(2023, 10, 29, 0), True, "02A–03"),
        ("GB", ORDINARY, 14, utc(2023, 2, 28, 14), False, "14–15"),
        ("GB", AUTUMN, 1, utc(2023, 10, 29, 0), True, "01A–02"),
        ("GB", SPRING, 2, utc(2023, 3, 26, 1), False, "02–03"),
    ],
)
def test_local_labels_name_an_hour(
    area: str, day: date, hour: int, start: datetime, ambiguous: bool, label: str
) -> None:
    period, was_ambiguous = hour_of(area, day, hour)

    assert (period.start, was_ambiguous, period.label) == (start, ambiguous, label)
    assert (period.delivery_day, period.delivery_hour, period.doubled) == (day, hour, ambiguous)
    assert hour_starting(area, start) == period


def test_the_second_of_a_doubled_hour_is_reached_by_its_start() -> None:
    second = hour_starting("DE", utc(2023, 10, 29, 1))

    assert (second.label, second.doubled, second.delivery_hour) == ("02B–03", True, 2)
    assert second.local_start.fold == 1
    assert second != hour_of("DE", AUTUMN, 2)[0]


@pytest.mark.parametrize(
    ("area", "day", "hour", "said"),
    [
        ("DE", SPRING, 2, "has no hour 02–03"),
        ("GB", SPRING, 1, "has no hour 01–02"),
        ("DE", ORDINARY, 24, "not in 0–23"),
        ("DE", ORDINARY, -1, "not in 0–23"),
        ("XX", ORDINARY, 1, "unknown area 'XX'"),
        ("de", ORDINARY, 1, "unknown area 'de'"),
        ("DE", FIRST_DAY - timedelta(days=1), 1, "outside"),
        ("DE", LAST_DAY + timedelta(days=1), 1, "outside"),
        ("DE", date.min, 1, "outside"),
        ("DE", date.max, 1, "outside"),
    ],
)
def test_labels_that_name_no_hour_are_refused(area: str, day: date, hour: int, said: str) -> None:
    with pytest.raises(NoSuchPeriod, match=said):
        hour_of(area, day, hour)


@pytest.mark.parametrize("minutes", [0, -60, 1, 20, 45, 90, 1440])
def test_lengths_that_are_not_traded_are_refused(minutes: int) -> None:
    with pytest.raises(NoSuchPeriod, match="not a traded length"):
        periods_of_day("DE", ORDINARY, minutes)


@pytest.mark.parametrize(
    "start",
    [
        utc(2023, 2, 28, 13, 30),
        utc(2023, 2, 28, 13, 0, 0, 1),
        utc(1989, 6, 1),
        utc(2200, 1, 1),
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        utc(2199, 12, 31, 23),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14))),
    ],
)
def test_an_instant_at_which_no_hour_starts_is_refused(start: datetime) -> None:
    with pytest.raises(NoSuchPeriod):
        hour_starting("DE", start)


def test_an_hour_start_may_be_given_in_any_zone() -> None:
    start = datetime(2023, 2, 28, 18, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    assert hour_starting("DE", start).start == utc(2023, 2, 28, 13)


@pytest.mark.parametrize(
    ("day", "minutes", "index", "label"),
    [
        (ORDINARY, 15, 57, "14:15–14:30"),
        (ORDINARY, 30, 47, "23:30–00:00"),
        (AUTUMN, 15, 8, "02:00A–02:15"),
        (AUTUMN, 15, 12, "02:00B–02:15"),
        (AUTUMN, 30, 7, "02:30B–03:00"),
        (SPRING, 15, 8, "03:00–03:15"),
    ],
)
def test_half_hours_and_quarters_have_labels(day: date, minutes: int, index: int, label: str) -> None:
    assert periods_of_day("DE", day, minutes)[index].label == label


@given(st.sampled_from(sorted(AREAS)), st.dates(FIRST_DAY, LAST_DAY), st.sampled_from(TRADED_MINUTES))
def test_any_day_is_covered_without_gap_and_its_labels_are_unique(area: str, day: date, minutes: int) -> None:
    periods = periods_of_day(area, day, minutes)
    start, end = day_bounds(area, day)

    assert sum(period.minutes for period in periods) == (end - start) // timedelta(minutes=1)
    assert len({period.label for period in periods}) == len(periods)
    assert {period.area for period in periods} == {area_of(area).code}
