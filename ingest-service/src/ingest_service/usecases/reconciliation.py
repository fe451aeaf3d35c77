"""Reconcile a nightly file with what the feed delivered."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date

from wattbook.clock import Clock, to_epoch_us
from wattbook.errors import Unavailable

from ingest_service.domain import (
    Difference,
    FiledRow,
    NotYet,
    Reconciliation,
    Standing,
    difference_of,
    execution_day,
    named_day,
)
from ingest_service.store import FeedDays, Spool
from ingest_service.usecases.elsewhere import HeardElsewhere

_log = logging.getLogger(__name__)

MOST_DIFFERENCES = 1_000
SETTLE_S = 10.0
LOOK_S = 0.05


class Reconciler:
    """Begins reconciliations."""

    def __init__(
        self, *, days: FeedDays, spool: Spool, clock: Clock, elsewhere: HeardElsewhere | None = None
    ) -> None:
        """What the feed delivered includes what was heard ``elsewhere``, where other nodes listen too."""
        self._days = days
        self._spool = spool
        self._clock = clock
        self._elsewhere = elsewhere

    def begin(self, keep_going: Callable[[], bool]) -> Comparison:
        """A comparison with all that was heard until now.

        Raises:
            NotYet: ``keep_going`` said no.
            Unavailable: the store cannot be used now, or the spool is not read yet.
        """
        until_frame = self._spool.state().frames
        give_up_at_s = self._clock.monotonic_s() + SETTLE_S
        while self._spool.state().parsed_to < until_frame:
            if not keep_going():
                raise NotYet("the service is stopping")
            if self._clock.monotonic_s() >= give_up_at_s:
                raise Unavailable("frames of the exchange are not read yet; the file is imported later")
            time.sleep(LOOK_S)
        run = to_epoch_us(self._clock.now())
        return Comparison(self._days, self._elsewhere, run=run, keep_going=keep_going)


class Comparison:
    """A file, some rows at a time, so that one of any size takes the same memory; doing it again is right.

    Its methods raise Unavailable where the store or the book cannot be used now, and NotYet for a stop.
    """

    def __init__(
        self,
        days: FeedDays,
        elsewhere: HeardElsewhere | None,
        *,
        run: int,
        keep_going: Callable[[], bool],
    ) -> None:
        """``run`` tells this comparison from every earlier one."""
        self._days = days
        self._elsewhere = elsewhere
        self._run = run
        self._keep_going = keep_going
        self._executed: Counter[date] = Counter()
        self._in_both = 0
        self._counts: Counter[str] = Counter()
        self._listed: list[Difference] = []

    def add(self, rows: Sequence[FiledRow]) -> None:
        """Compare the next rows."""
        if not self._keep_going():
            raise NotYet("the service is stopping")
        executed = Counter(execution_day(row.trade.execution_time_us) for row in rows if row.trade)
        self._adopt(executed.keys() - self._executed.keys())
        self._executed.update(executed)
        heard = self._days.tie(list({row.trade_id for row in rows if row.trade_id}), run=self._run)
        for row in rows:
            difference = difference_of(row, heard.get(row.trade_id))
            if difference is None:
                self._in_both += 1
            else:
                self._note(difference)

    def record(self, *, name: str, sha256: str) -> None:
        """Keep the result for the day on which most rows were executed."""
        day = self._executed.most_common(1)[0][0] if self._executed else named_day(name)
        if day is None:
            return
        self._adopt({day} - self._executed.keys())
        feed_only, unheard = self._days.untied(day.isoformat(), run=self._run, most=MOST_DIFFERENCES)
        for trade_id, content in unheard:
            self._list(Difference(trade_id, Standing.FEED_ONLY, "not in the file", feed=content))
        result = Reconciliation(
            day.isoformat(), file_name=name, sha256=sha256, reconciled_us=self._run, in_both=self._in_both,
            recovered=self._counts[Standing.RECOVERED], feed_only=feed_only,
            differing=self._counts[Standing.DIFFERS], file_only=self._counts[Standing.FILE_ONLY],
            corrected=self._counts[Standing.CORRECTED],
            differences=tuple(self._listed),
        )  # fmt: skip
        self._days.record(result)
        _say(result)

    def _adopt(self, days: Iterable[date]) -> None:
        """Before a day's first row is compared: what other nodes heard of it."""
        if self._elsewhere is not None:
            for day in sorted(days):
                self._elsewhere.adopt(day, keep_going=self._keep_going)

    def _note(self, difference: Difference) -> None:
        self._counts[difference.kind] += 1
        self._list(difference)

    def _list(self, difference: Difference) -> None:
        if len(self._listed) < MOST_DIFFERENCES:
            self._listed.append(difference)


def _say(result: Reconciliation) -> None:
    odd = len(result.differences)
    _log.log(
        logging.WARNING if odd else logging.INFO,
        "%s against the feed: %s in both, %s recovered, %s corrected, %s only in the feed, %s differ, "
        "%s refused",
        result.file_name, result.in_both, result.recovered, result.corrected, result.feed_only,
        result.differing, result.file_only,
        extra={"day": result.day},
    )  # fmt: skip
