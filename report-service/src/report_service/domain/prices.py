"""Reference prices as a report sees them: per delivery period the newest value, exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

_CT_PER_EUR = 100


class DayKey(NamedTuple):
    """A delivery day of an area."""

    area: str
    day: date


@dataclass(frozen=True)
class BookDay:
    """All that was traded for a delivery day; its prices are named by the day itself."""

    day: DayKey


@dataclass(frozen=True)
class ReferencePrice:
    """What the provider said of a delivery period. Times are microseconds since 1970 UTC."""

    area: str
    delivery_start_s: int
    delivery_minutes: int
    value_eur_per_mwh: Decimal
    last_update_us: int
    fetched_us: int
    seq: int

    @cached_property
    def ct_per_mwh(self) -> Fraction:
        """The value in eurocent per MWh, exact."""
        return Fraction(self.value_eur_per_mwh) * _CT_PER_EUR

    def is_newer_than(self, other: ReferencePrice) -> bool:
        """Whether this one holds: the provider's later update, and of two with the same the later fetched."""
        return (self.last_update_us, self.seq) > (other.last_update_us, other.seq)


@dataclass(frozen=True, eq=False)
class DayPrices:
    """A day's prices by the start of their hour. Compared by identity: another object is another state.

    Until ``is_loaded`` their owner was not asked yet, and what is there was only announced.
    """

    by_start_s: Mapping[int, ReferencePrice] = field(default_factory=dict)
    is_loaded: bool = False

    def at(self, hour_start_s: int) -> ReferencePrice | None:
        """The price of an hour, where there is one."""
        return self.by_start_s.get(hour_start_s)


NO_PRICES = DayPrices()


@dataclass(frozen=True, slots=True)
class PollerState:
    """How the owner of the prices is doing: requests left, the newest cycle seen, and what is wrong."""

    minute_budget_left: int = 0
    hour_budget_left: int = 0
    cycle_start_s: int = 0
    trouble: str = ""
    trouble_since_us: int = 0
    periods_tradable: int = 0
    periods_fresh: int = 0
    last_success_us: int = 0
