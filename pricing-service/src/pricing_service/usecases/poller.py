"""The poller: leads or waits, spends before it sends, and writes down what came back.

:meth:`Poller.turn` does what is to be done now and says how long nothing will be; it never waits itself, so
that a simulation can run a day of it in seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from queue import Empty, SimpleQueue
from random import Random

from wattbook import telemetry
from wattbook.clock import EPOCH, Clock
from wattbook.errors import Unavailable
from wattbook.retry import Backoff, Retrying

from pricing_service.domain import (
    LONGEST_HOLD_S,
    Ask,
    Deposed,
    Limits,
    Outcome,
    Schedule,
    Slot,
    Spent,
    slots_about,
)
from pricing_service.store import PriceStore, Wishes
from pricing_service.usecases.findings import Answer, Findings
from pricing_service.usecases.pace import Pace, Provider

_log = logging.getLogger(__name__)

STAMPS_SINCE_S = 2 * 86_400.0
CLOCK_JUMP_S = 0.1
SHORTEST_S = 0.001


class Poller:
    """One replica's poller; one thread turns it."""

    def __init__(
        self,
        *,
        store: PriceStore,
        wishes: Wishes,
        provider: Provider,
        clock: Clock,
        limits: Limits,
        holder: str,
        committed: Callable[[], None],
        pace: Pace | None = None,
        rng: Random | None = None,
    ) -> None:
        """Poll as ``holder`` while no other does; ``committed`` is called after prices were written."""
        self._store = store
        self._wishes = wishes
        self._provider = provider
        self._clock = clock
        self._limits = limits
        self._holder = holder
        self._committed = committed
        self._pace = pace or Pace()
        self._rng = rng or Random()  # noqa: S311  # spreads load, hides nothing
        self._retrying = Retrying(Backoff(first_s=self._pace.retry_s, most_s=10 * self._pace.retry_s))
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self._schedule: Schedule | None = None
        self._findings = Findings()
        self._renew_at_s = self._refresh_at_s = 0.0
        self._clocks: tuple[float, float] | None = None
        self.in_flight = 0
        self.answered: Callable[[], None] = lambda: None

    @property
    def leads(self) -> bool:
        """Whether this replica polls."""
        return self._schedule is not None

    def turn(self) -> float:
        """Do what is to be done now; seconds of the clock until there is more, unless answers come sooner."""
        try:
            wait_s = self._turn()
        except Unavailable as error:
            delay_s = self._retrying.failed()
            _log.warning("polling waits for the store", extra={"reason": str(error), "again_in_s": delay_s})
            self._renew_at_s = 0.0
            return delay_s
        except Deposed:
            _log.warning("another replica polls now")
            self._schedule = None
            return self._pace.renew_s
        self._retrying.worked()
        return wait_s

    def take_answers(self) -> None:
        """Learn what came back, and send nothing."""
        while True:
            try:
                answer = self._answers.get_nowait()
            except Empty:
                return
            self.in_flight -= 1
            self._findings.take(answer, self._schedule)

    def resign(self) -> None:
        """Write down what came back, and let another poll at once."""
        self.take_answers()
        self._write_down()
        if self._schedule is not None:
            self._schedule = None
            self._store.resign(self._holder)

    def _turn(self) -> float:
        self._watch_clock()
        self.take_answers()
        if not self._lead():
            self._write_down()
            return self._pace.renew_s
        self._refresh()
        until_s = self._act()
        self._write_down()
        return min(until_s, self._renew_at_s, self._refresh_at_s) - self._now()

    def _lead(self) -> bool:
        now = self._now()
        if self._schedule is not None and now < self._renew_at_s:
            return True
        if not self._store.lead(self._holder, now_s=now, until_s=now + self._pace.lease_s):
            if self._schedule is not None:
                raise Deposed
            return False
        self._renew_at_s = now + self._pace.renew_s
        if self._schedule is None:
            self._begin(now)
        return True

    def _begin(self, now: float) -> None:
        """Take over: everything that counts is in the store."""
        known = self._store.known(now_s=now, since_s=now - STAMPS_SINCE_S)
        slots = slots_about(now)
        stamps: dict[Slot, int] = {}
        for start, stamp_us in known.stamps_us.items():
            if slot := slots.get(start):
                stamps[slot] = max(stamp_us, stamps.get(slot, 0))
        self._schedule = Schedule(
            spent=Spent(self._limits, known.spent),
            stamps=stamps,
            sightings=known.sightings,
            rng=self._rng,
            # No farther ahead than it may be: a clock that was set meanwhile does not stop the prices.
            held_until_s=min(known.health.held_until_us / 1e6, now + LONGEST_HOLD_S),
        )
        self._findings.go_on(known)
        self._refresh_at_s = 0.0
        _log.info("this replica polls", extra={"known_prices": len(stamps), "spent": len(known.spent)})

    def _refresh(self) -> None:
        """Learn what is wanted now."""
        now = self._now()
        if self._schedule is None or now < self._refresh_at_s:
            return
        self._refresh_at_s = now + self._pace.refresh_s
        slots = slots_about(now)
        starts = self._wishes.wanted(now_s=now)
        self._schedule.want(tuple(dict.fromkeys(slots[start] for start in starts if start in slots)))

    def _act(self) -> float:
        """Send what the schedule says; until when there is nothing more."""
        assert self._schedule is not None
        while True:
            now = self._now()
            step = self._schedule.next(now)
            if isinstance(step, Ask):
                if not self._send(step, now):
                    return now + self._pace.retry_s
            else:
                return max(step.until_s, now + SHORTEST_S)

    def _send(self, ask: Ask, now: float) -> bool:
        """Spend, then send; False where the store says that less is left than thought."""
        assert self._schedule is not None
        counts_s = now + self._pace.counts_within_s
        numbers = self._store.spend(
            self._holder,
            limits=self._limits,
            now_s=now,
            count=len(ask.slots),
            keep=ask.keep,
            counts_s=counts_s,
            until_s=now + self._pace.lease_s,
        )
        self._renew_at_s = now + self._pace.renew_s
        slots = ask.slots[: len(numbers)]
        for number, slot in zip(numbers, slots, strict=True):
            self._schedule.spent.add(number, counts_s)
            self.in_flight += 1
            self._provider.ask(slot, self._receiver(number, slot, now))
        self._schedule.sent(slots, now)
        if len(slots) < len(ask.slots):
            self._schedule.spent = Spent(self._limits, self._store.known(now_s=now, since_s=now).spent)
            return False
        return True

    def _receiver(self, number: int, slot: Slot, sent_s: float) -> Callable[[Outcome], None]:
        def receive(outcome: Outcome) -> None:
            cause = telemetry.recorded_traceparent()
            self._answers.put(Answer(number, slot, sent_s, outcome, self._now(), cause))
            self.answered()

        return receive

    def _write_down(self) -> None:
        """One transaction for everything that came back; kept for the next turn where it fails."""
        note = self._findings.note(self._schedule)
        if note is None:
            return
        with telemetry.joined("note prices", self._findings.causes):
            added = self._store.note(note)
        self._findings.written(note)
        if added:
            self._committed()
            _log.debug("prices", extra={"new": len(added), "price_seq": added[-1].price_seq})

    def _watch_clock(self) -> None:
        """If the machine's clock was set, what was spent must not look older, nor younger, than it is."""
        wall_s, steady_s = self._now(), self._clock.monotonic_s()
        before, self._clocks = self._clocks, (wall_s, steady_s)
        if before is None:
            return
        jump_s = (wall_s - before[0]) - (steady_s - before[1])
        if abs(jump_s) > CLOCK_JUMP_S and self._schedule is not None:
            _log.warning("the clock was set", extra={"by_s": round(jump_s, 3)})
            self._clocks = before  # until the store knows it too
            self._store.shift(self._holder, jump_s)
            self._clocks = (wall_s, steady_s)
            self._schedule.shift(jump_s)
            self._renew_at_s = self._refresh_at_s = 0.0

    def _now(self) -> float:
        return (self._clock.now() - EPOCH).total_seconds()
