"""What can be booked, on which period, with which flags; and when two statements are the same trade."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from trade_service.domain import InvalidTrade, Trade, different_fields, flag_names, name_problem, trade_of
from wattbook.clock import to_epoch_us

STATED: dict[str, Any] = {
    "trade_id": "t_123",
    "price_ct_per_mwh": 120,
    "quantity_kw": 12_000,
    "direction": 2,
    "area": "",
    "delivery_day": "2023-02-28",
    "delivery_hour": 14,
    "delivery_start_s": None,
    "trader_id": "trader_1",
    "execution_time_us": to_epoch_us(datetime(2023, 2, 28, 11, 12, 35, tzinfo=UTC)),
}
EARLY_US = to_epoch_us(datetime(2023, 1, 1, tzinfo=UTC))


def trade(**changes: Any) -> Trade:
    return trade_of(**{**STATED, **changes})


def start_s(text: str) -> int:
    return to_epoch_us(datetime.fromisoformat(text)) // 1_000_000


def at(day: str, hour: int, **changes: Any) -> Trade:
    return trade(delivery_day=day, delivery_hour=hour, execution_time_us=EARLY_US, **changes)


def test_a_statement_becomes_a_trade_keyed_by_utc_start_and_minutes():
    found = trade()

    assert found == Trade(
        trade_id="t_123",
        price_ct_per_mwh=120,
        quantity_kw=12_000,
        direction=2,
        trader_id="trader_1",
        execution_time_us=STATED["execution_time_us"],
        area="DE",
        delivery_start_s=start_s("2023-02-28T13:00:00+00:00"),
        delivery_minutes=60,
        delivery_day=20230228,
        flags=0,
    )


@pytest.mark.parametrize(
    ("day", "hour", "start", "flags"),
    [
        ("2023-03-26", 1, "2023-03-26T00:00:00+00:00", ()),
        ("2023-03-26", 3, "2023-03-26T01:00:00+00:00", ()),
        ("2023-03-26", 23, "2023-03-26T21:00:00+00:00", ()),
        ("2023-10-29", 0, "2023-10-28T22:00:00+00:00", ()),
        ("2023-10-29", 1, "2023-10-28T23:00:00+00:00", ()),
        ("2023-10-29", 2, "2023-10-29T00:00:00+00:00", ("ambiguous",)),
        ("2023-10-29", 3, "2023-10-29T02:00:00+00:00", ()),
        ("2023-10-29", 23, "2023-10-29T22:00:00+00:00", ()),
        ("2024-02-29", 0, "2024-02-28T23:00:00+00:00", ()),
    ],
)
def test_labels_name_a_period_on_clock_change_days_too(
    day: str, hour: int, start: str, flags: tuple[str, ...]
):
    found = at(day, hour)

    assert found.delivery_start_s == start_s(start)
    assert flag_names(found.flags) == flags


def test_the_missing_hour_of_march_is_refused():
    with pytest.raises(InvalidTrade, match="no hour 02–03"):
        at("2023-03-26", 2)


@pytest.mark.parametrize("start", ["2023-10-29T00:00:00+00:00", "2023-10-29T01:00:00+00:00"])
def test_a_stated_start_tells_the_doubled_hour_apart(start: str):
    found = at("2023-10-29", 2, delivery_start_s=start_s(start))

    assert found.delivery_start_s == start_s(start)
    assert found.flags == 0


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (start_s("2023-02-28T14:00:00+00:00"), "disagrees"),
        (start_s("2023-02-27T13:00:00+00:00"), "disagrees"),
        (start_s("2023-02-28T13:15:00+00:00"), "no delivery hour starts"),
        (start_s("2023-02-28T13:00:01+00:00"), "no delivery hour starts"),
        (2**40, "out of range"),
        (-(2**63), "out of range"),
        (2**63 - 1, "out of range"),
        (-62135596800, "no delivery hour starts"),
    ],
)
def test_a_stated_start_must_be_an_hours_start_and_agree_with_the_labels(start: int, reason: str):
    with pytest.raises(InvalidTrade, match=reason):
        trade(delivery_start_s=start)


def test_a_day_in_another_area_is_counted_on_its_own_clock():
    assert at("2023-02-28", 14, area="GB").delivery_start_s == start_s("2023-02-28T14:00:00+00:00")
    assert at("2023-02-28", 14, area="DE") == at("2023-02-28", 14, area="")


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"execution_time_us": to_epoch_us(datetime(2023, 2, 28, 12, 59, 59, 999999, tzinfo=UTC))}, ()),
        ({"execution_time_us": to_epoch_us(datetime(2023, 2, 28, 13, 0, tzinfo=UTC))}, ("late",)),
        ({"execution_time_us": to_epoch_us(datetime(2023, 3, 1, tzinfo=UTC))}, ("late",)),
        ({"quantity_kw": 12_345}, ("off_tick",)),
        ({"quantity_kw": 1}, ("off_tick",)),
        ({"price_ct_per_mwh": 999_999}, ()),
        ({"price_ct_per_mwh": 1_000_000}, ("out_of_range",)),
        ({"price_ct_per_mwh": -999_999}, ()),
        ({"price_ct_per_mwh": -1_000_000}, ("out_of_range",)),
        ({"price_ct_per_mwh": 0}, ()),
        (
            {
                "price_ct_per_mwh": 2**31 - 1,
                "quantity_kw": 50,
                "delivery_day": "2022-10-30",
                "delivery_hour": 2,
            },
            ("ambiguous", "late", "off_tick", "out_of_range"),
        ),
    ],
)
def test_a_fact_that_is_odd_is_flagged_and_not_refused(changes: dict[str, Any], flags: tuple[str, ...]):
    assert flag_names(trade(**changes).flags) == flags


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trade_id": ""}, "id is empty"),
        ({"trade_id": "x" * 129}, "id is longer than 128"),
        ({"trade_id": "x" * 2_000_000}, "id is longer than 128"),
        ({"trade_id": "t\x001"}, "id contains a zero"),
        ({"trader_id": ""}, "trader_id is empty"),
        ({"trader_id": "x" * 65}, "trader_id is longer than 64"),
        ({"trader_id": "a\0b"}, "trader_id contains a zero"),
        ({"price_ct_per_mwh": 2**31}, "price"),
        ({"price_ct_per_mwh": -(2**31) - 1}, "price"),
        ({"quantity_kw": 0}, "quantity"),
        ({"quantity_kw": -100}, "quantity"),
        ({"quantity_kw": 1_000_000_001}, "quantity"),
        ({"quantity_kw": 2**63 - 1}, "quantity"),
        ({"direction": 0}, "direction"),
        ({"direction": 3}, "direction"),
        ({"area": "XX"}, "unknown area"),
        ({"area": "x" * 1_000_000}, "area is longer"),
        ({"delivery_day": ""}, "delivery_day"),
        ({"delivery_day": "2023-02-30"}, "does not exist"),
        ({"delivery_day": "20230228"}, "YYYY-MM-DD"),
        ({"delivery_day": "2023-W09-2"}, "YYYY-MM-DD"),
        ({"delivery_day": "2023-02-28T00:00:00"}, "YYYY-MM-DD"),
        ({"delivery_day": "٢٠٢٣-٠٢-٢٨"}, "YYYY-MM-DD"),
        ({"delivery_day": "1989-12-31"}, "outside"),
        ({"delivery_day": "2200-01-01"}, "outside"),
        ({"delivery_hour": 24}, "0–23"),
        ({"delivery_hour": -1}, "0–23"),
        ({"execution_time_us": to_epoch_us(datetime(1989, 12, 31, tzinfo=UTC))}, "execution_time"),
        ({"execution_time_us": to_epoch_us(datetime(2200, 1, 1, tzinfo=UTC))}, "execution_time"),
        ({"execution_time_us": 2**63 - 1}, "execution_time"),
    ],
)
def test_what_cannot_be_understood_or_kept_is_refused_with_its_reason(changes: dict[str, Any], reason: str):
    with pytest.raises(InvalidTrade, match=reason) as refused:
        trade(**changes)

    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("text", ["t_1", "x" * 128, "Zürich 1", "交易", "t,1\"'", "-", "."])
def test_ids_may_hold_anything_that_prints(text: str):
    assert name_problem(trade(trade_id=text)) == ""


@pytest.mark.parametrize("field", ["trade_id", "trader_id"])
@pytest.mark.parametrize(
    "text", ["t_1 ", " t_1", "t_1\u00a0", "t_\u200b1", "a\nb", "a\x85b", "Zu\u0308rich", "   "]
)
def test_a_name_that_looks_like_another_is_not_fit_to_be_booked_anew(field: str, text: str):
    problem = name_problem(trade(**{field: text}))

    assert problem.startswith(f"{'id' if field == 'trade_id' else field}: character ")


@pytest.mark.parametrize("text", [".", ".."])
def test_a_trader_without_a_page_is_not_fit_to_be_booked(text: str):
    assert name_problem(trade(trader_id=text)).startswith("trader_id: ")


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, []),
        ({"delivery_start_s": start_s("2023-02-28T13:00:00+00:00")}, []),
        ({"area": "DE"}, []),
        ({"price_ct_per_mwh": 121}, ["price"]),
        ({"quantity_kw": 12_100}, ["quantity"]),
        ({"direction": 1}, ["direction"]),
        ({"trader_id": "trader_2"}, ["trader_id"]),
        ({"execution_time_us": EARLY_US}, ["execution_time"]),
        ({"delivery_hour": 15}, ["delivery period"]),
        ({"delivery_day": "2023-03-01"}, ["delivery period"]),
        ({"area": "AT"}, ["delivery period"]),
        ({"price_ct_per_mwh": 121, "delivery_hour": 15}, ["price", "delivery period"]),
    ],
)
def test_the_same_trade_is_the_same_content_however_its_period_was_named(
    changes: dict[str, Any], fields: list[str]
):
    assert different_fields(trade(), trade(**changes)) == fields


def test_a_statement_that_does_not_say_which_doubled_hour_contradicts_neither():
    unsaid = at("2023-10-29", 2)
    first = at("2023-10-29", 2, delivery_start_s=start_s("2023-10-29T00:00:00+00:00"))
    second = at("2023-10-29", 2, delivery_start_s=start_s("2023-10-29T01:00:00+00:00"))

    assert different_fields(first, unsaid) == []
    assert different_fields(second, unsaid) == []
    assert different_fields(unsaid, first) == []


FIRST_US = to_epoch_us(datetime(2023, 10, 29, 0, tzinfo=UTC))  # 02A begins; 02B an hour later
HOUR_US = 3_600_000_000


@pytest.mark.parametrize(
    ("executed_us", "start", "flags"),
    [
        (EARLY_US, "2023-10-29T00:00:00+00:00", ("ambiguous",)),
        (FIRST_US - 1, "2023-10-29T00:00:00+00:00", ("ambiguous",)),
        (FIRST_US, "2023-10-29T01:00:00+00:00", ("ambiguous",)),
        (FIRST_US + HOUR_US - 1, "2023-10-29T01:00:00+00:00", ("ambiguous",)),
        (FIRST_US + HOUR_US, "2023-10-29T01:00:00+00:00", ("ambiguous", "late")),
        (FIRST_US + 48 * HOUR_US, "2023-10-29T01:00:00+00:00", ("ambiguous", "late")),
    ],
)
def test_a_trade_made_once_the_first_doubled_hour_has_begun_is_for_the_second(
    executed_us: int, start: str, flags: tuple[str, ...]
):
    found = trade(delivery_day="2023-10-29", delivery_hour=2, execution_time_us=executed_us)

    assert (found.delivery_start_s, flag_names(found.flags)) == (start_s(start), flags)


def test_each_area_has_its_own_doubled_hour():
    in_london = trade(
        area="GB", delivery_day="2023-10-29", delivery_hour=1, execution_time_us=FIRST_US + 600_000_000
    )

    assert in_london.delivery_start_s == start_s("2023-10-29T01:00:00+00:00")


def test_a_stated_start_counts_more_than_the_time_of_execution():
    said = {"delivery_day": "2023-10-29", "delivery_hour": 2, "execution_time_us": FIRST_US + HOUR_US}
    first = trade(**said, delivery_start_s=start_s("2023-10-29T00:00:00+00:00"))

    assert (first.delivery_start_s, flag_names(first.flags)) == (FIRST_US // 1_000_000, ("late",))


def test_a_repeat_of_a_trade_that_was_booked_on_the_first_hour_before_is_the_same_trade():
    again = trade(delivery_day="2023-10-29", delivery_hour=2, execution_time_us=FIRST_US)
    before = again._replace(delivery_start_s=FIRST_US // 1_000_000)
    hour_after = again._replace(delivery_start_s=FIRST_US // 1_000_000 + 7200)

    assert different_fields(before, again) == []
    assert different_fields(hour_after, again) == ["delivery period"]
    assert different_fields(before._replace(delivery_start_s=FIRST_US // 1_000_000 - 3600), again) == [
        "delivery period"
    ]


def test_a_statement_of_the_second_doubled_hour_contradicts_a_trade_booked_on_the_first():
    first = at("2023-10-29", 2)
    second = at("2023-10-29", 2, delivery_start_s=start_s("2023-10-29T01:00:00+00:00"))

    assert different_fields(first, second) == ["delivery period"]
    assert different_fields(second, at("2023-10-29", 3)) == ["delivery period"]
