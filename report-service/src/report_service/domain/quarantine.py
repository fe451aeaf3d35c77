"""What could not be read or booked, as the desk decides over it. Times are as the gateway writes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

STATES = ("open", "replayed", "dropped")
OPEN, REPLAYED, DROPPED = STATES


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One frame set aside; ``frame`` is None in lists."""

    number: int
    state: str
    reason: str
    origin: str
    received: datetime | None = None
    trade_id: str = ""
    decided_by: str = ""
    decided: datetime | None = None
    frame: bytes | None = None


@dataclass(frozen=True, slots=True)
class QuarantinePage:
    """Newest first; ``next_before`` is where the next page begins, ``""`` where nothing more is there.

    ``nodes_away`` do not answer: what they set aside is not in it.
    """

    items: tuple[Quarantined, ...]
    open_count: int
    next_before: str = ""
    nodes_away: tuple[int, ...] = ()
