"""Nightly files, written beside the trading so that no listener waits for a disk."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from wattbook.clock import to_epoch_us
from wattbook.errors import Unavailable
from wattbook.units import CT_PER_EUR

from sandbox.exchange.domain.trades import FrameStyle, Trade, file_name
from sandbox.exchange.store import DIFFERENT, SentLog, write_whole
from sandbox.market.hours import local_midnight

_log = logging.getLogger(__name__)
_KEEP = 1000


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that was written."""

    day: date
    path: Path
    rows: int


class NightlyFiles:
    """One writer, so that two files of a day cannot overtake each other."""

    def __init__(self, *, folder: Path, style: FrameStyle, final_newline: bool) -> None:
        """Write into ``folder``."""
        self._folder = folder
        self._style = style
        self._final_newline = final_newline
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nightly-file")
        self.written: deque[WrittenFile] = deque(maxlen=_KEEP)

    def write(self, day: date, sent: SentLog) -> Future[WrittenFile]:
        """Write a day's file; the future raises ``Unavailable`` where the folder does not take it."""
        future = self._worker.submit(self._write, day, sent.snapshot())
        future.add_done_callback(_tell)
        return future

    def stop(self) -> None:
        """Finish what was begun."""
        self._worker.shutdown(wait=True)

    def _write(self, day: date, snapshot: tuple[list[Trade], dict[int, str]]) -> WrittenFile:
        begin_us, end_us = (to_epoch_us(local_midnight(day + timedelta(days=days))) for days in (0, 1))
        trades = SentLog.file_trades(snapshot, begin_us, end_us)
        rows = [_altered(trade) if mark == DIFFERENT else trade for trade, mark in trades]
        path = self._folder / file_name(day)
        try:
            write_whole(path, self._style.file(rows, final_newline=self._final_newline))
        except OSError as error:
            raise Unavailable(f"{path.name} cannot be written: {error.strerror}") from error
        written = WrittenFile(day, path, len(rows))
        self.written.append(written)
        return written


def _altered(trade: Trade) -> Trade:
    """What the file says of a trade that differs there: another price."""
    return replace(trade, price_ct=trade.price_ct + CT_PER_EUR)


def _tell(future: Future[WrittenFile]) -> None:
    error = future.exception()
    if error is not None:
        _log.error("the nightly file was not written: %s", error)
    else:
        _log.info(
            "wrote the nightly file",
            extra={"file": future.result().path.name, "rows": future.result().rows},
        )
