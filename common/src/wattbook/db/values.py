"""``column IN (many values)`` as one parameter: one prepared statement serves any number of values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Dialect, Integer, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


def in_values(column: ColumnElement[Any], values: Iterable[str] | Iterable[int]) -> ColumnElement[bool]:
    """Whether ``column`` is one of ``values`` (all str or all int), however many; uses the column's index."""
    is_int = isinstance(column.type, Integer)
    array = bindparam(None, list(values), type_=_Array(is_int=is_int))
    return (_InNumbers if is_int else _InTexts)(column, array)


def in_parameter(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """As :func:`in_values`, of a statement that is made once: the values come as the parameter ``name``.

    To make a statement anew costs as much as to run it.
    """
    is_int = isinstance(column.type, Integer)
    return (_InNumbers if is_int else _InTexts)(column, bindparam(name, type_=_Array(is_int=is_int)))


class _Array(TypeDecorator[list[Any]]):
    """A list as one parameter, in text: an array's where the engine has them, else JSON.

    The driver would look at each value on its own, which takes longer than to find them in the database.
    """

    impl = Text
    cache_ok = True

    def __init__(self, *, is_int: bool) -> None:
        """Of numbers, or of texts."""
        super().__init__()
        self.is_int = is_int

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """As SQLAlchemy asks."""
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: list[Any] | None, dialect: Dialect) -> Any:
        """As SQLAlchemy asks."""
        if dialect.name == "sqlite":
            return json.dumps(value)
        if value is None:
            return None
        return _array_text(map(str, value) if self.is_int else map(_quoted, filter(can_be_kept, value)))


def _array_text(elements: Iterable[str]) -> str:
    """As PostgreSQL reads an array (source: its documentation, "Array Input and Output Syntax")."""
    return "{" + ",".join(elements) + "}"


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def can_be_kept(text: str) -> bool:
    """Whether every engine can keep the text: PostgreSQL has no zero character and nothing beside UTF-8."""
    if "\0" in text:
        return False
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


class _InValues(FunctionElement[bool]):
    """A column, and an array."""

    name = "wattbook_in_values"
    type = Boolean()
    inherit_cache = True
    kind = ""

    def self_group(self, against: Any = None) -> _InValues:
        """Itself: SQLAlchemy would compare it with 1, and then no index is used."""
        return self


class _InTexts(_InValues):
    inherit_cache = True
    kind = "TEXT"


class _InNumbers(_InValues):
    inherit_cache = True
    kind = "BIGINT"


@compiles(_InValues, "sqlite")
def _in_values_sqlite(element: _InValues, compiler: Any, **options: Any) -> str:
    column, array = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({array}))"  # noqa: S608  # names and places only


@compiles(_InValues, "postgresql")
def _in_values_postgresql(element: _InValues, compiler: Any, **options: Any) -> str:
    column, array = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY (CAST({array} AS {element.kind}[]))"
