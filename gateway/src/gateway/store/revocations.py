"""What ended sessions: written with what ended them, read by every replica."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select
from wattbook.auth.revocations import Revocation
from wattbook.clock import to_epoch_us
from wattbook.db import Store

from gateway.store.tables import revocations

# Longer than any token of the session holds.
KEPT = timedelta(hours=13)
MOST_READ = 1_000


def note_revocation(
    connection: Connection, *, user_name: str, session_counter: int, now: datetime, family: str | None = None
) -> None:
    """Say in a transaction that writes what it ends: a session, or all of a user's with a lower counter.

    A store lets one transaction write at a time, so versions are in the order of commits and without gaps.
    """
    newest = _newest(connection)
    connection.execute(delete(revocations).where(revocations.c.expires_us <= to_epoch_us(now)))
    connection.execute(
        insert(revocations).values(
            version=newest + 1,
            user_name=user_name,
            family=family,
            session_counter=session_counter,
            expires_us=to_epoch_us(now + KEPT),
        )
    )


def is_revoked(connection: Connection, family: str) -> bool:
    """Whether a session was ended by itself."""
    found = select(revocations.c.version).where(revocations.c.family == family).limit(1)
    return connection.execute(found).first() is not None


class RevocationStore:
    """The revocations of the last hours."""

    def __init__(self, store: Store) -> None:
        """Use ``store``, which is migrated."""
        self._store = store

    def newest(self) -> int:
        """The version of the newest; 0 where there never was one."""
        with self._store.read() as connection:
            return _newest(connection)

    def after(self, version: int) -> tuple[int, list[Revocation]]:
        """The newest version, and those after ``version`` in their order, up to :data:`MOST_READ`."""
        query = select(revocations).where(revocations.c.version > version)
        query = query.order_by(revocations.c.version).limit(MOST_READ)
        with self._store.read() as connection:
            found = [
                Revocation(row.version, row.user_name, row.family, row.session_counter)
                for row in connection.execute(query)
            ]
            return _newest(connection), found


def _newest(connection: Connection) -> int:
    return connection.execute(select(func.max(revocations.c.version))).scalar_one() or 0
