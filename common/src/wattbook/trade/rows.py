"""The nightly file's rows, in whatever pieces its bytes come. A row that is no trade spoils no other.

A row is a line that is not blank: a quote left open ends with it, and a line over the limit is refused alone.
So a row has the same number for everybody who reads a file with this reader.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from wattbook.errors import InvalidInput
from wattbook.trade import TRADE_FIELDS
from wattbook.trade.statement import CsvTrade, ExchangeTrade, csv_trade

MAX_LINE_BYTES = 64 * 1024
BOM = b"\xef\xbb\xbf"
TOO_LONG = f"the line is over {MAX_LINE_BYTES} bytes"

# A row: its id where it can be told, and the trade or why it is none.
CsvRow = tuple[str | None, CsvTrade | str]


class Lines:
    """Cuts bytes into lines. Of one over the limit it gives more than the limit and skips the end."""

    def __init__(self) -> None:
        """Begin before the first byte."""
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes | None) -> list[bytes]:
        """The lines that ``data`` completes, without their ends; None says that no more comes."""
        if data is None:
            last, self._rest = self._rest, b""
            return [last] if last else []
        if self._skipping:
            _, end, data = data.partition(b"\n")
            if not end:
                return []
            self._skipping = False
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            lines.append(self._rest)
            self._rest, self._skipping = b"", True
        return lines


def is_row(line: bytes) -> bool:
    """Whether a line is not blank. One over the limit is a row whatever its kept beginning looks like."""
    return line != b"" and (not line.isspace() or len(line) > MAX_LINE_BYTES)


class CsvReader:
    """A header, then a row a line. Called with what arrived (None at the end), it gives the complete rows."""

    def __init__(self, *, is_exchange: bool = False) -> None:
        """``is_exchange``: the rows are the exchange's own statements, see :class:`ExchangeTrade`."""
        self.columns: tuple[str, ...] = ()  # as the header names them, once it is read
        self._lines = Lines()
        self._pick: Callable[[Any], Any] | None = None
        self._kind = ExchangeTrade if is_exchange else CsvTrade

    def __call__(self, data: bytes | None) -> Iterator[CsvRow]:
        """The rows that are complete.

        Raises:
            InvalidInput: there is no header, or it is wrong.
        """
        return map(self.row, self.lines(data))

    def lines(self, data: bytes | None) -> list[bytes]:
        """The same as they came, each to be read by :meth:`row`. Raises the same."""
        lines = self._lines.feed(data)
        if self._pick is None:
            if data is None and not lines:
                raise InvalidInput("the body has no CSV header")
            if lines:
                self._read_header(lines.pop(0))
        return [line for line in lines if is_row(line)]

    def row(self, line: bytes) -> CsvRow:
        """What a line says."""
        if len(line) > MAX_LINE_BYTES:
            return None, TOO_LONG
        try:
            text = line.decode()
        except UnicodeError:
            return self._id_of(line.decode(errors="replace")), "not UTF-8"
        try:
            fields = csv_fields(text)
        except csv.Error as error:
            return None, f"not CSV: {error}"
        if len(fields) != len(self.columns):
            return self._id_of(text), f"expected {len(self.columns)} columns, found {len(fields)}"
        row = self._pick(fields)  # type: ignore[misc]  # set with the header
        try:
            return row[0], csv_trade(row, self._kind)
        except InvalidInput as error:
            return row[0], error.message

    def _read_header(self, line: bytes) -> None:
        try:
            names = tuple(csv_fields(line.removeprefix(BOM).decode()))
        except (UnicodeError, csv.Error):
            raise InvalidInput("the CSV header cannot be read") from None
        for name in names:
            if name not in TRADE_FIELDS:
                raise InvalidInput(f"CSV header: unknown column {name[:100]!r}")
            if names.count(name) > 1:
                raise InvalidInput(f"CSV header: column {name!r} comes twice")
        missing = [name for name in TRADE_FIELDS if name not in names]
        if missing:
            raise InvalidInput(f"CSV header: missing column {', '.join(map(repr, missing))}")
        self.columns = names
        self._pick = itemgetter(*(names.index(name) for name in TRADE_FIELDS))

    def _id_of(self, text: str) -> str | None:
        """The id of a row that is none, where the columns up to it can be told."""
        if self._pick is None or '"' in text:
            return None
        fields = text.rstrip("\r").split(",")
        padded = [*fields, *[""] * len(self.columns)]
        return self._pick(padded)[0] or None


def csv_fields(text: str) -> Sequence[str]:
    """The fields of one line.

    Raises:
        csv.Error: a quote is left open, or text follows one.
    """
    text = text.rstrip("\r\n")
    if '"' not in text:
        return text.split(",")
    return next(csv.reader([text], strict=True))
