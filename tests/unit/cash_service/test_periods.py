"""Buckets of a history: where they begin and end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from cash_service.domain.periods import DAY_US, Interval, month_of, month_start_us, read_time, spans
from hypothesis import given
from hypothesis import strategies as st


def labels(first: str, before: str, interval: Interval) -> list[str]:
    return [span.label for span in spans(read_time(first), read_time(before), interval)]


@pytest.mark.parametrize(
    ("first", "before", "interval", "expected"),
    [
        ("2020-02-28", "2020-03-02", Interval.DAY, ["2020-02-28", "2020-02-29", "2020-03-01"]),
        ("2020-12-28", "2021-01-12", Interval.WEEK, ["2020-W53", "2021-W01", "2021-W02"]),
        ("2021-01-15", "2021-03-01", Interval.MONTH, ["2021-01", "2021-02"]),
        ("2020-12-31", "2021-04-02", Interval.QUARTER, ["2020-Q4", "2021-Q1", "2021-Q2"]),
        ("2019-06-01", "2021-01-01T00:00:01", Interval.YEAR, ["2019", "2020", "2021"]),
        ("2018-01-01", "2022-01-01", Interval.ALL, [""]),
    ],
)
def test_days_weeks_months_quarters_and_years_are_utc(
    first: str, before: str, interval: Interval, expected: list[str]
) -> None:
    assert labels(first, before, interval) == expected


@given(
    st.integers(0, 47_000 * DAY_US), st.integers(1, 400 * DAY_US), st.sampled_from(list(Interval))
)  # fmt: skip
def test_buckets_follow_each_other_and_fill_the_period(
    start_us: int, length_us: int, interval: Interval
) -> None:
    found = spans(start_us, start_us + length_us, interval)

    assert (found[0].from_us, found[-1].before_us) == (start_us, start_us + length_us)
    assert all(left.before_us == right.from_us for left, right in pairwise(found))
    assert all(span.from_us < span.before_us for span in found)


def test_too_many_buckets_are_refused() -> None:
    with pytest.raises(ValueError, match="3700"):
        spans(0, 3_701 * DAY_US, Interval.DAY)


@given(st.integers(0, 47_000 * DAY_US))
def test_an_instant_is_in_its_month(time_us: int) -> None:
    month = month_of(time_us)

    assert month_start_us(month) <= time_us < month_start_us(month + 1)
