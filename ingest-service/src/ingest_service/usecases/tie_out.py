"""Tie a nightly file out against what the feed delivered."""

from __future__ import annotations

import csv
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from operator import itemgetter

from wattbook.clock import Clock, to_epoch_us
from wattbook.errors import Unavailable
from wattbook.trade import TRADE_FIELDS

from ingest_service.clients import SourceFile
from ingest_service.domain import (
    Difference,
    FileRecord,
    FileState,
    NotYet,
    Reconciliation,
    Unreadable,
    content_differences,
    execution_day,
    kept_content,
    named_day,
    read_row,
    shown,
)
from ingest_service.store import FeedDays, Spool
from ingest_service.usecases.elsewhere import HeardElsewhere

_log = logging.getLogger(__name__)

CHUNK_ROWS = 1_000
MOST_DIFFERENCES = 1_000
MOST_REFUSED = 100_000
LONGEST_LINE_BYTES = 64 * 1024
SETTLE_S = 10.0
LOOK_S = 0.05


@dataclass(slots=True)
class _Comparison:
    """The file so far."""

    run: int
    days: Counter[date] = field(default_factory=Counter)
    in_both: int = 0
    recovered: int = 0
    differing: int = 0
    listed: list[Difference] = field(default_factory=list)

    def note(self, trade_id: str, kind: str, detail: Callable[[], str]) -> None:
        if len(self.listed) < MOST_DIFFERENCES:
            self.listed.append(Difference(trade_id, kind, detail()))


class TieOut:
    """Compares in pieces, so that a file of any size takes the same memory."""

    def __init__(
        self,
        *,
        days: FeedDays,
        spool: Spool,
        clock: Clock,
        refused_ids: Callable[[str], Iterator[str]],
        elsewhere: HeardElsewhere | None = None,
    ) -> None:
        """``refused_ids`` reads the ids of a kept file's refused rows.

        What the feed delivered includes what was heard ``elsewhere``, where other nodes listen too.
        """
        self._days = days
        self._spool = spool
        self._clock = clock
        self._refused_ids = refused_ids
        self._elsewhere = elsewhere

    def compare(self, source: SourceFile, record: FileRecord, *, keep_going: Callable[[], bool]) -> None:
        """Compare a file that was uploaded, and keep the result for its day; doing it again is right.

        Raises:
            NotYet: ``keep_going`` said no.
            Unavailable: the store or the book cannot be used now, or the spool is not read yet.
        """
        if record.refusal is not None:
            return
        self._wait_until_read(keep_going)
        refused = self._refused(record)
        found = _Comparison(run=to_epoch_us(self._clock.now()))
        for rows in _chunks(source):
            if not keep_going():
                raise NotYet("the service is stopping")
            self._adopt({day for _, (_, day) in rows} - found.days.keys(), keep_going)
            self._compare(found, {trade_id: rest for trade_id, rest in rows if trade_id not in refused})
            found.days.update(day for _, (_, day) in rows)
        day = found.days.most_common(1)[0][0] if found.days else named_day(source.name)
        if day is None:
            return
        self._adopt({day} - found.days.keys(), keep_going)
        self._record(found, day.isoformat(), record, name=shown(source.name))

    def _adopt(self, days: Iterable[date], keep_going: Callable[[], bool]) -> None:
        """Before a day's first row is compared: what other nodes heard of it."""
        if self._elsewhere is not None:
            for day in sorted(days):
                self._elsewhere.adopt(day, keep_going=keep_going)

    def _compare(self, found: _Comparison, rows: dict[str, tuple[str, date]]) -> None:
        heard = self._days.tie(list(rows), run=found.run)
        for trade_id, (content, _) in rows.items():
            there = heard.get(trade_id)
            if there is None:
                found.recovered += 1
                found.note(trade_id, "recovered", lambda: "only in the file")
            elif there == content:
                found.in_both += 1
            else:
                found.differing += 1
                found.note(trade_id, "differs", partial(content_differences, there, content))

    def _record(self, found: _Comparison, day: str, record: FileRecord, *, name: str) -> None:
        feed_only, ids = self._days.untied(day, run=found.run, most=MOST_DIFFERENCES)
        for trade_id in ids:
            found.note(trade_id, "feed_only", lambda: "not in the file")
        result = Reconciliation(
            day, file_name=name, sha256=record.sha256, reconciled_us=found.run, in_both=found.in_both,
            recovered=found.recovered, feed_only=feed_only, differing=found.differing,
            differences=tuple(found.listed),
        )  # fmt: skip
        self._days.record(result)
        odd = result.recovered or result.feed_only or result.differing
        _log.log(
            logging.WARNING if odd else logging.INFO,
            "%s against the feed: %s in both, %s recovered, %s only in the feed, %s differ",
            name, result.in_both, result.recovered, result.feed_only, result.differing,
            extra={"day": day},
        )  # fmt: skip

    def _refused(self, record: FileRecord) -> frozenset[str]:
        """The ids of rows that were not booked, as many as memory is meant for."""
        if not record.counts.refused or record.kept_name is None or record.state is FileState.FOUND:
            return frozenset()
        ids = self._refused_ids(record.kept_name)
        return frozenset(trade_id for trade_id, _ in zip(ids, range(MOST_REFUSED), strict=False))

    def _wait_until_read(self, keep_going: Callable[[], bool]) -> None:
        """What was heard before must count as heard."""
        until_frame = self._spool.state().frames
        give_up_at_s = self._clock.monotonic_s() + SETTLE_S
        while self._spool.state().parsed_to < until_frame:
            if not keep_going():
                raise NotYet("the service is stopping")
            if self._clock.monotonic_s() >= give_up_at_s:
                raise Unavailable("frames of the exchange are not read yet; the file is compared later")
            time.sleep(LOOK_S)


def _chunks(source: SourceFile) -> Iterator[list[tuple[str, tuple[str, date]]]]:
    """Readable rows, some at a time: id, content, and day of execution."""
    lines = (line.decode("utf-8", "replace") for line in source.lines(longest_bytes=LONGEST_LINE_BYTES))
    rows = csv.reader(lines)
    header = [name.strip("\ufeff") for name in next(rows, [])]
    if set(TRADE_FIELDS) - set(header):
        return  # the gateway refused it as a whole
    columns = itemgetter(*(header.index(name) for name in TRADE_FIELDS))
    chunk: list[tuple[str, tuple[str, date]]] = []
    for row in rows:
        try:
            trade = read_row(columns(row))
        except (Unreadable, IndexError):
            continue  # refused by the gateway, and kept in the file of refused rows
        chunk.append((trade.trade_id, (kept_content(trade), execution_day(trade.execution_time_us))))
        if len(chunk) == CHUNK_ROWS:
            yield chunk
            chunk = []
    yield chunk
