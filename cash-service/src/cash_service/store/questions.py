"""What is asked about companies, as SQL that means the same on every engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from wattbook.db import Store, in_parameter, in_values

from cash_service.domain.balances import Sum
from cash_service.domain.periods import DAY_US, LAST_US, month_of
from cash_service.store.tables import (
    HIGH,
    account,
    bank_window,
    cell,
    company,
    failed_try,
    leg,
    rate_table,
    rounding,
    set_aside,
    state,
    stream,
)
from cash_service.store.windows import complete_to


class State(NamedTuple):
    """The versions that figures stand on."""

    data_version: int
    rates_version: int
    rates_confirmed_us: int
    rates_trouble: str
    cells_before: int
    accounts_version: int
    dialect: str
    checked_us: int
    check_trouble: str


class Filter(NamedTuple):
    """Which legs: of some accounts, from an instant on and before another; None: any."""

    accounts: Sequence[int]
    from_us: int
    before_us: int
    kinds: frozenset[int]
    flows: Sequence[int] | None = None
    country: str | None = None
    counterparty: int | None = None
    source: int | None = None
    at_least: dict[str, int] | None = (
        None  # minor units by currency; a currency that is not in it does not match
    )
    at_most: dict[str, int] | None = None


class Questions:
    """Answers from the store. Everything raises Unavailable where it cannot work now."""

    def __init__(self, store: Store) -> None:
        """Ask ``store``, which must be migrated."""
        self._store = store

    def state(self) -> State:
        """The versions."""
        with self._store.read() as connection:
            return State(*connection.execute(_STATE).one())

    def rates(self, version: int) -> tuple[int, str] | None:
        """When a table was received, and its content."""
        query = sa.select(rate_table.c.received_us, rate_table.c.content).where(
            rate_table.c.version == version
        )
        with self._store.read() as connection:
            row = connection.execute(query).first()
            return None if row is None else (int(row[0]), str(row[1]))

    def progress(self) -> tuple[int | None, dict[int, list[tuple[int, bool]]], bool]:
        """Complete to, (window, is complete) by source, and whether both sources were read to their end."""
        query = sa.select(bank_window.c.source, bank_window.c.number, bank_window.c.is_complete)
        with self._store.read() as connection:
            windows: dict[int, list[tuple[int, bool]]] = {1: [], 2: []}
            for source, number, is_complete in connection.execute(query.order_by(bank_window.c.number)):
                windows[source].append((number, bool(is_complete)))
            ends = connection.execute(sa.select(stream.c.has_end)).scalars().all()
            return complete_to(connection), windows, all(ends)

    def companies(
        self, texts: Sequence[str], *, by_id: bool, after: tuple[str, int] | None, limit: int
    ) -> list[Any]:
        """Companies of whose search text one of ``texts`` is a part; all without any."""
        order = (company.c.id,) if by_id else (company.c.sort_name, company.c.id)
        query = sa.select(company).order_by(*order).limit(limit)
        if texts:
            query = query.where(sa.or_(*(company.c.search.contains(text, autoescape=True) for text in texts)))
        if after is not None:
            key = sa.tuple_(*order)
            query = query.where(key > sa.tuple_(*((after[1],) if by_id else after)))
        with self._store.read() as connection:
            return list(connection.execute(query))

    def account_counts(self, company_ids: Sequence[int]) -> dict[int, int]:
        """How many accounts companies have."""
        query = (
            sa.select(account.c.company_id, sa.func.count())
            .where(in_values(account.c.company_id, company_ids))
            .group_by(account.c.company_id)
        )
        with self._store.read() as connection:
            return {int(row[0]): int(row[1]) for row in connection.execute(query)}

    def company(self, company_id: int) -> tuple[Any, list[Any]] | None:
        """A company and its accounts, by IBAN."""
        with self._store.read() as connection:
            row = connection.execute(_COMPANY, {"id": company_id}).first()
            return None if row is None else (row, list(connection.execute(_ACCOUNTS, {"id": company_id})))

    def accounts(self, numbers: Iterable[int]) -> dict[int, Any]:
        """Accounts by number, with the name of their company."""
        query = (
            sa.select(account, company.c.name)
            .join(company, company.c.id == account.c.company_id, isouter=True)
            .where(in_values(account.c.number, sorted(set(numbers))))
        )
        with self._store.read() as connection:
            return {row.number: row for row in connection.execute(query)}

    def account_by_iban(self, iban: str) -> int | None:
        """The number of an account."""
        query = sa.select(account.c.number).where(account.c.iban == iban)
        with self._store.read() as connection:
            return connection.execute(query).scalar()  # type: ignore[no-any-return]

    def sums_to(self, accounts: Sequence[int], at_us: int) -> list[Sum]:
        """Sums by account of every payment up to an instant, that included."""
        with self._store.read() as connection:
            before = connection.execute(sa.select(state.c.cells_before)).scalar_one()
            month = min(month_of(at_us), before)
            whole = connection.execute(_CELLS, {"accounts": accounts, "before": month})
            found = [_sum(row) for row in whole]
            months = list(range(month, month_of(at_us) + 1))
            if months and not before:  # nothing has sums yet: begin where there is anything
                first = connection.execute(sa.select(sa.func.min(leg.c.month))).scalar()
                months = list(range(month_of(at_us) if first is None else first, month_of(at_us) + 1))
            part = {"accounts": accounts, "months": months, "from_us": 0, "before_us": at_us + 1}
            found.extend(_sum(row) for row in connection.execute(_LEGS_BY_ACCOUNT, part))
            return found

    def day_sums(self, accounts: Sequence[int], from_us: int, before_us: int) -> list[Sum]:
        """Sums by day since 1970."""
        return self._period_sums(_LEGS_BY_DAY, accounts, from_us, before_us)

    def counterparty_sums(self, accounts: Sequence[int], from_us: int, before_us: int) -> list[Sum]:
        """Sums by the account on the other side."""
        return self._period_sums(_LEGS_BY_COUNTERPARTY, accounts, from_us, before_us)

    def flag_sums(self, accounts: Sequence[int] | None, at_us: int) -> list[tuple[int, Sum]]:
        """Sums to an instant by flags of the payments, before them; None: of all accounts."""
        query = _flag_sums(of_all=accounts is None)
        with self._store.read() as connection:
            before = connection.execute(sa.select(state.c.cells_before)).scalar_one()
            values = {"accounts": accounts or [], "before": before, "at_us": at_us}
            return [(flags, _sum(row)) for flags, *row in connection.execute(query, values)]

    def selection_sums(self, wanted: Filter) -> list[Sum]:
        """Sums of a selection of payments."""
        columns = (sa.literal(0).label("key"), leg.c.currency, leg.c.kind, leg.c.flow, *_SUMS)
        with self._store.read() as connection:
            months = _months_of(connection, wanted.from_us, wanted.before_us)
            query = _selected(wanted, months, *columns)
            query = query.group_by(leg.c.currency, leg.c.kind, leg.c.flow)
            return [_sum(row) for row in connection.execute(query)]

    def legs(self, wanted: Filter, *, after: tuple[int, int, int] | None, limit: int) -> list[Any]:
        """Legs of a selection, newest first; after (time, account, line) of the last one that was had."""
        order = (leg.c.time_us, leg.c.account, leg.c.line)
        found: list[Any] = []
        newest = wanted.before_us if after is None else min(wanted.before_us, after[0] + 1)
        with self._store.read() as connection:
            for month in reversed(_months_of(connection, wanted.from_us, newest)):
                query = _selected(wanted, [month], leg)
                if after is not None:
                    query = query.where(sa.tuple_(*order) < sa.tuple_(*after))
                ordered = query.order_by(*(column.desc() for column in order)).limit(limit - len(found))
                found.extend(connection.execute(ordered))
                if len(found) >= limit:
                    break
        return found

    def span(self, accounts: Sequence[int]) -> tuple[int | None, int | None]:
        """The first and the last instant with a payment."""
        with self._store.read() as connection:
            months = _months_of(connection, 0, 2**62)
            ends: list[int | None] = [None, None]
            for place, ordered in ((0, months), (1, list(reversed(months)))):
                for month in ordered:
                    pick = sa.func.min(leg.c.time_us) if place == 0 else sa.func.max(leg.c.time_us)
                    query = sa.select(pick).where(leg.c.month == month, in_values(leg.c.account, accounts))
                    ends[place] = connection.execute(query).scalar()
                    if ends[place] is not None:
                        break
            return ends[0], ends[1]

    def set_aside(
        self, accounts: Sequence[int] | None, *, first: int, before: int, reason: int,
        after: tuple[int, int, int] | None, limit: int,
    ) -> list[Any]:  # fmt: skip
        """Rows that are set aside, newest window first; None: of all accounts."""
        key = (set_aside.c.window_number, set_aside.c.source, set_aside.c.position)
        query = sa.select(set_aside).order_by(*(column.desc() for column in key)).limit(limit)
        query = query.where(set_aside.c.window_number >= first, set_aside.c.window_number < before)
        if accounts is not None:
            sides = (set_aside.c.payer_account, set_aside.c.beneficiary_account)
            query = query.where(sa.or_(*(in_values(side, accounts) for side in sides)))
        if reason:
            query = query.where(set_aside.c.reasons.bitwise_and(reason) != 0)
        if after is not None:
            query = query.where(sa.tuple_(*key) < sa.tuple_(*after))
        with self._store.read() as connection:
            return list(connection.execute(query))

    def reason_counts(self, accounts: Sequence[int] | None) -> dict[int, int]:
        """How many rows are set aside, by their reasons."""
        query = sa.select(set_aside.c.reasons, sa.func.count()).group_by(set_aside.c.reasons)
        if accounts is not None:
            sides = (set_aside.c.payer_account, set_aside.c.beneficiary_account)
            query = query.where(sa.or_(*(in_values(side, accounts) for side in sides)))
        with self._store.read() as connection:
            return {int(row[0]): int(row[1]) for row in connection.execute(query)}

    def roundings(self, accounts: Sequence[int] | None) -> list[tuple[str, str]]:
        """Currency, and what rounding left off, of each payment that was rounded."""
        query = sa.select(rounding.c.currency, rounding.c.left_off)
        if accounts is not None:
            query = query.where(in_values(rounding.c.account, accounts))
        with self._store.read() as connection:
            return [(row[0], row[1]) for row in connection.execute(query)]

    def windows(
        self, *, source: int | None, state_: str, after: tuple[int, int] | None, limit: int
    ) -> list[Any]:
        """Windows, newest first."""
        key = (bank_window.c.number, bank_window.c.source)
        query = sa.select(bank_window).order_by(*(column.desc() for column in key)).limit(limit)
        if source:
            query = query.where(bank_window.c.source == source)
        if state_:
            query = query.where(_WINDOW_STATES[state_])
        if after is not None:
            query = query.where(sa.tuple_(*key) < sa.tuple_(*after))
        with self._store.read() as connection:
            return list(connection.execute(query))

    def source_facts(self) -> tuple[list[Any], list[Any], dict[tuple[int, str], int]]:
        """Streams, counts of windows by source, and failed tries by source and reason."""
        counts = sa.select(
            bank_window.c.source, sa.func.count().label("windows"),
            sa.cast(sa.func.sum(bank_window.c.payments), sa.BigInteger).label("payments"),
            sa.cast(sa.func.sum(bank_window.c.set_aside), sa.BigInteger).label("set_aside"),
            sa.func.count().filter(bank_window.c.is_late).label("late"),
            sa.func.count().filter(bank_window.c.changes > 0).label("changed"),
        ).group_by(bank_window.c.source)  # fmt: skip
        with self._store.read() as connection:
            tries = {(row.source, row.reason): row.tries for row in connection.execute(sa.select(failed_try))}
            return list(connection.execute(sa.select(stream))), list(connection.execute(counts)), tries

    def totals(self) -> tuple[int, int]:
        """How many companies there are, and how many known accounts."""
        with self._store.read() as connection:
            companies = connection.execute(sa.select(sa.func.count()).select_from(company)).scalar_one()
            known = sa.select(sa.func.count()).where(account.c.company_id.is_not(None))
            return companies, connection.execute(known).scalar_one()

    def older_rules(self, version: int) -> int:
        """How many windows other rules have cleaned."""
        query = sa.select(sa.func.count()).where(bank_window.c.rules_version != version)
        with self._store.read() as connection:
            return int(connection.execute(query).scalar_one())

    def _period_sums(
        self, query: sa.Select[Any], accounts: Sequence[int], from_us: int, before_us: int
    ) -> list[Sum]:
        with self._store.read() as connection:
            months = _months_of(connection, from_us, before_us)
            values = {"accounts": accounts, "months": months, "from_us": from_us, "before_us": before_us}
            return [_sum(row) for row in connection.execute(query, values)]


def _sum(row: Any) -> Sum:
    key, currency, kind, flow, high, low, payments = row
    return Sum(
        key, currency, kind, flow, int(high) * HIGH + int(low), int(payments)
    )  # PostgreSQL's are Decimal


def _months_of(connection: sa.Connection, from_us: int, before_us: int) -> list[int]:
    """Months with payments within a period; empty ones cost a look for each account."""
    first, last = connection.execute(_MONTHS).one()
    if first is None or from_us >= before_us:
        return []
    return list(range(max(first, month_of(from_us)), min(last, month_of(min(before_us, LAST_US) - 1)) + 1))


def _selected(wanted: Filter, months: Sequence[int], *columns: Any) -> sa.Select[Any]:
    query = sa.select(*columns).where(
        in_values(leg.c.month, months),
        in_values(leg.c.account, wanted.accounts),
        leg.c.time_us >= wanted.from_us,
        leg.c.time_us < wanted.before_us,
        leg.c.kind.in_(sorted(wanted.kinds)),
    )
    if wanted.flows is not None:
        query = query.where(leg.c.flow.in_(wanted.flows))
    if wanted.counterparty is not None:
        query = query.where(leg.c.counterparty == wanted.counterparty)
    if wanted.source is not None:
        query = query.where(leg.c.line % 4 >= 2 if wanted.source == 2 else leg.c.line % 4 < 2)
    if wanted.country is not None:
        of_country = account.c.iban.startswith(wanted.country, autoescape=True)
        query = query.where(sa.exists().where(account.c.number == leg.c.counterparty, of_country))
    if wanted.at_least is not None:
        query = query.where(leg.c.minor >= _bound(wanted.at_least, otherwise=2**62))
    if wanted.at_most is not None:
        query = query.where(leg.c.minor <= _bound(wanted.at_most, otherwise=-1))
    return query


def _bound(by_currency: dict[str, int], *, otherwise: int) -> sa.ColumnElement[int]:
    limited = {code: min(max(minor, -1), 2**62) for code, minor in by_currency.items()}
    return sa.case(limited, value=leg.c.currency, else_=otherwise)


_MONTHS = sa.select(  # each by itself is found at an end of the key; both at once read the whole table
    sa.select(sa.func.min(leg.c.month)).scalar_subquery(),
    sa.select(sa.func.max(leg.c.month)).scalar_subquery(),
)
_STATE = sa.select(*(state.c[name] for name in State._fields))
_COMPANY = sa.select(company).where(company.c.id == sa.bindparam("id"))
_ACCOUNTS = sa.select(account).where(account.c.company_id == sa.bindparam("id")).order_by(account.c.iban)
_CELL_KEY = (cell.c.currency, cell.c.kind, cell.c.flow)
_CELL_SUMS = (
    sa.func.sum(cell.c.high).label("high"),
    sa.func.sum(cell.c.low).label("low"),
    sa.func.sum(cell.c.payments).label("payments"),
)
_CELLS = (
    sa.select(cell.c.account.label("key"), *_CELL_KEY, *_CELL_SUMS)
    .where(in_parameter(cell.c.account, "accounts"), cell.c.month < sa.bindparam("before"))
    .group_by(cell.c.account, *_CELL_KEY)
)
_HIGH = sa.literal_column(str(HIGH), sa.BigInteger)
_SUMS = (
    sa.func.sum(leg.c.minor // _HIGH).label("high"),
    sa.func.sum(leg.c.minor % _HIGH).label("low"),
    sa.func.count().label("payments"),
)
_DAY = (leg.c.time_us // sa.literal_column(str(DAY_US), sa.BigInteger)).label("key")


def _legs_by(key: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return (
        sa.select(key.label("key"), leg.c.currency, leg.c.kind, leg.c.flow, *_SUMS)
        .where(
            in_parameter(leg.c.month, "months"), in_parameter(leg.c.account, "accounts"),
            leg.c.time_us >= sa.bindparam("from_us"), leg.c.time_us < sa.bindparam("before_us"),
        )
        .group_by(sa.text("key"), leg.c.currency, leg.c.kind, leg.c.flow)
    )  # fmt: skip


_LEGS_BY_ACCOUNT = _legs_by(leg.c.account)
_LEGS_BY_DAY = _legs_by(_DAY)
_LEGS_BY_COUNTERPARTY = _legs_by(leg.c.counterparty)
_WINDOW_STATES = {
    "complete": bank_window.c.is_complete,
    "open": ~bank_window.c.is_complete,
    "late": bank_window.c.is_late,
    "changed": bank_window.c.changes > 0,
}


def _flag_sums(*, of_all: bool) -> sa.Select[Any]:
    """Cells, and legs of months that have none, by their flags."""
    key = sa.literal(0).label("key")
    cells = sa.select(cell.c.flags, key, *_CELL_KEY, *_CELL_SUMS).where(
        cell.c.month < sa.bindparam("before"), cell.c.account >= 0
    )
    legs = sa.select(leg.c.flags, key, leg.c.currency, leg.c.kind, leg.c.flow, *_SUMS).where(
        leg.c.month >= sa.bindparam("before"), leg.c.time_us <= sa.bindparam("at_us")
    )
    if not of_all:
        cells = cells.where(in_parameter(cell.c.account, "accounts"))
        legs = legs.where(in_parameter(leg.c.account, "accounts"))
    cells = cells.group_by(*_CELL_KEY, cell.c.flags)
    legs = legs.group_by(leg.c.currency, leg.c.kind, leg.c.flow, leg.c.flags)
    return sa.union_all(cells, legs)  # type: ignore[return-value]
