"""Many rows at once, each engine's quickest way.

Who calls holds the lock of writing, so ids are ours to give.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection

from meter_service.domain.records import REGISTER_KEY, Reading
from meter_service.store.connection import is_postgres

Row = tuple[Any, ...]
_FIELDS = ("id", "register_id", "is_current", "flow_file_id", *Reading._fields[len(REGISTER_KEY) :])


def _named_rows() -> Any:
    """A row of the table of readings: columns of ours, then what a file says, in the order of its reading."""
    return namedtuple("ReadingRow", _FIELDS)


ReadingRow = _named_rows()
READING_COLUMNS = ", ".join(_FIELDS)


def next_id(table: str) -> int:
    """The first id of a table that was never given."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COALESCE(MAX(id), 0) + 1 FROM {table}")  # noqa: S608  # our own names
        return int(cursor.fetchone()[0])


def insert(table: str, columns: str, given: Iterable[Row]) -> int:
    """Add rows; how many."""
    return _copied(table, columns, list(given)) if is_postgres() else _inserted(table, columns, given)


def execute_many(statement: str, parameters: Iterable[Row]) -> None:
    """A statement for each of some rows."""
    if given := list(parameters):
        with connection.cursor() as cursor:
            cursor.executemany(statement, given)


def select(statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
    """The rows that a query finds."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def execute(statement: str, parameters: Sequence[Any] = ()) -> int:
    """How many rows a statement changed."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def add_readings(given: list[Row]) -> list[Row]:
    """Add current readings, as ``ReadingRow`` has them; those whose key is there already are given back."""
    return _copied_new(given) if is_postgres() else _inserted_new(given)


def _inserted(table: str, columns: str, given: Iterable[Row], unless: str = "") -> int:
    """By the driver itself: Django's cursor would look through every statement's text and values."""
    connection.ensure_connection()
    driver = connection.connection
    before = driver.total_changes
    places = ", ".join("?" * (columns.count(",") + 1))
    with connection.wrap_database_errors:
        driver.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places}) {unless}", given)  # noqa: S608
    return int(driver.total_changes - before)


def _inserted_new(given: list[Row]) -> list[Row]:
    unless = "ON CONFLICT (register_id, read_at) WHERE is_current DO NOTHING"
    if _inserted("reading", READING_COLUMNS, given, unless) == len(given):
        return []
    first, last = given[0][0], given[-1][0]
    added = {found for (found,) in select("SELECT id FROM reading WHERE id BETWEEN %s AND %s", (first, last))}
    return [row for row in given if row[0] not in added]


def _copied_new(given: list[Row]) -> list[Row]:
    keys = [(row.register_id, row.read_at) for row in map(ReadingRow._make, given)]
    taken = set(
        select(
            "SELECT k.register_id, k.read_at "
            "FROM unnest(%s::bigint[], %s::bigint[]) AS k(register_id, read_at) "
            "JOIN reading r ON r.register_id = k.register_id AND r.read_at = k.read_at AND r.is_current",
            ([register for register, _ in keys], [read_at for _, read_at in keys]),
        )
    )
    new: list[Row] = []
    old: list[Row] = []
    for key, row in zip(keys, given, strict=True):
        (old if key in taken else new).append(row)
        taken.add(key)
    _copied("reading", READING_COLUMNS, new)
    return old


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _copied(table: str, columns: str, given: list[Row]) -> int:
    if given:
        statement = f"COPY {table} ({columns}) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(_block(given))
    return len(given)


def _block(given: list[Row]) -> str:
    """Rows in COPY's text format, at half of the driver's cost."""
    tabs = len(given[0]) - 1
    line = "%s\t" * tabs + "%s\n"
    block = "".join([line % row for row in given])
    is_plain = "None" not in block and "\\" not in block and "\r" not in block
    if is_plain and block.count("\t") == len(given) * tabs and block.count("\n") == len(given):
        return block
    return "".join(["\t".join([_field(value) for value in row]) + "\n" for row in given])


def _field(value: Any) -> str:
    return "\\N" if value is None else str(value).translate(_ESCAPES)
