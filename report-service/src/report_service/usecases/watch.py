"""Keep the prices of the days in use fresh, and tell their owner what is looked at. All in the background."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby
from typing import Protocol

from wattbook.clock import Clock
from wattbook.errors import InvalidInput, NotFound

from report_service.domain.prices import DayKey, PollerState, ReferencePrice
from report_service.usecases.prices import PriceBoard, starts_of

_log = logging.getLogger(__name__)

WATCH_EVERY_S = 20.0
WATCHED_FOR_S = 60.0
MOST_WATCHED_DAYS = 6
STATE_EVERY_S = 2.0
CHECK_EVERY_S = 15.0
IN_USE_S = 600.0


class PriceOwner(Protocol):
    """The owner of the prices, as we need it. Every call raises Unavailable where it is away."""

    def day(self, key: DayKey) -> tuple[Sequence[ReferencePrice], int]:
        """The newest prices of a day, and the last ``seq`` that this includes."""
        ...

    def watch(self, area: str, starts_s: Sequence[int]) -> None:
        """Tell that somebody looks at these hours."""
        ...

    def state(self) -> PollerState:
        """How its poller is doing."""
        ...


class PriceKeeper:
    """Feeds one board from the owner; use it from one thread."""

    def __init__(self, board: PriceBoard, owner: PriceOwner, clock: Clock) -> None:
        """Nothing is asked until :meth:`tend`."""
        self._board = board
        self._owner = owner
        self._clock = clock
        self._due_s: dict[str, float] = {}

    def tend(self) -> None:
        """Read what is wanted or in doubt, tell what is watched, ask how the poller is; call it often.

        Raises:
            Unavailable: the owner cannot be asked now; call again later.
        """
        if self._is_due("check", CHECK_EVERY_S):  # finds what no event announced
            self._board.doubt(self._board.looked_at(within_s=IN_USE_S))
        is_new = self._read()
        if self._is_due("watch", WATCH_EVERY_S) or is_new:
            self._watch()
        if self._is_due("state", STATE_EVERY_S):
            self._board.note(self._owner.state())

    def _read(self) -> bool:
        wanted = self._board.behind()
        for key in wanted:
            asked_s = self._clock.monotonic_s()
            try:
                prices, as_of_seq = self._owner.day(key)
            except (InvalidInput, NotFound) as error:
                _log.warning("a day has no prices", extra={"day": str(key.day), "reason": error.message})
                self._board.give_up(key)
            else:
                self._board.put(key, prices, as_of_seq=as_of_seq, asked_s=asked_s)
        return bool(wanted)

    def _watch(self) -> None:
        watched = sorted(self._board.looked_at(within_s=WATCHED_FOR_S)[:MOST_WATCHED_DAYS])
        for area, keys in groupby(watched, key=lambda key: key.area):
            self._owner.watch(area, [start_s for key in keys for start_s in starts_of(key)])

    def _is_due(self, what: str, every_s: float) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s < self._due_s.get(what, float("-inf")):
            return False
        self._due_s[what] = now_s + every_s
        return True
