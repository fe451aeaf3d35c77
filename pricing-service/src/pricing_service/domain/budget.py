"""The provider's limits, counted so that its own count can never be higher.

The provider counts a request when it gets to it, which is some time after we sent it. A request is therefore
counted at the latest instant at which that can have been: when its answer came, or, as long as none has, when
its deadline ends. Since a window is longer for us than for the provider by a margin, whatever it finds within
60 seconds lies within our window too.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass

MINUTE_S = 60.0
HOUR_S = 3600.0
MINUTE_MARGIN_S = 2.0
HOUR_MARGIN_S = 5.0
LONGEST_S = HOUR_S + HOUR_MARGIN_S
_HAIR_S = 1e-6


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests in any minute and any hour, and of each how many the poller leaves for what people look at."""

    per_minute: int = 50
    per_hour: int = 1000
    minute_reserve: int = 3
    hour_reserve: int = 50

    @classmethod
    def of(cls, *, per_minute: int, per_hour: int) -> Limits:
        """Limits with reserves in proportion."""
        return cls(per_minute, per_hour, min(3, per_minute // 10), min(50, per_hour // 20))

    @property
    def per_cycle(self) -> int:
        """An even share of the hour for one cycle: parts of seven may lie within one."""
        return max((self.per_hour - self.hour_reserve) // 7, 1)


class Deposed(Exception):
    """Another replica polls now: nothing may be sent."""


class Spent:
    """The requests that still count, by id, each with the instant at which it counts."""

    def __init__(self, limits: Limits, counted: Mapping[int, float] | None = None) -> None:
        """Begin with what was spent before."""
        self.limits = limits
        self._by_id: dict[int, float] = {}
        self._instants: list[float] = []
        for request_id, instant in (counted or {}).items():
            self.add(request_id, instant)

    def add(self, request_id: int, instant: float) -> None:
        """One more request, which counts at ``instant``."""
        self._by_id[request_id] = instant
        insort(self._instants, instant)

    def settle(self, request_id: int, answered_s: float) -> None:
        """Its answer came, so it counted no later than that."""
        instant = self._by_id.get(request_id)
        if instant is not None and answered_s < instant:
            self._remove(instant)
            self.add(request_id, answered_s)

    def shift(self, seconds: float) -> None:
        """The clock was set: everything was as long ago as before."""
        self._by_id = {request_id: instant + seconds for request_id, instant in self._by_id.items()}
        self._instants = [instant + seconds for instant in self._instants]

    def forget(self, now: float) -> None:
        """Drop what no longer counts."""
        old = bisect_right(self._instants, now - LONGEST_S)
        if old:
            self._instants = self._instants[old:]
            self._by_id = {key: instant for key, instant in self._by_id.items() if instant > now - LONGEST_S}

    def minute_left(self, now: float, *, keep: bool = False) -> int:
        """How many may be sent as far as the minute goes; ``keep``: without the reserve."""
        used = self._since(now - MINUTE_S - MINUTE_MARGIN_S)
        return max(0, self.limits.per_minute - (self.limits.minute_reserve if keep else 0) - used)

    def hour_left(self, now: float, *, keep: bool = False) -> int:
        """The same for the hour."""
        used = self._since(now - LONGEST_S)
        return max(0, self.limits.per_hour - (self.limits.hour_reserve if keep else 0) - used)

    def left(self, now: float, *, keep: bool = False) -> int:
        """How many may be sent at this instant."""
        return min(self.minute_left(now, keep=keep), self.hour_left(now, keep=keep))

    def free_at(self, now: float, count: int, *, keep_minute: bool = False, keep_hour: bool = False) -> float:
        """The first instant at which ``count`` may be sent if none is before; infinite if never."""
        limits = self.limits
        minute = limits.per_minute - count - (limits.minute_reserve if keep_minute else 0)
        hour = limits.per_hour - count - (limits.hour_reserve if keep_hour else 0)
        return max(
            now,
            self._until_at_most(minute, MINUTE_S + MINUTE_MARGIN_S),
            self._until_at_most(hour, LONGEST_S),
        )

    def _since(self, instant: float) -> int:
        return len(self._instants) - bisect_right(self._instants, instant)

    def _until_at_most(self, count: int, span_s: float) -> float:
        """When no more than ``count`` lie within the span."""
        if count < 0:
            return math.inf
        leaving = len(self._instants) - count - 1
        return self._instants[leaving] + span_s + _HAIR_S if leaving >= 0 else -math.inf

    def _remove(self, instant: float) -> None:
        del self._instants[bisect_right(self._instants, instant) - 1]
