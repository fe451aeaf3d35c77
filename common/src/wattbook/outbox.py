"""State and event commit together: rows written in the caller's transaction, published by a relay.

The relay publishes in order and deletes what the bus has confirmed. If it dies in between, the messages
are published again: at least once. Of several replicas with one store, one at a time publishes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from wattbook import telemetry
from wattbook.bus import MAX_BODY_BYTES, Bus, Message
from wattbook.clock import Clock, from_epoch_us, to_epoch_us
from wattbook.db import Store, in_parameter
from wattbook.errors import InvalidInput, Unavailable
from wattbook.loop import Loop
from wattbook.retry import Backoff
from wattbook.telemetry.catalogue import OUTBOX_AGE, OUTBOX_DEPTH
from wattbook.telemetry.messages import sending
from wattbook.telemetry.metrics import observe_one

_log = logging.getLogger(__name__)

TABLE = "outbox"
RESCAN_S = 1.0
TURN_WAIT_S = 1.0
BATCH_MESSAGES = 200
BATCH_BYTES = 8 * 1024 * 1024
FRESH_BYTES = 16 * 1024 * 1024
DRAIN_S = 3.0


def _columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("message_id", sa.String(64), nullable=False),
        sa.Column("type", sa.String(100), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("occurred_us", sa.BigInteger, nullable=False),
        sa.Column("traceparent", sa.String(64), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    ]


def outbox_table(metadata: sa.MetaData) -> sa.Table:
    """The table ``outbox``, as part of a service's schema."""
    found = metadata.tables.get(TABLE)
    return found if found is not None else sa.Table(TABLE, metadata, *_columns(), sqlite_autoincrement=True)


def create(op: Any) -> None:
    """Create the table in a migration; ``op`` is ``alembic.op``."""
    op.create_table(TABLE, *_columns(), sqlite_autoincrement=True)


def keep_bodies_as_they_are(op: Any) -> None:
    """Let PostgreSQL not try to compress bodies, which live for milliseconds; ``op`` is ``alembic.op``."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE {TABLE} ALTER COLUMN body SET STORAGE EXTERNAL")


_OUTBOX = outbox_table(sa.MetaData())


def _oldest() -> sa.Select[Any]:
    """The oldest messages, as many as a batch may have; without their bodies, which may be here already."""
    size = sa.func.length(_OUTBOX.c.body).label("size_bytes")
    columns = (_OUTBOX.c.id, _OUTBOX.c.message_id, _OUTBOX.c.traceparent, size)
    return sa.select(*columns).order_by(_OUTBOX.c.id).limit(BATCH_MESSAGES)


_ENQUEUE = _OUTBOX.insert().inline()  # nobody asks for the numbers that rows get
_OLDEST = _oldest()
_WHOLE = _OUTBOX.select().where(in_parameter(_OUTBOX.c.id, "ids"))
_DONE = _OUTBOX.delete().where(in_parameter(_OUTBOX.c.id, "ids"))


def enqueue(connection: sa.Connection, messages: Sequence[Message]) -> None:
    """Write messages into the caller's transaction; they leave after it commits.

    Raises:
        InvalidInput: a body is over the bus's limit; it would hold up all that follow.
    """
    if any(len(message.body) > MAX_BODY_BYTES for message in messages):
        raise InvalidInput(f"a message is over {MAX_BODY_BYTES} bytes")
    rows = [
        {
            "message_id": message.id,
            "type": message.type,
            "version": message.version,
            "occurred_us": to_epoch_us(message.occurred_at),
            "traceparent": message.traceparent or telemetry.current_traceparent(),
            "body": message.body,
        }
        for message in messages
    ]
    if rows:
        connection.execute(_ENQUEUE, rows)


class Relay(Loop):
    """A thread that moves the outbox to the bus. One per store."""

    def __init__(self, store: Store, bus: Bus, *, backoff: Backoff | None = None) -> None:
        """Move from ``store`` to ``bus``, once started."""
        super().__init__("outbox-relay", backoff=backoff, stop_s=DRAIN_S + 2.0)
        self._store = store
        self._bus = bus
        self._fresh = _Fresh()

    def notify(self, messages: Sequence[Message] = ()) -> None:
        """There is something new: call it after a commit. ``messages`` of it need not be read back."""
        self._fresh.add(messages)
        self.wake()

    def depth(self) -> int:
        """How many messages wait."""
        with self._store.read() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(_OUTBOX)).scalar_one())

    def watch(self, clock: Clock) -> None:
        """Let metrics tell how many messages wait, and since when by ``clock``."""
        observe_one(OUTBOX_DEPTH, self.depth)
        observe_one(OUTBOX_AGE, lambda: self._age_s(clock))

    def _age_s(self, clock: Clock) -> float:
        oldest = sa.select(_OUTBOX.c.occurred_us).order_by(_OUTBOX.c.id).limit(1)
        with self._store.read() as connection:
            occurred_us = connection.execute(oldest).scalar()
        return 0.0 if occurred_us is None else max(0.0, (to_epoch_us(clock.now()) - occurred_us) / 1e6)

    def turn(self) -> float:
        """Move batches until none is left, also what an earlier process left behind."""
        while self._move_batch() and not self.stopping.is_set():
            pass
        return RESCAN_S

    def failed(self, error: Exception) -> float:
        """Tell that the outbox cannot be published."""
        delay_s = self.retrying.failed()
        self._log_failure(error, delay_s)
        return delay_s

    def finish(self) -> None:
        """Publish what is there, unless the bus does not answer within a few seconds."""
        deadline = time.monotonic() + DRAIN_S
        try:
            while self._move_batch() and time.monotonic() < deadline:
                pass
        except Exception as error:
            self._log_failure(error, 0.0)

    def _move_batch(self) -> bool:
        """Publish the oldest batch and delete it; whether more may be left."""
        with self._store.shift(TABLE, wait_s=TURN_WAIT_S) as shift:
            if shift is None:  # whoever publishes may have looked before our last commit
                self.wake()
                return False
            with shift.read() as connection:
                found = connection.execute(_OLDEST).all()
                rows = _within(found, BATCH_BYTES)
                messages = self._messages(connection, rows)
            if rows:
                with sending(messages, system=self._bus.system):
                    self._bus.publish(messages)
                with shift.write() as connection:  # done again, it only publishes again
                    connection.execute(_DONE, {"ids": [row.id for row in rows]})
        self.retrying.worked()
        return len(rows) == BATCH_MESSAGES or len(rows) < len(found)

    def _messages(self, connection: sa.Connection, rows: Sequence[Any]) -> list[Message]:
        """The messages of ``rows``, in order; what is not at hand is read."""
        known = {row.id: self._fresh.take(row.message_id, row.traceparent) for row in rows}
        if absent := [id_ for id_, message in known.items() if message is None]:
            for row in connection.execute(_WHOLE, {"ids": absent}):
                known[row.id] = _message(row)
        return [message for message in known.values() if message is not None]

    def _log_failure(self, error: Exception, delay_s: float) -> None:
        log = _log.warning if isinstance(error, Unavailable) else _log.exception
        log(
            "the outbox cannot be published now",
            extra={"reason": str(error), "again_in_s": round(delay_s, 3)},
        )


class _Fresh:
    """Messages just written, as many as fit into memory: to read them back costs as much as to write them.

    Another replica may publish what is here; so the oldest make room for the newest.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: OrderedDict[str, Message] = OrderedDict()
        self._size_bytes = 0

    def add(self, messages: Sequence[Message]) -> None:
        with self._lock:
            for message in messages:
                known = self._messages.pop(message.id, message)
                self._size_bytes += len(message.body) - (len(known.body) if known is not message else 0)
                self._messages[message.id] = message
            while self._size_bytes > FRESH_BYTES:
                _, oldest = self._messages.popitem(last=False)
                self._size_bytes -= len(oldest.body)

    def take(self, message_id: str, traceparent: str) -> Message | None:
        """A message as it was written, where it is here."""
        with self._lock:
            found = self._messages.pop(message_id, None)
            if found is None:
                return None
            self._size_bytes -= len(found.body)
        return found if found.traceparent == traceparent else replace(found, traceparent=traceparent)


def _within(rows: Sequence[Any], most_bytes: int) -> Sequence[Any]:
    """As many from the first on as fit, that one whatever its size."""
    size_bytes = 0
    for count, row in enumerate(rows):
        size_bytes += row.size_bytes
        if count and size_bytes > most_bytes:
            return rows[:count]
    return rows


def _message(row: Any) -> Message:
    return Message(
        type=row.type,
        body=row.body,
        occurred_at=from_epoch_us(row.occurred_us),
        version=row.version,
        id=row.message_id,
        traceparent=row.traceparent,
    )
