"""What was sent, and to whom: in memory, bounded. And what outlives the process: rows, the nightly file."""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TextIO

from sandbox.exchange.domain.trades import Trade, is_whole_row

AS_SENT, MISSING, DIFFERENT = "as_sent", "missing", "different"
FILE_MARKS = (AS_SENT, MISSING, DIFFERENT)
_KEEP_CONNECTIONS = 2000


@dataclass(slots=True)
class Connection:
    """One listener's connection and the last frames handed to it: (trade number or 0, bytes) in order."""

    number: int
    since: datetime
    until: datetime | None = None
    ended_by: str = ""
    frames: int = 0
    seqs: array[int] = field(default_factory=lambda: array("Q"))
    sizes: array[int] = field(default_factory=lambda: array("I"))


class SentLog:
    """Every trade in order, and how many listeners each was handed to."""

    def __init__(self, *, keep: int) -> None:
        """Remember the last ``keep`` trades."""
        self._keep = keep
        self._first_seq = 1
        self._trades: list[Trade] = []
        self._listeners = array("H")
        self._copies = array("H")
        self._marks: dict[int, str] = {}
        self._open: dict[int, Connection] = {}
        self._ended: deque[Connection] = deque(maxlen=_KEEP_CONNECTIONS)
        self.heard = 0  # trades handed to at least one listener

    @property
    def last_seq(self) -> int:
        """The number of the last trade, 0 before the first."""
        return self._first_seq + len(self._trades) - 1

    @property
    def first_seq(self) -> int:
        """The number of the first trade that is still remembered."""
        return self._first_seq

    def add(self, trade: Trade, *, file: str = AS_SENT) -> None:
        """Remember a trade before anybody hears of it; ``file`` says what the nightly file will say of it."""
        self._trades.append(trade)
        self._listeners.append(0)
        self._copies.append(0)
        if file != AS_SENT:
            self._marks[trade.seq] = file
        if len(self._trades) > self._keep:
            self._forget(len(self._trades) - self._keep * 9 // 10)

    def join(self, number: int, *, at: datetime) -> None:
        """A listener connected."""
        self._open[number] = Connection(number, at)

    def leave(self, number: int, *, at: datetime, ended_by: str) -> None:
        """A listener's connection ended."""
        connection = self._open.pop(number, None)
        if connection is not None:
            connection.until, connection.ended_by = at, ended_by
            self._ended.append(connection)

    def handed(self, seq: int, number: int, *, size: int, again: bool = False) -> None:
        """A frame was handed to a listener; ``seq`` 0 carries no trade, ``again`` is a copy."""
        connection = self._open[number]
        connection.frames += 1
        connection.seqs.append(seq)
        connection.sizes.append(size)
        if len(connection.seqs) > 2 * self._keep:  # what it points at is long forgotten
            del connection.seqs[: -self._keep], connection.sizes[: -self._keep]
        index = seq - self._first_seq
        if seq and index >= 0:
            self._copies[index] += 1
            if not again:
                self._listeners[index] += 1
                self.heard += self._listeners[index] == 1

    def take_back(self, number: int, *, unsent_bytes: int) -> int:
        """The last bytes written to a listener never left this machine: how many trades it did not get."""
        connection = self._open.get(number)
        lost = 0
        while connection is not None and unsent_bytes > 0 and connection.seqs:
            seq, size = connection.seqs.pop(), connection.sizes.pop()
            connection.frames -= 1
            unsent_bytes -= size
            index = seq - self._first_seq
            if seq and index >= 0:
                self._copies[index] -= 1
                if not connection.seqs or connection.seqs[-1] != seq:
                    self._listeners[index] -= 1
                    self.heard -= self._listeners[index] == 0
                    lost += 1
        return lost

    def page(
        self, *, after_seq: int, limit: int, connection: int | None = None, least_listeners: int = 0
    ) -> list[tuple[Trade, int, int]]:
        """Trades after a number, with how many listeners got them and how many copies went out in all."""
        found: list[tuple[Trade, int, int]] = []
        for seq in self._seqs_after(after_seq, connection):
            index = seq - self._first_seq
            if self._listeners[index] >= least_listeners:
                found.append((self._trades[index], self._listeners[index], self._copies[index]))
                if len(found) == limit:
                    break
        return found

    def remembers(self, at_us: int) -> bool:
        """Whether every trade executed from then on is still remembered."""
        return self._first_seq == 1 or (bool(self._trades) and self._trades[0].executed_us < at_us)

    def snapshot(self) -> tuple[list[Trade], dict[int, str]]:
        """All trades remembered and the marks of some, for reading in another thread."""
        return list(self._trades), dict(self._marks)

    @staticmethod
    def file_trades(
        snapshot: tuple[list[Trade], dict[int, str]], begin_us: int, end_us: int
    ) -> list[tuple[Trade, str]]:
        """The trades executed in a half-open interval that belong into the file, each with its mark."""
        trades, marks = snapshot
        return [
            (trade, marks.get(trade.seq, AS_SENT))
            for trade in trades
            if begin_us <= trade.executed_us < end_us and marks.get(trade.seq) != MISSING
        ]

    def connections(self) -> list[Connection]:
        """Every connection remembered, in the order of connecting."""
        return sorted((*self._ended, *self._open.values()), key=lambda connection: connection.number)

    def _seqs_after(self, after_seq: int, connection: int | None) -> Iterator[int]:
        first = max(after_seq + 1, self._first_seq)
        if connection is None:
            yield from range(first, self.last_seq + 1)
            return
        for known in self.connections():
            if known.number == connection:
                yield from sorted({seq for seq in known.seqs if seq >= first})

    def _forget(self, count: int) -> None:
        for trade in self._trades[:count]:
            self._marks.pop(trade.seq, None)
        del self._trades[:count], self._listeners[:count], self._copies[:count]
        self._first_seq += count


def write_whole(path: Path, text: str) -> None:
    """Write a file so that whoever watches its folder sees it whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    with unfinished.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


class Journal:
    """Each day's rows of the nightly file as they come, so that a restarted exchange still knows them."""

    def __init__(self, folder: Path) -> None:
        """Keep them in ``folder``."""
        self._folder = folder
        self._open: dict[date, TextIO] = {}

    def add(self, day: date, row: str) -> None:
        """Write a row down, for sure with the next :meth:`flush`."""
        file = self._open.get(day)
        if file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._path(day)
            file = self._open[day] = path.open("a", encoding="utf-8", newline="")
            if path.stat().st_size:
                file.write("\n")  # ends a row that a killed process left half-written
        file.write(f"{row}\n")

    def flush(self) -> None:
        """Hand what was added to the operating system."""
        for file in self._open.values():
            file.flush()

    def rows(self, day: date, *, but_of: str | None) -> list[str]:
        """A day's rows, except those whose id begins with ``but_of``."""
        try:
            text = self._path(day).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        rows = [row for row in text.splitlines() if is_whole_row(row)]
        return rows if but_of is None else [row for row in rows if not row.startswith(but_of)]

    def forget(self, *, before: date) -> None:
        """Drop the rows of days before ``before``."""
        for day in [day for day in self._open if day < before]:
            self._open.pop(day).close()
        for path in self._folder.glob("????-??-??.rows"):
            if path.stem < before.isoformat():
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files."""
        while self._open:
            self._open.popitem()[1].close()

    def _path(self, day: date) -> Path:
        return self._folder / f"{day}.rows"
