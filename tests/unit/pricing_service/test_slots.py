"""What can be asked for when, also on the days when clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime

from pricing_service.domain import hour_start_s, periods_told, slots_of, tradable


def at(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]


def test_at_10_31_everything_from_11_to_the_end_of_the_next_day_is_tradable() -> None:
    hours = tradable(at(2023, 2, 6, 9, 31))

    assert len(hours) == 37
    assert (hours[0].day, hours[0].label) == ("2023-02-06", "11-12")
    assert (hours[-1].day, hours[-1].label) == ("2023-02-07", "23-24")


def test_an_hour_is_tradable_until_it_starts() -> None:
    assert tradable(at(2023, 2, 6, 9, 59, 59))[0].label == "11-12"
    assert tradable(at(2023, 2, 6, 10, 0, 0))[0].label == "12-13"
    assert len(tradable(at(2023, 2, 6, 22, 59, 59))) == 24, "the last minute of a day"
    assert len(tradable(at(2023, 2, 6, 23, 0, 0))) == 47, "the first of the next"


def test_march_has_23_hours_and_october_24_labels_for_25() -> None:
    march, october = slots_of(date(2023, 3, 26)), slots_of(date(2023, 10, 29))

    assert [slot.label for slot in march[:3]] == ["00-01", "01-02", "03-04"]
    assert len(march) == 23
    assert len(october) == 24
    assert sum(len(slot.starts_s) for slot in october) == 25
    assert october[2].label == "02-03"
    assert len(october[2].starts_s) == 2


def test_a_doubled_hour_is_open_until_its_second_half_starts() -> None:
    doubled = slots_of(date(2023, 10, 29))[2]
    first_s, second_s = doubled.starts_s

    assert doubled in tradable(first_s + 60.0)
    assert doubled not in tradable(float(second_s))
    assert periods_told(doubled, (first_s - 600) * 1_000_000) == (first_s, second_s)
    assert periods_told(doubled, (first_s + 600) * 1_000_000) == (second_s,), "the first is closed"


def test_a_trade_of_a_quarter_wants_the_price_of_its_hour() -> None:
    assert hour_start_s(1675681200 + 45 * 60) == 1675681200
