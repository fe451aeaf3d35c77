"""``column IN (many values)`` as one parameter: one prepared statement serves any number of values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, Dialect, Integer, Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


def in_values(column: ColumnElement[Any], values: Iterable[str] | Iterable[int]) -> ColumnElement[bool]:
    """Whether ``column`` is one of ``values`` (all str or all int), however many; uses the column's index."""
    array = _Array(is_int=isinstance(column.type, Integer))
    return _InValues(column, bindparam(None, list(values), type_=array))


class _Array(TypeDecorator[list[Any]]):
    """A list as one parameter: an array where the engine has them, else JSON."""

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

    def process_bind_param(self, value: list[Any] | None, dialect: Dialect) -> Any:
        """As SQLAlchemy asks."""
        if dialect.name == "sqlite":
            return json.dumps(value)
        return value if self.is_int or value is None else list(filter(can_be_kept, value))


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
