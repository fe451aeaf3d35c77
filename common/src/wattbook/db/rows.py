"""Many rows into a table at once, as cheaply as the engine can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    CursorResult,
    Insert,
    Integer,
    Select,
    String,
    Table,
    func,
    select,
    true,
)
from sqlalchemy.dialects import postgresql

from wattbook.db.values import in_parameter, parameter_of

BLOCK_ROWS = 1_000
_MOST_VARIABLES = 32_000  # SQLite takes 32,766 a statement unless it was built otherwise


def insert_rows(
    connection: Connection,
    table: Table,
    rows: Sequence[Sequence[Any]],
    *,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Insert rows whose values stand in the order of the table's columns and are what the driver takes.

    ``meanwhile`` is called once, where the engine is another process while that is busy with the rows.

    Raises:
        IntegrityError: a row breaks a rule of the table. Some of ``rows`` may be in by then: leave the
            transaction by the error, which rolls it back.
    """
    if connection.dialect.name == "sqlite":
        _insert_blocks(connection, table, rows)
        meanwhile()
    elif rows:
        from wattbook.db.postgres_engines import copy_rows  # the driver is loaded only where it is used

        copy_rows(connection, _copy_statement(table), _copy_line(table), rows, meanwhile)
    else:
        meanwhile()


def rows_by_key(
    connection: Connection, key: Column[Any], values: Sequence[Any], *, columns: Sequence[Column[Any]]
) -> CursorResult[Any]:
    """``columns`` of the rows whose ``key`` is one of ``values``, each found by the index of ``key``.

    A row may come again where its key does.

    Asked for thousands of keys at once, PostgreSQL's planner would read the whole of a table of up to some
    hundred thousand rows, for it takes every key to be there: measured, six times as long.
    """
    return connection.execute(_by_key(connection.dialect.name, key, tuple(columns)), {"keys": list(values)})


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
def _by_key(dialect: str, key: Column[Any], columns: tuple[Column[Any], ...]) -> Select[Any]:
    if dialect == "sqlite":
        return select(*columns).where(in_parameter(key, "keys"))
    wanted = select(func.unnest(parameter_of(key, "keys")).label("key")).subquery("wanted")
    # An offset, and be it none, is what the planner looks into from outside and not over.
    found = select(*columns).where(key == wanted.c.key).offset(0).lateral("found")
    return select(*found.c).select_from(wanted.join(found, true()))


@lru_cache(maxsize=64)
def _copy_statement(table: Table) -> str:
    return f"COPY {table.name} ({', '.join(table.c.keys())}) FROM STDIN"


@lru_cache(maxsize=64)
def _copy_line(table: Table) -> str | None:
    """A place for each value of a row, None where they are not all texts and numbers."""
    if not all(isinstance(each.type, Integer | String) for each in table.c):
        return None
    return "\t".join(["%s"] * len(table.c)) + "\n"


@lru_cache(maxsize=64)
def _statement(table: Table, rows: int) -> str:
    """``OR FAIL``: else SQLite copies every page before the statement changes it, to undo half of it."""
    columns = ", ".join(table.c.keys())
    marks = f"({', '.join('?' * len(table.c))})"
    return f"INSERT OR FAIL INTO {table.name} ({columns}) VALUES {', '.join([marks] * rows)}"  # noqa: S608
