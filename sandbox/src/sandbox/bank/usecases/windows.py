"""A window as an answer: cut at the clock, cut into pages, with what lets a client trust it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from wattbook.errors import InvalidInput

from sandbox.bank.domain.encoding import Style, array_text
from sandbox.bank.domain.rows import DataSet, Rows
from sandbox.bank.domain.sizes import WINDOW_S, window_at, window_start

MOST_ROWS = 160_000  # a page's; under 32 MiB
_CURSOR = re.compile(r"(\d{1,6})(?:\.([1-9]\d{0,3}))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """Where a client is: a window, and a page of it, from 0 on."""

    window: int
    page: int = 0

    def __str__(self) -> str:
        """As clients see it."""
        return f"{self.window}.{self.page}" if self.page else str(self.window)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a window, as text; ``next`` is where to go on, the same place where more is to come."""

    cursor: Cursor
    pages: int
    complete: bool
    rows: int
    array: bytes
    next: Cursor

    @property
    def sha256(self) -> str:
        """Of the array's text as it stands in the answer."""
        return hashlib.sha256(self.array).hexdigest()


class Windows:
    """The windows of a data set, up to an instant."""

    def __init__(self, data: DataSet) -> None:
        """Hand out ``data``."""
        self.data = data
        self.handed: Counter[str] = Counter()

    def cursor_of(self, text: str) -> Cursor:
        """The cursor that a client sent.

        Raises:
            InvalidInput: it is none of this bank's.
        """
        found = _CURSOR.fullmatch(text)
        last = self.data.last_window
        if not found or (last is not None and not self.data.first_window <= int(found[1]) <= last + 1):
            upto = "" if last is None else f" … {last + 1}"
            raise InvalidInput(
                f"cursor: {text[:40]!r} is none of this bank's; they are {self.data.first_window}{upto}, "
                "each from the 'next' of an answer"
            )
        return Cursor(int(found[1]), int(found[2] or 0))

    @property
    def first(self) -> Cursor:
        """Where a client without a place begins."""
        return Cursor(self.data.first_window)

    def page(self, source: str, cursor: Cursor, style: Style, *, now: datetime) -> Page:
        """A page of a window as it is at ``now``: of the open one what has come so far."""
        last = self.data.last_window
        exists = last is None or cursor.window <= last
        rows = self.rows(source, cursor.window, now=now) if exists else None
        complete = exists and cursor.window < window_at(now)
        have = len(rows) if rows is not None else 0
        pages = max(-(-have // MOST_ROWS), 1)
        start = cursor.page * MOST_ROWS
        taken = rows.taken(slice(start, start + MOST_ROWS)) if rows is not None else None
        array = array_text(taken, style) if taken is not None else b"[]"
        if cursor.page + 1 < pages:
            following = Cursor(cursor.window, cursor.page + 1)
        else:
            following = Cursor(cursor.window + 1) if complete else cursor
        return Page(cursor, pages, complete, len(taken) if taken is not None else 0, array, following)

    def rows(self, source: str, window: int, *, now: datetime) -> Rows:
        """A window's rows up to ``now``."""
        rows = self.data.rows(source, window)
        return rows if (window + 1) * WINDOW_S <= now.timestamp() else rows.until(now.timestamp())


def head_of(page: Page) -> bytes:
    """The beginning of an answer, up to its array."""
    start, end = (window_start(page.cursor.window + more).strftime("%Y-%m-%dT%H:%M:%SZ") for more in (0, 1))
    complete = "true" if page.complete else "false"
    several = f',"page":{page.cursor.page + 1},"pages":{page.pages}' if page.pages > 1 else ""
    return (
        f'{{"window":{{"from":"{start}","to":"{end}","complete":{complete},"rows":{page.rows},'
        f'"sha256":"{page.sha256}"{several}}},"transactions":'
    ).encode()
