"""Which hours to ask for, and when: find a cycle's publication with few looks, then fetch what people need.

With *m* hours needed and 50 requests a minute, ``51 - m`` looks spread over the 30 s in which a
publication may come leave just enough to fetch the other ``m - 1`` at once. No schedule has all of
them sooner on average.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from pricing_service.domain.answers import NoPrice, Outcome, Price, Trouble
from pricing_service.domain.belief import KEEP, LATEST_S, Belief, Sighting
from pricing_service.domain.board import Board
from pricing_service.domain.budget import MINUTE_MARGIN_S, MINUTE_S, Spent
from pricing_service.domain.patience import Patience
from pricing_service.domain.quotes import CYCLE_S, same_cycle
from pricing_service.domain.slots import Slot

# What can wait is not sent in the minute before a publication is due: all of the budget is for that.
QUIET_S = MINUTE_S + MINUTE_MARGIN_S + 1.0
LEAST_LOOKS = 2
LATE_LOOKS_FIRST_S = 1.0
LATE_LOOKS_MOST_S = 20.0
LATE_LOOKS_GROW = 0.1
AGAIN_S = 1.0
WORTH_A_THOUGHT, MOST_FAIL = 0.01, 0.4  # shares of requests that fail
_NOW_S = 1e-3
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Ask:
    """Send these now. ``keep`` the minute's reserve: they can wait where only that is left."""

    slots: tuple[Slot, ...]
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to send before ``until_s`` unless something is answered or wanted meanwhile."""

    until_s: float


class Schedule:
    """The poller's mind: told what was sent and answered, it says what to do next. One at a time uses it."""

    def __init__(
        self,
        *,
        spent: Spent,
        stamps: Mapping[Slot, int],
        sightings: Sequence[Sighting],
        rng: Random,
        held_until_s: float = 0.0,
    ) -> None:
        """Go on from what is known: the newest ``last_update`` (µs) of each hour, and past publications.

        Ask for nothing before ``held_until_s``.
        """
        self.spent = spent
        self.board = Board(stamps, rng)
        self.patience = Patience(rng, held_until_s=held_until_s)
        self.sightings = list(sightings)
        self._old_s = -math.inf  # when the last request was sent that the last publication was not in
        self._cycle: int | None = None
        self._cycle_spent = 0
        self._learn()

    @property
    def belief(self) -> Belief:
        """When publications are expected."""
        return self._belief

    def want(self, slots: Sequence[Slot]) -> None:
        """Hours that somebody looks at or trades, the most wanted first."""
        self.board.want(slots)

    def next(self, now: float) -> Ask | Wait:
        """What to do now."""
        self._enter_cycle(now)
        next_begin = self._belief.window(self._current + 1)[0]
        if now < self.patience.open_at_s:
            return Wait(min(self.patience.open_at_s, next_begin))
        if self.patience.failures and self.board.in_flight:
            return Wait(next_begin)  # their answers wake us
        step = self._fetch(now, next_begin) if self._found else self._look(now)
        return Wait(min(step.until_s, next_begin)) if isinstance(step, Wait) else step

    def sent(self, slots: Sequence[Slot], now: float) -> None:
        """These were sent."""
        self._cycle_spent += len(slots)
        self.board.sent(slots)
        if not self._found:
            self._looks += 1
            self._looked_s = now

    def answered(self, slot: Slot, outcome: Outcome, *, sent_s: float, now: float) -> None:
        """What came of it, and when."""
        self.board.back(slot)
        if isinstance(outcome, Trouble):
            self._failed(slot, outcome, sent_s=sent_s, now=now)
            return
        self.patience.worked()
        self.patience.count(failed=isinstance(outcome, NoPrice) and slot in self.board.stamps)
        if isinstance(outcome, Price):
            self._priced(slot, outcome.last_update_us, sent_s=sent_s, now=now)
        else:
            self.board.empty(slot, now)

    def shift(self, seconds: float) -> None:
        """Our clock was set: waits go on as before, what was learned of the provider's clock is moved."""
        self.spent.shift(seconds)
        self.patience.shift(seconds)
        self._old_s += seconds
        self.sightings = [
            Sighting(seen.after_s + seconds, seen.by_s + seconds, seen.stamp_s) for seen in self.sightings
        ]
        self._learn()
        self._cycle = None

    def _enter_cycle(self, now: float) -> None:
        cycle = self._belief.cycle_at(now)
        if cycle == self._cycle:
            return
        self._cycle = self._current = cycle
        self._entered_s = now
        self._base_us = self.board.newest_us
        self._surveying = self._base_us is None  # nothing is known: ask for everything once
        self._found = self._surveying or self._is_out()
        self._looks, self._looked_s = 0, -math.inf
        self._cycle_spent = 0
        self.spent.forget(now)
        share, hour_left = self.spent.limits.per_cycle, self.spent.hour_left(now, keep=True)
        self._allowance = min(hour_left, max(share, hour_left - 5 * share))
        self.board.begin_cycle(self._belief.provider_s(cycle))
        self._promised = set(self.board.needed())

    def _is_out(self) -> bool:
        """Whether a price of this cycle is known already."""
        newest_us = self.board.newest_us
        return newest_us is not None and self._belief.cycle_of(newest_us / _US) >= self._current

    def _left(self, now: float, *, keep: bool) -> int:
        """How many requests this cycle may send now; the hour's reserve is not for it.

        What can wait gets no more than an even share of the hour, so that later cycles have theirs.
        """
        left = min(self.spent.minute_left(now, keep=keep), self.spent.hour_left(now, keep=True))
        share = min(self._allowance, self.spent.limits.per_cycle) if keep else self._allowance
        return min(left, share - self._cycle_spent)

    def _look(self, now: float) -> Ask | Wait:
        """Look whether the cycle is out, with what fetching all that is needed leaves of the budget."""
        if self.patience.failures:
            return self._trial(now)
        burst = self._burst()
        looks = self._left(now, keep=False) - burst
        if looks < 1:
            return Wait(max(self.spent.free_at(now, burst + 1, keep_hour=True), now + AGAIN_S))
        due = self._look_due(now, looks)
        return Wait(due) if now < due - _NOW_S else Ask((self._telltale(),))

    def _burst(self) -> int:
        """What fetching will take once it is out; more where some of it is likely to fail."""
        needed = len(self.board.needed())
        again = 0
        if self.patience.share_failed > WORTH_A_THOUGHT:
            share = min(self.patience.share_failed, MOST_FAIL)
            again = math.ceil(needed * share * 2) + self.spent.limits.minute_reserve
        most = min(self.spent.limits.per_minute, self._allowance) - LEAST_LOOKS
        return max(0, min(needed - 1 + again, most))

    def _look_due(self, now: float, looks: int) -> float:
        """When to look next, with as many looks left."""
        begin, end = self._belief.window(self._current)
        if self._looks == 0 and self._entered_s > begin + AGAIN_S:
            return now  # begun in the middle: it may be out
        after = max(begin, self._looked_s)
        if after < end - _NOW_S:
            return self._belief.next_probe(self._current, after=after, probes=looks)
        spacing_s = max(LATE_LOOKS_FIRST_S, LATEST_S / looks)
        late_s = max(0.0, self._looked_s - end)  # later than ever: look less and less often
        return self._looked_s + min(LATE_LOOKS_MOST_S, spacing_s + LATE_LOOKS_GROW * late_s)

    def _trial(self, now: float) -> Ask | Wait:
        """It failed last time: one request, never from a reserve."""
        if self._left(now, keep=True) < 1:
            free_s = self.spent.free_at(now, 1, keep_minute=True, keep_hour=True)
            return Wait(max(free_s, now + AGAIN_S))
        return Ask((self._telltale(),), keep=True)

    def _telltale(self) -> Slot:
        next_cycle_s = self._belief.provider_s(self._current + 1)
        return self.board.telltale(base_us=self._base_us, next_cycle_s=next_cycle_s)

    def _fetch(self, now: float, next_begin: float) -> Ask | Wait:
        """Fetch what is not there yet: what is needed first, then the rest and what failed."""
        due, later_s = self.board.due(now)
        if not due:
            if self._surveying and math.isinf(later_s) and not self.board.in_flight:
                return self._surveyed(now)
            return Wait(later_s)
        wanted = set(self.board.wanted)
        first = [slot for slot in due if slot in wanted and self.board.is_untried(slot)]
        if first and not self.patience.failures:
            # The reserves, of the minute and of the hour, are for what somebody begins to look at.
            new = [slot for slot in first if slot not in self._promised]
            count = self._left(now, keep=False)
            if found := first[:count] if count > 0 else new[: self.spent.left(now)]:
                return Ask(tuple(found))
        if now >= next_begin - QUIET_S and not self._surveying:
            return Wait(max(self.spent.free_at(now, 1), now + AGAIN_S) if first else math.inf)
        count = self._left(now, keep=True)
        if self.patience.failures:
            count = min(count, 1)
        else:  # first it must be known what becomes of what is wanted, and whether it takes more requests
            missing = sum(self.board.is_missing(slot) for slot in wanted)
            due = due if not missing else [slot for slot in due if slot in wanted]
        if not due:
            return Wait(later_s)
        if count < 1:
            free_s = self.spent.free_at(now, 1, keep_minute=not first, keep_hour=True)
            return Wait(min(later_s, max(free_s, now + AGAIN_S)))
        return Ask(tuple(due[:count]), keep=True)

    def _surveyed(self, now: float) -> Ask | Wait:
        """Everything was asked for once: now it is known whether this cycle is out."""
        self._surveying = False
        if self.board.newest_us is not None:
            self._base_us = self.board.newest_us
            self._learn()
            self._found = self._is_out()
        return Wait(math.inf) if self._found else self._look(now)

    def _priced(self, slot: Slot, stamp_us: int, *, sent_s: float, now: float) -> None:
        base_us = self._base_us
        self.board.told(slot, stamp_us)
        if base_us is not None:
            is_newer = not same_cycle(base_us, stamp_us)
            if is_newer and (not self._found or self._is_early(stamp_us)):
                self._sighted(stamp_us, now)
            elif not is_newer and same_cycle(stamp_us, base_us):
                self._old_s = max(self._old_s, sent_s)
        if self._found and not self.board.is_fresh(slot):
            self.board.not_yet(slot, now)
        else:
            self.board.done(slot)

    def _is_early(self, stamp_us: int) -> bool:
        """Whether a cycle came out while nobody was looking for it."""
        return self._belief.cycle_of(stamp_us / _US) > self._current

    def _sighted(self, stamp_us: int, now: float) -> None:
        """The cycle is out: what is needed can be fetched."""
        earliest_s = now - CYCLE_S - LATEST_S - AGAIN_S  # else the next one would be out
        seen = Sighting(max(self._old_s, earliest_s), now, stamp_us / _US)
        self.sightings = [*self.sightings[1 - KEEP :], seen]
        self._learn()
        self._found = True
        self._base_us = stamp_us
        self._promised = set(self.board.needed())
        self.board.try_again()

    def _learn(self) -> None:
        stamps = sorted(self.board.stamps.values())[-KEEP:]
        self._belief = Belief.of(self.sightings, [stamp / _US for stamp in stamps])

    def _failed(self, slot: Slot, trouble: Trouble, *, sent_s: float, now: float) -> None:
        if trouble.unsent:
            return
        if trouble.only_here:
            self.board.give_up(slot)
            return
        self.board.not_yet(slot, now)
        self.patience.count(failed=True)
        self.patience.failed(trouble, sent_s=sent_s, now=now)
