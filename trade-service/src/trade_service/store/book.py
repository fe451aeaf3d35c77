"""The book in a store: booking transactions, search, sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple
from uuid import uuid4

import sqlalchemy as sa
from wattbook import outbox
from wattbook.bus import Message
from wattbook.db import Store, in_values, insert_rows, repeated, rows_by_key

from trade_service.domain import (
    BookedRow,
    BookedTrade,
    Correction,
    Criteria,
    Differing,
    Head,
    Position,
    Trade,
    different_fields,
)
from trade_service.store import queries
from trade_service.store.tables import (
    CONTENT,
    booking_counter,
    differing_statements,
    replaced_trades,
    trades,
)


class Entries(NamedTuple):
    """What a commit writes: a row for each of its numbers, in order, and what became of rows before them.

    ``replaced``: the content that was replaced, by the number of the one that replaces it.
    ``confirmed``: by number, the source by which the exchange stated a row that was booked before.
    """

    rows: list[BookedRow]
    replaced: dict[int, BookedRow]
    confirmed: dict[int, int]


class TradeStore:
    """The book. Everything raises :class:`wattbook.errors.Unavailable` where the store cannot work now."""

    def __init__(self, store: Store) -> None:
        """Keep the book in ``store``, which must be migrated."""
        self._store = store

    @contextmanager
    def booking(self) -> Iterator[Booking]:
        """One durable transaction that books; nobody else books meanwhile."""
        with self._store.write() as connection:
            yield Booking(connection)

    def booked(self, trade_ids: Sequence[str]) -> dict[str, BookedRow]:
        """Those of the ids that are in the book, with their rows."""
        with self._store.read() as connection:
            return _booked(connection, trade_ids)

    @repeated
    def announce(self, events: Sequence[Message]) -> None:
        """Put events that tell of no booking into the outbox, durably."""
        with self._store.write() as connection:
            outbox.enqueue(connection, events)

    @repeated
    def renew_epoch(self) -> str:
        """Begin a new epoch, as after a restore: whoever follows the book reads it anew. The epoch."""
        epoch = uuid4().hex
        with self._store.write() as connection:
            connection.execute(sa.update(booking_counter).values(epoch=epoch))
        return epoch

    def head(self) -> Head:
        """How far the book is."""
        with self._store.read() as connection:
            return queries.head(connection)

    def digest_at(self, booking_seq: int) -> str | None:
        """The digest after a number; "" where no commit that wrote one ended there, None beyond the book."""
        if not booking_seq:
            return ""
        with self._store.read() as connection:
            found = [
                connection.execute(sa.select(table.c.digest).where(table.c.booking_seq == booking_seq))
                for table in (trades, replaced_trades)
            ]
            return next((str(row[0]) for rows in found for row in rows), None)

    def matching(
        self, criteria: Criteria, *, after_seq: int, until_seq: int, most: int, history: bool = False
    ) -> list[int]:
        """Numbers of matching contents in order: after one, until another, at most ``most``.

        As of ``until_seq``: a content that was replaced since counts under the number that it had then. With
        ``history`` every number is there, replaced contents too.
        """
        within = {"after_seq": after_seq, "until_seq": until_seq, "most": most}
        with self._store.read() as connection:
            stand = connection.execute(queries.matching(criteria, **within)).scalars()
            moved = connection.execute(
                queries.matching_replaced(criteria, **within, history=history)
            ).scalars()
            return list(islice(merge(stand, moved), most))

    def trades_at(self, booking_seqs: Sequence[int]) -> list[BookedTrade]:
        """The contents under these numbers, in order, also those that were replaced."""
        with self._store.read() as connection:
            query = sa.select(trades).where(in_values(trades.c.booking_seq, booking_seqs))
            found = [
                BookedTrade._make(row) for row in connection.execute(query.order_by(trades.c.booking_seq))
            ]
            if len(found) < len(booking_seqs):
                missing = set(booking_seqs) - {each.booking_seq for each in found}
                query = sa.select(*CONTENT).where(in_values(replaced_trades.c.booking_seq, missing))
                found.extend(BookedTrade._make(row) for row in connection.execute(query))
                found.sort()
            return found

    def replaced_by(self, *, first_seq: int, last_seq: int) -> dict[int, BookedTrade]:
        """The contents that the numbers of a range replaced, by these numbers."""
        number = replaced_trades.c.replaced_by_seq
        query = sa.select(number, *CONTENT).where(number.between(first_seq, last_seq))
        with self._store.read() as connection:
            return {row[0]: BookedTrade._make(row[1:]) for row in connection.execute(query)}

    def corrections(
        self, criteria: Criteria, *, after_seq: int, most: int, before_seq: int | None = None
    ) -> list[Correction]:
        """Corrections of which one content matches, after one number, in order of the numbers they have.

        With ``before_seq`` the newest first, of those that have an earlier number; 0 means all.
        """
        with self._store.read() as connection:
            query = queries.corrections(criteria, after_seq=after_seq, most=most, before_seq=before_seq)
            found = {row[0]: BookedTrade._make(row[1:]) for row in connection.execute(query)}
        by = {each.booking_seq: each for each in self.trades_at(list(found))} if found else {}
        return [Correction(replaced, by[number]) for number, replaced in found.items() if number in by]

    def differing(self, *, trade_id: str, settled_too: bool, after: int, most: int) -> list[Differing]:
        """What the exchange stated otherwise than it stands in the book, in the order in which it came."""
        query = queries.differing(trade_id=trade_id, settled_too=settled_too, after=after, most=most)
        with self._store.read() as connection:
            return [_differing(row) for row in connection.execute(query)]

    @contextmanager
    def positions(self, *, page_size: int) -> Iterator[tuple[Head, Iterator[list[Position]]]]:
        """How far the book is, and all positions as of that in pages; one snapshot while the block lasts."""
        with self._store.read() as connection:
            yield queries.head(connection), queries.positions(connection, page_size=page_size)


class Booking:
    """What a booking transaction does; ends with the block of :meth:`TradeStore.booking`."""

    def __init__(self, connection: sa.Connection) -> None:
        """Work in ``connection``'s transaction."""
        self._connection = connection

    def head(self) -> Head:
        """How far the book is, locked until the end of the transaction. Call it first."""
        return queries.head(self._connection, locked=True)

    def booked(self, trade_ids: Sequence[str]) -> dict[str, BookedRow]:
        """Those of the ids that are in the book, with their rows."""
        return _booked(self._connection, trade_ids)

    def add(
        self, entries: Entries, announce: Callable[[], Sequence[Message]], *, digest: str
    ) -> Sequence[Message]:
        """Write the entries, move the counter and ``digest``, and send the events that ``announce`` makes."""
        events: list[Message] = []
        new, moved = _placed(entries)
        if entries.replaced:
            self._move(entries.replaced, moved)
        insert_rows(self._connection, trades, new, meanwhile=lambda: events.extend(announce()))
        last_seq = entries.rows[-1][0]
        self._connection.execute(
            _MOVE_HEAD, {"last_booking_seq": last_seq, "digest_seq": last_seq, "digest": digest}
        )
        outbox.enqueue(self._connection, events)
        return events

    def confirm(self, confirmed: Mapping[int, int]) -> None:
        """Note that the exchange has stated rows, by their numbers and the source."""
        self._connection.execute(
            _CONFIRM, [{"seq": seq, "confirmed_by": source} for seq, source in confirmed.items()]
        )

    def differing(self, trade_ids: Sequence[str]) -> list[Differing]:
        """What the exchange stated otherwise about these ids."""
        columns = list(differing_statements.c)
        rows = rows_by_key(self._connection, differing_statements.c.trade_id, trade_ids, columns=columns)
        return [_differing(row) for row in rows]

    def corrections(self, first_seq: int, last_seq: int) -> set[int]:
        """Those numbers of a range that replaced another content."""
        number = replaced_trades.c.replaced_by_seq
        query = sa.select(number).where(number.between(first_seq, last_seq))
        return set(self._connection.execute(query).scalars())

    def settle(self, decided: Mapping[str, str], *, at_us: int) -> None:
        """Note that somebody has decided about all that the exchange stated about ids: who, by id."""
        self._connection.execute(
            _SETTLE, [{"about": trade_id, "by": by, "at_us": at_us} for trade_id, by in decided.items()]
        )

    def keep(self, statements: Sequence[Differing]) -> None:
        """Keep what the exchange stated otherwise, each content once."""
        ids = sorted({each.trade.trade_id for each in statements})
        known: dict[str, list[Trade]] = {trade_id: [] for trade_id in ids}
        for each in self.differing(ids):
            known[each.trade.trade_id].append(each.trade)
        number = self._connection.scalar(sa.select(sa.func.max(differing_statements.c.number))) or 0
        new: list[tuple[Any, ...]] = []
        for each in statements:
            there = known[each.trade.trade_id]
            if all(different_fields(trade, each.trade) for trade in there):
                there.append(each.trade)
                new.append((number + len(new) + 1, *each.trade, *each[2:]))
        insert_rows(self._connection, differing_statements, new)

    def _move(self, replaced: Mapping[int, BookedRow], moved: Mapping[int, BookedRow]) -> None:
        self._connection.execute(
            replaced_trades.insert(),
            [
                {**dict(zip(BookedTrade._fields, row, strict=True)), "replaced_by_seq": by_seq}
                for by_seq, row in replaced.items()
            ],
        )
        if moved:
            self._connection.execute(
                _REWRITE,
                [
                    {"moved_from": seq, **dict(zip(BookedTrade._fields, row, strict=True))}
                    for seq, row in moved.items()
                ],
            )


def _placed(entries: Entries) -> tuple[Sequence[BookedRow], dict[int, BookedRow]]:
    """Rows that are new in the table, and by the number that they had before, rows that move to another.

    Of an id that is added and replaced within one commit only the last content is a row.
    """
    if not entries.replaced:
        return entries.rows, {}
    first_seq = entries.rows[0][0]
    had: dict[int, int] = {}  # the number that a row of this commit has in the table before it
    for by_seq, row in sorted(entries.replaced.items()):
        before = row[0] if row[0] < first_seq else had.get(row[0])
        if before is not None:
            had[by_seq] = before
    gone = {row[0] for row in entries.replaced.values()}
    last = [row for row in entries.rows if row[0] not in gone]
    return [row for row in last if row[0] not in had], {had[row[0]]: row for row in last if row[0] in had}


def _booked(connection: sa.Connection, trade_ids: Sequence[str]) -> dict[str, BookedRow]:
    rows = rows_by_key(connection, trades.c.trade_id, trade_ids, columns=_ROW)
    return {row[_TRADE_ID]: row for row in rows}


def _differing(row: Sequence[Any]) -> Differing:
    ends = 1 + len(Trade._fields)
    return Differing(row[0], Trade._make(row[1:ends]), *row[ends:])


_ROW = list(trades.c)
_TRADE_ID = BookedTrade._fields.index("trade_id")
_MOVE_HEAD = sa.update(booking_counter)
_CONFIRM = sa.update(trades).where(trades.c.booking_seq == sa.bindparam("seq"))
_SETTLE = (
    sa.update(differing_statements)
    .where(
        differing_statements.c.trade_id == sa.bindparam("about"), differing_statements.c.settled_time_us == 0
    )
    .values(settled_time_us=sa.bindparam("at_us"), settled_by=sa.bindparam("by"))
)
_REWRITE = sa.update(trades).where(trades.c.booking_seq == sa.bindparam("moved_from"))
