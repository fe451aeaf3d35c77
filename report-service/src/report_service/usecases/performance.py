"""Performance and desk days from memory, each computed once a change of trades or prices."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from datetime import date

from report_service.domain.book import ReportKey
from report_service.domain.performance import DeskDay, Performance, desk_day, performance
from report_service.domain.pnl import Report
from report_service.domain.prices import DayKey, DayPrices
from report_service.usecases.model import ReadModel
from report_service.usecases.prices import PriceBoard

MOST_KEPT = 2048
MOST_DESKS_KEPT = 32


class Performances:
    """Answers from memory; thread-safe. What was computed holds while its report and prices are the same."""

    def __init__(self, model: ReadModel, board: PriceBoard) -> None:
        """Measure the trades of ``model`` against the prices of ``board``."""
        self.model = model
        self.board = board
        self._lock = threading.Lock()
        self._kept: OrderedDict[ReportKey, Performance] = OrderedDict()
        self._desks: OrderedDict[DayKey, tuple[object, DayPrices, DeskDay]] = OrderedDict()

    def await_prices(self, keys: Iterable[ReportKey]) -> None:
        """Before an answer: give the prices of days nobody looked at before a moment to be loaded."""
        self.board.await_first(DayKey(key.area, key.day) for key in keys)

    def is_waited_for(self, key: ReportKey) -> bool:
        """Whether :meth:`await_prices` would wait for the prices of a report."""
        return self.board.is_waited_for(DayKey(key.area, key.day))

    def performances(self, keys: Iterable[ReportKey]) -> list[Performance]:
        """Performances, one a key, in order.

        Raises:
            Unavailable: no snapshot of the book yet.
            NoSuchPeriod: unknown area, or a day out of range.
        """
        return [self._of(report) for report in self.model.reports(keys)]

    def performance(self, key: ReportKey) -> Performance:
        """One performance. Raises like :meth:`performances`."""
        return self._of(self.model.report(key))

    def desk(self, *, area: str, day: date) -> DeskDay:
        """Everybody with trades for a day. Raises like :meth:`performances`."""
        key = DayKey(area, day)
        mark, prices = self.model.day_mark(key), self.board.prices(key)
        kept = self._desks.get(key)
        if kept is not None and kept[0] == mark and kept[1] is prices:
            return kept[2]
        keys = [ReportKey(area, trader_id, day) for trader_id in self.model.traders_on(key)]
        made = desk_day(area=area, day=day, traders=self.performances(keys))
        with self._lock:
            self._desks[key] = (mark, prices, made)
            self._desks.move_to_end(key)
            if len(self._desks) > MOST_DESKS_KEPT:
                self._desks.popitem(last=False)
        return made

    def _of(self, report: Report) -> Performance:
        prices = self.board.prices(DayKey(report.key.area, report.key.day))
        found = self._kept.get(report.key)
        if found is not None and found.report is report and found.prices is prices:
            return found
        made = performance(report, prices)
        with self._lock:
            found = self._kept.get(report.key)
            if found is not None and found.report is report and found.prices is prices:
                return found  # another thread was quicker; all share its object
            self._kept[report.key] = made
            self._kept.move_to_end(report.key)
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return made
