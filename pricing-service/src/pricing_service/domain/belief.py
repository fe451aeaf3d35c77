"""When a cycle's prices come out, on our clock: learned, since no clock can be trusted to the second.

The provider updates every ten minutes and publishes 0-30 s late (source: its description). On our
clock the publication of a cycle then lies in ``[start, start + 30]``, where ``start`` is the same in
every cycle and not quite known. A publication seen to happen between two requests narrows it in two ways:

- by *stamp*: if ``last_update`` is the instant of publication, then stamp minus sighting is how far the
  provider's clock is ahead, and its cycles begin at full ten minutes of that clock (or, where its stamps say
  otherwise, at some other minute);
- by *span*: whatever the stamps mean, no publication is before the start or 30 s after it. Slower to learn.

If the newest sightings contradict the older ones, a clock was set: the older ones no longer count. If stamps
mislead again and again they mean something else, and only spans count.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from pricing_service.domain.quotes import CYCLE_S

LATEST_S = 30.0
KEEP = 48
ASSUMED_S = 0.25  # before anything was seen, clocks are taken to agree within this
STAMP_S = 1.0  # a stamp without a fraction of a second may have lost it
SLACK_S = 0.03
DRIFT_S_PER_CYCLE = 0.002  # of clocks that are kept right
JUDGED, MOST_SURPRISES = 12, 3  # of stamps, before they are taken to mean something else
UNSEEN_S = 60.0
WIDEST_S = 300.0
_GRID_S = 0.1
_EARLY_STAMP_S = 30.0


class Sighting(NamedTuple):
    """A publication seen: after a request sent at ``after_s``, by an answer had at ``by_s``."""

    after_s: float
    by_s: float
    stamp_s: float


class Span(NamedTuple):
    """From … to, both included; nothing where ``high < low``."""

    low: float
    high: float

    def also(self, other: Span) -> Span:
        """What lies in both."""
        return Span(max(self.low, other.low), min(self.high, other.high))

    @property
    def possible(self) -> bool:
        """Whether anything lies in it."""
        return self.low <= self.high


_ANY = Span(-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of the provider's times.

    ``start``: where a cycle's window begins on our clock, in seconds after a full ten minutes of it;
    ``phase``: where the provider's cycles begin on its own clock.
    """

    start: Span
    phase: Span
    known: bool = False

    @classmethod
    def of(cls, sightings: Sequence[Sighting], stamps_s: Sequence[float] = ()) -> Belief:
        """What sightings (oldest first) and other stamps of known prices tell."""
        recent = list(sightings)[-KEEP:]
        phase = _phase([*stamps_s, *(seen.stamp_s for seen in recent)])
        by_stamp, stamped = _suffix(recent, lambda seen, age: _by_stamp(seen, age, phase))
        by_span, spanned = _suffix(
            recent, lambda seen, age: _by_span(seen, age, _cycle_of(seen.stamp_s, phase))
        )
        start = by_span
        if _surprises(recent[-JUDGED:], phase) <= MOST_SURPRISES:
            start = (
                by_stamp.also(by_span) if stamped == spanned and by_stamp.also(by_span).possible else by_stamp
            )
        if not recent or not math.isfinite(start.high - start.low):
            return cls(Span(phase.low - ASSUMED_S, phase.high + ASSUMED_S), phase)
        if start.high - start.low > WIDEST_S:
            start = Span(start.high - WIDEST_S, start.high)
        return cls(start, phase, known=True)

    def window(self, cycle: int) -> tuple[float, float]:
        """From when to when, on our clock, a cycle may come out."""
        return cycle * CYCLE_S + self.start.low, cycle * CYCLE_S + self.start.high + LATEST_S

    def cycle_at(self, now: float) -> int:
        """The last cycle whose window has begun."""
        return math.floor((now - self.start.low) / CYCLE_S)

    def cycle_of(self, stamp_s: float) -> int:
        """The cycle that a stamp belongs to."""
        return _cycle_of(stamp_s, self.phase)

    def provider_s(self, cycle: int) -> float:
        """When a cycle begins on the provider's clock."""
        return cycle * CYCLE_S + self.phase.low

    def next_probe(self, cycle: int, *, after: float, probes: int) -> float:
        """When to look next if ``probes`` looks are left, the last of them at the end of the window.

        The wait from publication to the next look is shortest on average if looks are as dense as the
        square root of how likely a publication is; evenly spread where each instant is as likely.
        """
        begin, end = self.window(cycle)
        if probes <= 1 or after >= end:
            return end
        grid = _density(round(self.start.high - self.start.low, 3))
        step = (end - begin) / (len(grid) - 1)
        seen = _at(grid, (after - begin) / step)
        wanted = seen + (grid[-1] - seen) / probes
        return min(end, begin + step * _where(grid, wanted))


@lru_cache(maxsize=64)
def _density(width_s: float) -> tuple[float, ...]:
    """The integral of √(likelihood) on a grid over a window: uniform lateness after an uncertain start."""
    whole_s = width_s + LATEST_S
    cells = max(2, math.ceil(whole_s / _GRID_S))
    step = whole_s / cells

    def weight(cell: int) -> float:
        at = (cell + 0.5) * step
        return math.sqrt(max(0.0, min(at, LATEST_S, width_s, whole_s - at))) if width_s > step else 1.0

    return (0.0, *accumulate(weight(cell) for cell in range(cells)))


def _at(grid: Sequence[float], place: float) -> float:
    place = min(max(place, 0.0), len(grid) - 1.0)
    cell = min(int(place), len(grid) - 2)
    return grid[cell] + (grid[cell + 1] - grid[cell]) * (place - cell)


def _where(grid: Sequence[float], wanted: float) -> float:
    cell = min(max(bisect_left(grid, wanted), 1), len(grid) - 1)
    rise = grid[cell] - grid[cell - 1]
    return cell - 1 + ((wanted - grid[cell - 1]) / rise if rise else 1.0)


def _suffix(recent: Sequence[Sighting], told: Callable[[Sighting, int], Span]) -> tuple[Span, int]:
    """What the longest run of newest sightings that do not contradict each other tells, and its length."""
    found = _ANY
    for age, seen in enumerate(reversed(recent)):
        narrowed = found.also(told(seen, age))
        if not narrowed.possible:
            return found, age
        found = narrowed
    return found, len(recent)


def _surprises(recent: Sequence[Sighting], phase: Span) -> float:
    """How often stamps misled: said that a clock was set, or that nothing could be out before it was."""
    widths = sorted(seen.by_s - seen.after_s for seen in recent)
    seen_coming = [width for width in widths if width <= UNSEEN_S]
    usual_s = seen_coming[len(seen_coming) // 2] if seen_coming else 0.0
    missed = len(widths) - len(seen_coming) - 2 * len(widths) * usual_s / LATEST_S  # some are to be expected
    contradictions = -1
    while recent:
        _, agreeing = _suffix(recent, lambda seen, age: _by_stamp(seen, age, phase))
        recent = recent[: len(recent) - agreeing]
        contradictions += 1
    return contradictions + max(0.0, missed)


def _by_stamp(seen: Sighting, age: int, phase: Span) -> Span:
    slack_s = SLACK_S + age * DRIFT_S_PER_CYCLE
    lost_s = 0.0 if seen.stamp_s % 1.0 else STAMP_S
    least_ahead_s, most_ahead_s = seen.stamp_s - seen.by_s, seen.stamp_s + lost_s - seen.after_s
    return Span(phase.low - most_ahead_s - slack_s, phase.high - least_ahead_s + slack_s)


def _by_span(seen: Sighting, age: int, cycle: int) -> Span:
    slack_s = SLACK_S + age * DRIFT_S_PER_CYCLE
    begin_s = cycle * CYCLE_S
    return Span(seen.after_s - begin_s - LATEST_S - slack_s, seen.by_s - begin_s + slack_s)


def _cycle_of(stamp_s: float, phase: Span) -> int:
    return math.floor((stamp_s - phase.low + _EARLY_STAMP_S) / CYCLE_S)


def _phase(stamps_s: Sequence[float]) -> Span:
    """Where on its own clock the provider's cycles begin; at the full ten minutes unless stamps say no."""
    if not stamps_s:
        return Span(0.0, 0.0)
    anchor = stamps_s[-1] % CYCLE_S
    apart = [(stamp - anchor + CYCLE_S / 2) % CYCLE_S - CYCLE_S / 2 for stamp in stamps_s]
    low, high = anchor + max(apart) - LATEST_S - STAMP_S, anchor + min(apart)
    at_full = (
        Span(low, high).also(Span(0, 0)).possible or Span(low, high).also(Span(CYCLE_S, CYCLE_S)).possible
    )
    if at_full or low > high:
        return Span(0.0, 0.0)
    turns = CYCLE_S if low > CYCLE_S - 2 * LATEST_S else 0
    return Span(low - turns, high - turns)
