"""Windows of payments: each is replaced as a whole, in one transaction with its sums and its event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from wattbook import outbox
from wattbook.bus import Message
from wattbook.db import Store, insert_rows, rows_by_key

from cash_service.domain.cleaning import Cleaned, Ints, Source, legs_of
from cash_service.domain.periods import month_of, month_start_us, window_span
from cash_service.store.rows import Arrival, aside_rows, leg_rows, months_of, rounding_rows, window_row
from cash_service.store.tables import (
    HIGH,
    account,
    bank_window,
    body,
    cell,
    leg,
    rounding,
    set_aside,
    state,
    stream,
)

_MOST_KNOWN = 1_000_000  # accounts whose numbers are kept in memory
_MOST_NAMED = 1_000  # companies that an event names; more are all


class Kept(NamedTuple):
    """The answers that a window's content is read from; what they replace is kept or not.

    ``cursor``: where to go on with the source; None: that stays as it is.
    """

    body_ids: Sequence[int]
    keep_replaced: bool = False
    cursor: str | None = None


class Change(NamedTuple):
    """What a commit changed, for the event about it; ``company_ids`` empty: all."""

    data_version: int
    rates_version: int
    company_ids: Sequence[int]
    source: Source | None
    window: int


Announce = Callable[[Change], Message]


class Windows:
    """The windows that are had. Everything raises Unavailable where the store cannot work now."""

    def __init__(self, store: Store, *, announce: Announce) -> None:
        """Keep them in ``store``, which must be migrated; ``announce`` makes the events about them."""
        self._store = store
        self._announce = announce
        self._known: dict[str, tuple[int, int]] = {}
        self._known_version = -1

    def replace(self, arrival: Arrival, cleaned: Cleaned, kept: Kept | None = None) -> bool:
        """Put a window's payments in the place of those that it had; False where a later version is in."""
        with self._store.write() as connection:
            replaced = self._replace(connection, arrival, cleaned)
            if replaced and kept:
                _keep(connection, arrival, kept)
            return replaced

    def known(self, ibans: Sequence[str]) -> tuple[Ints, Ints]:
        """Number and company of each IBAN, -1 where there is none."""
        columns = (account.c.iban, account.c.number, account.c.company_id)
        with self._store.read() as connection:
            rows = rows_by_key(connection, account.c.iban, ibans, columns=columns)
            found = {row.iban: (row.number, -1 if row.company_id is None else row.company_id) for row in rows}
        pairs = np.array([found.get(iban, (-1, -1)) for iban in ibans], dtype=np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def legs(self, source: Source, number: int) -> list[Any]:
        """What is in the balances of a window, with the company of each account."""
        span = window_span(number)
        query = sa.select(leg.c.currency, leg.c.flow, leg.c.minor, leg.c.kind, account.c.company_id)
        query = query.join(account, account.c.number == leg.c.account)
        with self._store.read() as connection:
            return [
                row
                for month in months_of(span)
                for row in connection.execute(query.where(*_of_window(source, month, span)))
            ]

    def check(self, *, now_us: int) -> str:
        """Compare the sums of each month with its payments: ``""``, or what differs; it is kept and told."""
        with self._store.read() as connection:
            before = connection.execute(sa.select(state.c.cells_before)).scalar_one()
            months = connection.execute(_MONTHS, {"before": before}).scalars().all()
        wrong = [month for month in months if self._differs(month)]
        trouble = ""
        if wrong:
            first = month_start_us(wrong[0])
            trouble = f"sums of {len(wrong)} months differ from their payments, the first at {first} us"
        with self._store.write(durable=False) as connection:
            connection.execute(sa.update(state).values(checked_us=now_us, check_trouble=trouble))
        return trouble

    def _differs(self, month: int) -> bool:
        with self._store.read() as connection:
            return any(connection.execute(each, {"month": month}).first() for each in _DIFFERENCES)

    def _replace(self, connection: sa.Connection, arrival: Arrival, cleaned: Cleaned) -> bool:
        now = connection.execute(_STATE.with_for_update()).one()
        here = _this(arrival.source, arrival.number)
        had = connection.execute(sa.select(bank_window).where(*here)).first()
        if had is not None and had.version > arrival.version:
            return False
        numbers, companies, last_account = self._numbers(connection, cleaned.ibans, now)
        legs = legs_of(cleaned, source=arrival.source, numbers=numbers, companies=companies)
        span = window_span(arrival.number)
        made = [month for month in months_of(span) if month < now.cells_before]
        for month in made:
            connection.execute(_FORGET_CELLS, {"month": month})
        touched = set(np.unique(legs.account).tolist())
        if had is not None:
            touched |= _clear(connection, arrival, span)
        insert_rows(connection, leg, leg_rows(legs, cleaned, span))
        for month in made:
            _make_cells(connection, month)
        insert_rows(connection, set_aside, aside_rows(arrival, cleaned, numbers))
        insert_rows(connection, rounding, rounding_rows(arrival, cleaned, legs))
        row = window_row(arrival, cleaned, accounts_version=now.accounts_version)
        if had is None:
            connection.execute(sa.insert(bank_window), row)
        else:
            connection.execute(sa.update(bank_window).where(*here).values(row))
        if len(cleaned.rows):
            connection.execute(_COMPLETE_BEFORE, {"of": int(arrival.source), "before": arrival.number})
        cells_before = _advance(connection, now.cells_before)
        moved = {"cells_before": cells_before, "last_account": last_account}
        company_ids = _companies_of(companies, numbers, touched)
        self._commit(connection, now, moved, company_ids, arrival)
        return True

    def _commit(
        self, connection: sa.Connection, now: Any, moved: dict[str, int], ids: list[int], arrival: Arrival
    ) -> None:
        """Count the commit and announce it."""
        version = now.data_version + 1
        connection.execute(sa.update(state).values(data_version=version, **moved))
        named = ids if len(ids) <= _MOST_NAMED else []
        change = Change(version, now.rates_version, named, arrival.source, arrival.number)
        outbox.enqueue(connection, [self._announce(change)])

    def _numbers(self, connection: sa.Connection, ibans: Sequence[str], now: Any) -> tuple[Ints, Ints, int]:
        """Number and company (-1: none) of each IBAN, and the last number; new ones get numbers.

        What is remembered is of this list of companies only; numbers of a transaction that fails are given
        anew, so nothing that is new here is remembered before it is found in the store.
        """
        if self._known_version != now.accounts_version or len(self._known) > _MOST_KNOWN:
            self._known, self._known_version = {}, now.accounts_version
        absent = [iban for iban in ibans if iban not in self._known]
        columns = (account.c.iban, account.c.number, account.c.company_id)
        for row in rows_by_key(connection, account.c.iban, absent, columns=columns):
            self._known[row.iban] = (row.number, -1 if row.company_id is None else row.company_id)
        last = int(now.last_account)
        new = [iban for iban in absent if iban not in self._known]
        rows = [(last + 1 + place, iban, None, "") for place, iban in enumerate(new)]
        insert_rows(connection, account, rows)
        fresh = {iban: (number, -1) for number, iban, *_ in rows}
        pairs = [fresh.get(iban) or self._known[iban] for iban in ibans]
        found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1], last + len(new)


def _keep(connection: sa.Connection, arrival: Arrival, kept: Kept) -> None:
    """Say which answers a window is made of; those of its earlier versions are marked, or forgotten."""
    place_bodies(connection, kept.body_ids, window=arrival.number, version=arrival.version)
    replaced = (
        body.c.source == int(arrival.source),
        body.c.window_number == arrival.number,
        body.c.version < arrival.version,
    )
    if kept.keep_replaced:
        marked = sa.update(body).where(*replaced, body.c.superseded_us.is_(None))
        connection.execute(marked.values(superseded_us=arrival.received_us))
    elif arrival.version > 1:
        connection.execute(sa.delete(body).where(*replaced))
    if kept.cursor is not None:
        go_on(connection, arrival.source, kept.cursor, now_us=arrival.received_us)


def go_on(connection: sa.Connection, source: Source, cursor: str, *, now_us: int, **values: Any) -> None:
    """The source answered: note where to go on."""
    fresh = {"cursor": cursor, "last_success_us": now_us, "trouble": "", "trouble_since_us": 0, **values}
    connection.execute(sa.update(stream).where(stream.c.source == int(source)).values(fresh))


def place_bodies(connection: sa.Connection, ids: Sequence[int], *, window: int, version: int) -> None:
    """Say which window and version answers belong to; they are its parts in this order."""
    for part, each in enumerate(ids):
        values = {"window_number": window, "version": version, "part": part}
        connection.execute(sa.update(body).where(body.c.id == each).values(values))


def complete_to(connection: sa.Connection) -> int | None:
    """The instant before which every payment of both sources is had; None while there is none."""
    ends = []
    for source in Source:
        numbers = connection.execute(_COMPLETE, {"source": int(source)}).scalars().all()
        if not numbers:
            return None
        end = numbers[0]
        for number in numbers:
            if number != end:
                break
            end += 1
        ends.append(window_span(end)[0])
    return min(ends)


def _clear(connection: sa.Connection, arrival: Arrival, span: tuple[int, int]) -> set[int]:
    """Take out what the window had; the accounts that had a part in it."""
    touched: set[int] = set()
    for month in months_of(span):
        had = _of_window(arrival.source, month, span)
        touched |= set(connection.execute(sa.select(leg.c.account).distinct().where(*had)).scalars())
        connection.execute(sa.delete(leg).where(*had))
    for table in (set_aside, rounding):
        of_it = table.c.source == int(arrival.source), table.c.window_number == arrival.number
        connection.execute(sa.delete(table).where(*of_it))
    return touched


def _of_window(source: Source, month: int, span: tuple[int, int]) -> tuple[sa.ColumnElement[bool], ...]:
    """The legs of a window in a month."""
    return (
        leg.c.month == month,
        leg.c.time_us >= span[0],
        leg.c.time_us < span[1],
        leg.c.line % 4 >= 2 if source is Source.SWIFT else leg.c.line % 4 < 2,
    )


def _advance(connection: sa.Connection, cells_before: int) -> int:
    """Make the sums of months that both sources have left behind; the first month without sums."""
    found = connection.execute(_NEWEST).one()
    newest = [number for number in found if number is not None]
    if len(newest) < len(found):
        return cells_before
    behind = month_of(window_span(min(newest) + 1)[0])
    if behind <= cells_before:
        return cells_before
    first = connection.execute(sa.select(sa.func.min(leg.c.month))).scalar()
    for month in range(max(cells_before, behind if first is None else first), behind):
        _make_cells(connection, month)
    return behind


def _make_cells(connection: sa.Connection, month: int) -> None:
    connection.execute(_MAKE_CELLS, {"month": month})


def _companies_of(companies: Ints, numbers: Ints, touched: set[int]) -> list[int]:
    """Companies of the accounts; those that only the replaced content had are unknown here, so all are."""
    of = dict(zip(numbers.tolist(), companies.tolist(), strict=True))
    if not touched <= of.keys():
        return []
    return sorted({of[number] for number in touched} - {-1})


def _this(source: Source, number: int) -> tuple[sa.ColumnElement[bool], ...]:
    return bank_window.c.source == int(source), bank_window.c.number == number


_STATE = sa.select(
    state.c.data_version, state.c.accounts_version, state.c.rates_version, state.c.cells_before,
    state.c.last_account,
)  # fmt: skip
_COMPLETE = (
    sa.select(bank_window.c.number)
    .where(bank_window.c.source == sa.bindparam("source"), bank_window.c.is_complete)
    .order_by(bank_window.c.number)
)
_COMPLETE_BEFORE = (
    sa.update(bank_window)
    .where(
        bank_window.c.source == sa.bindparam("of"),
        bank_window.c.number < sa.bindparam("before"),
        ~bank_window.c.is_complete,
    )
    .values(is_complete=True)
)
_NEWEST = sa.select(
    *(
        sa.select(sa.func.max(bank_window.c.number))
        .where(bank_window.c.source == int(source), bank_window.c.is_complete)
        .scalar_subquery()
        for source in Source
    )
)
_OF_MONTH = sa.select(leg.c.account).where(leg.c.month == sa.bindparam("month")).distinct()
_FORGET_CELLS = sa.delete(cell).where(cell.c.month == sa.bindparam("month"), cell.c.account.in_(_OF_MONTH))
_KEY = (leg.c.account, leg.c.month, leg.c.currency, leg.c.kind, leg.c.flow, leg.c.flags)
_HIGH = sa.literal_column(str(HIGH), sa.BigInteger)
_SUMMED = (
    sa.select(
        *_KEY,
        sa.cast(sa.func.sum(leg.c.minor // _HIGH), sa.BigInteger).label("high"),
        sa.cast(sa.func.sum(leg.c.minor % _HIGH), sa.BigInteger).label("low"),
        sa.func.count().label("payments"),
    )
    .where(leg.c.month == sa.bindparam("month"))
    .group_by(*_KEY)
    .order_by(*_KEY)
)
_MAKE_CELLS = sa.insert(cell).from_select(list(cell.c.keys()), _SUMMED)
_KNOWN = sa.select(account.c.number).where(account.c.company_id.is_not(None))
_MADE = sa.select(cell).where(cell.c.month == sa.bindparam("month"), cell.c.account.in_(_KNOWN))
_DIFFERENCES = [
    sa.select(sa.except_(*pair).subquery()).limit(1)
    for pair in ((_SUMMED.order_by(None), _MADE), (_MADE, _SUMMED.order_by(None)))
]
_MONTHS = sa.select(leg.c.month).where(leg.c.month < sa.bindparam("before")).distinct()
