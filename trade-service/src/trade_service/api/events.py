"""The bus: what the exchange confirmed comes in, what is booked or refused goes out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from wattbook.bus import Message, require_version
from wattbook.bus.topology import TRADE_BOOKED, TRADE_REFUSED
from wattbook.clock import Clock, from_epoch_us
from wattbook_proto import events_pb2, trades_pb2

from trade_service import usecases
from trade_service.api.counting import counted
from trade_service.api.messages import fill, reply_of, stated
from trade_service.domain import BookedRow, BookedTrade, Source, Speaker
from trade_service.store import TradeStore

CONFIRMED_TRADES = 2_000  # in one request to book
CONFIRMED_VERSION = 1
BOOKED_VERSION, CORRECTED_VERSION = 1, 2
REFUSED_VERSION = 1
EVENT_TRADES = 1_000
BOOK_TIMEOUT_S = 30.0
_BOOKED_TIME_US = BookedTrade._fields.index("booked_time_us")
_FEED = int(Source.FEED)


class Confirmations:
    """Hears ``trade.confirmed``: books what the exchange confirmed, and says what cannot be booked.

    Everything may come again: the same trade is a duplicate then, and the same refusal is said again.
    """

    def __init__(self, *, booker: usecases.GroupCommit, store: TradeStore, clock: Clock) -> None:
        """Book through ``booker``; refusals leave through the outbox of ``store``."""
        self._booker = booker
        self._store = store
        self._clock = clock

    def __call__(self, messages: Sequence[Message]) -> None:
        """Book, and once that is durable, refuse.

        Raises:
            Unavailable: not now; the same messages may come again.
        """
        for message in messages:
            require_version(message, newest=CONFIRMED_VERSION)
        heard = [
            trade for each in messages for trade in events_pb2.TradesConfirmed.FromString(each.body).trades
        ]
        for accepted_by, trades in groupby(heard, key=lambda trade: trade.accepted_by):
            speaker = Speaker.NAMED if accepted_by else Speaker.EXCHANGE
            sender = usecases.Sender(_FEED, speaker, author=accepted_by)
            self._book_all(list(trades), sender)

    def _book_all(self, heard: Sequence[events_pb2.ConfirmedTrade], sender: usecases.Sender) -> None:
        for start in range(0, len(heard), CONFIRMED_TRADES):
            self._book(heard[start : start + CONFIRMED_TRADES], sender)

    def _book(self, heard: Sequence[events_pb2.ConfirmedTrade], sender: usecases.Sender) -> None:
        is_named = sender.speaker is Speaker.NAMED
        trades, invalid = stated(
            (each.trade for each in heard), booked=self._store.booked, takes_any_id=is_named
        )
        outcome = self._booker.book(trades, sender=sender, timeout_s=BOOK_TIMEOUT_S)
        reply = counted(reply_of(outcome, invalid), _FEED)
        if reply.reasons:
            event = _refused_event(heard, reply, occurred_at=self._clock.now())
            usecases.announce(self._store, [event], committed=self._booker.committed)


def booked_events(commit: usecases.Commit, traceparent: str) -> list[Message]:
    """``trade.booked`` events that tell of one commit's trades, at most 1,000 in each.

    One with a correction has a version of its own: who adds what it does not know must not read it.
    """
    rows, replaced, _ = commit.entries
    return [
        _booked_event(commit, rows[start : start + EVENT_TRADES], replaced, traceparent)
        for start in range(0, len(rows), EVENT_TRADES)
    ]


def _booked_event(
    commit: usecases.Commit, rows: Sequence[BookedRow], replaced: dict[int, BookedRow], traceparent: str
) -> Message:
    body = events_pb2.TradesBooked(
        epoch=commit.before.epoch,
        before_seq=commit.before.last_seq,
        digest_before=commit.before.digest,
        after_seq=commit.after.last_seq,
        digest_after=commit.after.digest,
    )
    fill(body.trades.add, rows)
    version = BOOKED_VERSION
    if replaced:
        for message in body.trades:
            before = replaced.get(message.booking_seq)
            if before is not None:
                fill(lambda into=message.replaced: into, [before])  # type: ignore[misc]
                version = CORRECTED_VERSION
    return Message(
        type=TRADE_BOOKED,
        version=version,
        body=body.SerializeToString(),
        occurred_at=from_epoch_us(rows[0][_BOOKED_TIME_US]),
        traceparent=traceparent,
    )


def _refused_event(
    heard: Sequence[events_pb2.ConfirmedTrade], reply: trades_pb2.BookReply, *, occurred_at: datetime
) -> Message:
    body = events_pb2.TradesRefused()
    for index, reason in sorted(reply.reasons.items()):
        body.trades.add(
            id=heard[index].trade.id,
            frame_id=heard[index].frame_id,
            spool=heard[index].spool,
            result=reply.results[index],
            reason=reason,
        )
    return Message(
        type=TRADE_REFUSED, version=REFUSED_VERSION, body=body.SerializeToString(), occurred_at=occurred_at
    )
