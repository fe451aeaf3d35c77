"""The quarantine: what could not be read or booked, each frame once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, insert, literal, select, update
from wattbook import outbox
from wattbook.bus import Message
from wattbook.db import Store, in_values

from ingest_service.domain import ConfirmedTrade, Place, Quarantined, QuarantineState
from ingest_service.domain.quarantine import BOOKING
from ingest_service.store.spool import Spooled, add_feed_trades, known_contents
from ingest_service.store.tables import QUARANTINE, SPOOL

_COLUMNS = tuple(QUARANTINE.c)
_OPEN = int(QuarantineState.OPEN)


class Refusal(NamedTuple):
    """What the owner of the trades would not book, and why."""

    frame_id: int
    trade_id: str
    reason: str


class QuarantineStore:
    """Every method raises Unavailable where the store cannot be used now."""

    def __init__(self, store: Store) -> None:
        """Keep it in ``store``, which must be migrated."""
        self._store = store

    def count_open(self) -> int:
        """How many wait for a decision."""
        query = select(func.count()).select_from(QUARANTINE).where(QUARANTINE.c.state == _OPEN)
        with self._store.read() as connection:
            return int(connection.execute(query).scalar_one())

    def page(self, *, state: QuarantineState | None, before: Place | None, limit: int) -> list[Quarantined]:
        """Newest first by receive time, then number; without frames."""
        columns = [literal(b"").label("frame") if each.name == "frame" else each for each in _COLUMNS]
        received_us, number = QUARANTINE.c.received_us, QUARANTINE.c.id
        query = select(*columns).order_by(received_us.desc(), number.desc()).limit(limit)
        if state is not None:
            query = query.where(QUARANTINE.c.state == int(state))
        if before is not None:
            # The first of both says no more than the second, but an index can answer it.
            query = query.where(received_us <= before.received_us)
            query = query.where((received_us < before.received_us) | (number < before.number))
        with self._store.read() as connection:
            return [_quarantined(row) for row in connection.execute(query)]

    def open_numbers(self, *, reason_begins: str, after: int, most: int = 500) -> list[int]:
        """Numbers above ``after`` of what waits for such a reason, in order."""
        number, waits = QUARANTINE.c.id, QUARANTINE.c.state == _OPEN
        query = select(number).where(waits, number > after).order_by(number).limit(most)
        query = query.where(QUARANTINE.c.reason.startswith(reason_begins, autoescape=True))
        with self._store.read() as connection:
            return list(connection.execute(query).scalars())

    def get(self, number: int) -> Quarantined | None:
        """One with its frame."""
        with self._store.read() as connection:
            return _get(connection, number)

    def decide(
        self, number: int, *, state: QuarantineState, by: str, at_us: int, reason: str = ""
    ) -> Quarantined | None:
        """Write down what was decided, and a new reason where there is one."""
        values: dict[str, Any] = {"state": int(state), "decided_by": by, "decided_us": at_us}
        if reason:
            values["reason"] = reason
        with self._store.write() as connection:
            connection.execute(update(QUARANTINE).where(QUARANTINE.c.id == number).values(values))
            return _get(connection, number)

    def replay(
        self, item: Quarantined, trade: ConfirmedTrade, message: Message, *, by: str, at_us: int
    ) -> Quarantined | None:
        """Send it to the owner again, and write down who wanted it, in one transaction."""
        frame = Spooled(item.frame_id, item.received_us, item.origin, item.frame)
        values = {
            "state": int(QuarantineState.REPLAYED),
            "decided_by": by,
            "decided_us": at_us,
            "reason": item.reason,
            "trade_id": trade.trade_id,
        }
        with self._store.write() as connection:
            if not known_contents(connection, [trade.trade_id]):
                add_feed_trades(connection, [(trade, frame)])
            outbox.enqueue(connection, [message])
            connection.execute(update(QUARANTINE).where(QUARANTINE.c.id == item.id).values(values))
            return _get(connection, item.id)

    def refused(self, refusals: Sequence[Refusal], *, at_us: int) -> int:
        """Set aside what the owner refused; one that was replayed opens again, a dropped one stays so.

        How many are new.
        """
        new = 0
        with self._store.write() as connection:
            ids = [refusal.frame_id for refusal in refusals]
            there = set(
                connection.execute(
                    select(QUARANTINE.c.frame_id).where(in_values(QUARANTINE.c.frame_id, ids))
                ).scalars()
            )
            query = select(SPOOL).where(in_values(SPOOL.c.frame_id, ids))
            frames = {row.frame_id: row for row in connection.execute(query)}
            for refusal in refusals:
                if refusal.frame_id in there:
                    _reopen(connection, refusal)
                else:
                    connection.execute(insert(QUARANTINE).values(_row(refusal, frames, at_us)))
                    there.add(refusal.frame_id)
                    new += 1
        return new


def _get(connection: Connection, number: int) -> Quarantined | None:
    row = connection.execute(select(*_COLUMNS).where(QUARANTINE.c.id == number)).first()
    return None if row is None else _quarantined(row)


def _reopen(connection: Connection, refusal: Refusal) -> None:
    undropped = QUARANTINE.c.state != int(QuarantineState.DROPPED)
    connection.execute(
        update(QUARANTINE)
        .where((QUARANTINE.c.frame_id == refusal.frame_id) & undropped)
        .values(state=_OPEN, reason=refusal.reason)
    )


def _row(refusal: Refusal, frames: dict[int, Any], at_us: int) -> dict[str, Any]:
    frame = frames.get(refusal.frame_id)
    gone = "" if frame is not None else " (its frame is no longer in the spool)"
    return {
        "frame_id": refusal.frame_id,
        "received_us": at_us if frame is None else frame.received_us,
        "origin": BOOKING,
        "reason": refusal.reason + gone,
        "frame": b"" if frame is None else frame.frame,
        "state": _OPEN,
        "trade_id": refusal.trade_id,
        "decided_by": "",
        "decided_us": 0,
    }


def _quarantined(row: Row[Any]) -> Quarantined:
    return Quarantined(
        id=row.id,
        frame_id=row.frame_id,
        received_us=row.received_us,
        origin=row.origin,
        reason=row.reason,
        frame=bytes(row.frame),
        state=QuarantineState(row.state),
        trade_id=row.trade_id,
        decided_by=row.decided_by,
        decided_us=row.decided_us,
    )
