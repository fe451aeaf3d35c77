"""A trade as its sender states it: its fields, their limits, exact decimals.

Bodies are read by :mod:`msgspec`, which checks types and limits while it parses; what it cannot say, a few
functions here do. A number is read from its text, never through a float.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from wattbook.errors import InvalidInput
from wattbook.periods import AREAS
from wattbook.strict_json import RepeatedKey, unique_keys
from wattbook.trade import TRADE_FIELDS
from wattbook.units import QUANTITY_STEP_KW, kw_from_mw

ID_MAX_CHARACTERS = 128
TRADER_ID_MAX_CHARACTERS = 64
QUANTITY_MAX_MW = 1_000_000
PRICE_LIMIT_CT_PER_MWH = 2**31 - 1

_Id = Annotated[str, Meta(min_length=1, max_length=ID_MAX_CHARACTERS)]
_TraderId = Annotated[str, Meta(min_length=1, max_length=TRADER_ID_MAX_CHARACTERS)]
_Price = Annotated[int, Meta(ge=-PRICE_LIMIT_CT_PER_MWH, le=PRICE_LIMIT_CT_PER_MWH)]
_Hour = Annotated[int, Meta(ge=0, le=23)]
_Instant = Annotated[dt.datetime, Meta(tz=True)]
_Direction = Literal["buy", "sell"]

_KNOWN_QUANTITIES_MOST = 20_000
_HOUR_S = 3600
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class StatedTrade(Protocol):
    """What a trade has in whatever form it came."""

    id: str
    price: int
    direction: _Direction
    delivery_day: dt.date
    delivery_hour: int
    trader_id: str
    execution_time: dt.datetime

    @property
    def quantity_kw(self) -> int: ...  # noqa: D102


class JsonTrade(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /v1/trades`` and an element of a batch; ``quantity`` keeps its text."""

    id: _Id
    price: _Price
    quantity: Raw
    direction: _Direction
    delivery_day: dt.date
    delivery_hour: _Hour
    trader_id: _TraderId
    execution_time: _Instant
    area: str | UnsetType = UNSET
    delivery_start: _Instant | UnsetType = UNSET

    @property
    def quantity_kw(self) -> int:
        """Its quantity in whole kW.

        Raises:
            InvalidInput: it is none.
        """
        return quantity_kw(bytes(self.quantity))


class CsvTrade(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A row of the nightly file, its columns in the order of :data:`~wattbook.trade.TRADE_FIELDS`."""

    id: _Id
    price: _Price
    quantity: str
    direction: _Direction
    delivery_day: dt.date
    delivery_hour: _Hour
    trader_id: _TraderId
    execution_time: _Instant

    @property
    def quantity_kw(self) -> int:
        """As of :class:`JsonTrade`."""
        return quantity_kw(self.quantity)


class ExchangeTrade(CsvTrade):
    """The same from the exchange itself, which states facts: its quantity may be as fine as a kW."""

    @property
    def quantity_kw(self) -> int:
        """Its quantity in whole kW.

        Raises:
            InvalidInput: it is none.
        """
        return exchange_quantity_kw(self.quantity)


TRADE_DECODER = msgspec.json.Decoder(JsonTrade)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_known_quantities: dict[bytes | str, int] = {}


def quantity_kw(text: bytes | str) -> int:
    """Whole kW of a quantity in MW, given as its decimal text.

    Raises:
        InvalidInput: not a number, not above 0, over the limit, or finer than 0.1 MW.
    """
    known = _known_quantities.get(text)
    if known is None:
        known = _read_quantity(text if isinstance(text, str) else text.decode())
        if known is None or known % QUANTITY_STEP_KW:
            raise InvalidInput("quantity: steps of 0.1 MW")
        if len(_known_quantities) < _KNOWN_QUANTITIES_MOST and len(text) < 16:
            _known_quantities[text] = known
    return known


def exchange_quantity_kw(text: str) -> int:
    """The same of the exchange's own statement.

    Raises:
        InvalidInput: not a number, not above 0, over the limit, or finer than a kW.
    """
    known = _known_quantities.get(text) or _read_quantity(text)
    if known is None:
        raise InvalidInput("quantity: finer than a kW")
    return known


def _read_quantity(text: str) -> int | None:
    """Whole kW; None where it is finer."""
    if not _NUMBER.fullmatch(text):
        raise InvalidInput("quantity: expected a number")
    try:
        value = Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal holds
        raise InvalidInput(f"quantity: above 0 and at most {QUANTITY_MAX_MW} MW") from None
    if not 0 < value <= QUANTITY_MAX_MW:
        raise InvalidInput(f"quantity: above 0 and at most {QUANTITY_MAX_MW} MW")
    try:
        return kw_from_mw(value)
    except ValueError:
        return None


def epoch_us(instant: dt.datetime) -> int:
    """Microseconds since 1970-01-01 UTC; the same as wattbook.clock's, quicker."""
    passed = instant - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def delivery_start_s(start: dt.datetime) -> int:
    """Seconds since 1970-01-01 UTC of a delivery hour's start.

    Raises:
        InvalidInput: no hour starts then.
    """
    start_us = epoch_us(start)
    if start_us % (_HOUR_S * 1_000_000):
        raise InvalidInput("delivery_start: not the start of an hour")
    return start_us // 1_000_000


def check_trade(trade: StatedTrade) -> None:
    """What types and limits do not say: names that can be sent and a known area.

    Raises:
        InvalidInput: names the field.
    """
    _check_name("id", trade.id)
    _check_name("trader_id", trade.trader_id)
    area = getattr(trade, "area", UNSET)
    if area is not UNSET and area not in AREAS:
        raise InvalidInput(f"area: unknown; known are {', '.join(sorted(AREAS))}")


def _check_name(field: str, text: str) -> None:
    """That it can be sent on at all. Whether it is fit the owner says, who knows what is booked already."""
    if not text.isprintable() and _HALVES.search(text):
        raise InvalidInput(f"{field}: half of a surrogate pair")


_HALVES = re.compile("[\ud800-\udfff]")


def json_trade(body: bytes | Raw) -> JsonTrade:
    """A valid trade out of its JSON.

    Raises:
        InvalidInput: says what is wrong and names the field.
    """
    trade: JsonTrade = decode(TRADE_DECODER.decode, body)
    if bytes(body).count(b",") != json_commas(trade):
        refuse_repeated_keys(bytes(body))
    check_trade(trade)
    return trade


def json_commas(trade: JsonTrade) -> int:
    """How many commas its JSON has where no text holds one and no key comes twice."""
    return 7 + (trade.area is not UNSET) + (trade.delivery_start is not UNSET)


def csv_trade(row: Sequence[str], kind: type[CsvTrade] = CsvTrade) -> CsvTrade:
    """A valid trade out of its columns in the order of :data:`~wattbook.trade.TRADE_FIELDS`.

    Its quantity is read when it is asked for.

    Raises:
        InvalidInput: says what is wrong and names the column.
    """
    try:
        trade = msgspec.convert(row, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(_in_our_words(str(error))) from None
    # Read leniently, a bare number would pass as seconds since 1970; no number has a colon.
    if ":" not in row[7]:
        raise InvalidInput("execution_time: not an RFC 3339 date-time")
    check_trade(trade)
    return trade


def decode(decoder: Callable[[Any], Any], body: Any) -> Any:
    """What ``decoder`` makes of ``body``.

    Raises:
        InvalidInput: in words for the sender, instead of msgspec's errors.
    """
    if body == b"":
        raise InvalidInput("the body is empty")
    try:
        return decoder(body)
    except msgspec.ValidationError as error:
        raise InvalidInput(_in_our_words(str(error))) from None
    except msgspec.DecodeError as error:
        detail = str(error).removeprefix("JSON is malformed: ")
        raise InvalidInput(f"malformed JSON: {detail[:1].lower()}{detail[1:]}") from None
    except UnicodeError:
        raise InvalidInput("malformed JSON: not UTF-8") from None
    except RecursionError:
        raise InvalidInput("malformed JSON: nested too deeply") from None


def refuse_repeated_keys(body: bytes) -> None:
    """Insist that no object in ``body``, which is valid JSON, has a key twice.

    Raises:
        InvalidInput: names the key.
    """
    try:  # numbers as text, since Python refuses to read very long ones
        json.loads(body, object_pairs_hook=unique_keys, parse_int=str, parse_float=str)
    except RepeatedKey as error:
        raise InvalidInput(str(error)) from None
    except RecursionError:
        raise InvalidInput("malformed JSON: nested too deeply") from None


_AT_FIELD = re.compile(r"(?P<what>.*) - at `\$(?P<path>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*?)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_PLAIN_WORDS = {
    "Invalid RFC3339 encoded date": "not a date (YYYY-MM-DD)",
    "Invalid RFC3339 encoded datetime": "not an RFC 3339 date-time",
    "Expected `datetime` with a timezone component": "a date-time with its zone (Z) is needed",
}


def _in_our_words(text: str) -> str:
    found = _AT_FIELD.fullmatch(text)
    what = found["what"] if found else text
    field = _field_name(found["path"]) if found else ""
    for pattern, words in ((_MISSING, "missing"), (_UNKNOWN, "unknown field")):
        named = pattern.match(what)
        if named:
            return f"{named[1][:100]}: {words}"
    what = _PLAIN_WORDS.get(what, what).replace("`", "")
    what = f"{what[:1].lower()}{what[1:]}"
    return f"{field}: {what}" if field else what


def _field_name(path: str) -> str:
    number = re.fullmatch(r"\[(\d+)\]", path)
    if number and int(number[1]) < len(TRADE_FIELDS):
        return TRADE_FIELDS[int(number[1])]
    return path.lstrip(".")
