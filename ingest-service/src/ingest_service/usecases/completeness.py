"""What this node knows of a day: its nightly file against the feed, and what was heard without a gap."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from wattbook.clock import to_epoch_us
from wattbook.errors import InvalidInput
from wattbook.periods import DEFAULT_AREA, NoSuchPeriod, day_bounds

from ingest_service.domain import ListenerState, NodeDay
from ingest_service.store import FeedDays


class AskedDay(NamedTuple):
    """A trading day, and when it begins and ends (microseconds since 1970)."""

    day: str
    begins_us: int
    ends_us: int


def asked_day(area: str, day: str) -> AskedDay:
    """The day that somebody asks for by its date, ``""`` being the feed's own area.

    Raises:
        InvalidInput: no such day, or the feed is not of that area.
    """
    if area not in {"", DEFAULT_AREA}:
        raise InvalidInput(f"area: the exchange's feed is of {DEFAULT_AREA}")
    try:
        found = date.fromisoformat(day)
        begins, ends = day_bounds(DEFAULT_AREA, found)
    except (ValueError, NoSuchPeriod):
        raise InvalidInput("day: expected a date, YYYY-MM-DD") from None
    return AskedDay(found.isoformat(), to_epoch_us(begins), to_epoch_us(ends))


class Completeness:
    """Every method raises Unavailable where the store cannot be read now."""

    def __init__(self, days: FeedDays, listeners: Sequence[ListenerState]) -> None:
        """Answer from ``days``; ``listeners`` are the live states."""
        self._days = days
        self._listeners = listeners

    def of_day(self, asked: AskedDay) -> NodeDay:
        """Its last comparison, and what was heard of it."""
        coverage = self._days.coverage(from_us=asked.begins_us, before_us=asked.ends_us)
        listening = any(each.connected for each in self._listeners)
        return NodeDay(self._days.reconciliation(asked.day), coverage._replace(listening=listening))
