"""Rows out of the three forms of a batch. A row that is no trade is said to be none; it spoils no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
from wattbook.errors import InvalidInput
from wattbook.trade.rows import BOM, MAX_LINE_BYTES, TOO_LONG, CsvReader, Lines, is_row
from wattbook.trade.statement import decode, json_trade

from gateway.usecases.batch import Reader, Row


def reader_of(mime_type: str, *, is_exchange: bool = False) -> Reader:
    """A reader for one body of that type; in CSV, ``is_exchange`` reads the exchange's own statements."""
    if mime_type == "text/csv":
        return CsvReader(is_exchange=is_exchange)
    readers: dict[str, Callable[[], Reader]] = {
        "application/json": _ArrayReader,
        "application/x-ndjson": _LinesReader,
    }
    return readers[mime_type]()


class _LinesReader:
    """NDJSON."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._begun = False

    def __call__(self, data: bytes | None) -> Iterator[Row]:
        lines = self._lines.feed(data)
        if not self._begun and lines:
            self._begun = True
            lines[0] = lines[0].removeprefix(BOM)
        for line in lines:
            if is_row(line):
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


def _json_row(line: bytes) -> Row:
    if len(line) > MAX_LINE_BYTES:
        return None, TOO_LONG
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
