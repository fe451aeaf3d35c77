"""From an answer of the bank, as it was written down, to payments in the balances."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from cash_service.clients.bank import Failed
from cash_service.clients.dialects import (
    ORIGINAL,
    ROWS,
    joined,
    packed_rows,
    read_original,
    read_page,
    read_rows,
)
from cash_service.domain.cleaning import Rows, Source, clean
from cash_service.store.bank import BankStore, Body, Standing, WindowState
from cash_service.store.rows import Arrival
from cash_service.store.windows import Kept, Windows


class Read(NamedTuple):
    """What an answer said: where to go on, and whether it changed anything; what it changed is written."""

    cursor: str
    changed: bool


def take(bank: BankStore, windows: Windows, body: Body) -> Read:
    """Put what an answer has into the balances.

    Raises:
        Failed: it counts for nothing; it is forgotten.
        Unavailable: the store cannot be written now; the answer waits.
    """
    try:
        if body.dialect == ORIGINAL:
            return _take_original(bank, windows, body)
        return _take_page(bank, windows, body)
    except Failed:
        bank.drop([body.id])
        raise


def clean_again(bank: BankStore, windows: Windows, had: WindowState) -> bool:
    """Clean a window's kept payments by today's rules and accounts; False where nothing is kept of it."""
    rows = kept_rows(bank, had.source, had.number, version=had.version)
    if rows is None:
        return False
    arrival = Arrival(*had)
    return windows.replace(arrival, clean(rows, source=had.source, window=had.number))


def kept_rows(bank: BankStore, source: Source, window: int, *, version: int) -> Rows | None:
    """A window's payments as they came; None where nothing is kept."""
    bodies = bank.bodies(source, window, version=version)
    return _together([_rows_of(body) for body in bodies]) if bodies else None


def _rows_of(body: Body) -> Rows:
    return read_rows(body.content) if body.dialect == ROWS else read_page(body.content).rows


def _take_page(bank: BankStore, windows: Windows, body: Body) -> Read:
    page = read_page(body.content)
    standing = bank.standing(body.source, page.window)
    had = standing.had
    version = had.version + 1 if had else 1
    parts, sha256, rows = [body.id], page.sha256, page.rows
    if page.pages > 1:
        earlier = [each for each in bank.bodies(body.source, page.window) if each.part < page.page - 1]
        parts = [each.id for each in _latest(earlier)] + parts
        if page.page < page.pages:
            bank.place(parts, window=page.window, version=version)
            return Read(page.next, changed=False)
        if len(parts) != page.pages:
            raise Failed("pages", f"the window has {page.pages} pages and {len(parts)} of them were had")
        pages = [read_page(each.content) for each in _latest(earlier)] + [page]
        sha256 = hashlib.sha256("".join(each.sha256 for each in pages).encode()).hexdigest()
        rows = _together([each.rows for each in pages])
    arrival = _arrival(body, page.window, standing, is_complete=page.is_complete, sha256=sha256)
    changed = _put(bank, windows, arrival, had, rows, parts, page.next)
    return Read(page.next, changed)


def _take_original(bank: BankStore, windows: Windows, body: Body) -> Read:
    changed = False
    for number, rows in sorted(read_original(body.content).items()):
        standing = bank.standing(body.source, number)
        had = standing.had
        if had:
            known = kept_rows(bank, body.source, number, version=had.version)
            rows = joined(known, rows) if known else rows  # noqa: PLW2901
        content = packed_rows(rows)
        sha256 = hashlib.sha256(content).hexdigest()
        arrival = _arrival(body, number, standing, is_complete=False, sha256=sha256)
        if had and (had.sha256, had.is_complete) == (sha256, arrival.is_complete):
            continue
        kept = bank.write_down(body.source, content, dialect=ROWS, received_us=body.received_us)
        changed |= _put(bank, windows, arrival, had, rows, [kept.id])
    bank.drop([body.id])
    return Read("", changed)


def _arrival(body: Body, number: int, standing: Standing, *, is_complete: bool, sha256: str) -> Arrival:
    had, newest_complete, newest = standing
    is_complete |= newest is not None and newest > number
    is_late = (newest_complete is not None and newest_complete > number) if had is None else had.is_late
    version, changes = (had.version, had.changes) if had else (0, 0)
    if had is None or had.sha256 != sha256:
        version += 1
        changes += bool(had and had.is_complete)
    return Arrival(body.source, number, version, is_complete, is_late, changes, sha256, body.received_us)


def _put(
    bank: BankStore, windows: Windows, arrival: Arrival, had: WindowState | None, rows: Rows,
    parts: Sequence[int], cursor: str | None = None,
) -> bool:  # fmt: skip
    """Put a window in, unless it is there already; whether anything changed."""
    same = had is not None and had.sha256 == arrival.sha256
    if had is not None and same and had.is_complete == arrival.is_complete:
        bank.drop(parts)
        return False
    kept = None if same else Kept(parts, had is not None and had.is_complete, cursor)
    windows.replace(arrival, clean(rows, source=arrival.source, window=arrival.number), kept)
    if same:
        bank.drop(parts)
    return True


def _latest(bodies: Sequence[Body]) -> list[Body]:
    """Of each part the newest."""
    return [body for _, body in sorted({body.part: body for body in bodies}.items())]


def _together(many: Sequence[Rows]) -> Rows:
    if len(many) == 1:
        return many[0]
    whole = Rows()
    for rows in many:
        start = len(whole)
        for name in ("ids", "payers", "beneficiaries", "amounts", "currencies", "times"):
            getattr(whole, name).extend(getattr(rows, name))
        whole.unreadable.update({start + place: text for place, text in rows.unreadable.items()})
    return whole
