"""Currencies and amounts: exact integers in a currency's minor unit."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, localcontext
from functools import lru_cache
from typing import NamedTuple

import iso4217
import msgspec

DEFAULT_DECIMALS = 2
MOST_DIGITS = 18
_MOST_TEXT = 400  # characters of an amount that are looked at

# Codes that ISO 4217 withdrew since 2010, with their decimals and last day (source: ISO 4217 list three).
WITHDRAWN = {
    "ANG": (2, "2025-03-31"), "BGN": (2, "2025-12-31"), "BYR": (0, "2016-12-31"), "CUC": (2, "2021-06-30"),
    "EEK": (2, "2010-12-31"), "HRK": (2, "2022-12-31"), "LTL": (2, "2014-12-31"), "LVL": (2, "2013-12-31"),
    "MRO": (2, "2017-12-31"), "SLL": (2, "2023-12-31"), "STD": (2, "2017-12-31"), "VEF": (2, "2018-08-20"),
    "ZMK": (2, "2012-12-31"), "ZWL": (2, "2024-08-31"),
}  # fmt: skip

_CODE = re.compile(r"[A-Z]{3}")
_READER = msgspec.json.Decoder(float_hook=Decimal)
_EXACT = Context(prec=1_000, rounding=ROUND_HALF_EVEN)
_NUMBER = re.compile(r"[+-]?[0-9]{1,60}(\.[0-9]{0,60})?([eE][+-]?[0-9]{1,2})?")


class CurrencyFacts(NamedTuple):
    """A currency's decimals, and what is unusual about it."""

    decimals: int
    is_iso: bool
    has_exponent: bool


class Amount(NamedTuple):
    """An amount that was read: exact text, or why there is none (``no_amount``, ``not_a_number``)."""

    value: Decimal | None
    problem: str = ""


@lru_cache(maxsize=1_000)
def currency_facts(code: str) -> CurrencyFacts:
    """Decimals of a currency: ISO 4217's, those of withdrawn codes, else two."""
    try:
        exponent = iso4217.Currency(code).exponent
    except ValueError:
        if code in WITHDRAWN:
            return CurrencyFacts(WITHDRAWN[code][0], is_iso=True, has_exponent=True)
        return CurrencyFacts(DEFAULT_DECIMALS, is_iso=False, has_exponent=True)
    if exponent is None:
        return CurrencyFacts(DEFAULT_DECIMALS, is_iso=True, has_exponent=False)
    return CurrencyFacts(exponent, is_iso=True, has_exponent=True)


def is_code(text: str) -> bool:
    """Whether it can be a currency: three capital letters."""
    return _CODE.fullmatch(text) is not None


def read_amount(raw: bytes) -> Amount:
    """An amount as the bank's JSON has it: a number, a text, or an object with ``Float`` or ``Float64``."""
    if len(raw) > _MOST_TEXT:
        return Amount(None, "not_a_number")
    first = raw[:1]
    if first in b'"{n[tf' and first:
        return _read_wrapped(raw)
    return _number(raw.decode())


def minor_units(value: Decimal, decimals: int) -> tuple[int, Decimal]:
    """Minor units of an exact value, rounded half even, and what the rounding left off."""
    with localcontext(_EXACT):
        scaled = value.scaleb(decimals)
        whole = scaled.quantize(Decimal(1))
        return int(whole), (scaled - whole).scaleb(-decimals)


def amount_text(minor: int, decimals: int) -> str:
    """Decimal text of minor units: 123456 with 2 decimals is ``1234.56``."""
    sign, digits = ("-" if minor < 0 else ""), str(abs(minor)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else f"{sign}{digits}"


def _read_wrapped(raw: bytes) -> Amount:
    try:
        value = _READER.decode(raw)
    except (msgspec.DecodeError, InvalidOperation):
        return Amount(None, "not_a_number")
    if isinstance(value, dict):
        status, valid = value.get("Status"), value.get("Valid")
        if ("Status" in value and status != 2) or ("Valid" in value and valid is not True):
            return Amount(None, "no_amount")
        value = value.get("Float", value.get("Float64"))
    if value is None:
        return Amount(None, "no_amount")
    if isinstance(value, str):
        return _number(value.strip()) if value.strip() else Amount(None, "no_amount")
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return Amount(None, "not_a_number")
    return _number(str(value))


def _number(text: str) -> Amount:
    if _NUMBER.fullmatch(text) is None:
        return Amount(None, "not_a_number")
    return Amount(Decimal(text))
