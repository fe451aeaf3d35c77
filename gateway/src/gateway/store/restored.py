"""After the store went back to an earlier state: nothing that was given out since may count."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, update
from wattbook.clock import iso_z
from wattbook.db import Store

from gateway.store.tables import refresh_tokens, users

# A user's counter may have risen since the backup; the next must be above whatever tokens carry.
LEAP = 1_000


def restored(store: Store, since: datetime) -> str:
    """End all sessions; what was done, and what nobody but the gateway's log knows."""
    with store.write() as connection:
        connection.execute(delete(refresh_tokens))
        leap = users.c.session_counter + LEAP
        count = connection.execute(update(users).values(session_counter=leap)).rowcount
    return (
        f"the sessions of {count} users are over; whoever was added, disabled or given another password or "
        f"role since {iso_z(since)} must be again; its log has `user added`, `user changed`"
    )
