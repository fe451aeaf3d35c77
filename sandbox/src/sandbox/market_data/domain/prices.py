"""Publication cycles, and the reference price that each of them gives an hour (contracts, section 4)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from wattbook.clock import EPOCH
from wattbook.periods import DeliveryPeriod
from wattbook.units import rounded

from sandbox.chance import between
from sandbox.market.figures import euro_text
from sandbox.market.hours import tradable_hours
from sandbox.market.prices import Market

CYCLE = timedelta(minutes=10)
UNITS = ("euro", "euro/mwh")
UNIT_STYLES = (*UNITS, "mixed")
NO_PRICE_STYLES = ("404", "absent", "null")
_FOR_LATENESS = 101


@dataclass(frozen=True, slots=True)
class Schedule:
    """When cycles are and when each is out: every ten minutes, up to ``latest_s`` late, irregularly."""

    seed: int
    offset: timedelta = timedelta(0)
    latest_s: float = 30.0

    def at(self, cycle: int) -> datetime:
        """The instant up to which a cycle counts the market's trades."""
        return EPOCH + self.offset + cycle * CYCLE

    def published_at(self, cycle: int) -> datetime:
        """When all prices of a cycle come out together."""
        late_ms = between(0, int(self.latest_s * 1000), self.seed, _FOR_LATENESS, cycle)
        return self.at(cycle) + timedelta(milliseconds=late_ms)

    def latest(self, now: datetime) -> int:
        """The last cycle that is out at ``now``."""
        cycle = (now - EPOCH - self.offset) // CYCLE
        while self.published_at(cycle) > now:
            cycle -= 1
        return cycle

    def last_for(self, hour: DeliveryPeriod) -> int:
        """The last cycle that an hour has part in: the last before its gate closes."""
        return -((EPOCH + self.offset - hour.start) // CYCLE) - 1

    def hours_in(self, cycle: int) -> tuple[DeliveryPeriod, ...]:
        """The hours that a cycle updates, each as soon as anything was traded in it."""
        return tradable_hours(self.at(cycle))


@dataclass(frozen=True, slots=True)
class Price:
    """An hour's volume-weighted average price as of a cycle."""

    value_ct_per_mwh: int
    last_update: datetime


def price_of(
    market: Market, schedule: Schedule, hours: tuple[DeliveryPeriod, ...], *, cycle: int
) -> Price | None:
    """The price under a label, one or both of a doubled hour, as of a cycle; none before the first trade."""
    volume_kw, turnover, last = 0, 0, None
    for hour in hours:
        own_cycle = min(cycle, schedule.last_for(hour))
        own_volume_kw, own_turnover = market.of(hour).traded(schedule.at(own_cycle))
        if own_volume_kw:
            volume_kw, turnover = volume_kw + own_volume_kw, turnover + own_turnover
            last = max(last or own_cycle, own_cycle)
    if last is None:
        return None
    value = int(rounded(Decimal(turnover) / Decimal(volume_kw), 0))
    return Price(value, schedule.published_at(last))


@dataclass(frozen=True, slots=True)
class AnswerStyle:
    """How answers are written; of ``mixed`` styles each answer gets one, by its number."""

    unit: str = "euro"
    time: str = "z"
    no_price: str = "404"
    fraction_digits: int = 0

    def price_text(self, price: Price, *, day: date, label: str, number: int, unit: str | None) -> str:
        """The answer for a price; ``unit`` overrides the style's."""
        shown_unit = unit or (UNITS[number % 2] if self.unit == "mixed" else self.unit)
        return self._body(
            day, label, value=euro_text(price.value_ct_per_mwh), unit=shown_unit,
            last_update=self._instant(price.last_update, number),
        )  # fmt: skip

    def null_text(self, at: datetime, *, day: date, label: str, number: int) -> str:
        """An answer that has an hour and no value."""
        return self._body(day, label, value="null", unit=UNITS[0], last_update=self._instant(at, number))

    def no_price_style(self, number: int) -> str:
        """How to say that there is no price yet."""
        if self.no_price == "mixed":
            return NO_PRICE_STYLES[number % len(NO_PRICE_STYLES)]
        return self.no_price

    def _body(self, day: date, label: str, *, value: str, unit: str, last_update: str) -> str:
        return (
            f'{{"delivery_day": "{day}", "delivery_hour": "{label}", "value": {value}, '
            f'"unit": {json.dumps(unit)}, "last_update": "{last_update}"}}'
        )

    def _instant(self, instant: datetime, number: int) -> str:
        with_offset = bool(number & 1) if self.time == "mixed" else self.time == "offset"
        text = instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[: 20 + self.fraction_digits]
        return text.rstrip(".") + ("+00:00" if with_offset else "Z")
