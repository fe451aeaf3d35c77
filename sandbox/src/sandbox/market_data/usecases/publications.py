"""Which cycle is out, by the provider's own clock, which may be wrong."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox.market_data.domain.prices import Schedule

_KEEP = 10_000


@dataclass(frozen=True, slots=True)
class Publication:
    """A cycle came out: at what true simulated instant, with what stamp of the provider's own clock."""

    cycle: int
    cycle_at: datetime
    published_at: datetime
    stamped: datetime


class Publications:
    """What came out so far. What is out stays out, also when the provider's clock is set back."""

    def __init__(self, schedule: Schedule, *, now: datetime) -> None:
        """Begin with the cycle that is out at ``now``."""
        self._schedule = schedule
        self._skew = timedelta(0)
        self._skewed_at = now
        self.cycle = schedule.latest(now)
        self.known: deque[Publication] = deque([self._publication(self.cycle)], maxlen=_KEEP)

    def advance(self, now: datetime) -> None:
        """Let come out what has to by ``now``."""
        while self._schedule.published_at(self.cycle + 1) <= now + self._skew:
            self.cycle += 1
            self.known.append(self._publication(self.cycle))

    def set_skew(self, skew: timedelta, *, now: datetime) -> None:
        """From ``now`` on the provider's clock is ``skew`` ahead."""
        self.advance(now)
        if skew != self._skew:
            self._skew, self._skewed_at = skew, now
        self.advance(now)

    def _publication(self, cycle: int) -> Publication:
        stamped = self._schedule.published_at(cycle)
        true = stamped - self._skew
        if self._skew:
            true = max(true, self._skewed_at)  # a clock set forward lets out at once what it skipped
        return Publication(cycle, self._schedule.at(cycle), true, stamped)
