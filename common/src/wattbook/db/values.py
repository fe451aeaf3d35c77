"""``column IN (many values)`` as one parameter: one prepared statement serves any number of values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, BindParameter, Boolean, ColumnElement, Dialect, Integer, Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


def in_values(column: ColumnElement[Any], values: Iterable[str] | Iterable[int]) -> ColumnElement[bool]:
    """Whether ``column`` is one of ``values`` (all str or all int), however many; uses the column's index."""
    return _InValues(column, bindparam(None, list(values), type_=_array_of(column)))


def in_parameter(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """As :func:`in_values`, of a statement that is made once: the values come as the parameter ``name``.

    To make a statement anew costs as much as to run it.
    """
    return _InValues(column, parameter_of(column, name))


def parameter_of(column: ColumnElement[Any], name: str) -> BindParameter[Any]:
    """The parameter ``name`` of many values of ``column``: an array, or on SQLite its JSON."""
    return bindparam(name, type_=_array_of(column))


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
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(ARRAY(BigInteger() if self.is_int else Text()))

    def bind_processor(self, dialect: Dialect) -> Any:
        """As SQLAlchemy asks; the text itself is the parameter, so that the server plans with its values."""
        if dialect.name == "sqlite":
            return json.dumps
        if self.is_int:
            return lambda values: _array_text(map(str, values))
        return lambda values: _array_text(map(_quoted, filter(can_be_kept, values)))

    def literal_processor(self, dialect: Dialect) -> Any:
        """As SQLAlchemy asks, where a statement is shown with its values."""
        text_of = self.bind_processor(dialect)
        return lambda values: "'" + text_of(values).replace("'", "''") + "'"


def _array_of(column: ColumnElement[Any]) -> _Array:
    return _Array(is_int=isinstance(column.type, Integer))


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

    def self_group(self, against: Any = None) -> _InValues:
        """Itself: SQLAlchemy would compare it with 1, and then no index is used."""
        return self


@compiles(_InValues, "sqlite")
def _in_values_sqlite(element: _InValues, compiler: Any, **options: Any) -> str:
    column, array = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({array}))"  # noqa: S608  # names and places only


@compiles(_InValues, "postgresql")
def _in_values_postgresql(element: _InValues, compiler: Any, **options: Any) -> str:
    column, array = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY ({array})"
