"""The store in one SQLite file."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Connection

from wattbook import sqlite
from wattbook.db.explained import explained
from wattbook.db.sqlite_engines import begin_write, reading_engine, shorten_wal, writing_engine
from wattbook.errors import Unavailable
from wattbook.locks import FairLock

WRITE_WAIT_S = 10.0
LOCK_AGAIN_S = 0.005


class SqliteStore:
    """One file. One connection writes, guarded by a lock with a queue; a pool of others reads."""

    def __init__(self, url: str, *, name: str) -> None:
        """Open the file, or make it.

        Raises:
            Unavailable: that does not work; the message says why.
        """
        self.name = name
        self._path, _ = sqlite.split_url(url)
        self._lock = FairLock(f"the store {name}", timeout_s=WRITE_WAIT_S)
        self._closed = False
        try:
            sqlite.make_file(self._path)
            self.engine = reading_engine(self._path)
            self._writer = writing_engine(self._path)
            with self.write() as connection:
                connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        except (OSError, Unavailable) as error:
            cause = getattr(error.__cause__, "orig", error.__cause__)
            detail = error.strerror if isinstance(error, OSError) else str(cause or error)
            raise Unavailable(f"the store {name} at {self._path} cannot be opened: {detail}") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One snapshot."""
        with self._explained("read"), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """One transaction."""
        with self._lock.held(), self._explained("write"), self._writer.connect() as connection:
            with begin_write(connection, durable=durable):
                yield connection
            shorten_wal(connection, self._path)

    def migrating(self) -> AbstractContextManager[Connection]:
        """One transaction; who writes waits."""
        return self.write()

    def outside(self) -> None:
        """Nothing: whoever migrates is the only one who writes anyway."""

    @contextmanager
    def sole(self, what: str, *, wait_s: float) -> Iterator[bool]:
        """Whether nobody else does ``what``."""
        path = self._path.with_name(f"{self._path.name}-{what}.lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, sqlite.FILE_MODE)
        except OSError as error:
            raise Unavailable(f"the store cannot write now: {error.strerror}; try again") from error
        try:
            yield _locked(descriptor, wait_s)
        finally:
            os.close(descriptor)  # the system lets go of the lock, also where the process dies

    @contextmanager
    def shift(self, what: str, *, wait_s: float) -> Iterator[SqliteShift | None]:
        """The turn of the only one who does ``what``."""
        with self.sole(what, wait_s=wait_s) as mine:
            yield SqliteShift(self) if mine else None

    def close(self) -> None:
        """Let go of all connections."""
        self._closed = True
        self.engine.dispose()
        self._writer.dispose()

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        if self._closed:
            raise Unavailable(f"the store {self.name} is closed")
        with explained(self.name, doing, sqlite):
            yield


class SqliteShift:
    """Each look and each writing is a transaction: one over all of it would hold up everybody who writes."""

    def __init__(self, store: SqliteStore) -> None:
        """Work in ``store``."""
        self._store = store

    def read(self) -> AbstractContextManager[Connection]:
        """One snapshot."""
        return self._store.read()

    def write(self) -> AbstractContextManager[Connection]:
        """One transaction, which does not wait for the disk."""
        return self._store.write(durable=False)


def _locked(descriptor: int, wait_s: float) -> bool:
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(LOCK_AGAIN_S)
        else:
            return True
