"""Many rows into a table at once, as cheaply as the engine can."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import postgresql

BLOCK_ROWS = 1_000
_MOST_VARIABLES = 32_000  # SQLite takes 32,766 a statement unless it was built otherwise


def insert_rows(connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows whose values stand in the order of the table's columns and are what the driver takes.

    Raises:
        IntegrityError: a row breaks a rule of the table. Some of ``rows`` may be in by then: leave the
            transaction by the error, which rolls it back.
    """
    if connection.dialect.name == "sqlite":
        _insert_blocks(connection, table, rows)
    elif rows:
        from wattbook.db.postgres_engines import copy_rows  # the driver is loaded only where it is used

        copy_rows(connection, _copy_statement(table), rows)


def insert_new(table: Table) -> Insert:
    """An INSERT that passes over rows which are there already, by any unique rule of ``table``.

    So two transactions that find the same row missing may both add it.
    """
    return postgresql.insert(table).on_conflict_do_nothing()  # SQLite took over these words of PostgreSQL


def _insert_blocks(connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    """Whole blocks by one statement each, the rest row by row.

    The driver gives up the interpreter's lock at every row of an ``executemany``, and while other threads
    compute it waits for the lock at every row again: measured, a fifth of the speed.
    """
    size = min(BLOCK_ROWS, _MOST_VARIABLES // len(table.c))
    whole = len(rows) - len(rows) % size
    for start in range(0, whole, size):
        values = tuple(chain.from_iterable(rows[start : start + size]))
        connection.exec_driver_sql(_statement(table, size), values)
    if whole < len(rows):
        connection.exec_driver_sql(_statement(table, 1), [tuple(row) for row in rows[whole:]])


@lru_cache(maxsize=64)
def _copy_statement(table: Table) -> str:
    return f"COPY {table.name} ({', '.join(table.c.keys())}) FROM STDIN"


@lru_cache(maxsize=64)
def _statement(table: Table, rows: int) -> str:
    """``OR FAIL``: else SQLite copies every page before the statement changes it, to undo half of it."""
    columns = ", ".join(table.c.keys())
    marks = f"({', '.join('?' * len(table.c))})"
    return f"INSERT OR FAIL INTO {table.name} ({columns}) VALUES {', '.join([marks] * rows)}"  # noqa: S608
