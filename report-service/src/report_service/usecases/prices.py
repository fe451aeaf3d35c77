"""Reference prices in memory: a day's are loaded when it is first looked at, and kept fresh from then on.

``price_seq`` is gapless and in commit order. Each day in use knows through which number it has heard
everything; a number left out means that something was missed, and the day is read again. Of two prices of a
period the newer holds (see :meth:`ReferencePrice.is_newer_than`), so order and repetition do not matter, and
a price once known never goes blank.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache

from wattbook.clock import Clock, to_epoch_us
from wattbook.periods import HOUR_MINUTES, periods_of_day

from report_service.domain.book import day_of
from report_service.domain.prices import NO_PRICES, DayKey, DayPrices, PollerState, ReferencePrice

MOST_DAYS = 64
FIRST_LOOK_S = 0.5
MOST_WAITING = 4  # of the threads that answer requests
_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class PriceState:
    """How far to trust the prices: ``is_used`` where they have an owner, ``lost_since`` while it is away."""

    is_used: bool
    lost_since: datetime | None = None
    poller: PollerState = field(default_factory=PollerState)


@dataclass(slots=True)
class _Day:
    """A day in use."""

    prices: DayPrices = NO_PRICES
    through_seq: int = 0
    missing_seq: int = 0
    heard_s: float = float("-inf")
    first_s: float = 0.0
    looked_s: float = float("-inf")
    is_behind: bool = True


@lru_cache(maxsize=256)
def starts_of(key: DayKey) -> tuple[int, ...]:
    """When the hours of a day start."""
    return tuple(to_epoch_us(each.start) // _US_PER_S for each in periods_of_day(key.area, key.day))


class PriceBoard:
    """Prices of the days in use; readers from any thread, fed by the price feed's threads."""

    def __init__(self, clock: Clock, *, is_used: bool = True, most_days: int = MOST_DAYS) -> None:
        """Know nothing; without a pricing-service (``is_used`` false) that is how it stays."""
        self._clock = clock
        self._most_days = most_days
        self._lock = threading.Lock()
        self._days: dict[DayKey, _Day] = {}
        self._state = PriceState(is_used)
        self._loaded = threading.Condition(self._lock)
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._on_look: Callable[[], None] | None = None
        self._on_change: list[Callable[[DayKey], None]] = []

    @property
    def state(self) -> PriceState:
        """How far to trust the prices; another object where something changed."""
        return self._state

    def on_look(self, call: Callable[[], None]) -> None:
        """Call ``call`` when a day is first looked at."""
        self._on_look = call

    def on_change(self, call: Callable[[DayKey], None]) -> None:
        """Call ``call`` when a price of a day in use changed; it must be quick."""
        self._on_change.append(call)

    def prices(self, key: DayKey) -> DayPrices:
        """What is known of a day now; never waits. The first look lets it be loaded."""
        if not self._state.is_used:
            return NO_PRICES
        now_s = self._clock.monotonic_s()
        day = self._days.get(key)
        if day is not None:
            day.looked_s = now_s
            return day.prices
        with self._lock:
            self._days.setdefault(key, _Day(first_s=now_s)).looked_s = now_s
            while len(self._days) > self._most_days:
                del self._days[min(self._days, key=lambda each: self._days[each].looked_s)]
        if self._on_look is not None:
            self._on_look()
        return NO_PRICES

    def await_first(self, keys: Iterable[DayKey]) -> None:
        """Give days never looked at before a moment to be loaded, so that the first look has prices.

        Waits once a day and not once a look: nobody waits later than ``FIRST_LOOK_S`` after the first one.
        Few wait at once, and nobody while the owner is known to be away; the others do without.
        """
        if not self._state.is_used or self._on_look is None:
            return
        pending = [key for key in dict.fromkeys(keys) if not self.prices(key).is_loaded]
        until_s = max(map(self._waits_until_s, pending), default=float("-inf"))
        left_s = until_s - self._clock.monotonic_s()
        if left_s <= 0 or self._state.lost_since or not self._waiting.acquire(blocking=False):
            return
        try:
            with self._loaded:
                self._loaded.wait_for(lambda: self._is_settled(pending), left_s)
        finally:
            self._waiting.release()

    def is_waited_for(self, key: DayKey) -> bool:
        """Whether :meth:`await_first` would wait for this day."""
        if not self._state.is_used or self._on_look is None or self.prices(key).is_loaded:
            return False
        return not self._state.lost_since and self._waits_until_s(key) > self._clock.monotonic_s()

    def behind(self) -> list[DayKey]:
        """Days to be read, most recently looked at first."""
        with self._lock:
            wanted = [(day.looked_s, key) for key, day in self._days.items() if day.is_behind]
        return [key for _, key in sorted(wanted, reverse=True)]

    def looked_at(self, *, within_s: float) -> list[DayKey]:
        """Days somebody looked at lately, most recent first."""
        since_s = self._clock.monotonic_s() - within_s
        with self._lock:
            found = [(day.looked_s, key) for key, day in self._days.items() if day.looked_s >= since_s]
        return [key for _, key in sorted(found, reverse=True)]

    def doubt(self, keys: Iterable[DayKey] | None = None) -> None:
        """Let days be read again, all of them unless told: something may have been missed."""
        with self._lock:
            for key in self._days if keys is None else keys:
                if key in self._days:
                    self._days[key].is_behind = True

    def offer(self, prices: Iterable[ReferencePrice]) -> None:
        """Take prices as they are announced: repeated, late, or with something missing."""
        changed: set[DayKey] = set()
        with self._lock:
            now_s = self._clock.monotonic_s()
            for price in prices:
                self._hear(price.seq, now_s)
                key = DayKey(price.area, day_of(price.area, price.delivery_start_s))
                if key in self._days and self._merge(self._days[key], (price,)):
                    changed.add(key)
        self._tell(changed)

    def put(self, key: DayKey, prices: Iterable[ReferencePrice], *, as_of_seq: int, asked_s: float) -> None:
        """Take what the owner knew of a day through ``as_of_seq``, asked at ``asked_s`` (monotonic)."""
        with self._lock:
            day = self._days.get(key)
            if day is None:
                return
            if as_of_seq < day.through_seq and day.heard_s < asked_s:
                # It knows less than it announced before we asked: it was restored, and counts anew.
                day.through_seq = day.missing_seq = 0
            day.is_behind = as_of_seq < day.missing_seq
            day.through_seq = max(day.through_seq, as_of_seq)
            is_changed = self._merge(day, prices)
            is_changed = self._settle(day) or is_changed
        self._found()
        self._tell({key} if is_changed else set())

    def give_up(self, key: DayKey) -> None:
        """A day that the owner does not know has no prices."""
        with self._lock:
            if key in self._days:
                self._days[key].is_behind = False
                self._settle(self._days[key])

    def note(self, poller: PollerState) -> None:
        """Keep how the poller is doing."""
        if self._state != PriceState(True, None, poller):
            self._state = PriceState(True, None, poller)

    def lost(self) -> None:
        """The owner cannot be reached: what is known stays, and says since when."""
        if self._state.is_used and self._state.lost_since is None:
            self._state = PriceState(True, self._clock.now(), self._state.poller)
            with self._loaded:
                self._loaded.notify_all()

    def _waits_until_s(self, key: DayKey) -> float:
        day = self._days.get(key)
        return day.first_s + FIRST_LOOK_S if day else float("-inf")

    def _is_settled(self, keys: Iterable[DayKey]) -> bool:
        days = (self._days.get(key) for key in keys)
        return bool(self._state.lost_since) or all(day is None or day.prices.is_loaded for day in days)

    def _settle(self, day: _Day) -> bool:
        """Note that a day's owner was asked; returns whether that is new."""
        if day.prices.is_loaded:
            return False
        day.prices = replace(day.prices, is_loaded=True)
        self._loaded.notify_all()
        return True

    def _found(self) -> None:
        if self._state.lost_since is not None:
            self._state = PriceState(True, None, self._state.poller)

    def _hear(self, seq: int, now_s: float) -> None:
        for day in self._days.values():
            if seq <= day.through_seq:
                continue
            if seq != day.through_seq + 1:
                day.missing_seq = seq - 1
                day.is_behind = True
            day.through_seq = seq
            day.heard_s = now_s

    @staticmethod
    def _merge(day: _Day, prices: Iterable[ReferencePrice]) -> bool:
        known = dict(day.prices.by_start_s)
        is_changed = False
        for price in prices:
            old = known.get(price.delivery_start_s)
            if price.delivery_minutes != HOUR_MINUTES:
                continue
            if old is None or price.is_newer_than(old):
                known[price.delivery_start_s] = price
                is_changed = True
        if is_changed:
            day.prices = DayPrices(known, day.prices.is_loaded)
        return is_changed

    def _tell(self, changed: set[DayKey]) -> None:
        for key in changed:
            for call in self._on_change:
                call(key)
