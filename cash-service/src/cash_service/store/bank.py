"""What was had of the bank: who asks it, its answers as they came, its companies and its rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
import zstandard
from wattbook import outbox
from wattbook.db import Store, in_values, insert_rows

from cash_service.domain.cleaning import RULES_VERSION, Source
from cash_service.domain.companies import Company, owners_of, search_text
from cash_service.store.tables import (
    account,
    bank_window,
    body,
    company,
    failed_try,
    rate_table,
    state,
    stream,
)
from cash_service.store.windows import Announce, Change, go_on, place_bodies

MOST_BODY_BYTES = 64 * 1024 * 1024
_MOST_TROUBLE = 500


class Deposed(Exception):  # what happened, no error
    """Another replica asks the bank now."""


class Stream(NamedTuple):
    """Where one source is: its next cursor, and whether it has given all that there was, once."""

    cursor: str
    has_end: bool
    trouble: str
    trouble_since_us: int


class Body(NamedTuple):
    """An answer as it came."""

    id: int
    source: Source
    window: int | None
    version: int
    part: int
    dialect: str
    content: bytes
    received_us: int


class WindowState(NamedTuple):
    """What is in the balances of a window."""

    source: Source
    number: int
    version: int
    is_complete: bool
    is_late: bool
    changes: int
    sha256: str
    received_us: int


class Standing(NamedTuple):
    """A window, and the newest one of its source that is complete, and of which anything was had."""

    had: WindowState | None
    newest_complete: int | None
    newest: int | None


class BankStore:
    """Everything raises :class:`wattbook.errors.Unavailable` where the store cannot work now."""

    def __init__(self, store: Store, *, announce: Announce) -> None:
        """Keep it in ``store``, which must be migrated; ``announce`` makes the events about changes."""
        self._store = store
        self._announce = announce

    def lead(self, holder: str, *, now_us: int, until_us: int) -> bool:
        """Become or stay the one that asks; False while another is."""
        with self._store.read() as connection:
            if not _may_lead(connection.execute(_LEASE).one(), holder, now_us):
                return False
        with self._store.write(durable=False) as connection:
            if not _may_lead(connection.execute(_LEASE.with_for_update()).one(), holder, now_us):
                return False
            connection.execute(sa.update(state).values(holder=holder, until_us=until_us))
        return True

    def resign(self, holder: str) -> None:
        """Let another ask at once."""
        with self._store.write(durable=False) as connection:
            connection.execute(sa.update(state).where(state.c.holder == holder).values(until_us=0))

    def dialect(self) -> str:
        """How the bank was found to speak; ``""``: not known yet."""
        with self._store.read() as connection:
            return str(connection.execute(sa.select(state.c.dialect)).scalar_one())

    def know_dialect(self, dialect: str) -> None:
        """Remember it."""
        with self._store.write(durable=False) as connection:
            connection.execute(sa.update(state).values(dialect=dialect))

    def streams(self) -> dict[Source, Stream]:
        """Where each source is."""
        columns = (stream.c.source, *(stream.c[name] for name in Stream._fields))
        with self._store.read() as connection:
            return {Source(row[0]): Stream(*row[1:]) for row in connection.execute(sa.select(*columns))}

    def write_down(
        self, source: Source, content: bytes, *, dialect: str, received_us: int, cursor: str = "",
        etag: str = "", durable: bool = False,
    ) -> Body:  # fmt: skip
        """Keep an answer before it is looked at; ``durable`` where the bank would not give it again."""
        packed = zstandard.compress(content, 3)
        row = {
            "source": int(source), "window_number": None, "version": 0, "part": 0, "dialect": dialect,
            "cursor": cursor, "etag": etag, "content": packed, "received_us": received_us,
        }  # fmt: skip
        with self._store.write(durable=durable) as connection:
            found = connection.execute(sa.insert(body).values(row)).inserted_primary_key
        return Body(int(found[0]) if found else 0, source, None, 0, 0, dialect, content, received_us)

    def unread(self) -> list[Body]:
        """Answers that were written down and not looked at, oldest first."""
        return self._bodies(body.c.window_number.is_(None))

    def bodies(self, source: Source, window: int, *, version: int | None = None) -> list[Body]:
        """The answers that a window is made of, in order; all versions' where none is named."""
        where = [body.c.source == int(source), body.c.window_number == window]
        if version is not None:
            where.append(body.c.version == version)
        return self._bodies(*where)

    def drop(self, ids: Sequence[int]) -> None:
        """Forget answers that are of no use."""
        with self._store.write(durable=False) as connection:
            connection.execute(sa.delete(body).where(in_values(body.c.id, list(ids))))

    def place(self, ids: Sequence[int], *, window: int, version: int) -> None:
        """Say which window and version answers belong to; they are its parts in this order."""
        with self._store.write(durable=False) as connection:
            place_bodies(connection, ids, window=window, version=version)

    def asked_by(self, source: Source, window: int) -> list[tuple[str, str]]:
        """Cursor and ETag of each part of a window."""
        current = bank_window.c.source == int(source), bank_window.c.number == window
        version = sa.select(bank_window.c.version).where(*current).scalar_subquery()
        query = sa.select(body.c.cursor, body.c.etag).where(
            body.c.source == int(source), body.c.window_number == window, body.c.version == version
        )
        with self._store.read() as connection:
            return [(row.cursor, row.etag) for row in connection.execute(query.order_by(body.c.part))]

    def forget_superseded(self, *, before_us: int) -> None:
        """Forget replaced answers that are older."""
        with self._store.write(durable=False) as connection:
            connection.execute(sa.delete(body).where(body.c.superseded_us < before_us))

    def moved(self, source: Source, *, cursor: str, now_us: int, has_end: bool) -> None:
        """The source answered: go on there; ``has_end``: it has no more for now."""
        with self._store.write(durable=False) as connection:
            go_on(connection, source, cursor, now_us=now_us, has_end=has_end)

    def failed(self, source: Source, *, reason: str, trouble: str, now_us: int, has_end: bool) -> None:
        """Count a try that failed; ``has_end``: that is how the source says that it has no more for now."""
        with self._store.write(durable=False) as connection:
            known = failed_try.c.source == int(source), failed_try.c.reason == reason
            counted = sa.update(failed_try).where(*known).values(tries=failed_try.c.tries + 1)
            if not connection.execute(counted).rowcount:
                row = {"source": int(source), "reason": reason, "tries": 1}
                connection.execute(sa.insert(failed_try).values(row))
            since = sa.case((stream.c.trouble == "", now_us), else_=stream.c.trouble_since_us)
            values = {"trouble": trouble[:_MOST_TROUBLE], "trouble_since_us": since, "has_end": has_end}
            connection.execute(sa.update(stream).where(stream.c.source == int(source)).values(values))

    def standing(self, source: Source, number: int) -> Standing:
        """What is in the balances of a window, and how far its source is."""
        of_source = bank_window.c.source == int(source)
        query = sa.select(*_WINDOW).where(of_source, bank_window.c.number == number)
        with self._store.read() as connection:
            row = connection.execute(query).first()
            newest = connection.execute(_NEWEST_OF, {"source": int(source)}).one()
            return Standing(None if row is None else WindowState(Source(row[0]), *row[1:]), *newest)

    def newest_complete(self) -> dict[Source, int]:
        """The newest complete window of each source; 0 where there is none."""
        query = sa.select(bank_window.c.source, sa.func.max(bank_window.c.number))
        query = query.where(bank_window.c.is_complete).group_by(bank_window.c.source)
        with self._store.read() as connection:
            found = {Source(row[0]): int(row[1]) for row in connection.execute(query)}
        return {source: found.get(source, 0) for source in Source}

    def complete_windows(self, source: Source) -> list[int]:
        """Numbers of all complete windows."""
        query = sa.select(bank_window.c.number).where(
            bank_window.c.source == int(source), bank_window.c.is_complete
        )
        with self._store.read() as connection:
            return list(connection.execute(query.order_by(bank_window.c.number)).scalars())

    def stale(self, *, limit: int) -> list[WindowState]:
        """Windows that were cleaned with another list of accounts, newest first."""
        now = sa.select(state.c.accounts_version).scalar_subquery()
        query = sa.select(*_WINDOW).where(bank_window.c.accounts_version != now)
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(bank_window.c.number.desc()).limit(limit))
            return [WindowState(Source(row[0]), *row[1:]) for row in rows]

    def of_older_rules(self) -> list[WindowState]:
        """Windows that were cleaned by other rules than today's."""
        query = sa.select(*_WINDOW).where(bank_window.c.rules_version != RULES_VERSION)
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(bank_window.c.number))
            return [WindowState(Source(row[0]), *row[1:]) for row in rows]

    def companies_sha256(self) -> str:
        """Of the list of companies that is in."""
        with self._store.read() as connection:
            return str(connection.execute(sa.select(state.c.companies_sha256)).scalar_one())

    def list_companies(self, companies: Sequence[Company], *, sha256: str) -> None:
        """Take the bank's list of companies: who is not on it any more stays, as gone."""
        rows = [
            (each.id, each.name, each.owner, each.address, each.stated_balance, False,
             each.name.casefold(), search_text(each))
            for each in companies
        ]  # fmt: skip
        owners = owners_of(companies)
        with self._store.write() as connection:
            now = connection.execute(sa.select(state).with_for_update()).one()
            listed = {each.id for each in companies}
            gone = set(connection.execute(sa.select(company.c.id)).scalars()) - listed
            connection.execute(sa.delete(company).where(in_values(company.c.id, sorted(listed))))
            if gone:
                left = sa.update(company).where(in_values(company.c.id, sorted(gone)))
                connection.execute(left.values(is_gone=True))
            insert_rows(connection, company, rows)
            changed, last_account = _own(connection, owners, now.last_account)
            values = {"companies_sha256": sha256, "data_version": now.data_version + 1,
                      "accounts_version": now.accounts_version + changed,
                      "last_account": last_account}  # fmt: skip
            connection.execute(sa.update(state).values(values))
            self._say(connection, now.data_version + 1, now.rates_version)

    def rates(self) -> tuple[int, str]:
        """Version and content of the table in force; 0 and ``""`` while there is none."""
        query = sa.select(rate_table.c.version, rate_table.c.content).where(
            rate_table.c.version == sa.select(state.c.rates_version).scalar_subquery()
        )
        with self._store.read() as connection:
            row = connection.execute(query).first()
            return (0, "") if row is None else (int(row[0]), str(row[1]))

    def take_rates(self, content: str, *, now_us: int) -> None:
        """Take a table; the same as the one in force only renews its age."""
        version, known = self.rates()
        with self._store.write() as connection:
            now = connection.execute(sa.select(state).with_for_update()).one()
            fresh: dict[str, Any] = {"rates_confirmed_us": now_us, "rates_trouble": ""}
            if content != known:
                version = now.rates_version + 1
                row = {"version": version, "received_us": now_us, "content": content}
                connection.execute(sa.insert(rate_table).values(row))
                fresh |= {"rates_version": version, "data_version": now.data_version + 1}
                self._say(connection, now.data_version + 1, version)
            connection.execute(sa.update(state).values(fresh))

    def rates_failed(self, trouble: str) -> None:
        """A table could not be read: the last one stays, and says so."""
        with self._store.write(durable=False) as connection:
            connection.execute(sa.update(state).values(rates_trouble=trouble[:_MOST_TROUBLE]))

    def _say(self, connection: sa.Connection, data_version: int, rates_version: int) -> None:
        change = Change(data_version, rates_version, (), None, 0)
        outbox.enqueue(connection, [self._announce(change)])

    def _bodies(self, *where: sa.ColumnElement[bool]) -> list[Body]:
        columns = (body.c.id, body.c.source, body.c.window_number, body.c.version, body.c.part,
                   body.c.dialect, body.c.content, body.c.received_us)  # fmt: skip
        query = sa.select(*columns).where(*where).order_by(body.c.version, body.c.part, body.c.id)
        with self._store.read() as connection:
            rows = connection.execute(query).all()
        return [Body(row[0], Source(row[1]), *row[2:6], _unpacked(row[6]), row[7]) for row in rows]


def _unpacked(content: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(content, max_output_size=MOST_BODY_BYTES)


def _may_lead(lease: Any, holder: str, now_us: int) -> bool:
    return lease.holder in {holder, ""} or lease.until_us <= now_us


def _own(
    connection: sa.Connection, owners: Mapping[str, tuple[int, tuple[int, ...]]], last: int
) -> tuple[int, int]:
    """Give accounts to their companies: 1 where one is new or moved, else 0; and the last number."""
    known = {
        row.iban: row
        for row in connection.execute(sa.select(account).where(in_values(account.c.iban, list(owners))))
    }
    new, changed = [], 0
    for iban, (company_id, others) in owners.items():
        also_of = ",".join(map(str, others))
        row = known.get(iban)
        if row is None:
            last += 1
            new.append((last, iban, company_id, also_of))
        elif (row.company_id, row.also_of) != (company_id, also_of):
            changed |= int(row.company_id != company_id)
            values = {"company_id": company_id, "also_of": also_of}
            connection.execute(sa.update(account).where(account.c.number == row.number).values(values))
    insert_rows(connection, account, new)
    return changed, last


_LEASE = sa.select(state.c.holder, state.c.until_us)
_OF_SOURCE = sa.select(sa.func.max(bank_window.c.number)).where(
    bank_window.c.source == sa.bindparam("source")
)
_NEWEST_OF = sa.select(
    _OF_SOURCE.where(bank_window.c.is_complete).scalar_subquery(),
    _OF_SOURCE.where(bank_window.c.rows > 0).scalar_subquery(),
)
_WINDOW = tuple(bank_window.c[name] for name in WindowState._fields)
