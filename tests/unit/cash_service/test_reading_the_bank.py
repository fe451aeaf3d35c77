"""Answers of the bank: whole ones are read in either dialect, all else counts for nothing."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from cash_service.clients.bank import Failed
from cash_service.clients.dialects import (
    joined,
    packed_rows,
    read_companies,
    read_original,
    read_page,
    read_rate_rows,
    read_rows,
    row_keys,
)
from cash_service.domain.periods import WINDOW_US

ROW = (
    '{"id":"1","payer_iban":"NL1","beneficiary_iban":"DE1","amount":12.50,"currency":"EUR",'
    '"timestamp":"2021-01-05"}'
)


def page(array: str = f"[{ROW}]", **window: Any) -> bytes:
    said = {
        "from": "2021-01-03T00:00:00Z", "to": "2021-01-08T00:00:00Z", "complete": True,
        "rows": len(json.loads(array)), "sha256": hashlib.sha256(array.encode()).hexdigest(),
    } | window  # fmt: skip
    return f'{{"window":{json.dumps(said)},"transactions":{array},"next":"9"}}'.encode()


def test_a_page_says_its_window_and_where_to_go_on() -> None:
    found = read_page(page())

    assert (found.window, found.is_complete, found.next, found.pages) == (3726, True, "9", 1)
    assert [tuple(key[:6]) for key in row_keys(found.rows)] == [
        ("1", "NL1", "DE1", b"12.50", "EUR", "2021-01-05")
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (page()[:-9], "json"),
        (page() + b"x", "json"),
        (b"", "json"),
        (b"\xff" + page(), "json"),
        (b"<html></html>", "json"),
        (b"[]", "json"),
        (page("{}").replace(b"{}", b'"x"'), "json"),
        (page(rows=2), "rows"),
        (page(sha256="0" * 64), "sha256"),
        (page(**{"from": "soon"}), "json"),
        (page().replace(b'"amount":12.50', b'"amount":12.50,"amount":13.50'), "repeated_key"),
        (page().replace(b'"next":"9"', b'"next":"9","next":"8"'), "repeated_key"),
    ],
)
def test_an_answer_that_is_not_whole_or_not_what_it_says_is_a_failed_try(content: bytes, reason: str) -> None:
    with pytest.raises(Failed) as failed:
        read_page(content)

    assert failed.value.reason == reason or (reason, failed.value.reason) == ("repeated_key", "sha256")


def test_a_key_that_comes_twice_is_found_where_nothing_else_gives_it_away() -> None:
    plain = ROW.replace('"amount"', '"amount":1,"amount"')
    escaped = ROW.replace('"id"', '"\\u0069d":"2","id"')
    for twice in (plain, escaped):
        with pytest.raises(Failed, match="given twice"):
            read_page(page(f"[{twice}]"))


def test_a_row_that_cannot_be_read_is_kept_as_its_text_beside_the_others() -> None:
    rows = read_rows(f'[{ROW},{{"id":[1]}},7,"text",{ROW}]'.encode())

    assert rows.unreadable == {1: '{"id":[1]}', 2: "7", 3: "text"}
    assert rows.ids == ["1", None, None, None, "1"]
    assert list(row_keys(read_rows(packed_rows(rows)))) == list(row_keys(rows))


def test_the_originals_bodies_follow_each_other_and_are_cut_into_windows() -> None:
    row = {
        "id": 7,
        "sender": "NL1",
        "beneficiary": "DE1",
        "amount": {"Float": 1.5, "Status": 2},
        "currency": "EUR",
    }
    bodies = [
        json.dumps({"sepa_transactions": json.dumps([row | {"time": time}])})
        for time in ("2021-01-07", "2021-01-08T00:00:00", "never")
    ]

    found = read_original("".join(bodies).encode())

    assert {window: rows.times for window, rows in found.items()} == {
        3726: ["2021-01-07", "never"], 3727: ["2021-01-08T00:00:00"],
    }  # fmt: skip
    assert found[3726].ids == ["7", "7"]
    assert WINDOW_US * 3727 == 1610064000_000000


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"a":"[1"}', b'{"a":"[]"}{', b'{"a":"[]","b":"[]"}', b'{"a":"{}"}']
)
def test_a_body_of_the_original_that_is_not_whole_is_a_failed_try(content: bytes) -> None:
    with pytest.raises(Failed):
        read_original(content)


def test_of_equal_rows_in_two_answers_the_larger_count_is_taken() -> None:
    one, two = read_rows(f"[{ROW},{ROW}]".encode()), read_rows(f"[{ROW}]".encode())

    assert len(joined(one, two)) == len(joined(two, one)) == len(joined(one, one)) == 2


def test_companies_are_read_as_either_dialect_writes_them() -> None:
    plain = b'[{"id":1,"name":"A","owner":"B","address":"c\\nd","ibans":["nl1 2","NL12"]}]'
    inner = json.dumps([{"companyID": 0, "name": "A", "ibans": "{NL1,DE 2}", "balance": 12.5}])

    (first,), (second,) = read_companies(plain), read_companies(json.dumps({"company_info": inner}).encode())

    assert (first.id, first.ibans, first.address, first.stated_balance) == (1, ("NL12",), "c\nd", "")
    assert (second.id, second.ibans, second.stated_balance) == (0, ("NL1", "DE2"), "12.5")


@pytest.mark.parametrize("id_", ["x", None, -1, 1.5, True, [1]])
def test_a_list_with_a_company_without_a_number_is_refused(id_: Any) -> None:
    with pytest.raises(Failed):
        read_companies(json.dumps([{"id": id_, "name": "A"}]).encode())


def test_rates_keep_the_digits_that_the_bank_wrote() -> None:
    content = b'[{"currency":"JPY","eur_rate":0.00750000000000000001,"usd_rate":"0.0082"},{"currency":"KWD"}]'

    assert read_rate_rows(content) == [("JPY", "0.00750000000000000001", "0.0082"), ("KWD", "", "")]
