"""Files of trades: their bytes to send, and their rows found again to show."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from wattbook_cli.domain.batches import Refusal
from wattbook_cli.domain.stops import Stop

_CHUNK_BYTES = 256 * 1024
CSV_TYPE, NDJSON_TYPE = "text/csv", "application/x-ndjson"
_TYPES = {".csv": CSV_TYPE, ".ndjson": NDJSON_TYPE, ".jsonl": NDJSON_TYPE}
STDIN = "-"


class Source:
    """A file to book, or standard input (``-``)."""

    def __init__(self, name: str, *, content_type: str | None) -> None:
        """Look at a file; ``content_type`` says what standard input holds or a suffix does not tell.

        Raises:
            Stop: there is no such file, or nothing says what it holds.
        """
        self.name = "standard input" if name == STDIN else name
        self.path = None if name == STDIN else Path(name)
        self.size_bytes = self._size()
        found = content_type or (CSV_TYPE if self.path is None else _TYPES.get(self.path.suffix.lower()))
        if found is None:
            raise Stop(f"{name}: neither .csv nor .ndjson; --format says which it is")
        self.content_type = found

    def chunks(self, sent: Callable[[int], None]) -> Iterator[bytes]:
        """Its bytes, ``sent`` being told how many have gone."""
        if self.path is None:
            yield from _chunks(sys.stdin.buffer, sent)
        else:
            with self.path.open("rb") as file:
                yield from _chunks(file, sent)

    def placed(self, refusals: Iterable[Refusal]) -> Iterator[Refusal]:
        """Refused rows, in order, with their line and content; standard input cannot be read again."""
        if self.path is None:
            yield from refusals
            return
        with self.path.open("rb") as file:
            rows = _rows(file, is_csv=self.content_type == CSV_TYPE)
            number, line, content = 0, 0, b""
            for refusal in refusals:
                while number < refusal.row:
                    try:
                        number, line, content = next(rows)
                    except StopIteration:
                        break
                found = number == refusal.row
                text = content.decode(errors="replace").rstrip("\r\n")
                yield replace(refusal, line=line, content=text) if found else refusal

    def _size(self) -> int | None:
        if self.path is None:
            return None
        try:
            if self.path.is_dir():
                raise Stop(f"{self.name} is a folder")
            with self.path.open("rb"):
                return self.path.stat().st_size
        except OSError as error:
            raise Stop(f"cannot read {self.name}: {error.strerror or error}") from None


class RejectsFile:
    """Refused rows in a CSV file: where they are, why they were refused, what they say."""

    def __init__(self, path: Path) -> None:
        """Begin a new file.

        Raises:
            Stop: it cannot be written.
        """
        try:
            self._file = path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise Stop(f"cannot write {path}: {error.strerror or error}") from None
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(["file", "row", "line", "id", "result", "reason", "content"])

    def add(self, name: str, refusal: Refusal) -> None:
        """Write one row."""
        self._writer.writerow(
            [
                name,
                refusal.row,
                refusal.line or "",
                refusal.trade_id,
                refusal.result,
                refusal.reason,
                refusal.content,
            ]
        )

    def close(self) -> None:
        """Write out what is left."""
        self._file.close()


def _chunks(file: BinaryIO, sent: Callable[[int], None]) -> Iterator[bytes]:
    total = 0
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk
        total += len(chunk)
        sent(total)


def _rows(file: BinaryIO, *, is_csv: bool) -> Iterator[tuple[int, int, bytes]]:
    """Number, line number and content of each data row, counted as the gateway counts.

    A row is a line; blank lines and the CSV header are no rows.
    """
    number = 0
    for line_number, line in enumerate(file, start=1):
        is_header = is_csv and line_number == 1
        if not is_header and not line.isspace():
            number += 1
            yield number, line_number, line
