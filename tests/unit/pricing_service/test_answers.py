"""How the provider's answers are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pricing_service.domain import NoPrice, Price, Slot, Trouble, read_answer
from wattbook.clock import to_epoch_us

SLOT = Slot((1675681200,), "2023-02-06", "12-13")
NOW_S = datetime(2023, 2, 6, 9, 16, tzinfo=UTC).timestamp()
STAMP_US = to_epoch_us(datetime(2023, 2, 6, 9, 15, 45, tzinfo=UTC))
GOOD = {
    "delivery_day": "2023-02-06",
    "delivery_hour": "12-13",
    "value": 100.0,
    "unit": "euro",
    "last_update": "2023-02-06T09:15:45Z",
}


def read(body: Any, *, status: int = 200, **more: Any) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(SLOT, status=status, body=raw, now_s=NOW_S, **more)


def changed(**changes: Any) -> dict[str, Any]:
    return {**GOOD, **changes}


def test_the_published_example_is_a_price() -> None:
    assert read(GOOD) == Price("100.0", STAMP_US)


def test_an_answer_that_gives_a_field_twice_is_not_understood() -> None:
    body = json.dumps(GOOD)[:-1] + ', "value": 999.99}'

    assert read(body.encode()) == Trouble("the provider's answer is not understood: value: given twice")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("87.33333333333333", "87.33333333333333"),
        ("0.1", "0.1"),
        ("-12.5", "-12.5"),
        ("100", "100"),
        ("1e2", "100"),
        ("1.25E-3", "0.00125"),
        ("0", "0"),
        ("-0.0", "0.0"),
        ("9999.99", "9999.99"),
    ],
)
def test_a_value_keeps_every_digit_and_is_written_plainly(text: str, value: str) -> None:
    body = json.dumps(GOOD).replace("100.0", text).encode()

    assert read(body) == Price(value, STAMP_US)


@pytest.mark.parametrize("unit", ["euro", "euro/mwh", "Euro/MWh", "EURO", " euro "])
def test_both_spellings_of_the_unit_are_taken(unit: str) -> None:
    assert isinstance(read(changed(unit=unit)), Price)


@pytest.mark.parametrize("unit", ["ct/kwh", "usd/mwh", "euro/kwh", "", None, 7, ["euro"]])
def test_another_unit_is_never_a_price(unit: Any) -> None:
    assert isinstance(read(changed(unit=unit)), Trouble)


@pytest.mark.parametrize(
    "text",
    [
        "2023-02-06T09:15:45Z",
        "2023-02-06T09:15:45+00:00",
        "2023-02-06T09:15:45.000Z",
        "2023-02-06T09:15:45.000000+00:00",
        "2023-02-06T10:15:45+01:00",
    ],
)
def test_a_stamp_may_be_written_in_several_ways(text: str) -> None:
    assert read(changed(last_update=text)) == Price("100.0", STAMP_US)


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "",
        None,
        12,
        "2023-02-06T09:15:45",
        "2023-02-06",
        "2023-13-06T00:00:00Z",
        "0001-01-01T00:00:00+05:00",
    ],
)
def test_what_is_no_time_is_no_stamp(text: Any) -> None:
    assert isinstance(read(changed(last_update=text)), Trouble)


def test_a_stamp_from_far_ahead_is_refused_since_it_would_make_all_later_prices_look_old() -> None:
    assert isinstance(read(changed(last_update="2023-02-06T10:30:00Z")), Trouble)
    assert isinstance(read(changed(last_update="2023-02-06T09:17:00Z")), Price), (
        "a clock a minute ahead is usual"
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"error_message": "no price yet"}),
        (404, b""),
        (204, b""),
        (200, {"delivery_day": "2023-02-06", "delivery_hour": "12-13"}),
        (200, {**GOOD, "value": None}),
        (200, {"value": None}),
    ],
)
def test_a_missing_price_is_said_in_several_ways(status: int, body: Any) -> None:
    assert read(body, status=status) == NoPrice()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Maintenance</body></html>",
        b'{"delivery_day": "2023-02-06", "value": 1',
        b'["2023-02-06", "12-13", 100.0]',
        b"null",
        b"[" * 60_000,
        b'{"value": ' + b"9" * 60_000 + b"}",
        b'{"value": 1e99999999999999999999}',
        b"\xff\xfe\xfa",
        json.dumps(changed(value="high")).encode(),
        json.dumps(changed(value="100.0")).encode(),
        json.dumps(changed(value=True)).encode(),
        json.dumps(changed(value=[100])).encode(),
        json.dumps(changed(value=float("nan"))).encode(),
        json.dumps(changed(value=float("inf"))).encode(),
        json.dumps(changed(value=1e12)).encode(),
        json.dumps(changed(value=10_000)).encode(),
        json.dumps(GOOD).replace("100.0", "1e-999999").encode(),
        json.dumps(changed(delivery_day="1999-12-31")).encode(),
        json.dumps(changed(delivery_hour="13-14")).encode(),
        json.dumps(changed(last_update="0001-01-01T00:00:00Z")).encode(),
        json.dumps(changed(last_update="0001-01-01T00:00:00+14:00")).encode(),
        json.dumps(changed(last_update="9999-12-31T23:00:00-14:00")).encode(),
        json.dumps({**changed(), "delivery_hour": None}).encode(),
        json.dumps({key: value for key, value in GOOD.items() if key != "last_update"}).encode(),
        json.dumps({key: value for key, value in GOOD.items() if key != "delivery_day"}).encode(),
        json.dumps({"delivery_day": "1999-12-31", "delivery_hour": "12-13", "value": None}).encode(),
    ],
)
def test_garbage_is_trouble_and_never_a_price(body: bytes) -> None:
    outcome = read(body)

    assert isinstance(outcome, Trouble)
    assert outcome.reason.isprintable()
    assert len(outcome.reason) < 250


def test_refusals_say_whether_and_when_to_come_again() -> None:
    assert read({"error_message": "no such hour"}, status=400) == Trouble(
        "the provider refuses the request: no such hour", only_here=True
    )
    slow_down = read(b"", status=429, retry_after_s=30.0)
    assert isinstance(slow_down, Trouble)
    assert (slow_down.slow_down, slow_down.retry_after_s) == (True, 30.0)
    for status in (301, 401, 500, 502, 503):
        assert isinstance(read(GOOD, status=status), Trouble)
