"""trade-service, owner of the book."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from wattbook import rpc
from wattbook.clock import to_epoch_us
from wattbook.periods import DeliveryPeriod
from wattbook_proto import trades_pb2, trades_pb2_grpc

from report_service.domain.book import Book, Booking, Cell, CellKey
from report_service.domain.effects import PeriodTrade

SNAPSHOT_TIMEOUT_S = 60.0
SEARCH_TIMEOUT_S = 30.0
PERIOD_TIMEOUT_S = 4.0
_US_PER_S = 1_000_000
LOOK_TIMEOUT_S = 3.0  # for a few trades: a service that hangs is soon noticed


def booking_of(trade: trades_pb2.BookedTrade) -> Booking:
    """A booked trade of the contract, in our words."""
    return Booking(
        trade.booking_seq,
        trade.trader_id,
        trade.area,
        trade.delivery_start_s,
        trade.delivery_minutes,
        trade.direction == trades_pb2.BUY,
        trade.quantity_kw,
        trade.price_ct_per_mwh,
        trade.execution_time_us,
        trade.id,
    )


class TradeService:
    """The book over gRPC."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Call over ``channel``, which the caller closes."""
        self._stub: Any = trades_pb2_grpc.TradesStub(channel)  # type: ignore[no-untyped-call]

    def snapshot(self) -> Book:
        """Sums of everything booked, consistent as of its ``last_seq``.

        Raises:
            Unavailable: not now.
        """
        book_seq = 0
        cells: list[tuple[CellKey, Cell]] = []
        pages = rpc.stream(self._stub.Positions, trades_pb2.PositionsRequest(), timeout_s=SNAPSHOT_TIMEOUT_S)
        for page in pages:
            book_seq = page.as_of_seq
            cells.extend(_cell_of(position) for position in page.positions)
        return Book(last_seq=book_seq, cells=cells)

    def after(self, seq: int, *, limit: int = 0) -> Iterator[Sequence[Booking]]:
        """Pages of what was booked after ``seq``, in order; at most ``limit`` bookings, 0 means all.

        Raises:
            Unavailable: not now.
        """
        timeout_s = LOOK_TIMEOUT_S if limit else SEARCH_TIMEOUT_S
        request = trades_pb2.SearchRequest(after_seq=seq, limit=limit)
        for page in rpc.stream(self._stub.Search, request, timeout_s=timeout_s):
            yield [booking_of(trade) for trade in page.trades]

    def of_period(self, *, trader_id: str, period: DeliveryPeriod, limit: int) -> list[PeriodTrade]:
        """The first ``limit`` trades of a trader that deliver within a period, in booking order.

        Raises:
            Unavailable: not now.
        """
        request = trades_pb2.SearchRequest(
            trader_id=trader_id,
            delivery_day=period.delivery_day.isoformat(),
            area=period.area,
            delivery_from_s=to_epoch_us(period.start) // _US_PER_S,
            delivery_before_s=to_epoch_us(period.end) // _US_PER_S,
            limit=limit,
        )
        pages = rpc.stream(self._stub.Search, request, timeout_s=PERIOD_TIMEOUT_S)
        return [PeriodTrade(booking_of(trade), tuple(trade.flags)) for page in pages for trade in page.trades]


def _cell_of(position: trades_pb2.Position) -> tuple[CellKey, Cell]:
    key = CellKey(position.trader_id, position.area, position.delivery_start_s, position.delivery_minutes)
    return key, Cell(
        position.trades,
        position.buy_kw,
        position.sell_kw,
        int(position.buy_ct_kw_per_mwh),
        int(position.sell_ct_kw_per_mwh),
        position.last_execution_time_us,
    )
