"""What the feed delivered a day, compared with the nightly file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields

from sqlalchemy import delete, func, insert, select, update
from wattbook.db import Store, in_values

from ingest_service.domain import ConfirmedTrade, Difference, Gap, NodeCoverage, Reconciliation
from ingest_service.store.spool import Spooled, add_feed_trades, known_contents
from ingest_service.store.tables import (
    DIFFERENCES,
    FEED_STATE,
    FEED_TRADES,
    GAPS,
    RECONCILIATIONS,
    day_number,
)

MOST_GAPS = 10_000  # of a day; in one answer to another node
_PAGE_ROWS = 1_000
_ELSEWHERE = Spooled(frame_id=0, received_us=0, origin="", frame=b"")


class FeedDays:
    """Every method raises Unavailable where the store cannot be used now."""

    def __init__(self, store: Store) -> None:
        """Keep it in ``store``, which must be migrated."""
        self._store = store

    def tie(self, trade_ids: Sequence[str], *, run: int) -> dict[str, str]:
        """Mark those that the feed delivered as being in the file of this ``run`` too; their contents."""
        wanted = in_values(FEED_TRADES.c.trade_id, trade_ids)
        query = select(FEED_TRADES.c.trade_id, FEED_TRADES.c.content).where(wanted)
        with self._store.write(durable=False) as connection:
            found = {row.trade_id: row.content for row in connection.execute(query)}
            if found:
                connection.execute(update(FEED_TRADES).where(wanted).values(tied_run=run))
        return found

    def adopt(self, trades: Sequence[ConfirmedTrade]) -> int:
        """Count trades that another node heard as delivered; how many were not known here."""
        with self._store.read() as connection:
            known = known_contents(connection, [trade.trade_id for trade in trades])
        new = [(trade, _ELSEWHERE) for trade in trades if trade.trade_id not in known]
        if new:
            with self._store.write(durable=False) as connection:
                add_feed_trades(connection, new)
        return len(new)

    def untied(self, day: str, *, run: int, most: int) -> tuple[int, list[tuple[str, str]]]:
        """The day's trades that only the feed has: how many, and the first of them with their contents."""
        mine = (FEED_TRADES.c.executed_day == day_number(day)) & (FEED_TRADES.c.tied_run != run)
        wanted = select(FEED_TRADES.c.trade_id, FEED_TRADES.c.content).where(mine)
        query = wanted.order_by(FEED_TRADES.c.id).limit(most)
        with self._store.read() as connection:
            count = connection.execute(select(func.count()).select_from(FEED_TRADES).where(mine)).scalar_one()
            return int(count), [(row.trade_id, row.content) for row in connection.execute(query)]

    def record(self, found: Reconciliation) -> None:
        """Keep a day's comparison in place of an earlier one."""
        day = day_number(found.day)
        values = asdict(found) | {"day": day}
        differences = values.pop("differences")
        with self._store.write() as connection:
            connection.execute(delete(DIFFERENCES).where(DIFFERENCES.c.day == day))
            connection.execute(delete(RECONCILIATIONS).where(RECONCILIATIONS.c.day == day))
            connection.execute(insert(RECONCILIATIONS).values(values))
            for rows in _pages([{"day": day, "number": n, **each} for n, each in enumerate(differences)]):
                connection.execute(insert(DIFFERENCES), rows)

    def reconciliation(self, day: str) -> Reconciliation:
        """The day's comparison; with ``reconciled_us`` 0 where there was none."""
        number = day_number(day)
        query = select(RECONCILIATIONS).where(RECONCILIATIONS.c.day == number)
        listed = select(*(DIFFERENCES.c[each.name] for each in fields(Difference)))
        with self._store.read() as connection:
            row = connection.execute(query).first()
            if row is None:
                return Reconciliation(day)
            rows = connection.execute(
                listed.where(DIFFERENCES.c.day == number).order_by(DIFFERENCES.c.number)
            )
            values = dict(row._mapping) | {
                "day": day,
                "differences": tuple(Difference(*each) for each in rows),
            }
        return Reconciliation(**values)

    def coverage(self, *, from_us: int, before_us: int) -> NodeCoverage:
        """What was heard of a stretch of time; of too many gaps in it the first count, and nothing after."""
        touching = (GAPS.c.ended_us > from_us) & (GAPS.c.began_us < before_us)
        query = select(GAPS.c.began_us, GAPS.c.ended_us).where(touching).order_by(GAPS.c.began_us)
        with self._store.read() as connection:
            first_us, covered_to_us = connection.execute(
                select(FEED_STATE.c.first_us, FEED_STATE.c.covered_to_us)
            ).one()
            gaps = [Gap._make(row) for row in connection.execute(query.limit(MOST_GAPS + 1))]
        if len(gaps) > MOST_GAPS:
            covered_to_us = min(covered_to_us, gaps.pop().began_us)
        return NodeCoverage(first_us, covered_to_us, tuple(gaps))


def _pages(rows: list[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    for start in range(0, len(rows), _PAGE_ROWS):
        yield rows[start : start + _PAGE_ROWS]
