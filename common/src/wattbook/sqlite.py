"""What the embedded store and the embedded bus share: SQLite files opened one way, errors read one way."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from wattbook.errors import Unavailable

T = TypeVar("T")

PREFIX = "sqlite:///"
FILE_MODE = 0o600
FOLDER_MODE = 0o700
BUSY_TIMEOUT_S = 5.0
# A WAL that a long reader let grow is cut back to this once it has been copied into the database.
WAL_LIMIT_BYTES = 64 * 1024 * 1024

_REASONS = {
    sqlite3.SQLITE_BUSY: "it is locked",
    sqlite3.SQLITE_LOCKED: "it is locked",
    sqlite3.SQLITE_PROTOCOL: "it is locked",
    sqlite3.SQLITE_PERM: "it is read-only",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_IOERR: "its disk failed",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is damaged",
    sqlite3.SQLITE_NOMEM: "memory is short",
}
_JITTER = random.Random()  # noqa: S311  # spreads load, hides nothing


def split_url(url: str) -> tuple[Path, dict[str, str]]:
    """The file and the options of ``sqlite:///path?name=value&…``.

    Raises:
        ValueError: it is no such address.
    """
    location, _, query = url.partition("?")
    if not location.startswith(PREFIX) or location == PREFIX:
        raise ValueError(f"{location!r} is not {PREFIX}<file>")
    options = dict(part.partition("=")[::2] for part in query.split("&") if part)
    return Path(location.removeprefix(PREFIX)).absolute(), options


def make_file(path: Path) -> None:
    """Make the file and its folder where they do not exist yet, for this user only.

    An existing file is never opened here: closing it would drop the locks that SQLite holds on it in this
    process, and another process could then damage it (source: "How To Corrupt An SQLite Database File").
    """
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE))


def set_up(connection: sqlite3.Connection) -> None:
    """What every connection needs: WAL, an fsync a commit, foreign keys.

    No ``mmap_size``: each connection's mapping would count toward the process's memory again.
    """
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA journal_size_limit={WAL_LIMIT_BYTES}")


def primary_code(error: BaseException | None) -> int | None:
    """SQLite's primary result code of an error that it raised, else None."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def reason_of(error: BaseException | None) -> str | None:
    """Why SQLite cannot work now, for people; None where the error is about what was asked of it."""
    code = primary_code(error)
    return None if code is None else _REASONS.get(code)


def is_reader_writing(error: BaseException | None) -> bool:
    """Whether a connection that is to read only was asked to write, which is a fault of ours."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY


def detail_of(error: BaseException | None) -> str:
    """What SQLite said."""
    return str(error)


def patiently(step: Callable[[], T], *, timeout_s: float = BUSY_TIMEOUT_S) -> T:
    """Run ``step`` again while another process holds SQLite's lock.

    SQLite's own waiting sleeps up to 100 ms at a time, in which others may come first again and again.

    Raises:
        sqlite3.OperationalError: still locked after ``timeout_s``, or any other error of ``step``.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_JITTER.uniform(0.0002, 0.001))


def unavailable(what: str, error: Exception) -> Unavailable | None:
    """The error to tell a caller when ``error`` means that ``what`` cannot work now, else None."""
    reason = reason_of(error) or (error.strerror if isinstance(error, OSError) else None)
    return None if reason is None else Unavailable(f"{what} cannot be used now: {reason}")
