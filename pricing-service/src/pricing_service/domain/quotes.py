"""Prices as they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pricing_service.domain.slots import Slot

CYCLE_S = 600
_HALF_CYCLE_US = CYCLE_S * 1_000_000 // 2
# A doubled hour's first half is not updated any more once it started; stamps and clocks differ a little.
_CLOSED_US = 120 * 1_000_000


@dataclass(frozen=True, slots=True)
class NewPrice:
    """A price as it was fetched; ``fetched_time_us`` is when its answer had come."""

    delivery_start_s: int
    value_eur_per_mwh: str
    last_update_us: int
    fetched_time_us: int


class KnownPrice(NamedTuple):
    """A price as it is kept; ``price_seq`` counts 1, 2, 3 … without gaps in commit order."""

    price_seq: int
    area: str
    delivery_start_s: int
    delivery_minutes: int
    value_eur_per_mwh: str
    last_update_us: int
    fetched_time_us: int
    cycle_start_s: int


def cycle_start_s(last_update_us: int) -> int:
    """The ten minutes that a stamp lies in."""
    seconds = last_update_us // 1_000_000
    return seconds - seconds % CYCLE_S


def same_cycle(last_update_us: int, newest_us: int) -> bool:
    """Whether a stamp belongs to the newest cycle: those of two cycles are at least nine minutes apart."""
    return last_update_us > newest_us - _HALF_CYCLE_US


def periods_told(slot: Slot, last_update_us: int) -> tuple[int, ...]:
    """Starts of the hours that an answer is about: of a doubled one those whose gates were still open."""
    open_then = tuple(start for start in slot.starts_s if last_update_us < start * 1_000_000 + _CLOSED_US)
    return open_then if len(slot.starts_s) > 1 and open_then else slot.starts_s
