"""The store in a PostgreSQL database: the same promises as the embedded one, also between replicas."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wattbook import postgres
from wattbook.db import postgres_engines as engines
from wattbook.db.explained import explained
from wattbook.db.settings import StoreSettings
from wattbook.errors import Unavailable
from wattbook.locks import FairLock

# A migration waits for another that runs, but its statements only shortly for those who read and write:
# whoever comes after them waits for the migration.
MIGRATION_WAIT_S = 300
MIGRATION_LOCK_S = 2
_MIGRATING = (
    f"BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{MIGRATION_WAIT_S}s'; "
    f"SELECT pg_advisory_xact_lock({engines.LOCK_CLASS}, {engines.LOCK_OF_MIGRATING}); "
    f"SET LOCAL lock_timeout = '{MIGRATION_LOCK_S}s'"
)

_UNHURRIED = f"SET statement_timeout = 0; SET lock_timeout = '{MIGRATION_WAIT_S}s'"

_Held = TypeVar("_Held")


class PostgresStore:
    """One transaction at a time writes, in this process by a lock with a queue and among replicas by one
    in the database, so that a transaction may look before it changes. Readers wait for nobody.
    """  # noqa: D205

    def __init__(self, url: str, *, name: str, settings: StoreSettings) -> None:
        """Connect.

        Raises:
            Unavailable: that does not work now; the message says why.
            ValueError: no such address.
        """
        self.name = name
        self._lock = FairLock(f"the store {name}", timeout_s=settings.store_pool_timeout_s)
        self._closed = False
        arguments = engines.arguments_of(url, name=name, settings=settings)
        self.engine = engines.reading_engine(arguments, settings)
        self._writer = engines.writing_engine(arguments, settings)
        try:
            with engines.transaction(self.engine, engines.READING) as connection:
                connection.exec_driver_sql("SELECT 1")
        except (DBAPIError, PoolTimeout) as error:
            self.close()
            detail = postgres.detail_of(getattr(error, "orig", error))
            place = postgres.shown(arguments)
            raise Unavailable(f"the store {name} at {place} cannot be opened: {detail}") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One snapshot."""
        with self._explained("read"), engines.transaction(self.engine, engines.READING) as connection:
            yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """One transaction."""
        begin = engines.WRITING if durable else engines.WRITING_SOON
        with (
            self._lock.held(),
            self._explained("write"),
            engines.transaction(self._writer, begin) as connection,
        ):
            yield connection

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """One transaction of the only one that migrates."""
        with self._explained("write"), engines.transaction(self._writer, _MIGRATING) as connection:
            yield connection

    def outside(self) -> Callable[[str], None]:
        """By a connection of its own for each statement. It keeps nobody waiting, so it may wait for long."""
        return self._execute_outside

    def _execute_outside(self, statement: str) -> None:
        with self._explained("write"), engines.lone_connection(self._writer, _UNHURRIED) as connection:
            engines.execute_plainly(connection, statement)

    @contextmanager
    def sole(self, what: str, *, wait_s: float) -> Iterator[bool]:
        """Whether nobody else does ``what``."""
        with ExitStack() as held:
            transaction = engines.transaction(self._writer, _begin_alone(what, wait_s))
            yield self._is_alone(held, _letting_go(transaction)) is not None

    @contextmanager
    def shift(self, what: str, *, wait_s: float) -> Iterator[PostgresShift | None]:
        """The turn of the only one who does ``what``, a transaction of its own beside those that write."""
        begin = _begin_alone(what, wait_s).replace("BEGIN;", "BEGIN; SET LOCAL synchronous_commit = off;")
        with self._explained("write"), ExitStack() as held:
            connection = self._is_alone(held, engines.transaction(self._writer, begin))
            yield None if connection is None else PostgresShift(connection)

    def _is_alone(self, held: ExitStack, turn: AbstractContextManager[_Held]) -> _Held | None:
        """What ``turn`` gives, until ``held`` ends; None where somebody else has the turn for too long."""
        try:
            with self._explained("write"):
                return held.enter_context(turn)
        except Unavailable as error:
            if not postgres.is_locked(getattr(error.__cause__, "orig", None)):
                raise
            return None

    def close(self) -> None:
        """Let go of all connections."""
        self._closed = True
        self.engine.dispose()
        self._writer.dispose()

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        if self._closed:
            raise Unavailable(f"the store {self.name} is closed")
        with explained(self.name, doing, postgres):
            yield


class PostgresShift:
    """Looks and writes in one transaction; it waits for nobody, and nobody but the next shift for it."""

    def __init__(self, connection: Connection) -> None:
        """Work in ``connection``'s transaction."""
        self._connection = connection

    def read(self) -> AbstractContextManager[Connection]:
        """What is committed, and what this shift wrote."""
        return nullcontext(self._connection)

    def write(self) -> AbstractContextManager[Connection]:
        """Committed with the shift."""
        return nullcontext(self._connection)


@contextmanager
def _letting_go(held: AbstractContextManager[Connection]) -> Iterator[Connection]:
    """The lock of a transaction that changes nothing; it is gone too where the connection is lost."""
    with ExitStack() as entered:
        yield entered.enter_context(held)
        with suppress(DBAPIError):
            entered.close()


def _begin_alone(what: str, wait_s: float) -> str:
    return (
        f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; "
        f"SET LOCAL lock_timeout = '{max(1, round(wait_s * 1000))}ms'; "
        f"SELECT pg_advisory_xact_lock({engines.LOCK_CLASS}, {_lock_number(what)})"
    )


def _lock_number(what: str) -> int:
    """The same on every machine, apart from the numbers that are given away."""
    return engines.FIRST_LOCK_OF_OTHERS + zlib.crc32(what.encode()) // 4
