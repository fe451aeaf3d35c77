"""The book went back to an earlier state: tell its owner again what the exchange stated since."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from wattbook.bus import Message
from wattbook.clock import SystemClock, iso_z, to_epoch_us
from wattbook.db import Store

from ingest_service.domain import ConfirmedTrade
from ingest_service.store import Ledger, Spool, Spooled

TRADES_AT_ONCE = 5_000

Announce = Callable[[Sequence[tuple[ConfirmedTrade, Spooled]], str], list[Message]]


def restored(store: Store, since: datetime, *, announce: Announce) -> str:
    """What was done, and which files somebody must hand in again. Booking is idempotent; we may run."""
    count = _announce_again(Spool(store), since_us=to_epoch_us(since), announce=announce)
    said = f"{count} trades that the feed confirmed since {iso_z(since)} go to trade-service again"
    if names := Ledger(store, SystemClock()).reopen(since_us=to_epoch_us(since)):
        said += f"; move back from inbox/archive/ to inbox/: {', '.join(names)}"
    return said


def _announce_again(spool: Spool, *, since_us: int, announce: Announce) -> int:
    name = spool.state().spool
    after, count = 0, 0
    while trades := spool.heard_since(since_us, after=after, most=TRADES_AT_ONCE):
        spool.enqueue(announce([(trade, frame) for _, trade, frame in trades], name))
        after, count = trades[-1][0], count + len(trades)
    return count
