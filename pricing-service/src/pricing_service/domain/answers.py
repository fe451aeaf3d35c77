"""The provider's answers: a price, no price yet, or trouble. What is not clearly a price never becomes one.

Source: the provider's description. ``unit`` may read ``euro`` or ``euro/mwh``; 404, an absent and a null
value all mean that there is no price yet.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from wattbook.clock import to_epoch_us
from wattbook.periods import FIRST_DAY
from wattbook.strict_json import RepeatedKey, unique_keys
from wattbook.units import PRICE_MAX_CT_PER_MWH, PRICE_MIN_CT_PER_MWH

from pricing_service.domain.slots import Slot

UNITS = frozenset({"euro", "euro/mwh"})
MOST_DECIMALS = 20  # a double has up to 17 digits
MOST_AHEAD_S = 3600.0  # of a stamp: one from next year would make every later price look old
_LOWEST, _HIGHEST = Decimal(PRICE_MIN_CT_PER_MWH) / 100, Decimal(PRICE_MAX_CT_PER_MWH) / 100
_SHOWN = 80
_OK, _NO_CONTENT, _BAD_REQUEST, _NOT_FOUND, _TOO_MANY = 200, 204, 400, 404, 429


@dataclass(frozen=True, slots=True)
class Price:
    """Plain decimal text, as exact as given, and the provider's own stamp."""

    value_eur_per_mwh: str
    last_update_us: int


@dataclass(frozen=True, slots=True)
class NoPrice:
    """Nothing was traded in that hour yet, as far as the provider knows."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why there is no answer; ``only_here`` where asking for other hours may well work.

    An ``unsent`` request never left; one with an ``open_end`` may still reach the provider some time.
    """

    reason: str
    only_here: bool = False
    slow_down: bool = False
    retry_after_s: float | None = None
    unsent: bool = False
    open_end: bool = False


Outcome = Price | NoPrice | Trouble


class _NotUnderstood(ValueError):
    """What is wrong with an answer."""


def read_answer(
    slot: Slot, *, status: int, body: bytes, now_s: float, retry_after_s: float | None = None
) -> Outcome:
    """What an answer to the question for ``slot`` says."""
    if status in {_NOT_FOUND, _NO_CONTENT}:
        return NoPrice()
    if status != _OK:
        return _refusal(status, body, retry_after_s)
    try:
        return _read(slot, _object(body), now_s)
    except _NotUnderstood as error:
        return Trouble(f"the provider's answer is not understood: {error}")


def _read(slot: Slot, answer: dict[str, Any], now_s: float) -> Outcome:
    for name, expected in (("delivery_day", slot.day), ("delivery_hour", slot.label)):
        if answer.get(name, expected) != expected:
            raise _NotUnderstood(f"it is about {name} {_shown(answer[name])}, not {expected}")
    if answer.get("value") is None:
        return NoPrice()
    unit = answer.get("unit")
    if not isinstance(unit, str) or unit.strip().lower() not in UNITS:
        raise _NotUnderstood(f"its unit is {_shown(unit)}, not euro per MWh")
    if missing := [name for name in ("delivery_day", "delivery_hour") if name not in answer]:
        raise _NotUnderstood(f"it has no {missing[0]}")
    return Price(_value_text(answer["value"]), _stamp_us(answer.get("last_update"), now_s))


def _object(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(
            body, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_number,
            object_pairs_hook=unique_keys,
        )  # fmt: skip
    except _NotUnderstood:
        raise
    except RepeatedKey as error:
        raise _NotUnderstood(str(error)) from None
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise _NotUnderstood("it is not JSON") from error
    if not isinstance(answer, dict):
        raise _NotUnderstood("it is not a JSON object")
    return answer


def _no_number(text: str) -> Any:
    raise _NotUnderstood(f"{text} is not a number")


def _value_text(value: Any) -> str:
    if not isinstance(value, Decimal):
        raise _NotUnderstood(f"its value is {_shown(value)}, not a number")
    if not _LOWEST <= value <= _HIGHEST:
        raise _NotUnderstood(f"its value {_shown(value)} is out of range")
    _, _, exponent = value.as_tuple()
    if not isinstance(exponent, int) or -exponent > MOST_DECIMALS:
        raise _NotUnderstood(f"its value has more than {MOST_DECIMALS} decimals")
    return format(abs(value) if value == 0 else value, "f")


def _stamp_us(text: Any, now_s: float) -> int:
    try:
        stamp = datetime.fromisoformat(text.strip().upper())
    except (AttributeError, ValueError):
        raise _NotUnderstood(f"its last_update is {_shown(text)}, not a time") from None
    if stamp.tzinfo is None:
        raise _NotUnderstood("its last_update does not say its offset from UTC")
    try:
        stamp_us = to_epoch_us(stamp.astimezone(UTC))
    except OverflowError:
        raise _NotUnderstood(f"its last_update is {_shown(text)}") from None
    if stamp.year < FIRST_DAY.year:
        raise _NotUnderstood(f"its last_update {_shown(text)} is before there was a market")
    if stamp_us > (now_s + MOST_AHEAD_S) * 1e6:
        raise _NotUnderstood(f"its last_update {_shown(text)} is in the future")
    return stamp_us


def _refusal(status: int, body: bytes, retry_after_s: float | None) -> Trouble:
    said = _said(body)
    if status == _TOO_MANY:
        return Trouble(
            f"the provider says: too many requests{said}", slow_down=True, retry_after_s=retry_after_s
        )
    if status == _BAD_REQUEST:
        return Trouble(f"the provider refuses the request{said}", only_here=True)
    return Trouble(f"the provider answered with status {status}{said}", retry_after_s=retry_after_s)


def _said(body: bytes) -> str:
    try:
        message = _object(body).get("error_message")
    except _NotUnderstood:
        message = None
    return f": {message[:_SHOWN]}" if isinstance(message, str) and message.isprintable() else ""


def _shown(value: Any) -> str:
    text = ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
