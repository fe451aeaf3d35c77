"""trade-service, owner of the book."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import grpc
from wattbook import rpc
from wattbook.clock import from_epoch_s, to_epoch_us
from wattbook.errors import Unavailable
from wattbook.periods import DEFAULT_AREA, DeliveryPeriod, day_bounds
from wattbook_proto import trades_pb2, trades_pb2_grpc

from report_service.domain.book import Book, Booking, Cell, CellKey, Head, Page
from report_service.domain.effects import PeriodTrade
from report_service.domain.feed import Difference, Statement

SNAPSHOT_TIMEOUT_S = 60.0
SEARCH_TIMEOUT_S = 30.0
CELLS_TIMEOUT_S = 10.0
FOLLOW_VERSION = 2  # of trade.booked: the newest that this reader can count
PERIOD_TIMEOUT_S = 4.0
MOST_UNCONFIRMED = 1_000
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
        _key_of(trade.replaced) if trade.HasField("replaced") else None,
    )


def _key_of(of: trades_pb2.BookedTrade | trades_pb2.Position) -> CellKey:
    return CellKey(of.trader_id, of.area, of.delivery_start_s, of.delivery_minutes)


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
        book = Book()
        cells: list[tuple[CellKey, Cell]] = []
        pages = rpc.stream(self._stub.Positions, trades_pb2.PositionsRequest(), timeout_s=SNAPSHOT_TIMEOUT_S)
        for page in pages:
            cells.extend((_key_of(position), _cell_of(position)) for position in page.positions)
            book = Book(last_seq=page.as_of_seq, epoch=page.epoch, digest=page.digest)
        return Book(last_seq=book.last_seq, cells=cells, epoch=book.epoch, digest=book.digest)

    def after(self, known: Head, *, limit: int = 0) -> Iterator[Page]:
        """Pages of what was booked after what is known, in order; at most ``limit`` bookings, 0 means all.

        Raises:
            Unavailable: not now.
        """
        timeout_s = LOOK_TIMEOUT_S if limit else SEARCH_TIMEOUT_S
        request = trades_pb2.SearchRequest(
            after_seq=known.seq,
            known_epoch=known.epoch,
            known_digest=known.digest,
            limit=limit,
            follow_version=FOLLOW_VERSION,
        )
        for page in rpc.stream(self._stub.Search, request, timeout_s=timeout_s):
            head = Head(page.epoch, page.as_of_seq, page.digest)
            yield Page([booking_of(trade) for trade in page.trades], head, diverged=page.diverged)

    def cells(self, keys: Iterable[CellKey], *, as_of_seq: int) -> dict[CellKey, Cell | None]:
        """The sums of some keys as of a number, added up anew; None where a key has no trade.

        Raises:
            Unavailable: not now.
        """
        request = trades_pb2.PositionsRequest(as_of_seq=as_of_seq)
        found: dict[CellKey, Cell | None] = {}
        for key in keys:
            request.keys.add(**key._asdict())
            found[key] = None
        for page in rpc.stream(self._stub.Positions, request, timeout_s=CELLS_TIMEOUT_S):
            if not page.of_keys:  # a release that knows of no keys answers with everything
                raise Unavailable("trade-service cannot recompute sums yet; it is being updated")
            found.update({_key_of(position): _cell_of(position) for position in page.positions})
        return found

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
        return [PeriodTrade(booking_of(trade), _marks(trade)) for page in pages for trade in page.trades]

    def unconfirmed(self, day: date) -> tuple[Difference, ...]:
        """Trades executed on a trading day that the exchange never stated, at most ``MOST_UNCONFIRMED``.

        Raises:
            Unavailable: not now.
        """
        begins, ends = day_bounds(DEFAULT_AREA, day)
        request = trades_pb2.SearchRequest(
            area=DEFAULT_AREA,
            unconfirmed=True,
            limit=MOST_UNCONFIRMED,
            executed_from_us=to_epoch_us(begins),
            executed_before_us=to_epoch_us(ends),
        )
        pages = rpc.stream(self._stub.Search, request, timeout_s=PERIOD_TIMEOUT_S)
        return tuple(_unconfirmed(trade) for page in pages for trade in page.trades)


def _unconfirmed(trade: trades_pb2.BookedTrade) -> Difference:
    start = from_epoch_s(trade.delivery_start_s)
    period = DeliveryPeriod(trade.area, start, trade.delivery_minutes)
    booked = Statement(
        trader_id=trade.trader_id,
        direction="buy" if trade.direction == trades_pb2.BUY else "sell",
        quantity_kw=trade.quantity_kw,
        price_ct_per_mwh=trade.price_ct_per_mwh,
        delivery_day=period.delivery_day.isoformat(),
        delivery_hour=period.delivery_hour,
        execution_time_us=trade.execution_time_us,
    )
    return Difference(trade.id, "unconfirmed", "the exchange has not stated it", booked=booked)


def _marks(trade: trades_pb2.BookedTrade) -> tuple[str, ...]:
    """Its flags, and how the exchange stands to it."""
    marks = list(trade.flags)
    if trade.HasField("replaced"):
        marks.append("corrected")
    if not trade.confirmed_by and trade.source != trades_pb2.FEED:
        marks.append("unconfirmed")
    return tuple(marks)


def _cell_of(position: trades_pb2.Position) -> Cell:
    return Cell(
        position.trades,
        position.buy_kw,
        position.sell_kw,
        int(position.buy_ct_kw_per_mwh),
        int(position.sell_ct_kw_per_mwh),
        position.last_execution_time_us,
    )
