"""What is known of each hour in this cycle: its price's stamp, whether it is wanted, asked for, tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random

from pricing_service.domain.budget import MINUTE_S
from pricing_service.domain.patience import Tries
from pricing_service.domain.quotes import CYCLE_S, same_cycle
from pricing_service.domain.slots import Slot, closed_since, tradable

FINAL_WITHIN_S = 3 * 3600.0
FINAL_TRIES = 2
PATIENT_TRIES = 3  # that others wait for
_LAST_CYCLE_S = CYCLE_S + 100.0  # before gate closure, the last cycle's stamp at the earliest
_US = 1_000_000


class Board:
    """The hours that may be asked for, and what became of asking."""

    def __init__(self, stamps: Mapping[Slot, int], rng: Random) -> None:
        """Begin with the newest ``last_update`` (µs) of each hour."""
        self.stamps = dict(stamps)
        self.newest_us: int | None = max(stamps.values(), default=None)
        self.tradable: tuple[Slot, ...] = ()
        self.wanted: tuple[Slot, ...] = ()  # and tradable
        self._ordered: tuple[Slot, ...] = ()
        self.in_flight: dict[Slot, int] = {}
        self._rng = rng
        self._wanted: tuple[Slot, ...] = ()
        self._closed: tuple[Slot, ...] = ()
        self._tries: dict[Slot, Tries] = {}
        self._final_tries: dict[Slot, int] = {}

    def begin_cycle(self, provider_s: float) -> None:
        """Another cycle, which begins at this instant on the provider's clock."""
        self.tradable = tradable(provider_s)
        self._closed = closed_since(provider_s, within_s=FINAL_WITHIN_S)
        self._final_tries = {slot: self._final_tries.get(slot, 0) for slot in self._closed}
        self._tries.clear()
        self._arrange()

    def try_again(self) -> None:
        """What was tried so far in this cycle no longer counts."""
        self._tries.clear()

    def want(self, slots: Sequence[Slot]) -> None:
        """Hours that somebody looks at or trades, the most wanted first."""
        self._wanted = tuple(slots)
        self._arrange()

    def needed(self) -> tuple[Slot, ...]:
        """What has to be there soon: what is wanted and tradable, or everything if nothing is wanted."""
        return self.wanted or self.tradable

    def _arrange(self) -> None:
        open_now = set(self.tradable)
        self.wanted = tuple(slot for slot in self._wanted if slot in open_now)
        self._ordered = tuple(dict.fromkeys((*self.wanted, *self.tradable)))

    def is_untried(self, slot: Slot) -> bool:
        """Whether asking for it in this cycle has not failed yet."""
        return slot not in self._tries

    def is_missing(self, slot: Slot) -> bool:
        """Whether it may still be had in this cycle, and is not."""
        tries = self._tries.get(slot)
        return not self.is_fresh(slot) and not (tries and (tries.over or tries.count >= PATIENT_TRIES))

    def due(self, now: float) -> tuple[list[Slot], float]:
        """What is to be fetched now, the most needed first, and when more will be."""
        due: list[Slot] = []
        later_s = math.inf
        for slot in (*self._ordered, *self._unfinished()):
            tries = self._tries.get(slot)
            if slot in self.in_flight or self.is_fresh(slot) or (tries and tries.over):
                continue
            if tries and tries.again_s > now:
                later_s = min(later_s, tries.again_s)
            else:
                due.append(slot)
        return due, later_s

    def telltale(self, *, base_us: int | None, next_cycle_s: float) -> Slot:
        """An hour whose answer tells whether the cycle is out: one that had a price and is open for long."""

        def doubt(slot: Slot) -> int:
            told = self.stamps.get(slot)
            had_price = told is not None and base_us is not None and same_cycle(told, base_us)
            return (
                8 * (not had_price)
                + 4 * (slot in self._tries)
                + 2 * (slot.closes_s <= next_cycle_s + MINUTE_S)
                + (slot in self.in_flight)
            )

        return min(self._ordered, key=doubt)  # the first of the least doubtful ones; wanted hours come first

    def is_fresh(self, slot: Slot) -> bool:
        """Whether its price is of the newest cycle known."""
        told = self.stamps.get(slot)
        return told is not None and self.newest_us is not None and same_cycle(told, self.newest_us)

    def sent(self, slots: Sequence[Slot]) -> None:
        """These are on their way."""
        for slot in slots:
            self.in_flight[slot] = self.in_flight.get(slot, 0) + 1

    def back(self, slot: Slot) -> None:
        """One of them is back."""
        flying = self.in_flight.pop(slot, 0)
        if flying > 1:
            self.in_flight[slot] = flying - 1

    def told(self, slot: Slot, stamp_us: int) -> None:
        """Its price has this stamp; an older one changes nothing."""
        self.stamps[slot] = max(stamp_us, self.stamps.get(slot, stamp_us))
        self.newest_us = max(stamp_us, self.newest_us or stamp_us)

    def done(self, slot: Slot) -> None:
        """It answered as it should."""
        self._tries.pop(slot, None)

    def empty(self, slot: Slot, now: float) -> None:
        """No price: believed of an hour that never had one, asked again of one that had."""
        if slot in self.stamps:
            self.not_yet(slot, now)
        else:
            self.give_up(slot)

    def not_yet(self, slot: Slot, now: float) -> None:
        """Ask again later."""
        self._tries.setdefault(slot, Tries()).failed(now, self._rng)
        self._count_final(slot)

    def give_up(self, slot: Slot) -> None:
        """Not again in this cycle."""
        self._tries[slot] = Tries(count=1, over=True)
        self._count_final(slot)

    def _unfinished(self) -> list[Slot]:
        """Closed hours whose last price was missed."""
        return [
            slot
            for slot in self._closed
            if (slot in self.stamps or slot in self._wanted)
            and self._final_tries.get(slot, 0) < FINAL_TRIES
            and not self._is_final(slot)
        ]

    def _is_final(self, slot: Slot) -> bool:
        told = self.stamps.get(slot)
        return told is not None and told / _US >= slot.closes_s - _LAST_CYCLE_S

    def _count_final(self, slot: Slot) -> None:
        if slot in self._closed:
            self._final_tries[slot] = self._final_tries.get(slot, 0) + 1
