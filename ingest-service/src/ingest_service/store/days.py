"""What the feed delivered a day, compared with the nightly file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from sqlalchemy import delete, func, insert, select, update
from wattbook.db import Store, in_values

from ingest_service.domain import Difference, Gap, Reconciliation
from ingest_service.store.tables import (
    DIFFERENCES,
    FEED_STATE,
    FEED_TRADES,
    GAPS,
    RECONCILIATIONS,
    day_number,
)

_PAGE_ROWS = 1_000


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

    def untied(self, day: str, *, run: int, most: int) -> tuple[int, list[str]]:
        """The day's trades that only the feed has: how many, and the first of them."""
        mine = (FEED_TRADES.c.executed_day == day_number(day)) & (FEED_TRADES.c.tied_run != run)
        query = select(FEED_TRADES.c.trade_id).where(mine).order_by(FEED_TRADES.c.id).limit(most)
        with self._store.read() as connection:
            count = connection.execute(select(func.count()).select_from(FEED_TRADES).where(mine)).scalar_one()
            return int(count), list(connection.execute(query).scalars())

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
        listed = select(DIFFERENCES.c.trade_id, DIFFERENCES.c.kind, DIFFERENCES.c.detail)
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

    def coverage(self, *, after_us: int) -> tuple[int, int, Gap | None]:
        """When we first listened, up to when everything was heard, and the first gap after an instant."""
        gap = select(GAPS.c.began_us, GAPS.c.ended_us).where(GAPS.c.ended_us > after_us)
        with self._store.read() as connection:
            first_us, covered_to_us = connection.execute(
                select(FEED_STATE.c.first_us, FEED_STATE.c.covered_to_us)
            ).one()
            row = connection.execute(gap.order_by(GAPS.c.began_us).limit(1)).first()
            return first_us, covered_to_us, None if row is None else Gap._make(row)


def _pages(rows: list[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    for start in range(0, len(rows), _PAGE_ROWS):
        yield rows[start : start + _PAGE_ROWS]
