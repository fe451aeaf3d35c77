"""The bus door: what the owner of the trades hears from us, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence

from wattbook.bus import Message
from wattbook.bus.topology import TRADE_CONFIRMED
from wattbook.clock import from_epoch_us
from wattbook_proto import events_pb2, trades_pb2

from ingest_service.domain import ConfirmedTrade
from ingest_service.store import Spooled
from ingest_service.usecases import Quarantine

VERSION = 1
EVENT_TRADES = 500


def confirmed_events(
    trades: Sequence[tuple[ConfirmedTrade, Spooled]], spool: str, *, accepted_by: str = ""
) -> list[Message]:
    """``trade.confirmed`` events for trades heard, in order, at most 500 in each."""
    return [
        _event(trades[start : start + EVENT_TRADES], spool, accepted_by)
        for start in range(0, len(trades), EVENT_TRADES)
    ]


def fill(message: trades_pb2.TradeToBook, trade: ConfirmedTrade) -> None:
    """Let ``message`` state ``trade``."""
    message.id = trade.trade_id
    message.price_ct_per_mwh = trade.price_ct_per_mwh
    message.quantity_kw = trade.quantity_kw
    message.direction = trade.direction  # type: ignore[assignment]  # numbered as in trades.proto
    message.delivery_day = trade.delivery_day
    message.delivery_hour = trade.delivery_hour
    message.trader_id = trade.trader_id
    message.execution_time_us = trade.execution_time_us


class Refusals:
    """Hears ``trade.refused``."""

    def __init__(self, quarantine: Quarantine, *, spool: str) -> None:
        """Set aside what was refused of ``spool``."""
        self._quarantine = quarantine
        self._spool = spool

    def __call__(self, messages: Sequence[Message]) -> None:
        """Set aside, each frame once.

        Raises:
            Unavailable: the store cannot be written now.
        """
        refused = [
            (refusal.frame_id, refusal.id, refusal.reason)
            for message in messages
            for refusal in events_pb2.TradesRefused.FromString(message.body).trades
            if refusal.spool == self._spool
        ]
        self._quarantine.refused(refused)


def _event(trades: Sequence[tuple[ConfirmedTrade, Spooled]], spool: str, accepted_by: str) -> Message:
    body = events_pb2.TradesConfirmed()
    for trade, frame in trades:
        confirmed = body.trades.add()
        confirmed.frame_id = frame.frame_id
        confirmed.spool = spool
        confirmed.received_us = frame.received_us
        confirmed.accepted_by = accepted_by
        fill(confirmed.trade, trade)
    return Message(
        type=TRADE_CONFIRMED,
        version=VERSION,
        body=body.SerializeToString(),
        occurred_at=from_epoch_us(trades[0][1].received_us),
    )
