"""The store: one consistent snapshot to read, one transaction at a time to write."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wattbook import sqlite
from wattbook.db.sqlite_engines import begin_write, reading_engine, shorten_wal, writing_engine
from wattbook.errors import Unavailable
from wattbook.locks import FairLock
from wattbook.telemetry.stores import observed

_log = logging.getLogger(__name__)

WRITE_WAIT_S = 10.0


class Store(Protocol):
    """A service's own database. All methods may be called from several threads."""

    name: str
    engine: Engine

    def read(self) -> AbstractContextManager[Connection]:
        """A connection that sees one snapshot and cannot write.

        Raises:
            Unavailable: the store cannot be read now.
        """
        ...

    def write(self, *, durable: bool = True) -> AbstractContextManager[Connection]:
        """One transaction, committed at the end of the block, rolled back if that raises.

        ``durable=False`` may come back before the disk has it: only for effects that are safe to
        repeat. Do not open another write inside the block.

        Raises:
            Unavailable: the store cannot be written now; nothing of the block is kept.
        """
        ...

    def close(self) -> None:
        """Let go of all connections."""
        ...


def open_store(url: str, *, name: str) -> Store:
    """The store at ``url``; ``name`` says which one it is in errors and logs.

    Raises:
        Unavailable: it cannot be opened; the message says why.
        ValueError: no engine knows such a URL.
    """
    if url.startswith(sqlite.PREFIX):
        return observed(_SqliteStore(url, name=name))
    raise ValueError(f"no store engine for {url.partition(':')[0]!r} addresses")


class _SqliteStore:
    """One file. One connection writes, guarded by a lock with a queue; a pool of others reads."""

    def __init__(self, url: str, *, name: str) -> None:
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
        with self._explained("read"), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        with self._lock.held(), self._explained("write"), self._writer.connect() as connection:
            with begin_write(connection, durable=durable):
                yield connection
            shorten_wal(connection, self._path)

    def close(self) -> None:
        self._closed = True
        self.engine.dispose()
        self._writer.dispose()

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        if self._closed:
            raise Unavailable(f"the store {self.name} is closed")
        try:
            yield
        except PoolTimeout as error:
            raise Unavailable(f"the store {self.name} is busy; try again") from error
        except DBAPIError as error:
            reason = sqlite.reason_of(error.orig)
            if reason is None or (doing == "read" and sqlite.is_reader_writing(error.orig)):
                raise
            _log.warning(
                "the store failed",
                extra={"store": self.name, "doing": doing, "reason": reason, "error": str(error.orig)},
            )
            raise Unavailable(f"the store cannot {doing} now: {reason}; try again") from error
