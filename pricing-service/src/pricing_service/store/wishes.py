"""Which hours somebody trades or looks at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from wattbook.db import Store, in_values

from pricing_service.store.tables import wishes

_US = 1_000_000
_KEEP_S = 32 * 86_400


class Wishes:
    """Shared by all replicas: whoever hears of a wish, the one that polls fulfils it."""

    def __init__(self, store: Store) -> None:
        """Keep them in ``store``, which must be migrated."""
        self._store = store

    def traded(self, starts_s: Iterable[int]) -> None:
        """These hours are traded."""
        self._upsert(starts_s, is_traded=True)

    def watched(self, starts_s: Iterable[int], *, until_s: float) -> None:
        """Somebody looks at these hours."""
        self._upsert(starts_s, watched_until_us=round(until_s * _US))

    def wanted(self, *, now_s: float) -> list[int]:
        """Hours that are wanted and have not started: those watched first, then the next to be delivered."""
        is_watched = wishes.c.watched_until_us > round(now_s * _US)
        query = (
            sa.select(wishes.c.delivery_start_s)
            .where(wishes.c.delivery_start_s > int(now_s) - 3 * 3600, wishes.c.is_traded | is_watched)
            .order_by(sa.case((is_watched, 0), else_=1), wishes.c.delivery_start_s)
        )
        with self._store.read() as connection:
            return [int(start) for start in connection.execute(query).scalars()]

    def _upsert(self, starts_s: Iterable[int], **values: bool | int) -> None:
        starts = sorted(set(starts_s))
        if not starts:
            return
        with self._store.write() as connection:
            known = self._known(connection, starts)
            changed = in_values(wishes.c.delivery_start_s, [start for start in starts if start in known])
            connection.execute(sa.update(wishes).where(changed).values(**values))
            new = [start for start in starts if start not in known]
            if new:
                row = {"is_traded": False, "watched_until_us": 0, **values}
                connection.execute(sa.insert(wishes), [{"delivery_start_s": start, **row} for start in new])
                connection.execute(sa.delete(wishes).where(wishes.c.delivery_start_s < min(new) - _KEEP_S))

    @staticmethod
    def _known(connection: sa.Connection, starts: Sequence[int]) -> set[int]:
        query = sa.select(wishes.c.delivery_start_s).where(in_values(wishes.c.delivery_start_s, starts))
        return set(connection.execute(query).scalars())
