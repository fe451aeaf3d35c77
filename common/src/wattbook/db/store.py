"""The store: one consistent snapshot to read, one transaction at a time to write."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection, Engine

from wattbook import sqlite
from wattbook.db.settings import StoreSettings, check
from wattbook.db.sqlite_store import SqliteStore
from wattbook.telemetry.stores import observed

_POSTGRES = "postgresql"


class Shift(Protocol):
    """The turn of the only one who does something; see :meth:`Store.shift`."""

    def read(self) -> AbstractContextManager[Connection]:
        """A connection to look with, also at what this shift has written."""
        ...

    def write(self) -> AbstractContextManager[Connection]:
        """A connection to write with; those who write in :meth:`Store.write` need not wait for it."""
        ...


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
            Unavailable: the store cannot be written now; nothing of the block is kept. Only where the
                connection broke at the commit itself all of it may be kept: what is written must bear
                being written again.
            RuntimeError: a statement failed and the block went on as if it had not.
        """
        ...

    def migrating(self) -> AbstractContextManager[Connection]:
        """One transaction that changes the schema; no other process migrates meanwhile.

        Raises:
            Unavailable: the store cannot be changed now, or another migrates for too long.
        """
        ...

    def outside(self) -> Callable[[str], None] | None:
        """What runs one statement outside of a transaction, without a limit of time, for migrations.

        It raises Unavailable where the store cannot be changed now. None where the engine has no need of it.
        """
        ...

    def sole(self, what: str, *, wait_s: float) -> AbstractContextManager[bool]:
        """Whether, for the block, no other process or thread does ``what`` with this store.

        It waits ``wait_s`` for its turn. Where the connection to the store breaks inside the block another
        may begin: do only what is safe to do twice.

        Raises:
            Unavailable: that cannot be known now.
        """
        ...

    def shift(self, what: str, *, wait_s: float) -> AbstractContextManager[Shift | None]:
        """As :meth:`sole`, for work that comes in pieces: look, act elsewhere, write down what is done.

        None where another's shift lasts longer than ``wait_s``. What is written counts from the end of the
        block and may be lost in a crash: only for effects that are safe to repeat.

        Raises:
            Unavailable: the store cannot be used now; nothing that was written in the block is kept.
        """
        ...

    def close(self) -> None:
        """Let go of all connections."""
        ...


def open_store(url: str, *, name: str, settings: StoreSettings | None = None) -> Store:
    """The store at ``url``; ``name`` says which one it is in errors and logs.

    ``sqlite:///file`` or ``postgresql+psycopg://user@host1:5432,host2:5432/database?sslmode=…``, with any
    parameter that libpq knows.

    Raises:
        Unavailable: it cannot be opened; the message says why.
        ValueError: no engine knows such a URL, or a setting is no limit.
    """
    settings = settings or StoreSettings()
    check(settings)
    if url.startswith(sqlite.PREFIX):
        return observed(SqliteStore(url, name=name))
    kind = url.partition(":")[0]
    if kind.startswith(_POSTGRES):
        from wattbook.db.postgres_store import PostgresStore  # the driver is loaded only where it is used

        return observed(PostgresStore(url, name=name, settings=settings))
    raise ValueError(f"no store engine for {kind!r} addresses")
