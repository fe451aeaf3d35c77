"""SQLAlchemy engines for one SQLite file: transactions that really begin, and a WAL that stays small.

The driver runs in autocommit mode and every ``BEGIN`` is ours: left to itself it begins only before the
first change, and then without the write lock (source: SQLAlchemy's SQLite documentation).
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, RootTransaction, create_engine, event

from wattbook import sqlite

READERS = 8
MORE_READERS = 24
READER_WAIT_S = 10.0
WRITER_CACHE_KIB = 16 * 1024
# SQLite's own 1,000 copies a page that every commit changes again and again; measured on a nightly file of
# many traders, eight times as much writes a third less and books half as fast again.
CHECKPOINT_PAGES = 8_192
LONG_WAL_BYTES = sqlite.WAL_LIMIT_BYTES
SHORTEN_WAIT_MS = 200
SHORTEN_EVERY_S = 5.0

_DURABLE = "wattbook_durable"


def reading_engine(path: Path) -> Engine:
    """A pool of connections that cannot write; each transaction is one snapshot."""
    engine = _engine(path, pool_size=READERS, max_overflow=MORE_READERS, pool_timeout=READER_WAIT_S)

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: Any) -> None:
        sqlite.patiently(lambda: sqlite.set_up(connection))
        connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def writing_engine(path: Path) -> Engine:
    """The one connection that writes; use it through :func:`begin_write`."""
    engine = _engine(path, pool_size=1, max_overflow=0)

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: Any) -> None:
        sqlite.patiently(lambda: sqlite.set_up(connection))
        connection.execute(f"PRAGMA cache_size=-{WRITER_CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        durable = connection.get_execution_options().get(_DURABLE, True)
        if connection.info.get(_DURABLE, True) != durable:  # cannot change inside a transaction
            connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            connection.info[_DURABLE] = durable
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def begin_write(connection: Connection, *, durable: bool) -> RootTransaction:
    """Begin with the write lock; the commit waits for the disk where ``durable``."""
    connection.execution_options(**{_DURABLE: durable})
    return connection.begin()


def shorten_wal(connection: Connection, path: Path) -> None:
    """Cut a WAL that grew long because readers always overlapped, now and then, without waiting long.

    Usually the checkpoint that SQLite runs every CHECKPOINT_PAGES suffices: it lets the WAL begin again
    from its start as soon as no reader needs the old part.
    """
    try:
        size_bytes = path.with_name(path.name + "-wal").stat().st_size
    except OSError:
        return
    if size_bytes <= LONG_WAL_BYTES or time.monotonic() < connection.info.get("shorten_at", 0.0):
        return
    connection.info["shorten_at"] = time.monotonic() + SHORTEN_EVERY_S
    driver: Any = connection.connection.driver_connection
    driver.execute(f"PRAGMA busy_timeout={SHORTEN_WAIT_MS}")
    try:
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError:
        pass  # the transaction is committed; the next checkpoint tries again
    finally:
        driver.execute(f"PRAGMA busy_timeout={int(sqlite.BUSY_TIMEOUT_S * 1000)}")


def _engine(path: Path, **pool: Any) -> Engine:
    return create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": sqlite.BUSY_TIMEOUT_S, "isolation_level": None, "check_same_thread": False},
        **pool,
    )
