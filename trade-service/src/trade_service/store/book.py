"""The book in a store: booking transactions, search, sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from wattbook import outbox
from wattbook.bus import Message
from wattbook.db import Store, in_values, insert_rows, repeated, rows_by_key

from trade_service.domain import BookedRow, BookedTrade, Criteria, Position, Trade
from trade_service.store import queries
from trade_service.store.tables import booking_counter, trades


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

    def booked(self, trade_ids: Sequence[str]) -> dict[str, Trade]:
        """Those of the ids that are in the book, with what is booked."""
        with self._store.read() as connection:
            return _booked(connection, trade_ids)

    @repeated
    def announce(self, events: Sequence[Message]) -> None:
        """Put events that tell of no booking into the outbox, durably."""
        with self._store.write() as connection:
            outbox.enqueue(connection, events)

    def last_seq(self) -> int:
        """The newest booking's place; 0 in an empty book."""
        with self._store.read() as connection:
            return queries.last_seq(connection)

    def matching(self, criteria: Criteria, *, after_seq: int, until_seq: int, most: int) -> list[int]:
        """Places of matching trades in order: after one booking, until another, at most ``most``."""
        with self._store.read() as connection:
            query = queries.matching(criteria, after_seq=after_seq, until_seq=until_seq, most=most)
            return list(connection.execute(query).scalars())

    def trades_at(self, booking_seqs: Sequence[int]) -> list[BookedTrade]:
        """The trades at these places, in order."""
        query = sa.select(trades).where(in_values(trades.c.booking_seq, booking_seqs))
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(trades.c.booking_seq))
            return [BookedTrade._make(row) for row in rows]

    @contextmanager
    def positions(self, *, page_size: int) -> Iterator[tuple[int, Iterator[list[Position]]]]:
        """The last booking, and all positions as of it in pages; one snapshot as long as the block lasts."""
        with self._store.read() as connection:
            yield queries.last_seq(connection), queries.positions(connection, page_size=page_size)


class Booking:
    """What a booking transaction does; ends with the block of :meth:`TradeStore.booking`."""

    def __init__(self, connection: sa.Connection) -> None:
        """Work in ``connection``'s transaction."""
        self._connection = connection

    def last_seq(self) -> int:
        """The newest booking's place, locked until the end of the transaction. Call it first."""
        return int(self._connection.execute(_LAST_SEQ_LOCKED).scalar_one())

    def booked(self, trade_ids: Sequence[str]) -> dict[str, Trade]:
        """Those of the ids that are in the book, with what is booked."""
        return _booked(self._connection, trade_ids)

    def add(self, rows: Sequence[BookedRow], announce: Callable[[], Sequence[Message]]) -> Sequence[Message]:
        """Add rows in order of ``booking_seq``, and the events that ``announce`` makes of them."""
        events: list[Message] = []
        insert_rows(self._connection, trades, rows, meanwhile=lambda: events.extend(announce()))
        self._connection.execute(_MOVE_LAST_SEQ, {"last_booking_seq": rows[-1][0]})
        outbox.enqueue(self._connection, events)
        return events


def _booked(connection: sa.Connection, trade_ids: Sequence[str]) -> dict[str, Trade]:
    rows = rows_by_key(connection, trades.c.trade_id, trade_ids, columns=_TRADE)
    return {row[0]: Trade._make(row) for row in rows}


_LAST_SEQ_LOCKED = sa.select(booking_counter.c.last_booking_seq).with_for_update()
_MOVE_LAST_SEQ = sa.update(booking_counter)
_TRADE = [trades.c[name] for name in Trade._fields]
