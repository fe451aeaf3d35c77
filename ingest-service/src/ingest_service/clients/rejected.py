"""The file of refused rows: the original's columns in its own order, and why each row was refused."""

from __future__ import annotations

import csv
import functools
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from ingest_service.clients.folder import sync_folder
from ingest_service.clients.source import SourceFile
from ingest_service.domain import FolderTrouble, NotYet, RefusedRow

LONGEST_LINE_BYTES = 64 * 1024
_CUT = " (the row is cut here; the archive has all of it)"
_BOM = b"\xef\xbb\xbf"
_REASON = "reason"


class RejectedFile:
    """Written beside its place under a temporary name, complete and durable once :meth:`publish` returns.

    Nothing is made on disk before the first row. The bytes of a row are kept as they came, and the reason
    is appended; only a row whose quotes or columns would hide the reason is written anew, quoted.
    """

    def __init__(self, source: SourceFile, *, folder: Path, key: str, keep_going: Callable[[], bool]) -> None:
        """Rows of ``source`` go to a file in ``folder``; ``key`` tells temporary files apart.

        Writing raises NotYet once ``keep_going`` says no.
        """
        self._folder = folder
        self._path = folder / f".{key[:32]}.part"
        self._rows = _Rows(source, keep_going)
        self._target: BinaryIO | None = None

    def write(self, refused: Sequence[RefusedRow]) -> None:
        """Append those rows; ascending from call to call.

        Raises:
            FolderTrouble: the disk is full, or the folder cannot be written to.
        """
        try:
            for row in refused:
                self._write(self._rows.text(row.row), row.reason)
        except OSError as error:
            raise self._trouble(error) from error

    def write_all(self, reason: str) -> None:
        """Every row, or one without text where there is none, each for the same reason. Raises the same."""
        try:
            row = 0
            for row, text in enumerate(self._rows.rest(), start=1):  # noqa: B007  # the last number is asked for
                self._write(text, reason)
            if row == 0:
                self._write(b"", reason)
        except OSError as error:
            raise self._trouble(error) from error

    def publish(self, kept_name: str) -> None:
        """Give it its name, durably; one of that name is replaced. Raises the same."""
        try:
            if self._target is not None:
                self._target.flush()
                os.fsync(self._target.fileno())
                self._target.close()
                os.replace(self._path, self._folder / kept_name)
                sync_folder(self._folder)
        except OSError as error:
            raise self._trouble(error) from error
        self._target = None

    def discard(self) -> None:
        """Forget what was written and not published."""
        if self._target is not None:
            try:
                self._target.close()
            except OSError:  # a full disk again; the file is removed anyway
                self._target = None
            self._target = None
            self._path.unlink(missing_ok=True)

    def _write(self, text: bytes, reason: str) -> None:
        if self._target is None:
            self._target = open(self._path, "wb", opener=_open_own)  # noqa: SIM115  # until publish or discard
            self._target.write(_joined(self._rows.header, _REASON, columns=None) + self._rows.line_end)
        if len(text) >= LONGEST_LINE_BYTES:
            reason += _CUT
        self._target.write(_joined(text, reason, columns=self._rows.columns) + self._rows.line_end)

    def _trouble(self, error: OSError) -> FolderTrouble:
        return FolderTrouble(f"cannot write refused rows to {self._folder}: {error.strerror}")


def refused_ids(folder: Path, kept_name: str) -> Iterator[str]:
    """The ids in a file of refused rows, as far as they are legible; nothing where there is no such file."""
    try:
        with open(folder / kept_name, encoding="utf-8-sig", errors="replace", newline="") as lines:
            for row in csv.DictReader(lines):
                if trade_id := row.get("id"):
                    yield trade_id
    except (OSError, csv.Error):
        return


def _open_own(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


class _Rows:
    """The data rows of a CSV file, numbered from 1 as the gateway numbers them: blank lines do not count."""

    def __init__(self, source: SourceFile, keep_going: Callable[[], bool]) -> None:
        self._keep_going = keep_going
        self._lines = source.lines(longest_bytes=LONGEST_LINE_BYTES)
        first = next(self._lines, b"").removeprefix(_BOM)
        self.header = first.rstrip(b"\r\n")
        self.line_end = b"\r\n" if first.endswith(b"\r\n") else b"\n"
        self.columns = len(_fields(self.header) or ())
        self._number = 0

    def text(self, number: int) -> bytes:
        """Row ``number`` without its line end, empty where there is none; ask in ascending order."""
        for text in self.rest():
            if self._number == number:
                return text
        return b""

    def rest(self) -> Iterator[bytes]:
        for line in self._lines:
            if not self._keep_going():
                raise NotYet("the service is stopping")
            if not line.isspace():
                self._number += 1
                yield line.rstrip(b"\r\n")


def _fields(text: bytes) -> list[str] | None:
    """The fields of one row, each byte one character; None where it is not one row of CSV."""
    try:
        rows = list(csv.reader([text.decode("latin-1")], strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else []


def _joined(text: bytes, reason: str, *, columns: int | None) -> bytes:
    """``text`` and the reason as its last column, the one after ``columns``."""
    ending = _ending(reason)
    if b'"' not in text and b"\r" not in text and text.count(b",") + 1 == columns:
        return text + b"," + ending
    fields = _fields(text)
    if not text and columns is None:
        return ending
    if fields is not None and (columns is None or len(fields) <= columns):
        missing = 0 if columns is None else columns - max(len(fields), 1)
        return text + b"," * (missing + 1) + ending
    if fields is None:  # quotes that do not close: the whole row becomes the text of its first column
        fields = [text.decode("latin-1")]
    wanted = columns or 1
    kept, surplus = fields[: wanted - 1], fields[wanted - 1 :]
    padding = [""] * (wanted - len(kept) - 1)
    joined = [*kept, ",".join(surplus), *padding] if surplus else [*kept, *padding, ""]
    return _csv(joined, encoding="latin-1") + b"," + ending


@functools.lru_cache(maxsize=1024)
def _ending(reason: str) -> bytes:
    return _csv([reason])


def _csv(fields: list[str], *, encoding: str = "utf-8") -> bytes:
    target = io.StringIO()
    csv.writer(target, lineterminator="").writerow(fields)
    return target.getvalue().encode(encoding)
