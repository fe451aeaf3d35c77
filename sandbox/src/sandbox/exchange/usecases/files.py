"""Nightly files, written beside the trading so that no listener waits for a disk."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from wattbook.clock import from_epoch_us, to_epoch_us
from wattbook.errors import Unavailable
from wattbook.periods import DEFAULT_AREA, day_bounds
from wattbook.units import CT_PER_EUR

from sandbox.exchange.domain.trades import FrameStyle, Trade, file_name, file_text
from sandbox.exchange.store import DIFFERENT, MISSING, Journal, SentLog, write_whole
from sandbox.market.hours import local_day, local_midnight

_log = logging.getLogger(__name__)
_KEEP = 1000
_KEEP_ROWS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that was written."""

    day: date
    path: Path
    rows: int


class NightlyFiles:
    """One writer, so that two files of a day cannot overtake each other."""

    def __init__(
        self, *, folder: Path, style: FrameStyle, final_newline: bool, journal: Journal | None, own_ids: str
    ) -> None:
        """Write into ``folder``; what another run journaled, whose ids do not begin so, comes first."""
        self._folder = folder
        self._style = style
        self._final_newline = final_newline
        self._journal = journal
        self._own_ids = own_ids
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nightly-file")
        self.written: deque[WrittenFile] = deque(maxlen=_KEEP)

    def note(self, trade: Trade, *, mark: str) -> None:
        """Journal what the file will say of a trade."""
        if self._journal is not None and mark != MISSING:
            self._guarded(local_day(from_epoch_us(trade.executed_us)), self._row(trade, mark))

    def flush(self) -> None:
        """Let no noted trade be lost with this process."""
        if self._journal is not None:
            self._guarded()

    def write(self, day: date, sent: SentLog) -> Future[WrittenFile]:
        """Write a day's file; the future raises ``Unavailable`` where the folder does not take it."""
        self.flush()
        begin_us = to_epoch_us(local_midnight(day))
        journaled = self._journal is not None and not sent.remembers(begin_us)
        future = self._worker.submit(self._write, day, None if journaled else sent.snapshot())
        future.add_done_callback(_tell)
        return future

    def forget(self, *, today: date) -> None:
        """Drop journaled rows that no file will need any more."""
        if self._journal is not None:
            self._journal.forget(before=today - _KEEP_ROWS)

    def stop(self) -> None:
        """Finish what was begun."""
        self._worker.shutdown(wait=True)
        if self._journal is not None:
            self._journal.close()

    def _write(self, day: date, sent: tuple[list[Trade], dict[int, str]] | None) -> WrittenFile:
        """``sent`` None: it was too much to be remembered, and the journal has all of it."""
        path = self._folder / file_name(day)
        try:
            but_of = self._own_ids if sent is not None else None
            rows = self._journal.rows(day, but_of=but_of) if self._journal else []
            rows += self._own_rows(day, sent) if sent is not None else []
            write_whole(path, file_text(rows, final_newline=self._final_newline))
        except OSError as error:
            raise Unavailable(f"{path.name} cannot be written: {error.strerror}") from error
        written = WrittenFile(day, path, len(rows))
        self.written.append(written)
        return written

    def _own_rows(self, day: date, sent: tuple[list[Trade], dict[int, str]]) -> list[str]:
        begin_us, end_us = map(to_epoch_us, day_bounds(DEFAULT_AREA, day))
        return [self._row(trade, mark) for trade, mark in SentLog.file_trades(sent, begin_us, end_us)]

    def _row(self, trade: Trade, mark: str) -> str:
        """What the file says of a trade; of one that is to differ there, another price."""
        if mark == DIFFERENT:
            trade = replace(trade, price_ct=trade.price_ct + CT_PER_EUR)
        return self._style.file_row(trade)

    def _guarded(self, day: date | None = None, row: str = "") -> None:
        assert self._journal is not None
        try:
            if day is not None:
                self._journal.add(day, row)
            else:
                self._journal.flush()
        except OSError as error:
            _log.error("no trades are journaled any more: %s", error.strerror)
            self._journal = None


def _tell(future: Future[WrittenFile]) -> None:
    error = future.exception()
    if error is not None:
        _log.error("the nightly file was not written: %s", error)
    else:
        _log.info(
            "wrote the nightly file",
            extra={"file": future.result().path.name, "rows": future.result().rows},
        )
