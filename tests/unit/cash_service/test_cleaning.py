"""Which payments count: each rule by its vectors, and all at once against a plain reading of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal

import numpy as np
import pytest
from cash_service.domain.cleaning import (
    Flag,
    Kind,
    Reason,
    Rows,
    Source,
    clean,
    flag_names,
    legs_of,
    reason_names,
)
from cash_service.domain.iban import country_of, facts_of, normal_iban
from cash_service.domain.money import currency_facts, is_code, minor_units, read_amount
from cash_service.domain.periods import WINDOW_US, read_time, window_of
from hypothesis import given
from hypothesis import strategies as st

WINDOW = 3726  # 2021-01-03 … 2021-01-07
NL, DE, GB = "NL91ABNA0417164300", "DE89370400440532013000", "GB82WEST12345698765432"
BAD = "UK82WEST12345698765432"


def rows_of(*payments: dict) -> Rows:
    rows = Rows()
    for payment in payments:
        whole = {
            "id": "1", "payer": NL, "beneficiary": DE, "amount": b"12.50", "currency": "EUR",
            "time": "2021-01-05T10:00:00Z",
        } | payment  # fmt: skip
        rows.ids.append(whole["id"])
        rows.payers.append(whole["payer"])
        rows.beneficiaries.append(whole["beneficiary"])
        rows.amounts.append(whole["amount"])
        rows.currencies.append(whole["currency"])
        rows.times.append(whole["time"])
    return rows


def judged(*payments: dict, source: Source = Source.SWIFT) -> list[tuple[list[str], int, list[str]]]:
    cleaned = clean(rows_of(*payments), source=source, window=WINDOW)
    reasons, minor, flags = (column.tolist() for column in (cleaned.reasons, cleaned.minor, cleaned.flags))
    return [
        (reason_names(reason), amount, flag_names(flag))
        for reason, amount, flag in zip(reasons, minor, flags, strict=True)
    ]


def test_the_window_of_the_tests_is_where_it_is_said_to_be() -> None:
    assert window_of(read_time("2021-01-03")) == window_of(read_time("2021-01-07T23:59:59.999999")) == WINDOW


@pytest.mark.parametrize(
    ("written", "normal", "country"),
    [
        ("nl91 abna-0417 1643 00", NL, "NL"),
        ("\tNL91\u00a0ABNA0417164300\n", NL, "NL"),
        ("XK051212012345678906", "XK051212012345678906", "XK"),
        (BAD, BAD, ""),
        ("EU82", "EU82", ""),
        ("ZZ82", "ZZ82", ""),
        ("1A82", "1A82", ""),
        ("", "", ""),
        ("N", "N", ""),
        ("US12345", "US12345", "US"),
    ],
)
def test_an_iban_is_invalid_where_it_begins_with_no_country(written: str, normal: str, country: str) -> None:
    assert (normal_iban(written), country_of(normal)) == (normal, country)


@pytest.mark.parametrize(
    ("iban", "suspicious"),
    [
        (NL, ()),
        ("NL92ABNA0417164300", ("check_digits",)),
        ("NL91ABNA041716430", ("length",)),
        ("NL91ABNA041716430!", ("characters",)),
        ("US12345", ("country",)),
        (BAD, ()),
    ],
)
def test_wrong_digits_length_or_country_only_make_an_iban_suspicious(iban: str, suspicious: tuple) -> None:
    assert facts_of(iban).suspicious == suspicious


def test_a_banks_name_is_known_where_the_registry_has_it_and_else_left_out() -> None:
    assert facts_of(DE).bank == "Commerzbank"
    assert facts_of("XK051212012345678906").bank == ""


@pytest.mark.parametrize(
    ("raw", "minor", "reasons", "flags"),
    [
        (b"12.50", 1250, [], []),
        (b"12", 1200, [], []),
        (b"0.1", 10, [], []),
        (b'"12.50"', 1250, [], []),
        (b'" 12.50 "', 1250, [], []),
        (b"1e3", 100_000, [], []),
        (b'{"Float": 12.5, "Status": 2}', 1250, [], []),
        (b'{"Float64": 12.5, "Valid": true}', 1250, [], []),
        (b'{"Float": 12.5, "Status": 1}', 0, ["no_amount"], []),
        (b'{"Float64": 12.5, "Valid": false}', 0, ["no_amount"], []),
        (b"null", 0, ["no_amount"], []),
        (b'""', 0, ["no_amount"], []),
        (b"0", 0, ["not_positive"], []),
        (b"0.00", 0, ["not_positive"], []),
        (b"-3", 0, ["not_positive"], []),
        (b'"NaN"', 0, ["not_a_number"], []),
        (b'"Infinity"', 0, ["not_a_number"], []),
        (b"true", 0, ["not_a_number"], []),
        (b"[1]", 0, ["not_a_number"], []),
        (b'"1,5"', 0, ["not_a_number"], []),
        (b"12.345", 1234, [], ["rounded"]),
        (b"12.355", 1236, [], ["rounded"]),
        (b"12.500", 1250, [], []),
        (b"9999999999999999.99", 10**18 - 1, [], []),
        (b"10000000000000000.00", 0, ["too_large"], []),
        (b"1e30", 0, ["too_large"], []),
    ],
)
def test_an_amount_is_read_as_its_decimal_text(raw: bytes, minor: int, reasons: list, flags: list) -> None:
    assert judged({"amount": raw}) == [(reasons, minor, flags)]


@pytest.mark.parametrize(
    ("source", "currency", "amount", "minor", "reasons", "flags"),
    [
        (Source.SWIFT, "JPY", b"1250", 1250, [], []),
        (Source.SWIFT, "JPY", b"12.5", 12, [], ["rounded"]),
        (Source.SWIFT, "KWD", b"1.234", 1234, [], []),
        (Source.SWIFT, " usd ", b"1", 100, [], []),
        (Source.SWIFT, "HRK", b"1", 100, [], []),
        (Source.SWIFT, "XAU", b"1", 100, [], ["no_exponent"]),
        (Source.SWIFT, "SGP", b"1", 100, [], ["not_iso"]),
        (Source.SWIFT, None, b"1", 100, ["no_currency"], ["no_exponent"]),
        (Source.SWIFT, "", b"1", 100, ["no_currency"], ["no_exponent"]),
        (Source.SWIFT, "EURO", b"1", 100, ["bad_currency"], ["no_exponent"]),
        (Source.SEPA, None, b"1", 100, [], []),
        (Source.SEPA, "USD", b"1", 100, [], ["other_currency"]),
    ],
)
def test_a_currency_decides_the_decimals_and_is_never_guessed(
    source: Source, currency: str | None, amount: bytes, minor: int, reasons: list, flags: list
) -> None:
    assert judged({"currency": currency, "amount": amount}, source=source) == [(reasons, minor, flags)]


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("2021-01-05T10:00:00Z", 1609840800_000000),
        ("2021-01-05T10:00:00", 1609840800_000000),
        ("2021-01-05T11:00:00+01:00", 1609840800_000000),
        ("2021-01-05 10:00:00", 1609840800_000000),
        ("2021-01-05", 1609804800_000000),
        ("2021-01-05T10:00:00.1234567Z", 1609840800_123456),
        ("2020-02-29", 1582934400_000000),
        ("2021-02-30", None),
        ("2021-01-05T24:01:00Z", None),
        ("1969-12-31", None),
        ("2101-01-01", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_time_without_an_offset_is_utc_and_a_date_its_midnight(text: str, time_us: int | None) -> None:
    cleaned = clean(rows_of({"time": text}), source=Source.SWIFT, window=(time_us or 0) // WINDOW_US)

    assert read_time(text) == time_us
    assert cleaned.time_us.tolist() == [-1 if time_us is None else time_us]
    assert reason_names(cleaned.reasons[0]) == (["bad_time"] if time_us is None else [])


@pytest.mark.parametrize(
    ("payment", "reasons"),
    [
        ({"payer": BAD}, ["invalid_iban"]),
        ({"beneficiary": ""}, ["invalid_iban"]),
        ({"payer": None}, ["no_payer"]),
        ({"beneficiary": None}, ["no_beneficiary"]),
        ({"beneficiary": "N" * 200}, ["no_beneficiary"]),
        ({"id": None}, ["no_id"]),
        ({"time": None}, ["bad_time"]),
        ({"time": "2021-01-10"}, ["outside_window"]),
    ],
)
def test_a_payment_that_cannot_be_placed_is_set_aside(payment: dict, reasons: list) -> None:
    assert judged(payment)[0][0] == reasons


def test_all_members_of_a_batch_are_set_aside_whether_their_amounts_differ_or_not() -> None:
    found = judged(
        {},
        {},
        {"amount": b"3"},
        {"currency": "USD"},
        {"id": "2"},
        {"time": "2021-01-05T10:00:01Z"},
        {"payer": GB},
    )

    assert [reasons for reasons, _, _ in found] == [["batch"]] * 4 + [[]] * 3


def test_two_ways_to_write_a_time_and_an_iban_are_the_same_batch() -> None:
    found = judged({}, {"payer": "nl91 abna 0417 1643 00", "time": "2021-01-05T11:00:00+01:00"})

    assert [reasons for reasons, _, _ in found] == [["batch"]] * 2


def test_of_two_reasons_the_invalid_iban_rules() -> None:
    assert [reasons for reasons, _, _ in judged({"payer": BAD}, {"payer": BAD})] == [
        ["invalid_iban", "batch"]
    ] * 2


def test_a_batch_once_leaves_one_of_rows_that_are_equal_in_everything() -> None:
    rows = rows_of({}, {}, {"amount": b"3"}, {"beneficiary": BAD}, {"id": "9"})
    cleaned = clean(rows, source=Source.SEPA, window=WINDOW)
    known = np.array([company_of(iban) for iban in cleaned.ibans])
    legs = legs_of(cleaned, source=Source.SEPA, numbers=np.arange(len(known)), companies=known)

    assert Counter(legs.kind.tolist()) == {
        Kind.BATCH: 2 * 2,
        Kind.BATCH_REPEAT: 2,
        Kind.INVALID_IBAN: 1,
        Kind.CLEAN: 2,
    }


def test_an_unreadable_row_is_kept_as_its_text_and_harms_no_other() -> None:
    rows = rows_of(
        {}, {"id": None, "payer": None, "beneficiary": None, "amount": b"", "currency": None, "time": None}
    )
    rows.unreadable[1] = "[1, 2]"

    assert [reason_names(each) for each in clean(rows, source=Source.SWIFT, window=WINDOW).reasons] == [
        [], ["unreadable"],
    ]  # fmt: skip


def test_no_rows_are_clean() -> None:
    assert len(clean(Rows(), source=Source.SEPA, window=WINDOW).reasons) == 0


def company_of(iban: str) -> int:
    return {NL: 0, DE: 1, "FR7630006000011234567890189": 1}.get(iban, -1)


ids = st.sampled_from(["1", "2", "3", None])
ibans = st.sampled_from(
    [NL, DE, "FR76 3000 6000 0112 3456 7890 189", GB, BAD, "nl91abna0417164300", "", None]
)
amounts = st.one_of(
    st.decimals(min_value=-10, max_value=10**17, places=3, allow_nan=False).map(
        lambda each: str(each).encode()
    ),
    st.integers(0, 10**20).map(lambda each: str(each).encode()),
    st.sampled_from([b"12.50", b'"12.50"', b"null", b'{"Float":1.5,"Status":2}', b"1e2", b"0"]),
)
times = st.sampled_from(
    [
        "2021-01-05T10:00:00Z",
        "2021-01-05T10:00:00",
        "2021-01-05T11:00:00+01:00",
        "2021-01-05",
        "2021-02-30",
        None,
    ]
)
payment = st.fixed_dictionaries(
    {
        "id": ids, "payer": ibans, "beneficiary": ibans, "amount": amounts, "time": times,
        "currency": st.sampled_from(["EUR", "JPY", "KWD", "XAU", "SGP", "", "eur", None]),
    }
)  # fmt: skip


@given(st.lists(payment, max_size=12), st.sampled_from(list(Source)))
def test_cleaning_at_once_agrees_with_reading_row_by_row(payments: list[dict], source: Source) -> None:
    cleaned = clean(rows_of(*payments), source=source, window=WINDOW)

    found = list(
        zip(
            cleaned.reasons.tolist(),
            cleaned.minor.tolist(),
            (cleaned.flags & Flag.ROUNDED).tolist(),
            strict=True,
        )
    )

    assert found == plainly(payments, source)


def plainly(payments: list[dict], source: Source) -> list[tuple[int, int, int]]:
    """Reasons, minor units and whether they are rounded, one row after the other."""
    judged, groups = [], defaultdict(list)
    for place, each in enumerate(payments):
        reasons, minor, flag = Reason(0), 0, 0
        reasons |= Reason.NO_ID if each["id"] is None else 0
        reasons |= Reason.NO_PAYER if each["payer"] is None else 0
        reasons |= Reason.NO_BENEFICIARY if each["beneficiary"] is None else 0
        sides = [normal_iban(each[side] or "") for side in ("payer", "beneficiary")]
        if not reasons & (Reason.NO_PAYER | Reason.NO_BENEFICIARY) and not all(map(country_of, sides)):
            reasons |= Reason.INVALID_IBAN
        code = (each["currency"] or "").strip().upper() or ("EUR" if source is Source.SEPA else "")
        reasons |= Reason.NO_CURRENCY if not code else Reason(0) if is_code(code) else Reason.BAD_CURRENCY
        time_us = read_time(each["time"] or "")
        reasons |= Reason.BAD_TIME if time_us is None else 0
        value, _ = read_amount(each["amount"])
        if value is None:
            reasons |= Reason.NO_AMOUNT
        elif value <= 0:
            reasons |= Reason.NOT_POSITIVE
        else:
            minor, left_off = minor_units(value, currency_facts(code or "XXX").decimals)
            reasons |= Reason.TOO_LARGE if minor >= 10**18 else 0
            minor, flag = (0, 0) if minor >= 10**18 else (minor, int(left_off != Decimal(0)))
        judged.append([reasons, minor, flag])
        if not reasons & (Reason.NO_ID | Reason.NO_PAYER | Reason.NO_BENEFICIARY | Reason.BAD_TIME):
            groups[(each["id"], *sides, time_us)].append(place)
    for places in groups.values():
        for place in places if len(places) > 1 else ():
            judged[place][0] |= Reason.BATCH
    return [(int(reasons), minor, flag) for reasons, minor, flag in judged]
