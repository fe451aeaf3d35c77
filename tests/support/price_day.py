"""Days of polling reference prices in seconds: the service's own poller, a model provider, and no wall time.

Events on a queue instead of threads; the provider counts requests in its own way and by its own clock.
"""

from __future__ import annotations

import heapq
import itertools
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from types import SimpleNamespace
from typing import Any

from pricing_service.domain import (
    LONGEST_S,
    Deposed,
    Health,
    Limits,
    NoPrice,
    Outcome,
    Price,
    Sighting,
    Slot,
    Spent,
    Trouble,
    tradable,
)
from pricing_service.store import Known, Note
from pricing_service.usecases import Pace, Poller
from wattbook.clock import EPOCH, from_epoch_us
from wattbook.errors import Unavailable

CYCLE_S = 600
PACE = Pace(lease_s=30.0, renew_s=10.0, refresh_s=5.0)  # fewer turns: a day takes seconds
START = datetime(2023, 2, 6, 9, 31, tzinfo=UTC)  # 10:31 in Berlin


class SimClock:
    """The time of the simulation, and of one machine's clock in it."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self.ahead_s = 0.0

    def now(self) -> datetime:
        return from_epoch_us(round((self.at_s + self.ahead_s) * 1e6))

    def monotonic_s(self) -> float:
        return self.at_s


class MemoryPrices:
    """:class:`pricing_service.store.PriceStore` and ``Wishes`` as far as a poller needs them, in memory."""

    def __init__(self) -> None:
        self.holder, self.until_s, self.last_request = "", 0.0, 0
        self.spent: dict[int, float] = {}
        self.stamps_us: dict[int, int] = {}
        self.sightings: dict[float, Sighting] = {}
        self.health = Health()
        self.starts: list[int] = []
        self.down = False
        self.on_price: Callable[[int, int], None] = lambda start_s, stamp_us: None

    def lead(self, holder: str, *, now_s: float, until_s: float) -> bool:
        self._check()
        if self.holder not in {holder, ""} and self.until_s > now_s:
            return False
        self.holder, self.until_s = holder, until_s
        return True

    def resign(self, holder: str) -> None:
        if self.holder == holder:
            self.until_s = 0.0

    def known(self, *, now_s: float, since_s: float) -> Known:
        self._check()
        spent = {number: at for number, at in self.spent.items() if at > now_s - LONGEST_S}
        stamps = {start: stamp for start, stamp in self.stamps_us.items() if start > since_s}
        return Known(spent, stamps, [self.sightings[key] for key in sorted(self.sightings)], self.health)

    def spend(
        self,
        holder: str,
        *,
        limits: Limits,
        now_s: float,
        count: int,
        keep: bool,
        counts_s: float,
        until_s: float,
    ) -> list[int]:
        self._check()
        if self.holder != holder or self.until_s <= now_s:
            raise Deposed
        self.spent = {number: at for number, at in self.spent.items() if at > now_s - LONGEST_S}
        left = Spent(limits, self.spent).left(now_s, keep=keep)
        numbers = [self.last_request + 1 + index for index in range(min(count, left))]
        if numbers:
            self.spent.update(dict.fromkeys(numbers, counts_s))
            self.until_s, self.last_request = until_s, numbers[-1]
        return numbers

    def note(self, note: Note) -> list[Any]:
        self._check()
        for number, answered_s in note.settled.items():
            if self.spent.get(number, 0.0) > answered_s:
                self.spent[number] = answered_s
        for seen in note.sightings:
            self.sightings[seen.stamp_s] = seen
        if note.health is not None:
            self.health = note.health
        for price in note.prices:
            if price.last_update_us > self.stamps_us.get(price.delivery_start_s, -1):
                self.stamps_us[price.delivery_start_s] = price.last_update_us
                self.on_price(price.delivery_start_s, price.last_update_us)
        return []

    def shift(self, holder: str, seconds: float) -> None:
        self._check()
        if self.holder != holder:
            raise Deposed
        self.spent = {number: at + seconds for number, at in self.spent.items()}
        self.until_s += seconds
        self.health = self.health._replace(held_until_us=self.health.held_until_us + round(seconds * 1e6))
        self.sightings = {
            key: Sighting(seen.after_s + seconds, seen.by_s + seconds, seen.stamp_s)
            for key, seen in self.sightings.items()
        }

    def wanted(self, *, now_s: float) -> list[int]:
        return self.starts

    def _check(self) -> None:
        if self.down:
            raise Unavailable("the store is down")


@dataclass
class ModelProvider:
    """Publishes each cycle 0-30 s late, counts, and refuses what is over its limits."""

    rng: Random
    per_minute: int = 50
    per_hour: int = 1000
    offset_s: float = 0.0  # cycles after the full ten minutes
    latest_s: float = 30.0
    ahead_s: float = 0.0  # its clock
    whole_seconds: bool = True
    stamps_publication: bool = True  # else the stamp is the beginning of the cycle
    never_traded: int = 0  # this many of the last tradable hours have no price
    fault: Callable[[float, Slot], Outcome | None] = lambda at_s, slot: None
    asked_s: list[float] = field(default_factory=list)
    violations: int = 0
    _minute: deque[float] = field(default_factory=deque)
    _hour: deque[float] = field(default_factory=deque)
    _late: dict[int, float] = field(default_factory=dict)

    def published_s(self, cycle: int) -> float:
        """When a cycle comes out, in true time."""
        if cycle not in self._late:
            self._late[cycle] = self.rng.uniform(0.0, self.latest_s)
        return cycle * CYCLE_S + self.offset_s + self._late[cycle] - self.ahead_s

    def stamp_us(self, cycle: int) -> int:
        late_s = self._late[cycle] if self.stamps_publication else 0.0
        stamp_s = cycle * CYCLE_S + self.offset_s + late_s
        return int(stamp_s) * 1_000_000 if self.whole_seconds else int(stamp_s * 1e6)

    def latest(self, at_s: float) -> int:
        cycle = int((at_s + self.ahead_s - self.offset_s) // CYCLE_S) + 1
        while self.published_s(cycle) > at_s:
            cycle -= 1
        return cycle

    def answer(self, slot: Slot, at_s: float) -> Outcome:
        self.asked_s.append(at_s)
        over = False
        for window, span_s, limit in (
            (self._minute, 60.0, self.per_minute),
            (self._hour, 3600.0, self.per_hour),
        ):
            while window and window[0] <= at_s - span_s:
                window.popleft()
            over |= len(window) >= limit
        if over:
            self.violations += 1
            return Trouble("too many requests", slow_down=True)
        self._minute.append(at_s)
        self._hour.append(at_s)
        if (failed := self.fault(at_s, slot)) is not None:
            return failed
        cycle = self.latest(at_s)
        last = int((slot.closes_s - 1 - self.offset_s) // CYCLE_S)
        hours = tradable(at_s + self.ahead_s)
        if self.never_traded and slot in hours[-self.never_traded :]:
            return NoPrice()
        cycle = min(cycle, last)
        self.published_s(cycle)
        return Price("87.65", self.stamp_us(cycle))


@dataclass(frozen=True)
class Cycle:
    """One cycle's outcome: how many hours were wanted, and the wait from publication to having them."""

    at_s: float
    needed: int
    wait_s: float | None
    rest_wait_s: float | None


class World:
    """Replicas of the poller over one store, and a provider."""

    def __init__(
        self,
        *,
        seed: int = 1,
        wanted: int | None = 24,
        replicas: int = 1,
        round_trip_s: tuple[float, float] = (0.01, 0.04),
        commit_s: float = 0.004,
        start: datetime = START,
        limits: Limits | None = None,
        provider: ModelProvider | None = None,
    ) -> None:
        self.rng = Random(seed)
        self.limits = limits or Limits()
        self.provider = provider or ModelProvider(
            Random(seed + 1), per_minute=self.limits.per_minute, per_hour=self.limits.per_hour
        )
        self.store = MemoryPrices()
        self.store.on_price = self._had
        self.now_s = (start - EPOCH).total_seconds()
        self._wanted = wanted
        self._round_trip_s, self._commit_s = round_trip_s, commit_s
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._had_s: dict[tuple[int, int], float] = {}
        self._cycles: dict[int, tuple[tuple[Slot, ...], tuple[Slot, ...], float]] = {}
        self.replicas: list[Replica] = [Replica(self, f"r{index}") for index in range(replicas)]
        self.began_s = self.now_s

    def at(self, at_s: float, do: Callable[[], None]) -> None:
        """Let something happen."""
        heapq.heappush(self._events, (at_s, next(self._order), do))

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Let something happen so many seconds after the beginning."""
        self.at(self.began_s + seconds, do)

    def run(self, *, hours: float) -> list[Cycle]:
        """Let time pass; the cycles that came out meanwhile."""
        until_s = self.now_s + hours * 3600
        self._want()
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, do = heapq.heappop(self._events)
            do()
        self.now_s = until_s
        return self.cycles()

    def cycles(self) -> list[Cycle]:
        """What became of each cycle whose ten minutes are over."""
        found = []
        for number in sorted(self._cycles):
            needed, every, out_s = self._cycles[number]
            if out_s <= self.began_s or out_s + CYCLE_S - 31 > self.now_s:
                continue
            stamp_us = self.provider.stamp_us(number)
            found.append(
                Cycle(
                    out_s,
                    len(needed),
                    self._wait(needed, stamp_us, out_s),
                    self._wait(every, stamp_us, out_s),
                )
            )
        return found

    def send(self, slot: Slot, done: Callable[[Outcome], None]) -> None:
        """A request of a replica's."""
        there_s = self._commit_s + self.rng.uniform(*self._round_trip_s) / 2
        back_s = self.rng.uniform(*self._round_trip_s) / 2

        def arrive() -> None:
            outcome = self.provider.answer(slot, self.now_s)
            self.at(self.now_s + back_s, lambda: done(outcome))

        self.at(self.now_s + there_s, arrive)

    def _want(self) -> None:
        """As each cycle begins, the first so many tradable hours are wanted."""
        number = int((self.now_s + self.provider.ahead_s - self.provider.offset_s) // CYCLE_S) + 1
        at_s = number * CYCLE_S + self.provider.offset_s
        every = tradable(at_s)
        needed = every[: self._wanted] if self._wanted is not None else every
        priced = every[: len(every) - self.provider.never_traded]
        self._cycles[number] = (
            tuple(slot for slot in needed if slot in priced),
            priced,
            self.provider.published_s(number),
        )
        starts = [start for slot in needed for start in slot.starts_s]
        self.store.starts = starts if self._wanted is not None else []
        next_s = at_s - self.provider.ahead_s - 5.0
        self.at(next_s if next_s > self.now_s else self.now_s + CYCLE_S, self._want)

    def _had(self, start_s: int, stamp_us: int) -> None:
        self._had_s.setdefault((start_s, stamp_us), self.now_s)

    def _wait(self, slots: Sequence[Slot], stamp_us: int, out_s: float) -> float | None:
        had = [self._had_s.get((slot.starts_s[-1], stamp_us)) for slot in slots]
        return None if any(at is None for at in had) else max(at for at in had if at is not None) - out_s


class Replica:
    """A poller that can be killed and started again."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.clock = SimClock()
        self.generation = 0
        self.poller: Poller | None = None
        self.start()

    def start(self) -> None:
        """Start, as a new process would."""
        self.generation += 1
        generation = self.generation
        store: Any = self.world.store
        world = self.world

        def ask(slot: Slot, done: Callable[[Outcome], None]) -> None:
            world.send(slot, lambda outcome: self._hear(generation, done, outcome))

        self.poller = Poller(
            store=store,
            wishes=store,
            provider=SimpleNamespace(ask=ask),
            clock=self.clock,
            limits=world.limits,
            holder=f"{self.name}.{generation}",
            committed=lambda: None,
            pace=PACE,
            rng=Random(f"{self.name}.{generation}"),
        )
        self._next: object = None
        self._schedule(world.now_s)

    def kill(self) -> None:
        """As ``kill -9`` does."""
        self.poller = None
        self.generation += 1

    def stall(self, seconds: float) -> None:
        """Stand still, as a process does that gets no processor."""
        self._next = None
        self._schedule(self.world.now_s + seconds)

    def _hear(self, generation: int, done: Callable[[Outcome], None], outcome: Outcome) -> None:
        if generation == self.generation and self.poller is not None:
            self.clock.at_s = self.world.now_s
            done(outcome)
            self._schedule(self.world.now_s)

    def _schedule(self, at_s: float) -> None:
        """The newest appointment is the one that holds."""
        mark = object()
        self._next = mark
        self.world.at(at_s, lambda: self._turn(mark))

    def _turn(self, mark: object) -> None:
        if mark is not self._next or self.poller is None:
            return
        self.clock.at_s = self.world.now_s
        wait_s = self.poller.turn()
        self._schedule(self.world.now_s + max(wait_s, 1e-4))


def bound_s(needed: int, *, per_minute: int = 50) -> float:
    """The mean wait that no schedule beats."""
    return 30.0 / (2 * max(1, per_minute + 1 - needed))


def mean_ratio(cycles: Sequence[Cycle], *, skip: int = 0) -> float:
    """Mean wait over mean bound; a cycle that was missed counts as a whole one."""
    counted = list(cycles)[skip:]
    waits = [CYCLE_S if cycle.wait_s is None else cycle.wait_s for cycle in counted]
    return statistics.fmean(waits) / statistics.fmean(bound_s(cycle.needed) for cycle in counted)
