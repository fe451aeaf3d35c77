"""What is true of reference prices: how the provider is asked and read, when, and how often at most.

No I/O and no clock: instants come in as seconds since 1970-01-01 UTC, on our clock unless named otherwise.
"""

from pricing_service.domain.answers import NoPrice, Outcome, Price, Trouble, read_answer
from pricing_service.domain.belief import Belief, Sighting
from pricing_service.domain.budget import LONGEST_S, Deposed, Limits, Spent
from pricing_service.domain.health import Health, Status
from pricing_service.domain.patience import LONGEST_HOLD_S
from pricing_service.domain.quotes import (
    CYCLE_S,
    KnownPrice,
    NewPrice,
    cycle_start_s,
    periods_told,
    same_cycle,
)
from pricing_service.domain.schedule import Ask, Schedule, Wait
from pricing_service.domain.slots import (
    AREA,
    Slot,
    hour_start_s,
    slots_about,
    slots_of,
    tradable,
    window_starts_s,
)

__all__ = [
    "AREA",
    "CYCLE_S",
    "LONGEST_HOLD_S",
    "LONGEST_S",
    "Ask",
    "Belief",
    "Deposed",
    "Health",
    "KnownPrice",
    "Limits",
    "NewPrice",
    "NoPrice",
    "Outcome",
    "Price",
    "Schedule",
    "Sighting",
    "Slot",
    "Spent",
    "Status",
    "Trouble",
    "Wait",
    "cycle_start_s",
    "hour_start_s",
    "periods_told",
    "read_answer",
    "same_cycle",
    "slots_about",
    "slots_of",
    "tradable",
    "window_starts_s",
]
