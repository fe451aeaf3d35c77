"""Exact units: eurocent per MWh, kW, and what follows from them. No float anywhere.

A price times a power times minutes is an exact integer in *ct·kW·min/MWh*; 60,000 of them are one
eurocent, since a MWh is 60,000 kW·min. Sums are kept in that unit and rounded once, when shown.
"""

from __future__ import annotations

from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DecimalException,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from functools import lru_cache

KW_PER_MW = 1000
CT_PER_EUR = 100
KW_MIN_PER_MWH = 60_000
QUANTITY_STEP_KW = 100  # 0.1 MW (source: EPEX product pages)
PRICE_MIN_CT_PER_MWH = -999_999  # (source: EPEX product pages)
PRICE_MAX_CT_PER_MWH = 999_999

# Wide enough for every sum of 64-bit products; the default 28 digits would round silently.
_EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)
# Raises where a digit would be lost.
_STRICT = Context(prec=100, traps=[Inexact, InvalidOperation, Overflow])
# Far above any figure of ours and far below 1e999999999, which as an integer would fill the memory.
_MOST_DIGITS = 40
# One trade changes one hour of a day: what is shown of the others is what was shown before.
_REMEMBERED = 32_768


def exact_int(value: Decimal) -> int:
    """The integer that ``value`` is.

    Raises:
        ValueError: it is not finite, has a fraction, or is out of all range.
    """
    return _whole(value, 1)


def kw_from_mw(quantity_mw: Decimal) -> int:
    """Whole kW of a quantity in MW.

    Raises:
        ValueError: it is not finite, finer than a kW, or out of all range.
    """
    return _whole(quantity_mw, KW_PER_MW)


@lru_cache(maxsize=_REMEMBERED)
def mw_from_kw(quantity_kw: int) -> Decimal:
    """MW of a quantity in kW, exact, without trailing zeros: 12000 → 12, 12300 → 12.3."""
    return plain(_divide(quantity_kw, KW_PER_MW))


@lru_cache(maxsize=_REMEMBERED)
def mwh_from_kw_min(energy_kw_min: int, *, decimals: int = 3) -> Decimal:
    """MWh of an energy in kW·min, rounded half even to ``decimals`` (0.1 MW over a quarter is 0.025)."""
    return plain(rounded(_divide(energy_kw_min, KW_MIN_PER_MWH), decimals))


@lru_cache(maxsize=_REMEMBERED)
def eur_from_ct_kw_min(amount_ct_kw_min: int, *, decimals: int = 2) -> Decimal:
    """EUR of an exact sum of price x power x minutes (see the module), rounded half even once."""
    return rounded(_divide(amount_ct_kw_min, KW_MIN_PER_MWH * CT_PER_EUR), decimals)


def rounded(value: Decimal, decimals: int) -> Decimal:
    """``value`` rounded half even; never a negative zero."""
    with localcontext(_EXACT):
        result = value.quantize(Decimal(1).scaleb(-decimals))
        return abs(result) if result == 0 else result


def plain(value: Decimal) -> Decimal:
    """The same value without trailing zeros and without an exponent, so that ``str`` shows a plain figure."""
    with localcontext(_EXACT):
        text = format(value, "f")
        return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)


def _whole(value: Decimal, factor: int) -> int:
    if not value:
        return 0
    if not value.is_finite() or value.adjusted() > _MOST_DIGITS:
        raise ValueError("it is not a number that fits")
    try:
        product = _STRICT.multiply(value, factor)
    except DecimalException as error:  # more digits than a whole number could have
        raise ValueError("it is not a whole number") from error
    result = int(product)
    if result != product:
        raise ValueError("it is not a whole number")
    return result


def _divide(numerator: int, denominator: int) -> Decimal:
    with localcontext(_EXACT):
        return Decimal(numerator) / Decimal(denominator)
