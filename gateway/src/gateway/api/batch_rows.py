"""Rows out of the three forms of a batch. A row that is no trade is said to be none; it spoils no other."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any

import msgspec
from wattbook.errors import InvalidInput
from wattbook.trades import TRADE_FIELDS

from gateway.domain.trades import csv_trade, decode, json_trade
from gateway.usecases.batch import Reader, Row

MAX_LINE_BYTES = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_TOO_LONG = f"the line is over {MAX_LINE_BYTES} bytes"


def reader_of(mime_type: str) -> Reader:
    """A reader for one body of that type."""
    readers: dict[str, Callable[[], Reader]] = {
        "application/json": _ArrayReader,
        "application/x-ndjson": _LinesReader,
        "text/csv": _CsvReader,
    }
    return readers[mime_type]()


class _Lines:
    """Cuts bytes into lines, none kept longer than the limit; the end of an overlong one is skipped."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes | None) -> list[bytes]:
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


class _LinesReader:
    """NDJSON."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self._begun = False

    def __call__(self, data: bytes | None) -> Iterator[Row]:
        lines = self._lines.feed(data)
        if not self._begun and lines:
            self._begun = True
            lines[0] = lines[0].removeprefix(_BOM)
        for line in lines:
            if line and not line.isspace():
                yield _json_row(line)


class _ArrayReader:
    """A JSON array, whole."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def __call__(self, data: bytes | None) -> Iterator[Row]:
        if data is not None:
            self._pieces.append(data)
            return
        for element in decode(_array.decode, b"".join(self._pieces)):
            yield _json_row(bytes(element))


_array = msgspec.json.Decoder(list[msgspec.Raw])


class _CsvReader:
    """The nightly file: a header, then a row a line; a quote left open ends with its line."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self._pick: Callable[[Any], Any] | None = None
        self._columns = 0

    def __call__(self, data: bytes | None) -> Iterator[Row]:
        lines = self._lines.feed(data)
        if self._pick is None:
            if data is None and not lines:
                raise InvalidInput("the body has no CSV header")
            if not lines:
                return
            self._read_header(lines.pop(0))
        for line in lines:
            if line and not line.isspace():
                yield self._row(line)

    def _read_header(self, line: bytes) -> None:
        try:
            names = _fields(line.removeprefix(_BOM).decode())
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
        self._columns = len(names)
        self._pick = itemgetter(*(names.index(name) for name in TRADE_FIELDS))

    def _row(self, line: bytes) -> Row:
        if len(line) > MAX_LINE_BYTES:
            return None, _TOO_LONG
        try:
            text = line.decode()
        except UnicodeError:
            return self._id_of(line.decode(errors="replace")), "not UTF-8"
        try:
            fields = _fields(text)
        except csv.Error as error:
            return None, f"not CSV: {error}"
        if len(fields) != self._columns:
            return self._id_of(text), f"expected {self._columns} columns, found {len(fields)}"
        row = self._pick(fields)  # type: ignore[misc]  # set with the header
        try:
            return row[0], csv_trade(row)
        except InvalidInput as error:
            return row[0], error.message

    def _id_of(self, text: str) -> str | None:
        """The id of a row that is none, where the columns up to it can be told."""
        if self._pick is None or '"' in text:
            return None
        fields = text.rstrip("\r").split(",")
        padded = [*fields, *[""] * self._columns]
        return self._pick(padded)[0] or None


def _fields(text: str) -> Sequence[str]:
    text = text.rstrip("\r\n")
    if '"' not in text:
        return text.split(",")
    return next(csv.reader([text], strict=True))


def _json_row(line: bytes) -> Row:
    if len(line) > MAX_LINE_BYTES:
        return None, _TOO_LONG
    try:
        trade = json_trade(line)
    except InvalidInput as error:
        return _json_id(line), error.message
    return trade.id, trade


def _json_id(line: bytes) -> str | None:
    try:
        return _identified.decode(line).id
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None


class _Identified(msgspec.Struct):
    id: str


_identified = msgspec.json.Decoder(_Identified)
