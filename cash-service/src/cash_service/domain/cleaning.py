"""Cleaning of a window's payments: what counts, what is set aside and why.

All rows at once with numpy, on codes of their texts: a row costs some hundred nanoseconds, so that the
largest data set is cleaned in seconds. Rows that are written in an unusual way are read one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum, IntFlag
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cash_service.domain.iban import MOST_CHARACTERS, country_of, normal_iban
from cash_service.domain.money import MOST_DIGITS, currency_facts, is_code, minor_units, read_amount
from cash_service.domain.periods import read_time, window_span

RULES_VERSION = 1  # raise it with every change of what is set aside, and why
MOST_ID_CHARACTERS = 200

Ints = NDArray[np.int64]


class Source(IntEnum):
    """Where payments come from."""

    SEPA = 1
    SWIFT = 2


class Kind(IntEnum):
    """Whether a payment counts: clean ones always, the others on demand."""

    CLEAN = 0
    BATCH = 1
    BATCH_REPEAT = 2  # equal in everything to another one of its batch
    INVALID_IBAN = 3


class Reason(IntFlag):
    """Why a payment is set aside; the first that applies rules."""

    UNREADABLE = 1
    NO_ID = 2
    NO_PAYER = 4
    NO_BENEFICIARY = 8
    BAD_TIME = 16
    OUTSIDE_WINDOW = 32
    NO_AMOUNT = 64
    NOT_A_NUMBER = 128
    NOT_POSITIVE = 256
    TOO_LARGE = 512
    NO_CURRENCY = 1024
    BAD_CURRENCY = 2048
    INVALID_IBAN = 4096
    BATCH = 8192


class Flag(IntFlag):
    """What is unusual about a payment that is kept."""

    ROUNDED = 1  # it had more decimals than its currency
    OTHER_CURRENCY = 2  # SEPA in another currency than EUR
    NO_EXPONENT = 4  # ISO gives its currency no decimals; two are taken
    NOT_ISO = 8  # the currency is none of ISO 4217; two decimals are taken
    BATCH = 16
    INVALID_IBAN = 32


DIRTY = Reason.INVALID_IBAN | Reason.BATCH
_PROBLEMS = {"no_amount": Reason.NO_AMOUNT, "not_a_number": Reason.NOT_A_NUMBER}
_TIME_LENGTHS = {10: 10, 19: 19, 20: 19}  # how long a usual time is, and how much of it is looked at


@dataclass(slots=True)
class Rows:
    """The rows of a window by columns, as the bank wrote them; None where a row has no such field.

    ``unreadable``: places of rows that are no payment at all, with their text; they have empty columns.
    """

    ids: list[str | None] = field(default_factory=list)
    payers: list[str | None] = field(default_factory=list)
    beneficiaries: list[str | None] = field(default_factory=list)
    amounts: list[bytes] = field(default_factory=list)
    currencies: list[str | None] = field(default_factory=list)
    times: list[str | None] = field(default_factory=list)
    unreadable: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


class Rounding(NamedTuple):
    """What rounding a row's amount to its currency's decimals left off."""

    row: int
    currency: str
    left_off: Decimal


@dataclass(slots=True)
class Cleaned:
    """A window's rows, judged; arrays have a value a row, codes point into ``ibans`` and ``currencies``."""

    rows: Rows
    ibans: list[str]
    currencies: list[str]
    payer: Ints
    beneficiary: Ints
    currency: Ints
    minor: Ints
    time_us: Ints
    reasons: Ints
    flags: Ints
    repeats: NDArray[np.bool_]
    rounding: list[Rounding]

    @property
    def set_aside(self) -> Ints:
        """Places of the rows that do not count by themselves."""
        return np.flatnonzero(self.reasons)


class Legs(NamedTuple):
    """What known accounts see of a window's payments, in order of account, time and line; an array a column.

    ``line`` tells the legs of a window apart: the row's place x 4 + 2 for SWIFT + 1 for the beneficiary.
    """

    account: Ints
    time_us: Ints
    line: Ints
    counterparty: Ints
    minor: Ints
    flow: Ints
    currency: Ints
    kind: Ints
    flags: Ints


class Flow(IntEnum):
    """Which way a leg goes, and whether between accounts of one company."""

    IN = 0
    OUT = 1
    INTERNAL_IN = 2
    INTERNAL_OUT = 3


def clean(rows: Rows, *, source: Source, window: int) -> Cleaned:
    """Judge the rows of a window."""
    known = _codes()
    reasons = np.zeros(len(rows), dtype=np.int64)
    reasons[list(rows.unreadable)] = Reason.UNREADABLE
    ids, id_texts = _coded(rows.ids)
    _blame(reasons, ids, [text is None or len(text) > MOST_ID_CHARACTERS for text in id_texts], Reason.NO_ID)
    payer, beneficiary, ibans = _sides(rows, known, reasons)
    currency, currencies, flags = _currencies(rows, reasons, source)
    time_us = _times(rows, reasons, window)
    decimals = np.array([currency_facts(code).decimals for code in currencies], dtype=np.int64)[currency]
    minor, rounding = _amounts(rows, reasons, flags, decimals, currencies, currency)
    cleaned = Cleaned(
        rows, ibans, currencies, payer, beneficiary, currency, minor, time_us, reasons, flags,
        np.zeros(len(rows), dtype=np.bool_), rounding,
    )  # fmt: skip
    _mark_batches(cleaned, ids)
    return cleaned


def legs_of(cleaned: Cleaned, *, source: Source, numbers: Ints, companies: Ints) -> Legs:
    """The legs of known accounts; ``numbers`` and ``companies`` (-1: unknown) are those of each IBAN code."""
    valid = np.array([bool(country_of(iban)) for iban in cleaned.ibans], dtype=np.bool_)
    usable = (cleaned.reasons & ~DIRTY) == 0
    invalid = (cleaned.reasons & Reason.INVALID_IBAN) != 0
    batch = (cleaned.reasons & Reason.BATCH) != 0
    kind = np.where(batch, np.where(cleaned.repeats, Kind.BATCH_REPEAT, Kind.BATCH), Kind.CLEAN)
    kind[invalid] = Kind.INVALID_IBAN
    flags = cleaned.flags | np.where(batch, Flag.BATCH, 0) | np.where(invalid, Flag.INVALID_IBAN, 0)
    internal = companies[cleaned.payer] == companies[cleaned.beneficiary]
    sides = []
    for own, other, is_credit in (
        (cleaned.payer, cleaned.beneficiary, 0),
        (cleaned.beneficiary, cleaned.payer, 1),
    ):
        at = np.flatnonzero(usable & (companies[own] >= 0) & valid[own])
        flow = np.where(internal[at], Flow.INTERNAL_IN, Flow.IN) + (1 - is_credit)
        line = at * 4 + (2 if source is Source.SWIFT else 0) + is_credit
        sides.append(
            [numbers[own[at]], cleaned.time_us[at], line, numbers[other[at]], cleaned.minor[at], flow,
             cleaned.currency[at], kind[at], flags[at]]
        )  # fmt: skip
    columns = [np.concatenate(pair) for pair in zip(*sides, strict=True)]
    order = np.lexsort((columns[2], columns[1], columns[0]))
    return Legs(*(column[order] for column in columns))


def reason_names(reasons: int) -> list[str]:
    """The names of reasons, the one that rules first."""
    return [str(each.name).lower() for each in Reason if reasons & each]


def flag_names(flags: int) -> list[str]:
    """The names of flags."""
    return [str(each.name).lower() for each in Flag if flags & each]


def _codes() -> defaultdict[Any, int]:
    return defaultdict(count().__next__)


def _coded(texts: Iterable[Any]) -> tuple[Ints, list[Any]]:
    """A code a text, and the texts by code."""
    known = _codes()
    codes = np.fromiter(map(known.__getitem__, texts), dtype=np.int64)
    return codes, list(known)


def _blame(reasons: Ints, codes: Ints, is_wrong: Sequence[bool], reason: Reason) -> None:
    if any(is_wrong):
        reasons[np.array(is_wrong, dtype=np.bool_)[codes] & (reasons & Reason.UNREADABLE == 0)] |= reason


def _sides(rows: Rows, known: defaultdict[Any, int], reasons: Ints) -> tuple[Ints, Ints, list[str]]:
    """Codes of payers and beneficiaries among the normal IBANs, and these."""
    both = []
    for texts, reason in ((rows.payers, Reason.NO_PAYER), (rows.beneficiaries, Reason.NO_BENEFICIARY)):
        codes, written = _coded(texts)
        normal = ["" if text is None else normal_iban(text) for text in written]
        unfit = [
            text is None or len(iban) > MOST_CHARACTERS for text, iban in zip(written, normal, strict=True)
        ]
        _blame(reasons, codes, unfit, reason)
        kept = ["" if wrong else iban for iban, wrong in zip(normal, unfit, strict=True)]
        both.append(np.array([known[iban] for iban in kept], dtype=np.int64)[codes])
    ibans = list(known)
    invalid = np.array([not country_of(iban) for iban in ibans], dtype=np.bool_)
    both_there = reasons & (Reason.UNREADABLE | Reason.NO_PAYER | Reason.NO_BENEFICIARY) == 0
    reasons[(invalid[both[0]] | invalid[both[1]]) & both_there] |= Reason.INVALID_IBAN
    return both[0], both[1], ibans


def _currencies(rows: Rows, reasons: Ints, source: Source) -> tuple[Ints, list[str], Ints]:
    codes, written = _coded(rows.currencies)
    default = "EUR" if source is Source.SEPA else ""
    texts = [(text or "").strip().upper() or default for text in written]
    _blame(reasons, codes, [not text for text in texts], Reason.NO_CURRENCY)
    _blame(reasons, codes, [bool(text) and not is_code(text) for text in texts], Reason.BAD_CURRENCY)
    known = _codes()
    # XXX is ISO 4217's "no currency"; such rows are set aside for it.
    own = np.array([known[text if is_code(text) else "XXX"] for text in texts], dtype=np.int64)[codes]
    currencies = list(known)
    flags = np.array([_currency_flags(code, source) for code in currencies], dtype=np.int64)[own]
    return own, currencies, flags


def _currency_flags(code: str, source: Source) -> int:
    facts = currency_facts(code)
    flags = 0 if facts.is_iso else int(Flag.NOT_ISO)
    flags |= 0 if facts.has_exponent else Flag.NO_EXPONENT
    return flags | (Flag.OTHER_CURRENCY if source is Source.SEPA and code != "EUR" else 0)


def _times(rows: Rows, reasons: Ints, window: int) -> Ints:
    """Instants in µs; usual ones by numpy's own reading of a date and time."""
    found = np.full(len(rows), -1, dtype=np.int64)
    texts = [text or "" for text in rows.times]
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    odd = np.ones(len(rows), dtype=np.bool_)
    for length, used in _TIME_LENGTHS.items():
        at = np.flatnonzero(lengths == length)
        if not at.size:
            continue
        matrix = _matrix([texts[place].encode("ascii", "replace") for place in at], length)
        usual = _is_usual_time(matrix)
        if usual.any():
            plain = np.ascontiguousarray(matrix[usual, :used]).view(f"S{used}").ravel()
            found[at[usual]] = _parsed(plain, [texts[place] for place in at[usual]])
            odd[at[usual]] = False
    for place in np.flatnonzero(odd):
        time_us = read_time(texts[place])
        found[place] = -1 if time_us is None else time_us
    readable = reasons & Reason.UNREADABLE == 0
    reasons[readable & (found < 0)] |= Reason.BAD_TIME
    first_us, before_us = window_span(window)
    reasons[readable & (found >= 0) & ((found < first_us) | (found >= before_us))] |= Reason.OUTSIDE_WINDOW
    return found


def _parsed(plain: NDArray[np.bytes_], texts: list[str]) -> Ints:
    try:
        return plain.astype("datetime64[us]").astype(np.int64)
    except ValueError:  # a 30 February among them
        one_by_one = [read_time(text) for text in texts]
        return np.array([-1 if time_us is None else time_us for time_us in one_by_one], dtype=np.int64)


def _is_usual_time(matrix: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which rows read 2021-02-03, 2021-02-03T04:05:06 or that with a Z, of the years from 1970 on."""
    width = matrix.shape[1]
    signs = {4: b"-", 7: b"-", 10: b"T", 13: b":", 16: b":", 19: b"Z"}
    usual = np.ones(len(matrix), dtype=np.bool_)
    for place in range(width):
        column = matrix[:, place]
        if place in signs:
            usual &= column == signs[place][0]
        else:
            usual &= (column >= ord("0")) & (column <= ord("9"))
    year = matrix[:, :4].astype(np.int64) @ np.array([1000, 100, 10, 1]) - ord("0") * 1111
    return usual & (year >= 1970) & (year <= 2100)  # as read_time has it


def _amounts(
    rows: Rows, reasons: Ints, flags: Ints, decimals: Ints, currencies: list[str], currency: Ints
) -> tuple[Ints, list[Rounding]]:
    """Amounts in minor units; plain numbers by their digits, all others one by one."""
    unquoted = [raw[1:-1] if raw[:1] == b'"' else raw for raw in rows.amounts]
    minor, plain = _plain_amounts(unquoted, decimals)
    rounding = []
    for place in np.flatnonzero(~plain & (reasons & Reason.UNREADABLE == 0)):
        value, problem = read_amount(rows.amounts[place])
        if value is None:
            reasons[place] |= _PROBLEMS[problem]
        elif value <= 0:
            reasons[place] |= Reason.NOT_POSITIVE
        else:
            whole, left_off = minor_units(value, int(decimals[place]))
            if whole >= 10**MOST_DIGITS:
                reasons[place] |= Reason.TOO_LARGE
                continue
            minor[place] = whole
            if left_off:
                flags[place] |= Flag.ROUNDED
                rounding.append(Rounding(int(place), currencies[currency[place]], left_off))
    return minor, rounding


def _plain_amounts(texts: list[bytes], decimals: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Minor units of positive numbers such as 1234.5 with no more decimals than they may have, and which."""
    longest = MOST_DIGITS + 1
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    matrix = _matrix([text if len(text) <= longest else b"" for text in texts], longest)
    within = np.arange(longest) < lengths[:, None]
    is_digit = (matrix >= ord("0")) & (matrix <= ord("9"))
    is_dot = matrix == ord(".")
    dots = is_dot.sum(axis=1)
    fraction = np.where(dots == 1, lengths - 1 - is_dot.argmax(axis=1), 0)
    digits = is_digit.sum(axis=1)
    plain = ((is_digit | is_dot) == within).all(axis=1) & (lengths > 0) & (lengths <= longest) & (dots <= 1)
    plain &= is_digit[:, 0] & ((dots == 0) | (fraction > 0)) & (fraction <= decimals)
    plain &= digits + decimals - fraction <= MOST_DIGITS
    value = np.zeros(len(texts), dtype=np.int64)
    for place in range(longest):
        value = np.where(is_digit[:, place], value * 10 + (matrix[:, place] - ord("0")), value)
    minor = np.where(plain, value * 10 ** np.where(plain, decimals - fraction, 0), 0)
    return minor, plain & (minor > 0)


def _matrix(texts: list[bytes], width: int) -> NDArray[np.uint8]:
    """A row a text, a column a byte."""
    return np.array(texts, dtype=f"S{width}").view(np.uint8).reshape(len(texts), width)


def _mark_batches(cleaned: Cleaned, ids: Ints) -> None:
    """Two or more rows with the same id, payer, beneficiary and time are a batch, whatever their amounts."""
    identified = Reason.UNREADABLE | Reason.NO_ID | Reason.NO_PAYER | Reason.NO_BENEFICIARY | Reason.BAD_TIME
    fit = cleaned.reasons & identified == 0
    times = np.bincount(ids[fit], minlength=int(ids.max(initial=0)) + 1)
    at = np.flatnonzero(fit & (times[ids] > 1))
    if not at.size:
        return
    key = np.stack([ids[at], cleaned.payer[at], cleaned.beneficiary[at], cleaned.time_us[at]])
    _, group, size = np.unique(key, axis=1, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    in_batch = size[group] > 1
    at, group = at[in_batch], group[in_batch]
    cleaned.reasons[at] |= Reason.BATCH
    whole = np.stack([group, cleaned.minor[at], cleaned.currency[at]])
    _, first = np.unique(whole, axis=1, return_index=True)
    repeats = np.ones(len(at), dtype=np.bool_)
    repeats[first] = False
    cleaned.repeats[at[repeats]] = True
