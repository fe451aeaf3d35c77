"""The file of refused rows: the original's columns in its own order, and why each row was refused."""

from __future__ import annotations

import csv
import functools
import io
import os
from collections.abc import Iterable
from typing import BinaryIO

from wattbook.trade.rows import BOM, MAX_LINE_BYTES

from ingest_service.clients.folder import REJECTED, DropFolder
from ingest_service.domain import FolderTrouble

_CUT = " (the row is cut here; the archive has all of it)"
_REASON = "reason"


class RejectedFile:
    """Written beside its place under a temporary name, complete and durable once :meth:`publish` returns.

    Nothing is made on disk before the first row. The bytes of a row are kept as they came, and the reason
    is appended; only a row whose quotes or columns would hide the reason is written anew, quoted.
    """

    def __init__(self, folder: DropFolder, *, key: str, header: bytes) -> None:
        """Rows go to ``rejected/`` of ``folder``; ``key`` tells temporary files apart.

        ``header`` is the original's first line, without its line feed.
        """
        self._folder = folder
        self._name = f".{key[:32]}.part"
        header = header.removeprefix(BOM)
        self._line_end = b"\r\n" if header.endswith(b"\r") else b"\n"
        self._header = header.rstrip(b"\r")
        self._columns = len(_fields(self._header) or ())
        self._target: BinaryIO | None = None

    def write(self, refused: Iterable[tuple[bytes, str]]) -> None:
        """Append rows, each as its line, and why.

        Raises:
            FolderTrouble: the disk is full, or the folder cannot be written to.
        """
        try:
            for line, reason in refused:
                self._write(line, reason)
        except OSError as error:
            raise self._trouble(error) from error

    def publish(self, kept_name: str) -> None:
        """Give it its name, durably; one of that name is replaced. Raises the same."""
        if self._target is None:
            return
        try:
            self._target.flush()
            os.fsync(self._target.fileno())
            self._target.close()
            with self._folder.rejected() as folder:
                os.replace(self._name, kept_name, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
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
            with self._folder.rejected() as folder:
                os.unlink(self._name, dir_fd=folder)

    def _write(self, line: bytes, reason: str) -> None:
        if self._target is None:
            self._target = open(self._name, "wb", opener=self._create)  # noqa: SIM115  # until publish or discard
            self._target.write(_joined(self._header, _REASON, columns=None) + self._line_end)
        text = line.rstrip(b"\r")
        if len(text) > MAX_LINE_BYTES:
            text, reason = text[:MAX_LINE_BYTES], reason + _CUT
        self._target.write(_joined(text, reason, columns=self._columns) + self._line_end)

    def _create(self, name: str, flags: int) -> int:
        with self._folder.rejected() as folder:
            return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640, dir_fd=folder)

    def _trouble(self, error: OSError) -> FolderTrouble:
        return FolderTrouble(
            f"cannot write refused rows to {self._folder.inbox / REJECTED}: {error.strerror}"
        )


def keep_rejected(folder: DropFolder, kept_name: str, content: Iterable[bytes], why: str) -> None:
    """Keep a whole file in ``rejected/`` and, beside it, why in ``….errors.txt``; both durable on return.

    Raises:
        FolderTrouble: the disk is full, or the folder cannot be written to.
    """
    try:
        with folder.rejected() as rejected:
            for name, pieces in ((kept_name, content), (f"{kept_name}.errors.txt", [why.encode()])):
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
                part = f".{name[:200]}.part"
                with os.fdopen(os.open(part, flags, 0o640, dir_fd=rejected), "wb") as target:
                    target.writelines(pieces)
                    target.flush()
                    os.fsync(target.fileno())
                os.replace(part, name, src_dir_fd=rejected, dst_dir_fd=rejected)
            os.fsync(rejected)
    except OSError as error:
        raise FolderTrouble(f"cannot write to {folder.inbox / REJECTED}: {error.strerror}") from error


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
