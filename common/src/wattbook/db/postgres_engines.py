"""SQLAlchemy engines for PostgreSQL: every ``BEGIN`` is ours and says in one journey all that it must.

The driver runs in autocommit mode; left to itself it would send a ``BEGIN`` of its own before the first
statement and the locks and limits of a transaction after that, a journey to the server each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError

from wattbook import postgres
from wattbook.db.settings import StoreSettings

# Advisory locks are numbered within a database: ours by this and what they are about.
LOCK_CLASS = 0x57617474
LOCK_OF_WRITING, LOCK_OF_MIGRATING, FIRST_LOCK_OF_OTHERS = 1, 2, 16
# The one that writes, and those that hold what only one process may do.
WRITERS, MORE_WRITERS = 2, 4
PIECE_ROWS = 500
RECYCLE_S = 1_800  # so that connections follow a database that moved

READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
WRITING = f"BEGIN; SELECT pg_advisory_xact_lock({LOCK_CLASS}, {LOCK_OF_WRITING})"
WRITING_SOON = WRITING.replace("BEGIN;", "BEGIN; SET LOCAL synchronous_commit = off;")


def arguments_of(url: str, *, name: str, settings: StoreSettings) -> dict[str, str]:
    """What libpq is told: the address's own parameters over limits of ours.

    Keepalives on both sides, so that neither waits for ever for the other where a machine or a network dies.

    Raises:
        ValueError: no such address.
    """
    given = postgres.parameters_of(url)
    session = {
        "statement_timeout": round(settings.store_statement_timeout_s * 1000),
        "lock_timeout": round(settings.store_lock_timeout_s * 1000),
        "idle_in_transaction_session_timeout": round(settings.store_idle_timeout_s * 1000),
        "tcp_keepalives_idle": 15,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
        # A plan that was kept from when a table was empty reads all of it ever after.
        "plan_cache_mode": "force_custom_plan",
        "random_page_cost": 1.1,
    }
    options = " ".join(f"-c {what}={value}" for what, value in session.items())
    ours = {
        "application_name": f"wattbook-{name}",
        "connect_timeout": "5",
        "keepalives_idle": "15",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": "15000",
        "target_session_attrs": "read-write",
    }
    # The later of two options that set the same counts.
    return {**ours, **given, "options": f"{options} {given.get('options', '')}".strip()}


def reading_engine(arguments: dict[str, str], settings: StoreSettings) -> Engine:
    """A pool for transactions that read."""
    return _engine(arguments, pool_size=settings.store_pool_size, pool_timeout=settings.store_pool_timeout_s)


def writing_engine(arguments: dict[str, str], settings: StoreSettings) -> Engine:
    """A pool for transactions that write, of which a process has one at a time, and for locks."""
    return _engine(
        arguments, pool_size=WRITERS, pool_timeout=settings.store_pool_timeout_s, more=MORE_WRITERS
    )


@contextmanager
def transaction(engine: Engine, begin: str) -> Iterator[Connection]:
    """A transaction that ``begin`` begins; committed at the end of the block, rolled back if that raises."""
    connection = _begun(engine, begin)
    try:
        yield connection
    except BaseException:
        _give_up(connection)
        raise
    with connection:
        _refuse_broken(connection)
        connection.commit()


@contextmanager
def lone_connection(engine: Engine, begin: str) -> Iterator[Connection]:
    """A connection without a transaction, told ``begin``; closed after the block, not lent again."""
    with engine.connect() as connection:
        try:
            execute_plainly(connection, begin)
            yield connection
        finally:
            connection.invalidate()


def execute_plainly(connection: Connection, statements: str) -> None:
    """Several statements in one journey, never prepared: the driver would prepare what is often repeated."""
    with driver_errors(connection, statements), _driver_connection(connection).cursor() as cursor:
        cursor.execute(statements, prepare=False)


def copy_rows(
    connection: Connection,
    statement: str,
    line: str | None,
    rows: Sequence[Sequence[Any]],
    meanwhile: Callable[[], object],
) -> None:
    """Rows by a ``COPY … FROM STDIN``.

    ``line`` is one of them as that command reads it, with a place for each text or number; None where the
    table holds something else. ``meanwhile`` is called while the server still inserts.
    """
    with (
        driver_errors(connection, statement),
        _driver_connection(connection).cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        for start in range(0, len(rows), PIECE_ROWS):  # the server inserts one while the next is written
            piece = rows[start : start + PIECE_ROWS]
            block = _block(line, piece) if line else None
            if block is not None:
                copy.write(block)
                continue
            for row in piece:
                copy.write_row(row)
        meanwhile()


def _block(line: str, rows: Sequence[Sequence[Any]]) -> str | None:
    """The rows in COPY's text format, at half of the driver's cost; None where the driver must tell.

    There a backslash has a meaning, as have tabulators and the ends of lines within a value, and a None.
    """
    block = "".join([line % tuple(row) for row in rows])
    if any(special in block for special in ("\\", "\r", "None")):
        return None
    is_whole = block.count("\n") == len(rows) and block.count("\t") == len(rows) * line.count("\t")
    return block if is_whole else None


@contextmanager
def driver_errors(connection: Connection, statement: str) -> Iterator[None]:
    """Errors of the driver used directly, as SQLAlchemy would raise them; values are not repeated."""
    try:
        yield
    except psycopg.Error as error:
        driver = _driver_connection(connection)
        lost = bool(driver.closed or driver.broken)
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement,
            None,
            error,
            psycopg.Error,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=connection.dialect,
        ) from error


def _begun(engine: Engine, begin: str) -> Connection:
    """A connection in a transaction. One that the server closed meanwhile is replaced, and with it all.

    Safe: nothing was asked of the one that is gone.
    """
    for last in (False, True):
        connection = engine.connect()
        try:
            connection.begin()
            execute_plainly(connection, begin)
        except DBAPIError as error:
            _give_up(connection)
            if last or not error.connection_invalidated:
                raise
            engine.dispose()
        else:
            return connection
    raise AssertionError("not reached")


def _give_up(connection: Connection) -> None:
    """Roll back and hand the connection back; where it is lost, the server rolls back by itself."""
    with suppress(DBAPIError):
        connection.rollback()
    connection.close()


def _refuse_broken(connection: Connection) -> None:
    """A transaction in which something failed cannot be kept: PostgreSQL would answer COMMIT by ROLLBACK."""
    if _driver_connection(connection).info.transaction_status == TransactionStatus.INERROR:
        raise RuntimeError("a statement of this transaction failed, so nothing of it can be kept")


def _driver_connection(connection: Connection) -> psycopg.Connection[Any]:
    found: Any = connection.connection.driver_connection
    return found  # type: ignore[no-any-return]


def _engine(arguments: dict[str, str], *, pool_size: int, pool_timeout: float, more: int = 0) -> Engine:
    return create_engine(
        URL.create("postgresql+psycopg"),  # empty, so that it can be shown anywhere
        connect_args={**arguments, "autocommit": True},
        pool_size=pool_size,
        max_overflow=more,
        pool_timeout=pool_timeout,
        pool_recycle=RECYCLE_S,
        pool_use_lifo=True,  # statements are prepared by connection
        use_native_hstore=False,
        hide_parameters=True,
    )
