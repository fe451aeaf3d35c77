"""The gRPC door: ``trades.proto`` in our own words and back, and the events that others hear."""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import grpc
from wattbook.access import Principal
from wattbook.bus import Message
from wattbook.bus.topology import TRADE_BOOKED, TRADE_REFUSED
from wattbook.clock import Clock, from_epoch_us
from wattbook.errors import InvalidInput, Unavailable
from wattbook.periods import NoSuchPeriod, area_of
from wattbook.telemetry.catalogue import TRADES_BOOKED
from wattbook.telemetry.metrics import Counter
from wattbook.walls import caller
from wattbook_proto import events_pb2, trades_pb2, trades_pb2_grpc

from trade_service import usecases
from trade_service.domain import (
    BookedRow,
    BookedTrade,
    Criteria,
    InvalidTrade,
    Position,
    Result,
    Source,
    Trade,
    day_number,
    different_fields,
    flag_names,
    name_problem,
    trade_of,
)
from trade_service.store import TradeStore

CONFIRMED_TRADES = 2_000  # in one request to book
EVENT_VERSION = 1
EVENT_TRADES = 1_000
BOOK_TIMEOUT_S = 30.0
HANDLERS = 128
STREAMS = 96  # the other handlers are for bookings
RULES = {
    "Book": Principal.require_booking,
    "Search": Principal.require_any_role,
    "Positions": Principal.require_sees_all,
}
_BOOKINGS = Counter(TRADES_BOOKED)
_SOURCES = {number: name.lower() for name, number in trades_pb2.Source.items()}
_RESULTS = {number: name.lower() for name, number in trades_pb2.Result.items()}
_INVALID = int(Result.INVALID)
_BOOKED_TIME_US = BookedTrade._fields.index("booked_time_us")


class TradesServicer(trades_pb2_grpc.TradesServicer):
    """``wattbook.trades.v1.Trades``."""

    def __init__(self, *, store: TradeStore, booker: usecases.GroupCommit) -> None:
        """Answer from ``store``, book through ``booker``."""
        self._store = store
        self._booker = booker
        self._streams = threading.BoundedSemaphore(STREAMS)
        for source in ("rest", "file", "feed"):  # from 0: else the first is no increase, and no alert
            _BOOKINGS.add(0, {"result": "conflict", "source": source})

    def Book(self, request: trades_pb2.BookRequest, context: grpc.ServicerContext) -> trades_pb2.BookReply:  # noqa: N802
        """Book one or many; one result a trade, in order."""
        _require_own(request)
        trades, invalid = _stated(request.trades, booked=self._store.booked)
        outcome = self._booker.book(trades, source=_source(request), timeout_s=_timeout_s(context))
        return _counted(_reply(outcome, invalid), request.source)

    def Search(  # noqa: N802
        self, request: trades_pb2.SearchRequest, context: grpc.ServicerContext
    ) -> Iterator[trades_pb2.TradePage]:
        """Matching trades in booking order, in pages."""
        criteria = _criteria(request, trader_id=caller().visible_trader_id(request.trader_id))
        with self._stream():
            for page in usecases.search(
                self._store, criteria, after_seq=request.after_seq, limit=request.limit
            ):
                message = trades_pb2.TradePage(next_after_seq=page.next_after_seq)
                _fill(message.trades.add, page.trades)
                yield message

    def Positions(  # noqa: N802
        self, request: trades_pb2.PositionsRequest, context: grpc.ServicerContext
    ) -> Iterator[trades_pb2.PositionPage]:
        """All positions, consistent as of one booking; at least one page."""
        with self._stream():
            with usecases.positions(self._store) as (as_of_seq, pages):
                # Kept packed, so that a slow caller does not hold the snapshot and with it the store's log.
                packed = [_position_page(as_of_seq, page).SerializeToString() for page in pages]
            for page in packed or [_position_page(as_of_seq, []).SerializeToString()]:
                yield trades_pb2.PositionPage.FromString(page)

    @contextmanager
    def _stream(self) -> Iterator[None]:
        """One of the streams that may run at once, since each keeps a handler's thread."""
        if not self._streams.acquire(blocking=False):
            raise Unavailable("too many searches at once; try again", retry_after_s=1)
        try:
            yield
        finally:
            self._streams.release()


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
        heard = [
            trade for each in messages for trade in events_pb2.TradesConfirmed.FromString(each.body).trades
        ]
        for start in range(0, len(heard), CONFIRMED_TRADES):
            self._book(heard[start : start + CONFIRMED_TRADES])

    def _book(self, heard: Sequence[events_pb2.ConfirmedTrade]) -> None:
        trades, invalid = _stated((each.trade for each in heard), booked=self._store.booked)
        outcome = self._booker.book(trades, source=int(Source.FEED), timeout_s=BOOK_TIMEOUT_S)
        reply = _counted(_reply(outcome, invalid), int(Source.FEED))
        if reply.reasons:
            event = _refused_event(heard, reply, occurred_at=self._clock.now())
            usecases.announce(self._store, [event], committed=self._booker.committed)


def booked_events(rows: Sequence[BookedRow], traceparent: str) -> list[Message]:
    """``trade.booked`` events that tell of one commit's trades, at most 1,000 in each."""
    events = []
    for start in range(0, len(rows), EVENT_TRADES):
        body = events_pb2.TradesBooked()
        _fill(body.trades.add, rows[start : start + EVENT_TRADES])
        events.append(
            Message(
                type=TRADE_BOOKED,
                version=EVENT_VERSION,
                body=body.SerializeToString(),
                occurred_at=from_epoch_us(rows[start][_BOOKED_TIME_US]),
                traceparent=traceparent,
            )
        )
    return events


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
        type=TRADE_REFUSED, version=EVENT_VERSION, body=body.SerializeToString(), occurred_at=occurred_at
    )


def _stated(
    rows: Iterable[trades_pb2.TradeToBook], *, booked: Callable[[Sequence[str]], dict[str, Trade]]
) -> tuple[list[Trade], dict[int, str]]:
    """The trades that can be booked, and by index why the others cannot.

    A name that is not fit to be booked is let through where exactly that trade is ``booked`` already, from
    before there was such a rule: then it is a duplicate.
    """
    trades: dict[int, Trade] = {}
    invalid: dict[int, str] = {}
    unfit: dict[int, str] = {}
    for index, row in enumerate(rows):
        try:
            trade = trade_of(
                trade_id=row.id,
                price_ct_per_mwh=row.price_ct_per_mwh,
                quantity_kw=row.quantity_kw,
                direction=row.direction,
                area=row.area,
                delivery_day=row.delivery_day,
                delivery_hour=row.delivery_hour,
                delivery_start_s=row.delivery_start_s if row.HasField("delivery_start_s") else None,
                trader_id=row.trader_id,
                execution_time_us=row.execution_time_us,
            )
        except InvalidTrade as error:
            invalid[index] = str(error)
        else:
            trades[index] = trade
            if problem := name_problem(trade):
                unfit[index] = problem
    there = booked([trades[index].trade_id for index in unfit]) if unfit else {}
    for index, problem in unfit.items():
        known = there.get(trades[index].trade_id)
        if known is None or different_fields(known, trades[index]):
            invalid[index] = problem
            del trades[index]
    return list(trades.values()), invalid


def _timeout_s(context: grpc.ServicerContext) -> float:
    left_s = context.time_remaining()
    return BOOK_TIMEOUT_S if left_s is None else min(left_s, BOOK_TIMEOUT_S)


def _source(request: trades_pb2.BookRequest) -> int:
    if request.source not in trades_pb2.Source.values():
        raise InvalidInput(f"unknown source {request.source}")
    return int(request.source)


def _reply(outcome: usecases.Outcome, invalid: dict[int, str]) -> trades_pb2.BookReply:
    results: Any = [] if invalid else outcome.results
    reasons = {**invalid} if invalid else outcome.reasons
    for index, result in enumerate(outcome.results if invalid else ()):
        while len(results) in invalid:
            results.append(_INVALID)
        if index in outcome.reasons:
            reasons[len(results)] = outcome.reasons[index]
        results.append(result)
    while len(results) in invalid:
        results.append(_INVALID)
    return trades_pb2.BookReply(results=results, reasons=reasons)


def _counted(reply: trades_pb2.BookReply, source: int) -> trades_pb2.BookReply:
    for result, count in Tally(reply.results).items() if _BOOKINGS.is_kept else ():
        _BOOKINGS.add(count, {"result": _RESULTS[result], "source": _SOURCES[source]})
    return reply


def _require_own(request: trades_pb2.BookRequest) -> None:
    """Insist that whoever books may book all of it."""
    asker = caller()
    if asker.sees_all:
        return
    if request.source == trades_pb2.FILE:
        asker.require_file_source()
    for trader_id in {trade.trader_id for trade in request.trades}:
        asker.require_trader(trader_id)


def _criteria(request: trades_pb2.SearchRequest, *, trader_id: str) -> Criteria:
    if "\0" in trader_id:  # some engines cannot even be asked
        raise InvalidInput("trader_id contains control characters")
    try:
        return Criteria(
            trader_id=trader_id or None,
            delivery_day=day_number(request.delivery_day) if request.delivery_day else None,
            area=area_of(request.area).code if request.area else None,
            executed_from_us=request.executed_from_us if request.HasField("executed_from_us") else None,
            executed_before_us=request.executed_before_us if request.HasField("executed_before_us") else None,
            delivery_from_s=request.delivery_from_s if request.HasField("delivery_from_s") else None,
            delivery_before_s=request.delivery_before_s if request.HasField("delivery_before_s") else None,
        )
    except (InvalidTrade, NoSuchPeriod) as error:
        raise InvalidInput(str(error)) from error


def _fill(add: Callable[[], Any], rows: Sequence[BookedRow]) -> None:
    """Append trades to a repeated field; by assignment, which is quicker than by keywords."""
    for row in rows:
        message = add()
        message.booking_seq = row[0]
        message.id = row[1]
        message.price_ct_per_mwh = row[2]
        message.quantity_kw = row[3]
        message.direction = row[4]
        message.trader_id = row[5]
        message.execution_time_us = row[6]
        message.area = row[7]
        message.delivery_start_s = row[8]
        message.delivery_minutes = row[9]
        if row[11]:
            message.flags.extend(flag_names(row[11]))
        message.booked_time_us = row[12]
        message.source = row[13]


def _position_page(as_of_seq: int, page: Sequence[Position]) -> trades_pb2.PositionPage:
    message = trades_pb2.PositionPage(as_of_seq=as_of_seq)
    for position in page:
        message.positions.add(
            trader_id=position.trader_id,
            area=position.area,
            delivery_start_s=position.delivery_start_s,
            delivery_minutes=position.delivery_minutes,
            trades=position.trades,
            buy_kw=position.buy_kw,
            sell_kw=position.sell_kw,
            buy_ct_kw_per_mwh=str(position.buy_ct_kw_per_mwh),
            sell_ct_kw_per_mwh=str(position.sell_ct_kw_per_mwh),
            last_execution_time_us=position.last_execution_time_us,
        )
    return message
