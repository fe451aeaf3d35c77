"""What a frame says, read exactly or not at all."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_service.domain import (
    ConfirmedTrade,
    FrameRules,
    UnknownField,
    Unreadable,
    content_differences,
    cut_frame,
    execution_day,
    filed_trade,
    kept_content,
    read_frame,
    trade_of,
)
from sandbox.exchange.domain.noise import KINDS, malformed, unknown
from wattbook.clock import to_epoch_us
from wattbook.trade.statement import csv_trade

AT_US = to_epoch_us(datetime(2023, 2, 6, 6, 13, 45, tzinfo=UTC))
EXAMPLE: dict[str, Any] = {
    "id": "123",
    "price": 20.5,
    "quantity": 12.3,
    "direction": "buy",
    "delivery_day": "2023-02-06",
    "delivery_hour": "08-09",
    "trader_id": "trader_1",
    "execution_time": "2023-02-06T06:13:45Z",
}
TRADE = ConfirmedTrade("123", 2050, 12_300, 1, "2023-02-06", 8, "trader_1", AT_US)
BOOKED_BY_OWNER_ONLY = {"quantity is zero", "quantity is negative", "price out of range"}


def frame(envelope: str = "trade_confirmation", /, **changes: Any) -> bytes:
    fields = {name: value for name, value in {**EXAMPLE, **changes}.items() if value is not ...}
    return json.dumps({envelope: fields}).encode()


def raw(name: str, text: str) -> bytes:
    """The example with a number written in a way of its own."""
    return frame(**{name: "@"}).replace(b'"@"', text.encode())


def why_not(data: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        read_frame(data)
    return str(caught.value)


def test_what_is_kept_of_a_frame_that_was_too_large_is_never_a_trade() -> None:
    whole = frame()

    assert why_not(cut_frame(whole, length=2_000_000, sha256="0" * 64)) == (
        f"too large: 2000000 bytes, SHA-256 {'0' * 64}; only its beginning is kept"
    )
    assert why_not(b"[1]").startswith("it is no JSON object")


@pytest.mark.parametrize("envelope", ["trade_confirmation", "deal_confirmation"])
def test_both_envelopes_say_the_same(envelope: str) -> None:
    assert read_frame(frame(envelope)) == TRADE


def test_a_field_that_nobody_knows_is_named_and_nothing_is_booked() -> None:
    beside = json.dumps({"version": 2, "trade_confirmation": EXAMPLE}).encode()

    assert why_not(frame(status="RECALLED")) == "unknown field: status"
    assert why_not(frame(venue="EPEX", status=1)) == "unknown field: status, venue"
    assert why_not(frame(**{"x\x1b[2J": 1})) == "unknown field: x\\x1b[2J"
    assert why_not(beside) == "unknown field: version"


def test_a_field_that_is_allowed_is_passed_over() -> None:
    rules = FrameRules(allowed_fields=frozenset({"venue", "version"}))
    beside = json.dumps({"version": {"major": 2}, "trade_confirmation": EXAMPLE}).encode()

    assert read_frame(frame(venue="EPEX"), rules) == TRADE
    assert read_frame(beside, rules) == TRADE
    with pytest.raises(UnknownField, match="status") as caught:
        read_frame(frame(venue="EPEX", status="RECALLED"), rules)
    assert caught.value.trade_id == "123"


@pytest.mark.parametrize(
    "text",
    ['{"heartbeat": 17}', '{"heartbeat": {"time": "2023-02-06T06:13:45Z"}}', '{"type": "heartbeat"}',
     '{"event": "heartbeat", "sequence": 5, "time": "2023-02-06T06:13:45Z"}'],
)  # fmt: skip
def test_a_known_heartbeat_is_no_trade_and_nothing_to_look_at(text: str) -> None:
    assert read_frame(text.encode()) is None


@pytest.mark.parametrize(
    "text",
    ['{"heartbeat": 1, "halt": true}', '{"type": "heartbeat", "recalled": ["t_1"]}', '{"type": "halt"}',
     '{"ping": 1}', '{"type": ["heartbeat"]}', '{"heartbeat": 1, "heartbeat": 2}', "{}"],
)  # fmt: skip
def test_what_says_more_than_a_known_heartbeat_is_looked_at(text: str) -> None:
    assert why_not(text.encode())


def test_which_messages_are_heartbeats_is_a_setting() -> None:
    assert read_frame(b'{"ping": 1}', FrameRules(heartbeats=frozenset({"ping"}))) is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (frame().replace(b'"price": 20.5', b'"price": 20.5, "price": 999.99'), "price"),
        (frame().replace(b'"id": "123"', b'"id": "123", "i\\u0064": "123"'), "id"),
        (frame()[:-1] + b", " + frame()[1:], "trade_confirmation"),
    ],
)
def test_a_frame_that_says_a_thing_twice_says_nothing(text: bytes, key: str) -> None:
    assert why_not(text) == f"{key}: given twice"


@pytest.mark.parametrize(
    ("text", "price_ct"),
    [("20.5", 2050), ("20", 2000), ("-0.01", -1), ("0", 0), ("-0.0", 0), ("2.05e1", 2050), ("20.500", 2050),
     ("0.1", 10), ("0.29", 29), ("1.15", 115), ("-9999.99", -999_999),
     ("9007199254740993.01", 900719925474099301)],
)  # fmt: skip
def test_prices_become_whole_cents_by_their_decimal_text(text: str, price_ct: int) -> None:
    assert read_frame(raw("price", text)).price_ct_per_mwh == price_ct


@given(cents=st.integers(-(10**9), 10**9), tenths=st.integers(1, 10**7))
def test_every_price_and_quantity_survives_the_way_through_json(cents: int, tenths: int) -> None:
    numbers = {b'"@"': f"{Decimal(cents) / 100:f}", b'"#"': f"{Decimal(tenths) / 10:f}"}
    data = frame(price="@", quantity="#")
    for mark, number in numbers.items():
        data = data.replace(mark, number.encode())

    trade = read_frame(data)

    assert (trade.price_ct_per_mwh, trade.quantity_kw) == (cents, tenths * 100)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("price", "20.505", "finer than a cent"),
        ("price", "1e-999999", "finer than a cent"),
        ("price", "1e999999999", "out of all range"),
        ("price", "1e99999999999999999999", "out of all range"),
        ("price", "9" * 5000, "it is not JSON"),
        ("price", "9" * 100, "out of all range"),
        ("price", "true", "price is no number"),
        ("price", "null", "price is no number"),
        ("price", '"20.5"', "price is no number"),
        ("price", "Infinity", "Infinity is no number"),
        ("price", "-Infinity", "Infinity is no number"),
        ("quantity", "0.0005", "finer than a kW"),
        ("quantity", "[]", "quantity is no number"),
    ],
)
def test_a_number_that_would_have_to_be_altered_is_not_read(name: str, text: str, reason: str) -> None:
    assert reason in why_not(raw(name, text))


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2023-02-06T06:13:45Z", AT_US),
        ("2023-02-06T06:13:45+00:00", AT_US),
        ("2023-02-06T07:13:45+01:00", AT_US),
        ("2023-02-06T06:13:45.5Z", AT_US + 500_000),
        ("2023-02-06T06:13:45.123456+00:00", AT_US + 123_456),
        ("2023-02-06T06:13:45.1234565Z", AT_US + 123_457),
        ("2023-02-06T06:13:45.1234564999Z", AT_US + 123_456),
        ("2023-02-06T06:13:44.9999999Z", AT_US),
    ],
)
def test_an_instant_is_read_in_every_form_that_the_exchange_uses(text: str, us: int) -> None:
    assert read_frame(frame(execution_time=text)).execution_time_us == us


@given(
    at=st.datetimes(datetime(1990, 1, 1), datetime(2199, 1, 1)),  # noqa: DTZ001
    offset=st.integers(-14 * 60, 14 * 60),
)
def test_an_instant_is_what_python_reads(at: datetime, offset: int) -> None:
    aware = at.replace(tzinfo=timezone(timedelta(minutes=offset)))

    assert read_frame(frame(execution_time=aware.isoformat())).execution_time_us == to_epoch_us(aware)


@pytest.mark.parametrize("hour", range(24))
def test_hours_run_from_00_01_to_23_24(hour: int) -> None:
    assert read_frame(frame(delivery_hour=f"{hour:02d}-{hour + 1:02d}")).delivery_hour == hour


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ...}, {"id": ""}, {"id": 7}, {"id": "x" * 2000}, {"id": "\ud800"}, {"trader_id": None},
        {"direction": "hold"}, {"direction": "BUY"}, {"delivery_day": "2023-02-30"},
        {"delivery_day": "20230206"}, {"delivery_day": "2023-W06-1"}, {"delivery_day": "1823-02-06"},
        {"delivery_hour": "8-9"}, {"delivery_hour": "24-25"}, {"delivery_hour": "08-10"},
        {"delivery_hour": 8}, {"delivery_hour": "٠٨-٠٩"}, {"execution_time": "2023-02-06T06:13:45"},
        {"execution_time": "2023-02-06"}, {"execution_time": "2023-02-06T06:73:45Z"},
        {"execution_time": "2023-02-06T06:13:60Z"}, {"execution_time": "2023-02-06T06:13:45+25:00"},
        {"execution_time": 1675664025},
    ],
)  # fmt: skip
def test_a_field_that_is_no_such_thing_is_named(changes: dict[str, Any]) -> None:
    assert next(iter(changes)) in why_not(frame(**changes))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"\x80\x00\xff", "it is not UTF-8"),
        (b"not json", "it is not JSON"),
        (b"[1]", "it is no JSON object"),
        (b'"text"', "it is no JSON object"),
        (b"{}", "neither trade_confirmation nor deal_confirmation"),
        (b'{"halt": 1}', "but 'halt'"),
        (b'{"trade_confirmation": 1}', "trade_confirmation is no object"),
        (b'{"trade_confirmation": {}, "deal_confirmation": {}}', "both envelopes"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_confirmation_says_what_it_is(data: bytes, reason: str) -> None:
    assert reason in why_not(data)


def test_the_trade_id_of_an_unreadable_confirmation_is_told_where_it_is_legible() -> None:
    with pytest.raises(Unreadable) as caught:
        read_frame(frame(price="x"))

    assert caught.value.trade_id == "123"


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_make_it_fail_in_another_way(data: bytes) -> None:
    with pytest.raises(Unreadable):
        read_frame(data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(fields=st.dictionaries(st.sampled_from(sorted(EXAMPLE)), _JSON))
def test_no_value_of_a_field_makes_it_fail_in_another_way(fields: dict[str, Any]) -> None:
    try:
        trade = read_frame(frame(**fields))
    except Unreadable:
        return
    assert -(2**63) <= trade.price_ct_per_mwh < 2**63
    trade.trade_id.encode()
    assert not any(isinstance(part, float) and math.isnan(part) for part in trade)


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_none_of_the_exchanges_noise_passes_for_a_trade_that_can_be_booked(number: int) -> None:
    for noise in (malformed(number), unknown(number)):
        data = noise.payload if isinstance(noise.payload, bytes) else noise.payload.encode()
        if noise.kind not in BOOKED_BY_OWNER_ONLY:
            why_not(data)


def test_a_row_of_the_nightly_file_says_the_same_as_the_frame() -> None:
    row = {**EXAMPLE, "price": "2050", "quantity": "12.3", "delivery_hour": "8"}

    filed = filed_trade(csv_trade(tuple(row.values())))
    assert filed == TRADE
    assert kept_content(filed) == kept_content(read_frame(frame()))
    assert trade_of(filed.trade_id, kept_content(filed)) == filed


def test_differences_are_told_in_the_units_that_people_use() -> None:
    filed = TRADE._replace(price_ct_per_mwh=2150, direction=2, trader_id="a|b")

    assert content_differences(kept_content(TRADE), kept_content(filed)) == (
        "price: 20.50 EUR/MWh in the feed, 21.50 EUR/MWh in the file, "
        "direction: buy in the feed, sell in the file, trader_id: trader_1 in the feed, a|b in the file"
    )


@pytest.mark.parametrize(
    ("at", "day"),
    [
        (datetime(2023, 2, 6, 22, 59, 59, tzinfo=UTC), date(2023, 2, 6)),
        (datetime(2023, 2, 6, 23, 0, 0, tzinfo=UTC), date(2023, 2, 7)),
        (datetime(2023, 7, 6, 21, 59, 59, tzinfo=UTC), date(2023, 7, 6)),
        (datetime(2023, 7, 6, 22, 0, 0, tzinfo=UTC), date(2023, 7, 7)),
    ],
)
def test_the_day_of_a_trade_is_the_exchanges(at: datetime, day: date) -> None:
    assert execution_day(to_epoch_us(at)) == day
