"""Keep the read model level with the book, each booking counted exactly once.

``booking_seq`` is gapless and in commit order, so it decides alone: the next one is counted, an earlier one
was, a later one shows a gap. A gap is given a moment, since events may overtake each other, and then filled
from the book itself. A booking that corrects another one adds nothing up: the sums it touches are asked of
the book as of that number.

The book has an epoch, which a restore renews, and a digest that each commit chains to the one before. A
regular look at the book finds what no event announced, and like an event also a book that is no longer the
one we followed: then we start over.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from wattbook import telemetry
from wattbook.clock import Clock

from report_service.domain.book import Book, Booking, Cell, CellKey, Event, Head, Link, Page
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

    def after(self, known: Head, *, limit: int = 0) -> Iterator[Page]:
        """Pages of what was booked after what is known, in order; at most ``limit``, 0 means all."""
        ...

    def cells(self, keys: Iterable[CellKey], *, as_of_seq: int) -> dict[CellKey, Cell | None]:
        """The sums of some keys as of a number, added up anew; None where a key has no trade."""
        ...


class Follower:
    """Feeds one read model; use it from one thread."""

    def __init__(self, model: ReadModel, trades: TradeBook, clock: Clock) -> None:
        """Nothing is known until :meth:`start_over`."""
        self._model = model
        self._trades = trades
        self._clock = clock
        self._waiting: dict[int, Booking] = {}
        self._links: dict[int, Link] = {}  # by the number that each begins after
        self._known = Head("", 0, "")  # the newest number whose digest we know
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
            self._links.clear()
            self._known = Head(book.epoch, book.last_seq, book.digest)
            self._gap_since_s = None
            self._model.replace(book)
        self._checked_s = self._clock.monotonic_s()
        _log.info("read model loaded", extra={"as_of_seq": book.last_seq, "cells": len(book)})

    def hear(self, events: Iterable[Event]) -> None:
        """Take what events tell, as they come: repeated, late or out of order, or of another book.

        Raises:
            Unavailable: the book cannot be asked for what it alone knows; nothing of them is counted.
        """
        bookings: list[Booking] = []
        for event in events:
            link = event.link
            if link is not None:
                if self._contradicts(link):
                    if self._look():
                        bookings.clear()
                    if self._contradicts(link):
                        continue  # told of a book that is gone, and heard late
                if link.after_seq > self._model.last_seq and len(self._links) < MOST_WAITING:
                    self._links[link.before_seq] = link
            bookings.extend(event.bookings)
        self.offer(bookings)

    def offer(self, bookings: Iterable[Booking]) -> None:
        """Take bookings as they come: repeated, late or out of order.

        Raises:
            Unavailable: the book cannot be asked for what a correction touched; nothing of it is counted.
        """
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
        if ready and not self._count(ready):
            return
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
            for page in self._trades.after(self._head()):
                if page.diverged:
                    self._restart("it does not continue what was followed")
                    return
                self.offer(page.bookings)
                self._learn(page.head)
        _log.info("caught up with the book", extra={"from_seq": before, "to_seq": self._model.last_seq})

    def _count(self, ready: Sequence[Booking]) -> bool:
        """Count bookings that are the next ones; False where they do not chain, and we started over."""
        until_seq = ready[-1].seq
        passed = sorted(before_seq for before_seq in self._links if before_seq < until_seq)
        known = self._known
        for before_seq in passed:
            link = self._links[before_seq]
            if not _chains(known, link):
                self._restart("an event does not chain to what was followed")
                return False
            if link.after_seq <= until_seq:
                del self._links[before_seq]
                known = Head(link.epoch, link.after_seq, link.after)
        touched = {key for each in ready if each.replaced is not None for key in (each.key, each.replaced)}
        recomputed = self._trades.cells(touched, as_of_seq=until_seq) if touched else None
        self._model.apply(ready, recomputed)
        self._known = known
        self._waiting = {seq: each for seq, each in self._waiting.items() if seq > until_seq}
        return True

    def _look(self) -> bool:
        """Look at the book; whether it is another one, and we started over."""
        last_seq = self._model.last_seq
        for page in self._trades.after(self._head(), limit=1):
            if page.diverged:
                self._restart("it does not continue what was followed")
                return True
            self._learn(page.head)
            if any(booking.seq > last_seq for booking in page.bookings) and self._gap_since_s is None:
                # Most likely its event is under way; it becomes a gap like any other if it does not come.
                self._gap_since_s = self._clock.monotonic_s()
        return False

    def _restart(self, reason: str) -> None:
        _log.warning("the book is another one than the one followed; starting over", extra={"reason": reason})
        self.start_over()

    def _head(self) -> Head:
        """How far we are, with the digest where we know that of just this number."""
        last_seq = self._model.last_seq
        digest = self._known.digest if self._known.seq == last_seq else ""
        return Head(self._known.epoch, last_seq, digest)

    def _learn(self, head: Head) -> None:
        """The digest, where the book says that of the number that we are at."""
        if head.seq == self._model.last_seq and head.digest:
            self._known = head

    def _contradicts(self, link: Link) -> bool:
        """Whether a link of what was counted says other digests than we know."""
        if link.after_seq == self._known.seq and link.epoch == self._known.epoch:
            return _differ(link.after, self._known.digest)
        return link.before_seq <= self._model.last_seq and not _chains(self._known, link)

    def _note_gap(self, *, moved: bool) -> None:
        if not self._waiting:
            self._gap_since_s = None
        elif moved or self._gap_since_s is None:
            self._gap_since_s = self._clock.monotonic_s()


def _chains(known: Head, link: Link) -> bool:
    """Whether a commit continues a book that is known so far; where a digest is not known, it does."""
    if _differ(known.epoch, link.epoch):
        return False
    return known.seq != link.before_seq or not _differ(known.digest, link.before)


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)
