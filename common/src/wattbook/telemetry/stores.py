"""Transactions of a store: a span each, and for those that write a duration.

One span a transaction and not one a statement, named as https://opentelemetry.io/docs/specs/semconv/database/
says. The words of statements are not told: they may hold what people wrote.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy.exc import SQLAlchemyError

from wattbook.errors import WattbookError
from wattbook.telemetry import catalogue, tracing
from wattbook.telemetry.metrics import Histogram
from wattbook.telemetry.tracing import Work

if TYPE_CHECKING:
    from wattbook.db.store import Store

_COMMITS = Histogram(catalogue.COMMIT_DURATION)


def observed(store: Store) -> Store:
    """``store`` with its transactions recorded; itself where nothing is."""
    if not (_COMMITS.is_kept or tracing.is_recording()):
        return store
    return cast("Store", _Observed(store))


class _Observed:
    """Passes everything on, and looks on at transactions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._facts = {"db.system.name": store.engine.dialect.name, "db.namespace": store.name}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read(self, **how: Any) -> AbstractContextManager[Any]:
        return _Transaction(self._store.read(**how), self._work("read"), None)

    def write(self, **how: Any) -> AbstractContextManager[Any]:
        labels: dict[str, str | bool] = {"store": self._store.name, "durable": bool(how.get("durable", True))}
        return _Transaction(self._store.write(**how), self._work("write"), labels)

    def _work(self, doing: str) -> Work:
        if not tracing.is_recording():
            return _NOTHING
        facts = {**self._facts, "db.operation.name": doing}
        return tracing.span(f"{doing} {self._store.name}", kind="client", attributes=facts)


_NOTHING = Work(None)


def _is_failure(error: BaseException | None) -> bool:
    """Whether the store failed; a rule that ends or refuses what was begun inside is no trouble of its."""
    if isinstance(error, WattbookError):
        return error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(error, SQLAlchemyError)


class _Transaction:
    __slots__ = ("_began_s", "_inner", "_labels", "_work")

    def __init__(
        self, inner: AbstractContextManager[Any], work: Work, labels: dict[str, str | bool] | None
    ) -> None:
        self._inner = inner
        self._work = work
        self._labels = labels
        self._began_s = 0.0

    def __enter__(self) -> Any:
        self._work.__enter__()
        self._began_s = time.perf_counter()
        try:
            connection = self._inner.__enter__()
        except BaseException as error:
            self._end(error)
            raise
        self._began_s = time.perf_counter()
        return connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            swallowed = self._inner.__exit__(kind, error, trace)
        except BaseException as ending:
            self._end(ending)
            raise
        self._end(error)
        return swallowed

    def _end(self, error: BaseException | None) -> None:
        if self._labels is not None:
            failed = {"error.type": type(error).__qualname__} if _is_failure(error) else {}
            _COMMITS.record(time.perf_counter() - self._began_s, {**self._labels, **failed})
        self._work.__exit__(type(error) if error is not None else None, error, None)
