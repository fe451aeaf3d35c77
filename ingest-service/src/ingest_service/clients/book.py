"""trade-service, owner of the book."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import grpc
from wattbook import rpc
from wattbook.clock import from_epoch_s
from wattbook.periods import DEFAULT_AREA, DeliveryPeriod
from wattbook_proto import trades_pb2, trades_pb2_grpc

from ingest_service.domain import ConfirmedTrade

AT_ONCE = 100_000  # trades in one call, so that no deadline is for a day of any size
SEARCH_TIMEOUT_S = 120.0


class Book:
    """The book over gRPC. Every call raises Unavailable where trade-service is away."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Call over ``channel``, which the caller closes."""
        self._stub: Any = trades_pb2_grpc.TradesStub(channel)  # type: ignore[no-untyped-call]

    def of_feed(self, *, from_us: int, before_us: int) -> Iterator[Sequence[ConfirmedTrade]]:
        """Trades that were booked from the feed, executed from one instant and before another, in pages.

        Raises:
            Unavailable: not now; what came before stands.
        """
        request = trades_pb2.SearchRequest(
            area=DEFAULT_AREA, executed_from_us=from_us, executed_before_us=before_us, limit=AT_ONCE
        )
        while True:
            for page in rpc.stream(self._stub.Search, request, timeout_s=SEARCH_TIMEOUT_S):
                yield [confirmed(trade) for trade in page.trades if _was_heard(trade)]
                request.after_seq = page.next_after_seq
            if not request.after_seq:
                return


def _was_heard(trade: trades_pb2.BookedTrade) -> bool:
    """Whether the feed stated it, whoever booked it first."""
    return trades_pb2.FEED in (trade.source, trade.confirmed_by)


def confirmed(trade: trades_pb2.BookedTrade) -> ConfirmedTrade:
    """A booked trade as the exchange confirmed it."""
    return ConfirmedTrade(
        trade.id,
        trade.price_ct_per_mwh,
        trade.quantity_kw,
        trade.direction,
        *_labels(trade.delivery_start_s, trade.delivery_minutes),
        trade.trader_id,
        trade.execution_time_us,
    )


@lru_cache(maxsize=4096)
def _labels(start_s: int, minutes: int) -> tuple[str, int]:
    """Day and hour as the exchange writes them."""
    period = DeliveryPeriod(DEFAULT_AREA, from_epoch_s(start_s), minutes)
    return period.delivery_day.isoformat(), period.delivery_hour
