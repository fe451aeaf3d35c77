"""``column IN (many values)`` as one parameter: one prepared statement serves any number of values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Boolean, ColumnElement, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import String


def in_values(column: ColumnElement[Any], values: Iterable[str] | Iterable[int]) -> ColumnElement[bool]:
    """Whether ``column`` is one of ``values`` (all str or all int), however many; uses the column's index."""
    return _InValues(column, bindparam(None, json.dumps(list(values)), type_=String()))


class _InValues(FunctionElement[bool]):
    """A column, and a JSON array as text."""

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
