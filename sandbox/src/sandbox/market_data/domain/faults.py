"""What goes wrong at the provider, as settings that can be changed while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from wattbook.errors import InvalidInput

from sandbox.changes import typed_changes

_SHARES = ("fail_rate", "slow_rate", "garbage_rate", "break_rate", "null_rate", "missing_rate")
_LONGEST_REAL_S = 600.0
_LONGEST_SKEW_S = 86_400.0

# Placeholders DAY, HOUR, VALUE, TIME are filled so that only the one thing is wrong.
_HEAD = '{"delivery_day": "DAY", "delivery_hour": "HOUR", '
_TAIL = ', "unit": "euro", "last_update": "TIME"}'
_GARBAGE = (
    ("html", "<html><body><h1>Maintenance</h1></body></html>"),
    ("empty", ""),
    ("cut off", _HEAD + '"value": VALU'),
    ("no object", '["DAY", "HOUR", VALUE]'),
    ("value is text", _HEAD + '"value": "high"' + _TAIL),
    ("value is not a number", _HEAD + '"value": NaN' + _TAIL),
    ("value out of range", _HEAD + '"value": 1e12' + _TAIL),
    ("another hour", '{"delivery_day": "1999-12-31", "delivery_hour": "00-01", "value": VALUE' + _TAIL),
    ("no last_update", _HEAD + '"value": VALUE, "unit": "euro"}'),
    ("no such time", _HEAD + '"value": VALUE, "unit": "euro", "last_update": "soon"}'),
)


@dataclass(frozen=True, slots=True)
class Faults:
    """All off by default. Rates are shares of requests, 0…1.

    fail_rate: answered with ``fail_status`` (429 or 5xx). slow_rate: answered ``slow_real_s`` later, in real
    seconds since timeouts are real. garbage_rate: status 200 with nonsense. break_rate: the connection ends
    within the answer. null_rate: value null although there is a price; missing_rate: as if there were none
    yet. stale: no new publications show. wrong_unit: this text as unit. skew_s: how far the provider's own
    clock is ahead (simulated seconds): its publications, its stamps, its gate closures.
    """

    fail_rate: float = 0.0
    fail_status: int = 503
    slow_rate: float = 0.0
    slow_real_s: float = 5.0
    garbage_rate: float = 0.0
    break_rate: float = 0.0
    null_rate: float = 0.0
    missing_rate: float = 0.0
    stale: bool = False
    wrong_unit: str | None = None
    skew_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            InvalidInput: a rate outside 0…1, another status, or a time out of range.
        """
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidInput(f"{name} must be between 0 and 1")
        if self.fail_status != 429 and not 500 <= self.fail_status <= 599:
            raise InvalidInput("fail_status must be 429 or 500…599")
        if not 0 <= self.slow_real_s <= _LONGEST_REAL_S or not abs(self.skew_s) <= _LONGEST_SKEW_S:
            raise InvalidInput(
                f"slow_real_s must be in 0…{_LONGEST_REAL_S:g}, skew_s within ±{_LONGEST_SKEW_S:g}"
            )

    def changed(self, changes: Mapping[str, Any]) -> Faults:
        """These faults with some of them changed.

        Raises:
            InvalidInput: an unknown name, or a value that cannot be.
        """
        return replace(self, **typed_changes(Faults, changes))

    def as_dict(self) -> dict[str, Any]:
        """All of them by name."""
        return asdict(self)


def garbage(number: int, *, day: str, hour: str, value: str, time: str) -> tuple[str, str]:
    """The ``number``-th nonsense: its kind and its text; all kinds in turn."""
    kind, text = _GARBAGE[number % len(_GARBAGE)]
    for name, filled in (("DAY", day), ("HOUR", hour), ("VALUE", value), ("TIME", time)):
        text = text.replace(name, filled)
    return kind, text
