"""The spool: frames verbatim before anybody looks at them, then in one transaction what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update
from wattbook import outbox
from wattbook.bus import Message
from wattbook.db import Store, in_values, insert_new

from ingest_service.domain import (
    ConfirmedTrade,
    Gap,
    Heard,
    QuarantineState,
    execution_day,
    kept_content,
    trade_of,
)
from ingest_service.store.tables import FEED_STATE, FEED_TRADES, GAPS, OUTBOX, QUARANTINE, SPOOL

NO_FRAME = 2**62  # what is told again has a number of its own above all frames
_DAY_FORMAT = "%Y%m%d"
# Made once: making them anew cost a lone frame a tenth of its way.
# Trades, since what another node heard is added beside (days.py).
_KEEP, _ADD_TRADES, _QUARANTINE = insert(SPOOL), insert_new(FEED_TRADES), insert(QUARANTINE)
_CHANGE_STATE = update(FEED_STATE)
_OLDEST = select(SPOOL.c.frame_id, SPOOL.c.received_us).order_by(SPOOL.c.frame_id).limit(1)
_CONTENTS = select(FEED_TRADES.c.trade_id, FEED_TRADES.c.content)


class Spooled(NamedTuple):
    """A frame in the spool."""

    frame_id: int
    received_us: int
    origin: str
    frame: bytes


class FeedState(NamedTuple):
    """The spool's counters; times are 0 where there was nothing yet."""

    spool: str
    frames: int
    parsed_to: int
    first_us: int
    covered_to_us: int
    last_trade_us: int
    last_executed_us: int


@dataclass(slots=True)
class Settled:
    """What became of the frames up to ``parsed_to``."""

    parsed_to: int
    trades: list[tuple[ConfirmedTrade, Spooled]] = field(default_factory=list)  # heard for the first time
    unreadable: list[tuple[Spooled, str, str]] = field(default_factory=list)  # why, and the id if legible
    heartbeats: int = 0
    messages: list[Message] = field(default_factory=list)
    last_trade_us: int = 0
    last_executed_us: int = 0


class Spool:
    """One per store; one process writes to it. Every method raises Unavailable where that is impossible."""

    def __init__(self, store: Store) -> None:
        """Keep frames in ``store``, which must be migrated."""
        self._store = store
        self._unsure = False
        self.last_frame_id = self.state().frames

    def state(self) -> FeedState:
        """The counters now."""
        with self._store.read() as connection:
            row = connection.execute(select(*(FEED_STATE.c[name] for name in FeedState._fields))).one()
        return FeedState._make(row)

    def keep(self, frames: Sequence[Heard]) -> list[Spooled]:
        """Write frames down, durably, in one commit. After :class:`Unavailable` offer the same ones again.

        A commit whose connection broke may have been kept: then they are there already.
        """
        first = self.last_frame_id + 1
        kept = [
            Spooled(first + index, each.at_us, each.origin, each.data) for index, each in enumerate(frames)
        ]
        if not (self._unsure and self.state().frames == kept[-1].frame_id):
            self._unsure = True
            with self._store.write() as connection:
                connection.execute(_KEEP, [each._asdict() for each in kept])
                connection.execute(_CHANGE_STATE, {"frames": kept[-1].frame_id})
        self._unsure = False
        self.last_frame_id = kept[-1].frame_id
        return kept

    def after(self, frame_id: int, *, most: int) -> list[Spooled]:
        """Frames in order from the one after ``frame_id``."""
        query = select(SPOOL).where(SPOOL.c.frame_id > frame_id).order_by(SPOOL.c.frame_id).limit(most)
        with self._store.read() as connection:
            return [Spooled._make(row) for row in connection.execute(query)]

    @contextmanager
    def settling(self) -> Iterator[Settling]:
        """The transaction that settles frames; where it is lost, they are only settled again."""
        with self._store.write(durable=False) as connection:
            yield Settling(connection)

    def cover(self, *, first_us: int, covered_to_us: int, gaps: Sequence[Gap]) -> None:
        """Remember up to when everything was heard, and new gaps; the earliest ``first_us`` counts."""
        with self._store.write(durable=bool(gaps)) as connection:
            connection.execute(_CHANGE_STATE, {"covered_to_us": covered_to_us})
            is_first = (FEED_STATE.c.first_us == 0) | (FEED_STATE.c.first_us > first_us)
            connection.execute(update(FEED_STATE).where(is_first).values(first_us=first_us))
            if gaps:
                connection.execute(insert(GAPS), [gap._asdict() for gap in gaps])

    def trim(self, *, before_us: int, most_frames: int, at_once: int) -> int:
        """Let go of frames that are settled and old, or more than ``most_frames``; how many were."""
        state = self.state()
        superfluous_to = state.frames - most_frames
        with self._store.read() as connection:
            first = connection.execute(_OLDEST).first()
        if first is None or (first.frame_id > superfluous_to and first.received_us >= before_us):
            return 0
        settled = SPOOL.c.frame_id <= min(state.parsed_to, first.frame_id + at_once - 1)
        done = (SPOOL.c.frame_id <= superfluous_to) | (SPOOL.c.received_us < before_us)
        with self._store.write(durable=False) as connection:
            return connection.execute(delete(SPOOL).where(settled & done)).rowcount

    def forget_trades(self, *, before_day: int) -> None:
        """Let go of what the feed delivered on days long past."""
        with self._store.write(durable=False) as connection:
            connection.execute(delete(FEED_TRADES).where(FEED_TRADES.c.executed_day < before_day))

    def heard_since(
        self, since_us: int, *, after: int, most: int
    ) -> list[tuple[int, ConfirmedTrade, Spooled]]:
        """Trades that were heard here since then, in order after the row ``after``; their frames are gone."""
        heard = (FEED_TRADES.c.received_us >= since_us) & (FEED_TRADES.c.id > after)
        query = select(FEED_TRADES).where(heard).order_by(FEED_TRADES.c.id).limit(most)
        with self._store.read() as connection:
            rows = list(connection.execute(query))
        return [
            (
                row.id,
                trade_of(row.trade_id, row.content),
                Spooled(NO_FRAME + row.id, row.received_us, "", b""),
            )
            for row in rows
        ]

    def enqueue(self, messages: Sequence[Message]) -> None:
        """Put events that tell of no new frame into the outbox, durably."""
        with self._store.write() as connection:
            outbox.enqueue(connection, messages)

    def outbox_depth(self) -> int:
        """How many events wait for the bus."""
        with self._store.read() as connection:
            return int(connection.execute(select(func.count()).select_from(OUTBOX)).scalar_one())


class Settling:
    """What is done inside :meth:`Spool.settling`."""

    def __init__(self, connection: Connection) -> None:
        """Work in ``connection``'s transaction."""
        self._connection = connection

    def known(self, trade_ids: Sequence[str]) -> dict[str, str]:
        """The content of those trades that the feed delivered before."""
        return known_contents(self._connection, trade_ids)

    def settle(self, settled: Settled) -> None:
        """Write down what became of frames, and what the owner of the trades must hear."""
        if settled.trades:
            add_feed_trades(self._connection, settled.trades)
        if settled.unreadable:
            self._connection.execute(insert(QUARANTINE), [_set_aside(*each) for each in settled.unreadable])
        outbox.enqueue(self._connection, settled.messages)
        values = {"parsed_to": settled.parsed_to}
        if settled.last_trade_us:
            values |= {
                "last_trade_us": settled.last_trade_us,
                "last_executed_us": settled.last_executed_us,
            }
        self._connection.execute(_CHANGE_STATE, values)


def known_contents(connection: Connection, trade_ids: Sequence[str]) -> dict[str, str]:
    """The content of those trades that the feed delivered."""
    rows = connection.execute(_CONTENTS.where(in_values(FEED_TRADES.c.trade_id, trade_ids)))
    return {trade_id: content for trade_id, content in rows}  # noqa: C416  # rows are no pairs to mypy


def add_feed_trades(connection: Connection, trades: Sequence[tuple[ConfirmedTrade, Spooled]]) -> None:
    """Remember trades that the feed delivered for the first time; those that are known stay as they are."""
    connection.execute(
        _ADD_TRADES,
        [
            {
                "trade_id": trade.trade_id,
                "content": kept_content(trade),
                "executed_day": int(execution_day(trade.execution_time_us).strftime(_DAY_FORMAT)),
                "received_us": frame.received_us,
                "tied_run": 0,
            }
            for trade, frame in trades
        ],
    )


def _set_aside(frame: Spooled, reason: str, trade_id: str) -> dict[str, object]:
    return {
        "frame_id": frame.frame_id,
        "received_us": frame.received_us,
        "origin": frame.origin,
        "reason": reason,
        "frame": frame.frame,
        "state": int(QuarantineState.OPEN),
        "trade_id": trade_id,
        "decided_by": "",
        "decided_us": 0,
    }
