"""The store in a PostgreSQL database: the same promises as the embedded one, also between replicas."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress

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

    @contextmanager
    def sole(self, what: str, *, wait_s: float) -> Iterator[bool]:
        """Whether nobody else does ``what``."""
        begin = (
            f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; "
            f"SET LOCAL lock_timeout = '{max(1, round(wait_s * 1000))}ms'; "
            f"SELECT pg_advisory_xact_lock({engines.LOCK_CLASS}, {_lock_number(what)})"
        )
        with ExitStack() as held:
            try:
                with self._explained("write"):
                    held.enter_context(_letting_go(engines.transaction(self._writer, begin)))
            except Unavailable as error:
                if not postgres.is_locked(getattr(error.__cause__, "orig", None)):
                    raise
                yield False
            else:
                yield True

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


@contextmanager
def _letting_go(held: AbstractContextManager[Connection]) -> Iterator[None]:
    """The lock of a transaction that changes nothing; it is gone too where the connection is lost."""
    with ExitStack() as entered:
        entered.enter_context(held)
        yield
        with suppress(DBAPIError):
            entered.close()


def _lock_number(what: str) -> int:
    """The same on every machine, apart from the numbers that are given away."""
    return engines.FIRST_LOCK_OF_OTHERS + zlib.crc32(what.encode()) // 4
