"""Reading a trade as its sender states it."""

import json
from decimal import Decimal

import pytest
from gateway.clients import stated
from hypothesis import given
from hypothesis import strategies as st
from wattbook.errors import InvalidInput
from wattbook.trade.statement import csv_trade, json_trade, quantity_kw

GOOD = {
    "id": "t_123",
    "price": 120,
    "quantity": 12,
    "direction": "sell",
    "delivery_day": "2023-02-28",
    "delivery_hour": 14,
    "trader_id": "trader_1",
    "execution_time": "2023-02-28T11:12:35Z",
}


def body(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def with_text(field: str, text: str) -> bytes:
    """The good trade with a field's JSON replaced by ``text`` as it stands."""
    return body(**{field: "@@"}).replace(b'"@@"', text.encode())


def refused(raw: bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        stated(json_trade(raw))
    return caught.value.message


def test_a_good_trade_becomes_whole_units() -> None:
    message = stated(json_trade(body(quantity=12.3, price=-5)))

    assert (message.quantity_kw, message.price_ct_per_mwh) == (12300, -5)
    assert (message.delivery_day, message.delivery_hour) == ("2023-02-28", 14)
    assert message.execution_time_us == 1677582755000000
    assert not message.HasField("delivery_start_s")


@pytest.mark.parametrize(
    "text", ["12", "12.0", "1.2e1", "120e-1", "0.12E+2", "12.000000000000000000000000000000"]
)
def test_the_same_quantity_in_any_writing_is_the_same(text: str) -> None:
    assert stated(json_trade(with_text("quantity", text))).quantity_kw == 12000


@pytest.mark.parametrize(
    "text", ["0", "-1", "-0", "0.15", "1e309", "1e-309", "1000000.1", "1e99999999999999999999", "0.0",
             "12." + "0" * 120 + "1", "0.30000000000000004", '"12"', "null", "true", "[12]", "{}"],
)  # fmt: skip
def test_a_quantity_that_cannot_be_is_refused_by_name(text: str) -> None:
    assert refused(with_text("quantity", text)).startswith("quantity: ")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x10"])
def test_what_is_no_json_number_is_malformed(text: str) -> None:
    assert refused(with_text("quantity", text)).startswith("malformed JSON: ")


@given(tenths=st.integers(1, 10_000_000))
def test_every_step_of_a_tenth_is_read_exactly(tenths: int) -> None:
    assert quantity_kw(str(Decimal(tenths) / 10)) == tenths * 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"price": 1.5}, "price: expected int, got float"),
        ({"price": 12.0}, "price: expected int, got float"),
        ({"price": "12"}, "price: expected int, got str"),
        ({"price": 2**31}, "price: expected int <= 2147483647"),
        ({"price": -(2**31)}, "price: expected int >= -2147483647"),
        ({"price": True}, "price: expected int, got bool"),
        ({"price": None}, "price: expected int, got null"),
        ({"direction": "BUY"}, "direction: invalid enum value 'BUY'"),
        ({"delivery_day": "2023-02-30"}, "delivery_day: not a date (YYYY-MM-DD)"),
        ({"delivery_day": "2023-2-3"}, "delivery_day: not a date (YYYY-MM-DD)"),
        ({"delivery_hour": 24}, "delivery_hour: expected int <= 23"),
        ({"delivery_hour": -1}, "delivery_hour: expected int >= 0"),
        (
            {"execution_time": "2023-02-28T11:12:35"},
            "execution_time: a date-time with its zone (Z) is needed",
        ),
        ({"execution_time": "yesterday"}, "execution_time: not an RFC 3339 date-time"),
        ({"execution_time": 1677582755}, "execution_time: expected datetime, got int"),
        ({"id": ""}, "id: expected str of length >= 1"),
        ({"id": "x" * 129}, "id: expected str of length <= 128"),
        ({"trader_id": 7}, "trader_id: expected str, got int"),
        ({"colour": "blue"}, "colour: unknown field"),
        ({"area": "XX"}, "area: unknown; known are AT, BE, CH, DE, FR, GB, NL"),
        ({"delivery_start": "2023-02-28T13:30:00Z"}, "delivery_start: not the start of an hour"),
    ],
)
def test_a_field_that_cannot_be_is_refused_by_name(changes: dict[str, object], message: str) -> None:
    assert refused(body(**changes)) == message


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("delivery_day", '"2023-02-28T00:00:00Z"'), ("delivery_day", "20230228"),
        ("delivery_hour", "1.5"), ("delivery_hour", '"14"'), ("direction", '""'), ("id", "5"),
        ("execution_time", '"2023-02-28"'), ("execution_time", '"2023-02-28T25:12:35Z"'),
        ("trader_id", '""'), ("trader_id", "null"), ("Price", "1"), ("status_code", "400"),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused_by_name(field: str, text: str) -> None:
    assert refused(with_text(field, text)).startswith(f"{field}: ")


@pytest.mark.parametrize("field", GOOD)
def test_every_field_is_required(field: str) -> None:
    without = {name: value for name, value in GOOD.items() if name != field}

    assert refused(json.dumps(without).encode()) == f"{field}: missing"


@pytest.mark.parametrize(
    "raw",
    [b"{", b"nonsense", b"\xff\xfe", b'{"id":"\xff"}', b'{"id":"\\ud800"}', b"[" * 100_000,
     b'{"quantity":' + b"[" * 50_000, b'{"quantity":' + b'{"a":' * 50_000],
)  # fmt: skip
def test_what_is_no_json_is_malformed(raw: bytes) -> None:
    message = refused(raw)

    assert message.startswith("malformed JSON: ") or message == "expected object, got array"


def test_a_key_given_twice_is_refused_even_where_texts_hold_commas() -> None:
    twice = body(id="a,b").replace(b'"price"', b'"id": "other", "price"')

    assert refused(twice) == "id: given twice"


def test_commas_in_texts_are_no_keys() -> None:
    assert json_trade(body(id="a,b,c", trader_id="x,y")).id == "a,b,c"


def test_a_huge_whole_number_does_no_harm() -> None:
    assert refused(with_text("quantity", "9" * 20_000)).startswith("quantity: ")
    assert refused(with_text("quantity", "9" * 20_000).replace(b'"id"', b'"area": ",", "id"')) != ""


def test_the_doubled_hour_can_be_told_apart() -> None:
    message = stated(json_trade(body(delivery_start="2023-10-29T01:00:00Z", area="AT")))

    assert (message.delivery_start_s, message.area) == (1698541200, "AT")


ROW = ("t_123", "120", "12", "sell", "2023-02-28", "14", "trader_1", "2023-02-28T11:12:35Z")


def test_a_row_of_the_nightly_file_is_the_same_trade() -> None:
    assert stated(csv_trade(ROW)) == stated(json_trade(body()))


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        (1, "1.5", "price: expected int, got str"),
        (1, " 12", "price: expected int, got str"),
        (1, "1_000", "price: expected int, got str"),
        (1, "", "price: expected int, got str"),
        (2, "", "quantity: expected a number"),
        (2, "nan", "quantity: expected a number"),
        (2, "1_0", "quantity: expected a number"),
        (2, "٣", "quantity: expected a number"),
        (3, "BUY", "direction: invalid enum value 'BUY'"),
        (4, "2023-02-30", "delivery_day: not a date (YYYY-MM-DD)"),
        (5, "24", "delivery_hour: expected int <= 23"),
        (7, "1677582755", "execution_time: not an RFC 3339 date-time"),
        (7, "1.0e-5", "execution_time: not an RFC 3339 date-time"),
        (7, "2023-02-28T11:12", "execution_time: not an RFC 3339 date-time"),
    ],
)
def test_a_column_that_cannot_be_is_refused_by_name(column: int, text: str, message: str) -> None:
    row = [*ROW]
    row[column] = text

    with pytest.raises(InvalidInput) as caught:
        stated(csv_trade(row))

    assert caught.value.message == message
