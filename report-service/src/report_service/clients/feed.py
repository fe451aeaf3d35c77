"""ingest-service, owner of the exchange's feed."""

from __future__ import annotations

from datetime import date
from typing import Any

import grpc
from wattbook import rpc
from wattbook_proto import feed_pb2, feed_pb2_grpc, trades_pb2

from report_service.domain.feed import Difference, Feed, Listener, Statement, TradingDay, WaitingFile

STATUS_TIMEOUT_S = 2.0
DAY_TIMEOUT_S = 3.0


class FeedService:
    """The feed over gRPC. Every call raises Unavailable where ingest-service is away."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Call over ``channel``, which the caller closes."""
        self._stub: Any = feed_pb2_grpc.FeedStub(channel)  # type: ignore[no-untyped-call]

    def status(self) -> Feed:
        """How the feed is.

        Raises:
            Unavailable: not now.
        """
        reply = rpc.call(self._stub.Status, feed_pb2.StatusRequest(), timeout_s=STATUS_TIMEOUT_S)
        return Feed(
            listeners=tuple(_listener(each) for each in reply.listeners),
            frames=reply.frames,
            spool_depth=reply.spool_depth,
            outbox_depth=reply.outbox_depth,
            quarantined=reply.quarantined,
            last_trade_us=reply.last_trade_us,
            lag_us=reply.lag_us,
            now_us=reply.now_us,
            files_waiting=tuple(
                WaitingFile(each.name, each.since_us, each.waits_for) for each in reply.files_waiting
            ),
        )

    def trading_day(self, day: date) -> TradingDay:
        """How complete a trading day is.

        Raises:
            Unavailable: not now.
            InvalidInput: the owner knows no such day.
        """
        request = feed_pb2.ReconciliationRequest(day=day.isoformat())
        reply = rpc.call(self._stub.Reconciliation, request, timeout_s=DAY_TIMEOUT_S)
        return TradingDay(
            day,
            is_reconciled=reply.reconciled,
            file_name=reply.file_name,
            reconciled_us=reply.reconciled_us,
            in_both=reply.in_both,
            recovered=reply.recovered,
            feed_only=reply.feed_only,
            differing=reply.differing,
            complete_to_us=reply.complete_to_us,
            has_gap=reply.gap,
            file_only=reply.file_only,
            corrected=reply.corrected,
            differences=tuple(map(_difference, reply.differences)),
        )


def _difference(each: feed_pb2.Difference) -> Difference:
    file, feed, booked = (
        _statement(getattr(each, name)) if each.HasField(name) else None
        for name in ("file", "feed", "booked")
    )
    return Difference(each.trade_id, each.kind, each.detail, file, feed, booked)


def _statement(said: trades_pb2.TradeToBook) -> Statement:
    return Statement(
        trader_id=said.trader_id,
        direction="buy" if said.direction == trades_pb2.BUY else "sell",
        quantity_kw=said.quantity_kw,
        price_ct_per_mwh=said.price_ct_per_mwh,
        delivery_day=said.delivery_day,
        delivery_hour=said.delivery_hour,
        execution_time_us=said.execution_time_us,
    )


def _listener(each: feed_pb2.Listener) -> Listener:
    return Listener(
        url=each.url,
        is_connected=each.connected,
        since_us=each.since_us,
        last_frame_us=each.last_frame_us,
        frames=each.frames,
        connects=each.connects,
        next_attempt_us=each.next_attempt_us,
        trouble=each.trouble,
        node=each.node,
    )
