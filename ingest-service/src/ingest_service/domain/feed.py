"""What the exchange's frames say: both envelopes, read exactly or not at all (contracts, section 3)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from wattbook.clock import from_epoch_s, to_epoch_us
from wattbook.periods import DEFAULT_AREA, FIRST_DAY, LAST_DAY, area_of
from wattbook.strict_json import RepeatedKey, unique_keys
from wattbook.text import shown
from wattbook.trade import TRADE_FIELDS
from wattbook.units import CT_PER_EUR, KW_PER_MW, exact_int

ENVELOPES = ("trade_confirmation", "deal_confirmation")
DIRECTIONS = {"buy": 1, "sell": 2}  # numbered as in trades.proto
_US_PER_S = 1_000_000
_US_PER_HOUR = 3_600 * _US_PER_S
_US_DIGITS = 6
_MOST_NAME = 1_000  # characters; the owner's own limits are narrower
_LIMIT = 2**63
_MOST_DIGITS = 20
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,30}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_HOUR = re.compile(r"(\d\d)-(\d\d)", re.ASCII)
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow])
UNKNOWN_FIELD = "unknown field:"  # how a reason begins
_KNOWN_FIELDS = frozenset(TRADE_FIELDS)
_MOST_SHOWN, _MOST_LISTED = 60, 5
_CUT = re.compile(rb"\n\[(cut|broken off): (\d{1,19}) bytes, SHA-256 ([0-9a-f]{64})\]\Z")
_CUT_BYTES = 128


class Unreadable(ValueError):
    """A frame that is no confirmation that we can read, and why; ``trade_id`` where that much is legible."""

    def __init__(self, reason: str, *, trade_id: str = "") -> None:
        """Keep both."""
        super().__init__(reason)
        self.trade_id = trade_id


class UnknownField(Unreadable):
    """A frame that says more than we know the meaning of; the reason names the field."""


@dataclass(frozen=True, slots=True)
class FrameRules:
    """What frames may say beside a confirmation's fields, and which messages only say that nothing is new."""

    allowed_fields: frozenset[str] = frozenset()
    heartbeats: frozenset[str] = frozenset({"heartbeat"})


NOTHING_MORE = FrameRules()


class ExchangeGone(Exception):
    """There is no connection to the exchange, or no more; the message says why."""


class ConfirmedTrade(NamedTuple):
    """A trade as the exchange confirmed it. ``direction`` is numbered as in ``trades.proto``."""

    trade_id: str
    price_ct_per_mwh: int
    quantity_kw: int
    direction: int
    delivery_day: str
    delivery_hour: int
    trader_id: str
    execution_time_us: int


def read_frame(
    frame: bytes, rules: FrameRules = NOTHING_MORE, *, trader_id: str = ""
) -> ConfirmedTrade | None:
    """The trade in a frame, None where it is a heartbeat; ``trader_id`` stands in for the one that it names.

    Raises:
        UnknownField: it has a field that ``rules`` do not allow.
        Unreadable: it is no confirmation, or one whose figures would have to be altered to be booked.
    """
    message = _object(frame)
    if _is_heartbeat(message, rules.heartbeats):
        return None
    envelope, fields = _envelope(message)
    if trader_id:
        fields["trader_id"] = trader_id
    trade_id = _text(fields, "id", trade_id="")
    _refuse_unknown(message.keys() - {envelope}, rules, trade_id)
    _refuse_unknown(fields.keys() - _KNOWN_FIELDS, rules, trade_id)
    try:
        return ConfirmedTrade(
            trade_id,
            _units(fields, "price", CT_PER_EUR, "EUR/MWh is finer than a cent"),
            _units(fields, "quantity", KW_PER_MW, "MW is finer than a kW"),
            _direction(fields),
            _day(_text(fields, "delivery_day")),
            _delivery_hour(_text(fields, "delivery_hour")),
            _text(fields, "trader_id"),
            instant_us(_text(fields, "execution_time")),
        )
    except ValueError as error:
        raise Unreadable(str(error), trade_id=trade_id) from None


def kept_content(trade: ConfirmedTrade) -> str:
    """A trade without its id in one line, the same for the same trade from the feed and from a file."""
    stated = (*trade[1:6], trade.execution_time_us, trade.trader_id)  # the last, since it may have a |
    return "|".join(map(str, stated))


def trade_of(trade_id: str, content: str) -> ConfirmedTrade:
    """The trade that :func:`kept_content` made a line of."""
    price, quantity, direction, day, hour, executed_us, trader_id = content.split("|", 6)
    return ConfirmedTrade(
        trade_id, int(price), int(quantity), int(direction), day, int(hour), trader_id, int(executed_us)
    )


@lru_cache(maxsize=4096)
def instant_us(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 instant; finer digits are rounded as the gateway does.

    Raises:
        ValueError: it is none, or has no offset.
    """
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise ValueError("execution_time is no date-time with Z or an offset")
    day, clock, fraction, offset = found.groups()
    us = _whole_seconds(day, clock, offset) * _US_PER_S
    if fraction:
        scale = 10 ** max(len(fraction) - _US_DIGITS, 0)
        us += (int(fraction.ljust(_US_DIGITS, "0")) * 2 + scale) // (2 * scale)
    return us


@lru_cache(maxsize=4096)
def execution_day(epoch_us: int) -> date:
    """The day on the exchange's wall clock (Berlin)."""
    return _berlin_day(epoch_us // _US_PER_HOUR)  # its offsets are whole hours


def cut_frame(beginning: bytes, *, length: int, sha256: str, is_broken_off: bool = False) -> bytes:
    """What is kept of a frame that is too large: its ``beginning``, and a line that says so.

    Also of one ``is_broken_off``, whose connection ended within it after ``length`` bytes.
    """
    what = b"broken off" if is_broken_off else b"cut"
    return b"%b\n[%b: %d bytes, SHA-256 %b]" % (beginning, what, length, sha256.encode())


def _object(frame: bytes) -> dict[str, Any]:
    if frame.endswith(b"]") and (cut := _CUT.search(frame[-_CUT_BYTES:])):
        what, size, digest = (part.decode() for part in cut.groups())
        why = f"too large: {size} bytes" if what == "cut" else f"the connection broke off after {size} bytes"
        raise Unreadable(f"{why}, SHA-256 {digest}; only its beginning is kept")
    message = _json(frame)
    if not isinstance(message, dict):
        raise Unreadable("it is no JSON object")
    return message


def _json(frame: bytes) -> Any:
    try:
        return json.loads(
            frame, parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=unique_keys
        )
    except RepeatedKey as error:
        raise Unreadable(str(error)) from None
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except DecimalException:
        raise Unreadable("it has a number out of all range") from None
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8") from None
    except ValueError as error:
        raise Unreadable(f"it is not JSON: {error}" if frame else "it is empty") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _is_heartbeat(message: dict[str, Any], known: frozenset[str]) -> bool:
    """``{"heartbeat": …}`` alone, or ``"type"`` or ``"event"`` names it beside nothing but plain values."""
    if len(message) == 1 and not known.isdisjoint(message):
        return True
    kind = message.get("type", message.get("event"))
    plain = not any(isinstance(value, dict | list) for value in message.values())
    return plain and isinstance(kind, str) and kind in known


def _refuse_unknown(names: Set[str], rules: FrameRules, trade_id: str) -> None:
    if unknown := sorted(names - rules.allowed_fields):
        listed = ", ".join(shown(name[:_MOST_SHOWN]) for name in unknown[:_MOST_LISTED])
        raise UnknownField(f"{UNKNOWN_FIELD} {listed}", trade_id=trade_id)


def _envelope(message: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    names = [name for name in ENVELOPES if name in message]
    if len(names) != 1:
        what = "both envelopes" if names else f"neither {ENVELOPES[0]} nor {ENVELOPES[1]}"
        known = ", ".join(repr(shown(name))[:40] for name in list(message)[:3])
        raise Unreadable(f"it has {what}" + (f" but {known}" if known and not names else ""))
    fields = message[names[0]]
    if not isinstance(fields, dict):
        raise Unreadable(f"{names[0]} is no object")
    return names[0], fields


def _text(fields: Mapping[str, Any], name: str, **known: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        what = "is missing" if name not in fields else "is no text" if value != "" else "is empty"
        raise Unreadable(f"{name} {what}", **known)
    if len(value) > _MOST_NAME:
        raise Unreadable(f"{name} is longer than {_MOST_NAME} characters", **known)
    if "\0" in value:
        raise Unreadable(f"{name} has a zero character", **known)
    if not value.isprintable() and not _is_encodable(value):
        raise Unreadable(f"{name} has half of a surrogate pair", **known)
    return value


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _units(fields: Mapping[str, Any], name: str, factor: int, too_fine: str) -> int:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"{name} is missing" if name not in fields else f"{name} is no number")
    return _exact(Decimal(value), name, factor, too_fine)


def _exact(value: Decimal, name: str, factor: int, too_fine: str) -> int:
    try:
        units = exact_int(_EXACT.multiply(value, factor))
    except (ValueError, DecimalException):
        if value.adjusted() >= _MOST_DIGITS:  # comparing would overflow where its exponent is enormous
            raise ValueError(f"{name} is out of all range") from None
        raise ValueError(f"{name} {str(value)[:40]} {too_fine}") from None
    if not -_LIMIT <= units < _LIMIT:
        raise ValueError(f"{name} is out of all range")
    return units


def _direction(fields: Mapping[str, Any]) -> int:
    direction = DIRECTIONS.get(_text(fields, "direction"))
    if direction is None:
        raise ValueError("direction is neither buy nor sell")
    return direction


@lru_cache(maxsize=1024)
def _day(text: str) -> str:
    try:
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"delivery_day {text[:40]} is no day, YYYY-MM-DD")
    return text


@lru_cache(maxsize=1024)
def _delivery_hour(text: str) -> int:
    found = _HOUR.fullmatch(text)
    if found is None or int(found[2]) != int(found[1]) + 1 or int(found[1]) > 23:
        raise ValueError(f"delivery_hour {text[:40]} is none of 00-01 to 23-24")
    return int(found[1])


@lru_cache(maxsize=4096)
def _whole_seconds(day: str, clock: str, offset: str) -> int:
    try:
        local = datetime.combine(date.fromisoformat(day), time.fromisoformat(clock), UTC)
        away = timedelta()
        if offset not in "Zz":
            hours, minutes = int(offset[1:3]), int(offset[4:6])
            if hours > 23 or minutes > 59:
                raise ValueError(offset)
            away = timedelta(hours=hours, minutes=minutes) * (-1 if offset[0] == "-" else 1)
        return to_epoch_us(local) // _US_PER_S - int(away.total_seconds())
    except ValueError:
        raise ValueError(f"execution_time {day}T{clock} does not exist") from None


@lru_cache(maxsize=4096)
def _berlin_day(epoch_hour: int) -> date:
    return from_epoch_s(epoch_hour * 3600).astimezone(area_of(DEFAULT_AREA).zone).date()
