"""Frames that are no confirmation: broken ones and ones of another kind."""

from __future__ import annotations

from dataclasses import dataclass

_GOOD = (
    '{"trade_confirmation": {"id": "ID", "price": 20.5, "quantity": 12.3, "direction": "buy", '
    '"delivery_day": "2023-02-06", "delivery_hour": "08-09", "trader_id": "trader_1", '
    '"execution_time": "2023-02-06T06:13:45Z"}}'
)


@dataclass(frozen=True, slots=True)
class Noise:
    """A frame that carries no trade; binary where ``payload`` is bytes."""

    kind: str
    payload: str | bytes


def _with(old: str, new: str) -> str:
    assert old in _GOOD
    return _GOOD.replace(old, new)


# "ID" becomes a name that no trade has, so that a frame that slipped through could be found.
_MALFORMED = (
    Noise("empty", ""),
    Noise("not JSON", "<html><body>502 Bad Gateway</body></html>"),
    Noise("cut off", _GOOD[:90]),
    Noise("two values", _GOOD + _GOOD),
    Noise("no object", f"[{_GOOD}]"),
    Noise("envelope without object", '{"trade_confirmation": "ID"}'),
    Noise("no id", _with('"id": "ID", ', "")),
    Noise("id is null", _with('"ID"', "null")),
    Noise("price is text", _with("20.5", '"twenty"')),
    Noise("price is not a number", _with("20.5", "NaN")),
    Noise("price out of range", _with("20.5", "1e9")),
    Noise("quantity is zero", _with("12.3", "0.0")),
    Noise("quantity is negative", _with("12.3", "-12.3")),
    Noise("wrong direction", _with('"buy"', '"hold"')),
    Noise("no such day", _with("2023-02-06", "2023-02-30")),
    Noise("no such hour", _with("08-09", "24-25")),
    Noise("two hours", _with("08-09", "08-10")),
    Noise("no such time", _with("06:13:45Z", "06:73:45Z")),
    Noise("time without zone", _with("06:13:45Z", "06:13:45")),
    Noise("binary", b"\x00\xff\xfe not text \x80"),
)
_UNKNOWN = (
    Noise("market state", '{"market_state": {"seq": 1}}'),
    Noise("order", '{"order_confirmation": {"id": "ID", "state": "ACTIVE", "price": 20.5}}'),
    Noise("notice", '{"message": "Maintenance tonight at 22:00"}'),
    Noise("later version", '{"version": 3, "trade_confirmation_v3": {"tradeId": "ID", "px": "20.50"}}'),
)
KINDS = tuple(noise.kind for noise in (*_MALFORMED, *_UNKNOWN))


def malformed(number: int) -> Noise:
    """The ``number``-th broken frame: all kinds in turn."""
    return _numbered(_MALFORMED[number % len(_MALFORMED)], f"malformed-{number}")


def unknown(number: int) -> Noise:
    """The ``number``-th frame of another kind: all kinds in turn."""
    return _numbered(_UNKNOWN[number % len(_UNKNOWN)], f"unknown-{number}")


def garbled(frame: str, number: int) -> Noise:
    """A trade's own frame, broken on the way so that nobody can read it."""
    if number % 2:
        return Noise("garbled: cut off", frame[: len(frame) * 2 // 3])
    return Noise("garbled: bytes lost", frame.replace('"price": ', '"price": #', 1))


def _numbered(noise: Noise, name: str) -> Noise:
    if isinstance(noise.payload, bytes):
        return noise
    return Noise(noise.kind, noise.payload.replace('"ID"', f'"{name}"'))
