"""The read model: the book in memory and the reports made from it, each once a change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from wattbook.clock import Clock
from wattbook.errors import Unavailable

from report_service.domain.book import Book, Booking, Cell, CellKey, ReportKey, TraderSummary
from report_service.domain.pnl import Report, report
from report_service.domain.prices import DayKey

MOST_REPORTS_KEPT = 2048


@dataclass(frozen=True, slots=True)
class BookState:
    """How far to trust the figures: ``ready`` after the first snapshot, ``lost_since`` while cut off."""

    ready: bool
    lost_since: datetime | None = None


class ReadModel:
    """Answers from memory; readers from any thread, changed by the book feed's thread only."""

    def __init__(self, clock: Clock, *, most_reports: int = MOST_REPORTS_KEPT) -> None:
        """Be empty and not ready until the first snapshot."""
        self._clock = clock
        self._most_reports = most_reports
        self._lock = threading.Lock()
        self._book = Book()
        self._reports: OrderedDict[ReportKey, Report] = OrderedDict()
        self._state = BookState(ready=False, lost_since=clock.now())
        self._traders: tuple[int, list[TraderSummary]] | None = None
        self._names: list[str] = []
        self._on_ready: list[Callable[[], None]] = []
        self._on_change: list[Callable[[set[ReportKey] | None], None]] = []
        self._snapshots = 0
        self._changes: dict[DayKey, int] = {}

    def on_ready(self, call: Callable[[], None]) -> None:
        """Call ``call`` once the first snapshot is in."""
        self._on_ready.append(call)

    def on_change(self, call: Callable[[set[ReportKey] | None], None]) -> None:
        """Call ``call`` with the reports that changed, None where any may have; it must be quick."""
        self._on_change.append(call)

    @property
    def state(self) -> BookState:
        """How far to trust the figures."""
        return self._state

    @property
    def last_seq(self) -> int:
        """The last booking counted."""
        return self._book.last_seq

    def replace(self, book: Book) -> None:
        """Start over from a snapshot."""
        with self._lock:
            self._book = book
            self._reports.clear()
            self._traders = None
            self._names = []
            self._snapshots += 1
            self._changes.clear()
        self.found()
        while self._on_ready:
            self._on_ready.pop()()
        self._tell(None)

    def apply(
        self, bookings: Sequence[Booking], recomputed: Mapping[CellKey, Cell | None] | None = None
    ) -> None:
        """Count bookings that continue the sequence, in order; see :meth:`Book.apply`."""
        with self._lock:
            changed = self._book.apply(bookings, recomputed)
            if recomputed:  # as many traders as before may be others
                self._names = []
            for key in changed:
                self._reports.pop(key, None)
            for day in {DayKey(key.area, key.day) for key in changed}:
                self._changes[day] = self._changes.get(day, 0) + 1
        self._tell(changed)

    def found(self) -> None:
        """The book is reachable and we are level with it."""
        if not self._state.ready or self._state.lost_since:
            self._state = BookState(ready=True)

    def lost(self) -> None:
        """The book cannot be reached: what is known stays, and says since when."""
        if self._state.lost_since is None:
            self._state = BookState(ready=self._state.ready, lost_since=self._clock.now())

    def reports(self, keys: Iterable[ReportKey]) -> list[Report]:
        """Reports, one a key, in order.

        Raises:
            Unavailable: no snapshot yet.
            NoSuchPeriod: unknown area, or a day out of range.
        """
        if not self._state.ready:
            raise Unavailable("the reports are being loaded; try again in a moment", retry_after_s=1)
        with self._lock:
            return [self._report(key) for key in keys]

    def report(self, key: ReportKey) -> Report:
        """One report. Raises like :meth:`reports`."""
        return self.reports((key,))[0]

    def traders(self) -> list[TraderSummary]:
        """Everybody with a trade, by name."""
        with self._lock:
            if self._traders is None or self._traders[0] != self._book.last_seq:
                self._traders = (self._book.last_seq, self._book.traders())
            return self._traders[1]

    def trader_names(self) -> list[str]:
        """Everybody with a trade, by name; made once for each newcomer."""
        with self._lock:
            if len(self._names) != self._book.trader_count:
                self._names = self._book.trader_names()
            return self._names

    def day_mark(self, key: DayKey) -> tuple[int, int]:
        """Equal only while no trade of a delivery day was counted."""
        return self._snapshots, self._changes.get(key, 0)

    def traders_on(self, key: DayKey) -> list[str]:
        """Everybody with a trade for a delivery day, by name."""
        with self._lock:
            return self._book.traders_on(key.area, key.day)

    def days_of(self, trader_id: str) -> list[tuple[date, str]]:
        """Days (with area) on which a trader has trades, in order."""
        with self._lock:
            return self._book.days_of(trader_id)

    def _tell(self, changed: set[ReportKey] | None) -> None:
        for call in self._on_change:
            call(changed)

    def _report(self, key: ReportKey) -> Report:
        found = self._reports.get(key)
        if found is None:
            found = self._reports[key] = report(self._book, key)
            if len(self._reports) > self._most_reports:
                self._reports.popitem(last=False)
        else:
            self._reports.move_to_end(key)
        return found
