"""A window as an answer: cut at the clock, cut into pages, with what lets a client trust it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from wattbook.errors import InvalidInput

from sandbox.bank.domain.encoding import Style, array_text
from sandbox.bank.domain.sizes import window_at, window_start
from sandbox.bank.usecases.bank import Bank, Fate

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
    """The bank's windows by cursor; the bank knows where each client that sends none left off."""

    def __init__(self, bank: Bank) -> None:
        """Hand out what ``bank`` has."""
        self.bank = bank

    @property
    def first(self) -> Cursor:
        """Where a client without a place begins."""
        return Cursor(self.bank.data.first_window)

    def cursor_of(self, text: str) -> Cursor:
        """The cursor that a client sent.

        Raises:
            InvalidInput: it is none of this bank's.
        """
        found = _CURSOR.fullmatch(text)
        last = self.bank.data.last_window
        if not found or (last is not None and not self.first.window <= int(found[1]) <= last + 1):
            upto = "" if last is None else f" … {last + 1}"
            raise InvalidInput(
                f"cursor: {text[:40]!r} is none of this bank's; they are {self.first}{upto}, "
                "each from the 'next' of an answer"
            )
        return Cursor(int(found[1]), int(found[2] or 0))

    def at(self, source: str, cursor: Cursor, style: Style, *, now: datetime, fate: Fate) -> Page:
        """The page at a cursor; where ``fate`` says so, of the window before it."""
        if fate.repeat and cursor.window > self.first.window:
            cursor = Cursor(cursor.window - 1)
        return self._page(source, cursor, style, now=now, shuffled=fate.reorder)

    def next_for(self, client: str, source: str, style: Style, *, now: datetime, fate: Fate) -> Page:
        """The page at which a client left off."""
        name = hashlib.sha256(f"{source} {client}".encode()).hexdigest()
        with self.bank.lock:
            places = self.bank.changes.places
            place = Cursor(*places.get(name, (self.first.window, 0)))
            again = self.bank.again(source)
            if again is not None:
                return self._page(source, Cursor(again), style, now=now, shuffled=fate.reorder)
            if fate.repeat and place.window > self.first.window:
                return self._page(source, Cursor(place.window - 1), style, now=now, shuffled=fate.reorder)
            if fate.reorder and not place.page and place.window + 1 < window_at(now):
                self.bank.come_again(source, place.window)
                place = Cursor(place.window + 1)
            page = self._page(source, place, style, now=now, shuffled=fate.reorder)
            places[name] = page.next.window, page.next.page
            return page

    def _page(self, source: str, cursor: Cursor, style: Style, *, now: datetime, shuffled: bool) -> Page:
        """A page of a window as it is at ``now``: of the open one what has come so far."""
        last = self.bank.data.last_window
        if last is not None and cursor.window > last:
            return Page(cursor, 1, False, 0, b"[]", cursor)
        complete = cursor.window < window_at(now)
        rows = self.bank.rows(source, cursor.window, now=now)
        pages = max(-(-len(rows) // MOST_ROWS), 1)
        start = cursor.page * MOST_ROWS
        rows = rows.taken(slice(start, start + MOST_ROWS))
        if shuffled:
            rows = rows.taken(np.random.default_rng(cursor.window).permutation(len(rows)))
        if cursor.page + 1 < pages:
            following = Cursor(cursor.window, cursor.page + 1)
        else:
            following = Cursor(cursor.window + 1) if complete else cursor
        self.bank.handed_out(source, cursor.window, rows=len(rows), now=now)
        return Page(cursor, pages, complete, len(rows), array_text(rows, style), following)


def head_of(page: Page) -> bytes:
    """The beginning of an answer, up to its array."""
    start, end = (window_start(page.cursor.window + more).strftime("%Y-%m-%dT%H:%M:%SZ") for more in (0, 1))
    complete = "true" if page.complete else "false"
    several = f',"page":{page.cursor.page + 1},"pages":{page.pages}' if page.pages > 1 else ""
    return (
        f'{{"window":{{"from":"{start}","to":"{end}","complete":{complete},"rows":{page.rows},'
        f'"sha256":"{page.sha256}"{several}}},"transactions":'
    ).encode()
