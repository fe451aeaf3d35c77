"""The one parse of a nightly file: its rows, and what the gateway and the feed say of each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from wattbook.errors import InvalidInput, WattbookError
from wattbook.trade.rows import CsvReader, Lines, is_row

from ingest_service.clients import DropFolder, RejectedFile, SourceFile
from ingest_service.domain import FiledRow, ListedRow, NotYet, Verdict, filed_trade, shown
from ingest_service.usecases.reconciliation import Comparison

_log = logging.getLogger(__name__)

CHUNK_ROWS = 1_000


class FileRows:
    """The one parse of a file: its rows in order, each with what the gateway said of it.

    The gateway lists what it refused, ascending; every row before, between and after is booked.
    """

    def __init__(
        self, source: SourceFile, *, folder: DropFolder, key: str, keep_going: Callable[[], bool]
    ) -> None:
        """Reading raises NotYet once ``keep_going`` says no."""
        self._source = source
        self._keep_going = keep_going
        lines = self._lines()
        header = next(lines, b"")
        self._rows = enumerate((line for line in lines if is_row(line)), start=1)
        self._reader = CsvReader(is_exchange=True)
        self._header = header
        self._comparison: Comparison | None = None
        self._filed: list[FiledRow] = []
        self.rejected = RejectedFile(folder, key=key, header=header)

    def compare_with(self, comparison: Comparison) -> None:
        """From the first row on."""
        try:
            self._reader.lines(self._header + b"\n")
        except InvalidInput:
            return  # it will be refused as a whole
        self._comparison = comparison

    def refuse(self, refused: Sequence[ListedRow]) -> None:
        """These were refused, and those before them that were not named are booked.

        Raises:
            FolderTrouble: they cannot be written down. Unavailable: they cannot be compared now.
        """
        self.rejected.write(self._refused(refused))

    def finish(self, *, name: str, sha256: str) -> None:
        """All others are booked; keep the reconciliation. Raises the same."""
        if self._comparison is None:
            return
        for number, line in self._rows:
            self._file(number, line)
        self._compare(least_rows=1)
        if self._comparison is not None:
            self._comparison.record(name=name, sha256=sha256)

    def refuse_all(self, reason: str) -> None:
        """No row is booked; where there is none, one without text says why."""
        lines = [line for _, line in self._rows] or [b""]
        self.rejected.write((line, reason) for line in lines)

    def _refused(self, listed: Iterable[ListedRow]) -> Iterator[tuple[bytes, str]]:
        for each in listed:
            line = self._line_of(each)
            if each.verdict is not Verdict.CORRECTED:
                yield line, each.reason

    def _line_of(self, verdict: ListedRow) -> bytes:
        for number, line in self._rows:
            if number == verdict.row:
                self._file(number, line, verdict)
                return line
            self._file(number, line)
        return b""  # the gateway counted more rows than there are

    def _file(self, number: int, line: bytes, refused: ListedRow | None = None) -> None:
        if self._comparison is None:
            return
        trade_id, trade = self._reader.row(line)
        verdict, reason, booked = Verdict.BOOKED, "", ""
        if refused is not None:
            verdict, reason, booked = refused.verdict, refused.reason, refused.booked
        try:
            stated = None if isinstance(trade, str) else filed_trade(trade)
        except InvalidInput:
            stated = None  # its quantity is none
        self._filed.append(FiledRow(number, trade_id or "", stated, verdict, reason, booked))
        self._compare(least_rows=CHUNK_ROWS)

    def _compare(self, *, least_rows: int) -> None:
        if self._comparison is None or len(self._filed) < least_rows:
            return
        filed, self._filed = self._filed, []
        try:
            self._comparison.add(filed)
        except (NotYet, WattbookError, OSError):
            raise
        except Exception:  # a fault of ours must not keep the file out of the archive
            _log.exception("%s could not be compared with the feed", shown(self._source.name))
            self._comparison = None

    def _lines(self) -> Iterator[bytes]:
        lines = Lines()
        for chunk in self._source.chunks():
            if not self._keep_going():
                raise NotYet("the service is stopping")
            yield from lines.feed(chunk)
        yield from lines.feed(None)
