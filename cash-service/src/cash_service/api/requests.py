"""Requests of ``cash.proto`` in our own words; what cannot be right is refused by name."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from wattbook.errors import InvalidInput
from wattbook_proto import cash_pb2

from cash_service.domain.balances import Include
from cash_service.domain.cleaning import Reason, Source
from cash_service.domain.iban import COUNTRIES
from cash_service.domain.periods import FIRST_US, FIRST_YEAR, LAST_US, LAST_YEAR, Interval
from cash_service.domain.rates import EUR, TARGETS

T = TypeVar("T")

MOST_ROWS = 1_000
DEFAULT_ROWS = 100
MOST_QUERY = 200
_INCLUDES = {
    cash_pb2.BATCH: Include.BATCH,
    cash_pb2.BATCH_ONCE: Include.BATCH_ONCE,
    cash_pb2.INVALID_IBAN: Include.INVALID_IBAN,
}
_INTERVALS = {
    cash_pb2.DAY: Interval.DAY,
    cash_pb2.WEEK: Interval.WEEK,
    cash_pb2.MONTH: Interval.MONTH,
    cash_pb2.QUARTER: Interval.QUARTER,
    cash_pb2.YEAR: Interval.YEAR,
    cash_pb2.ALL: Interval.ALL,
}
_FLOWS = {
    cash_pb2.DIRECTION_UNSPECIFIED: "",
    cash_pb2.IN: "in",
    cash_pb2.OUT: "out",
    cash_pb2.INTERNAL: "internal",
}
_WINDOW_STATES = ("", "complete", "open", "late", "changed")
_AMOUNT_DIGITS = 30


def currency_of(text: str) -> str:
    """EUR or USD; EUR where nothing is said. Raises InvalidInput."""
    if text and text not in TARGETS:
        raise InvalidInput(f"currency: {text[:20]!r} is none that sums are made in; they are EUR and USD")
    return text or EUR


def include_of(values: Iterable[int]) -> list[Include]:
    """What counts beside clean payments. Raises InvalidInput."""
    return [_known("include", value, _INCLUDES) for value in values]


def interval_of(value: int) -> Interval:
    """How a history is cut. Raises InvalidInput."""
    return _known("interval", value, _INTERVALS)


def flow_of(value: int) -> str:
    """``in``, ``out``, ``internal``, or ``""`` for all. Raises InvalidInput."""
    return _known("direction", value, _FLOWS)


def source_of(value: int) -> Source | None:
    """A source; None: both. Raises InvalidInput."""
    if value not in (0, *Source):
        raise InvalidInput(f"source: {value} is none; they are sepa and swift")
    return Source(value) if value else None


def instant_of(name: str, time_us: int) -> int:
    """An instant of the years that there can be. Raises InvalidInput."""
    if not FIRST_US <= time_us <= LAST_US:
        raise InvalidInput(f"{name}: it is not in the years {FIRST_YEAR} to {LAST_YEAR}")
    return time_us


def period_of(request: Any) -> tuple[int, int]:
    """From when on, and before when. Raises InvalidInput."""
    from_us, before_us = instant_of("from", request.from_us), instant_of("to", request.before_us)
    if from_us >= before_us:
        raise InvalidInput("from must be before to")
    return from_us, before_us


def country_of_request(text: str) -> str:
    """A country by its two letters; ``""``: any. Raises InvalidInput."""
    if text and text not in COUNTRIES:
        raise InvalidInput(f"country: {text[:20]!r} is no ISO 3166-1 alpha-2 code, such as NL")
    return text


def amount_of(name: str, text: str) -> Decimal | None:
    """A decimal amount; None where nothing is said. Raises InvalidInput."""
    if not text:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0 or len(text) > _AMOUNT_DIGITS:
        raise InvalidInput(f"{name}: {text[:40]!r} is no amount, such as 1234.50")
    return value


def limit_of(value: int) -> int:
    """How many rows; 100 where nothing is said. Raises InvalidInput."""
    if value > MOST_ROWS:
        raise InvalidInput(f"limit: {value} is not in 1…{MOST_ROWS:,}")
    return value or DEFAULT_ROWS


def query_of(text: str) -> str:
    """What is searched for. Raises InvalidInput."""
    if len(text) > MOST_QUERY:
        raise InvalidInput(f"q: it has {len(text)} characters; at most {MOST_QUERY}")
    return text.replace("\0", "\ufffd").strip()


def reason_of(text: str) -> int:
    """A reason to be set aside; 0: any. Raises InvalidInput."""
    if not text:
        return 0
    try:
        return int(Reason[text.upper()])
    except KeyError:
        names = ", ".join(str(each.name).lower() for each in Reason)
        raise InvalidInput(f"reason: {text[:40]!r} is none; they are {names}") from None


def window_state_of(text: str) -> str:
    """Which windows; ``""``: all. Raises InvalidInput."""
    if text not in _WINDOW_STATES:
        raise InvalidInput(f"state: {text[:40]!r} is none; they are {', '.join(_WINDOW_STATES[1:])}")
    return text


def cursor_of(request: Any, key: tuple[Any, ...]) -> str:
    """A cursor after ``key``, for this question alone."""
    text = json.dumps([_question(request), *key], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def key_of(request: Any, *kinds: type) -> tuple[Any, ...] | None:
    """The key that a cursor is after; None where there is no cursor.

    Raises:
        InvalidInput: it is no cursor of ours, or of another question.
    """
    if not request.cursor:
        return None
    wrong = InvalidInput("cursor: it is not one of this question's; begin without a cursor")
    try:
        padded = request.cursor + "=" * (-len(request.cursor) % 4)
        values = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, binascii.Error, UnicodeError, RecursionError):
        raise wrong from None
    if not isinstance(values, list) or len(values) != len(kinds) + 1 or values[0] != _question(request):
        raise wrong
    if not all(type(value) is kind for value, kind in zip(values[1:], kinds, strict=True)):
        raise wrong
    if any(isinstance(value, int) and not 0 <= value < 2**63 for value in values[1:]):
        raise wrong
    return tuple(values[1:])


def _question(request: Any) -> str:
    asked = type(request)()
    asked.CopyFrom(request)
    for name in ("cursor", "limit", "without_sums"):
        if name in asked.DESCRIPTOR.fields_by_name:
            asked.ClearField(name)
    return hashlib.sha256(asked.SerializeToString(deterministic=True)).hexdigest()[:12]


def _known(name: str, value: int, known: Mapping[Any, T]) -> T:
    if value not in known:
        names = ", ".join(str(each) for each in known.values() if each)
        raise InvalidInput(f"{name}: {value} is none; they are {names}")
    return known[value]
