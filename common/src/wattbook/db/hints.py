"""Conditions that change no answer and only say to one engine how to find it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


def on_sqlite(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """``condition``, which must follow from the others, for SQLite; left out elsewhere.

    A planner that estimates would count it twice.
    """
    return _OnSqlite(condition)


class _OnSqlite(FunctionElement[bool]):
    name = "wattbook_on_sqlite"
    type = Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> _OnSqlite:
        """Itself: SQLAlchemy would compare it with 1, and then no index is used."""
        return self


@compiles(_OnSqlite, "sqlite")
def _condition(element: _OnSqlite, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(_OnSqlite)
def _nothing(element: _OnSqlite, compiler: Any, **options: Any) -> str:
    return "TRUE"
