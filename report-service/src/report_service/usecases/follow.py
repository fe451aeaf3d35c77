"""Keep the read model level with the book, each booking counted exactly once.

``booking_seq`` is gapless and in commit order, so it decides alone: the next one is counted, an earlier one
was, a later one shows a gap. A gap is given a moment, since events may overtake each other, and then filled
from the book itself. A regular look at the book finds what no event announced, and also a book that is no
longer the one we followed (restored from a backup): then we start over.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from wattbook import telemetry
from wattbook.clock import Clock

from report_service.domain.book import Book, Booking
from report_service.usecases.model import ReadModel

_log = logging.getLogger(__name__)

GAP_WAIT_S = 0.2
CHECK_EVERY_S = 3.0
MOST_WAITING = 50_000


class TradeBook(Protocol):
    """The owner of the trades, as the read model needs it. Every call raises Unavailable where it is away."""

    def snapshot(self) -> Book:
        """Sums of everything booked, consistent as of its ``last_seq``."""
        ...

    def after(self, seq: int, *, limit: int = 0) -> Iterator[Sequence[Booking]]:
        """Pages of what was booked after ``seq``, in order; at most ``limit`` bookings, 0 means all."""
        ...


class Follower:
    """Feeds one read model; use it from one thread."""

    def __init__(self, model: ReadModel, trades: TradeBook, clock: Clock) -> None:
        """Nothing is known until :meth:`start_over`."""
        self._model = model
        self._trades = trades
        self._clock = clock
        self._waiting: dict[int, Booking] = {}
        self._gap_since_s: float | None = None
        self._checked_s = float("-inf")

    @property
    def has_gap(self) -> bool:
        """Whether later bookings wait for an earlier one."""
        return bool(self._waiting)

    def start_over(self) -> None:
        """Replace everything known by a snapshot of the book."""
        with telemetry.entering("load the book", kind="internal"):
            book = self._trades.snapshot()
            self._waiting.clear()
            self._gap_since_s = None
            self._model.replace(book)
        self._checked_s = self._clock.monotonic_s()
        _log.info("read model loaded", extra={"as_of_seq": book.last_seq, "cells": len(book)})

    def offer(self, bookings: Iterable[Booking]) -> None:
        """Take bookings as they come: repeated, late or out of order."""
        expected = self._model.last_seq + 1
        ready: list[Booking] = []
        for booking in bookings:
            if booking.seq == expected:
                ready.append(booking)
                expected += 1
            elif booking.seq > expected and len(self._waiting) < MOST_WAITING:
                self._waiting[booking.seq] = booking
        while self._waiting and expected in self._waiting:
            ready.append(self._waiting.pop(expected))
            expected += 1
        if ready:
            self._model.apply(ready)
            self._waiting = {seq: each for seq, each in self._waiting.items() if seq > self._model.last_seq}
        self._note_gap(moved=bool(ready))

    def tend(self) -> None:
        """Fill a gap that has lasted, and look at the book now and then; call it often.

        Raises:
            Unavailable: the book cannot be asked now; call again later.
        """
        now_s = self._clock.monotonic_s()
        if self._gap_since_s is not None and now_s - self._gap_since_s >= GAP_WAIT_S:
            self.catch_up()
        if now_s - self._checked_s >= CHECK_EVERY_S:
            self._look()
            self._checked_s = now_s

    def catch_up(self) -> None:
        """Read from the book whatever was booked after what is known.

        Raises:
            Unavailable: the book cannot be asked now.
        """
        before = self._model.last_seq
        with telemetry.entering("catch up with the book", kind="internal"):
            for page in self._trades.after(before):
                self.offer(page)
        _log.info("caught up with the book", extra={"from_seq": before, "to_seq": self._model.last_seq})

    def _look(self) -> None:
        last_seq = self._model.last_seq
        seen = [each for page in self._trades.after(max(last_seq - 1, 0), limit=2) for each in page]
        if last_seq and not self._is_ours(seen[0] if seen else None):
            _log.warning("the book is another one than the one followed; starting over")
            self.start_over()
        elif any(booking.seq > last_seq for booking in seen) and self._gap_since_s is None:
            # Most likely its event is under way; it becomes a gap like any other if it does not come.
            self._gap_since_s = self._clock.monotonic_s()

    def _is_ours(self, last: Booking | None) -> bool:
        if last is None or last.seq != self._model.last_seq:
            return False
        if not self._model.last_id:
            self._model.learn_last_id(last.id)
        return last.id == self._model.last_id

    def _note_gap(self, *, moved: bool) -> None:
        if not self._waiting:
            self._gap_since_s = None
        elif moved or self._gap_since_s is None:
            self._gap_since_s = self._clock.monotonic_s()
