"""What could not be read or booked, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

BOOKING = "booking"  # the origin of what the owner of the trades refused


class QuarantineState(IntEnum):
    """Numbered as in ``feed.proto``."""

    OPEN = 1
    REPLAYED = 2
    DROPPED = 3


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One frame set aside. ``frame`` is empty in lists; ``decided_us`` is 0 while nobody decided."""

    id: int
    frame_id: int
    received_us: int
    origin: str
    reason: str
    frame: bytes
    state: QuarantineState
    trade_id: str
    decided_by: str
    decided_us: int
