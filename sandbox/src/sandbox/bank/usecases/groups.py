"""Five days an answer, as the original bank hands them out: one place for everybody."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from sandbox.bank.domain.encoding import Style, array_text
from sandbox.bank.domain.rows import Rows
from sandbox.bank.domain.sizes import DAY_S, WINDOW_DAYS, WINDOW_S
from sandbox.bank.usecases.bank import Bank, Fate

_DAYS_BEFORE = 3  # its first group begins before the first window: groups are not windows
_MOST_PARTS = 3


class Groups:
    """The bank's payments in groups of five days; the place in each source is the server's, and in memory."""

    def __init__(self, bank: Bank) -> None:
        """Begin with the first group."""
        self.bank = bank
        self._places: dict[str, int] = {}
        self._left: dict[str, list[int]] = {}

    def next(self, source: str, style: Style, *, now: datetime, fate: Fate) -> list[bytes] | None:
        """The next group as JSON arrays that follow each other; None where there is no whole one left."""
        with self.bank.lock:
            place = self._places.get(source, 0)
            group = self._again(source)
            if group is not None and self._is_whole(group, now):
                return self._arrays(source, group, style, now=now, fate=fate)
            if fate.repeat and place:
                return self._arrays(source, place - 1, style, now=now, fate=fate)
            if not self._is_whole(place, now):
                return None
            if fate.reorder and self._is_whole(place + 1, now):
                self._left.setdefault(source, []).append(place)
                place += 1
            self._places[source] = place + 1
            return self._arrays(source, place, style, now=now, fate=fate)

    def _start_s(self, group: int) -> int:
        """When a group begins; it ends with that second of the next, which both hold."""
        return self.bank.data.first_window * WINDOW_S + (group * WINDOW_DAYS - _DAYS_BEFORE) * DAY_S

    def _window_of(self, group: int) -> int:
        return self._start_s(group) // WINDOW_S

    def _again(self, source: str) -> int | None:
        """A group that comes once more: a window is in two of them."""
        left = self._left.setdefault(source, [])
        window = self.bank.again(source)
        if window is not None:
            left += [window - self._window_of(0) - 1, window - self._window_of(0)]
        return left.pop(0) if left else None

    def _is_whole(self, group: int, now: datetime) -> bool:
        last = self.bank.data.last_window
        if group < 0 or (last is not None and self._window_of(group) > last):
            return False
        return self._start_s(group + 1) < now.timestamp()

    def _arrays(self, source: str, group: int, style: Style, *, now: datetime, fate: Fate) -> list[bytes]:
        start, end = self._start_s(group), self._start_s(group + 1)
        arrays = []
        for window in range(start // WINDOW_S, end // WINDOW_S + 1):
            last = self.bank.data.last_window
            if window < self.bank.data.first_window or (last is not None and window > last):
                continue
            rows = _between(self.bank.rows(source, window, now=now), start, end)
            if fate.reorder:
                rows = rows.taken(np.random.default_rng(window).permutation(len(rows)))
            self.bank.handed_out(source, window, rows=len(rows), now=now)
            parts = 1 + window % _MOST_PARTS
            step = -(-len(rows) // parts) or 1
            arrays += [
                array_text(rows.taken(slice(at, at + step)), style) for at in range(0, len(rows), step)
            ]
        return arrays or [b"[]"]


def _between(rows: Rows, start_s: int, end_s: int) -> Rows:
    """Rows from a second to another, both included."""
    kept = (rows.time_s >= start_s) & (rows.time_s <= end_s)
    return rows.taken(np.flatnonzero(kept))
