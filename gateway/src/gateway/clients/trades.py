"""The owner of the trades, in the gateway's words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import grpc
from grpc_health.v1 import health_pb2_grpc
from msgspec import UNSET, UnsetType
from wattbook import rpc
from wattbook.access import Principal
from wattbook.errors import Unavailable
from wattbook.trade.statement import JsonTrade, StatedTrade, delivery_start_s, epoch_us
from wattbook_proto import trades_pb2, trades_pb2_grpc

from gateway.clients.coalescer import Coalescer, Limits, call_by_pass
from gateway.clients.owner import Door, says_it_serves

BATCH_TIMEOUT_S = 30.0
SEARCH_TIMEOUT_S = 600.0
RESULTS: dict[int, str] = {
    trades_pb2.ADDED: "added",
    trades_pb2.DUPLICATE: "duplicate",
    trades_pb2.CONFLICT: "conflict",
    trades_pb2.INVALID: "invalid",
}
_DIRECTIONS = {"buy": trades_pb2.BUY, "sell": trades_pb2.SELL}


@dataclass(frozen=True, slots=True)
class Booking:
    """What became of a trade: added, duplicate, conflict or invalid, and why for the last two.

    ``corrected``: added in place of what was booked under its id before.
    """

    result: str
    reason: str = ""
    corrected: bool = False


def new_request(*, from_file: bool = False, by_exchange: bool = False) -> trades_pb2.BookRequest:
    """An empty request to book trades that came through the API or, by it, from the exchange's file.

    ``by_exchange``: it is the exchange's own file, see :attr:`Principal.speaks_for_exchange`.
    """
    source = trades_pb2.FILE if from_file else trades_pb2.REST
    return trades_pb2.BookRequest(source=source, by_exchange=by_exchange)


def stated(
    trade: StatedTrade, make: Callable[[], trades_pb2.TradeToBook] = trades_pb2.TradeToBook
) -> trades_pb2.TradeToBook:
    """The message of a trade, which ``make`` makes once it is known to be one: alone, or in a request.

    By assignment, which takes half as long as by keywords.

    Raises:
        InvalidInput: its quantity or delivery start is none.
    """
    quantity_kw = trade.quantity_kw
    area: str | UnsetType = UNSET
    start_s: int | UnsetType = UNSET
    if type(trade) is JsonTrade:
        area = trade.area
        if trade.delivery_start is not UNSET:
            start_s = delivery_start_s(trade.delivery_start)
    message = make()
    message.id = trade.id
    message.price_ct_per_mwh = trade.price
    message.quantity_kw = quantity_kw
    message.direction = _DIRECTIONS[trade.direction]
    message.delivery_day = _day_text(trade.delivery_day)
    message.delivery_hour = trade.delivery_hour
    message.trader_id = trade.trader_id
    message.execution_time_us = epoch_us(trade.execution_time)
    if area is not UNSET:
        message.area = area
    if start_s is not UNSET:
        message.delivery_start_s = start_s
    return message


@lru_cache(maxsize=4096)
def _day_text(day: Any) -> str:
    return str(day.isoformat())


class TradesClient:
    """trade-service behind ``door``."""

    _channel: grpc.aio.Channel
    _stub: Any
    _health: health_pb2_grpc.HealthStub

    def __init__(self, door: Door, *, limits: Limits) -> None:
        """``limits`` are for gathering single bookings."""
        self._door = door
        self._timeout_s = limits.timeout_s
        self._bookings: Coalescer[tuple[str, trades_pb2.TradeToBook], Booking] = Coalescer(
            self._book_gathered, limits
        )

    def open(self) -> None:
        """Connect, lazily; call it on the event loop that will be used."""
        self._channel = self._door.channel()
        self._stub = trades_pb2_grpc.TradesStub(self._channel)  # type: ignore[no-untyped-call]
        self._health = health_pb2_grpc.HealthStub(self._channel)

    async def book(self, asker: Principal, trade: trades_pb2.TradeToBook) -> Booking:
        """Book one trade, together with what else ``asker`` books at this moment.

        Raises:
            WattbookError: nothing is known to be booked; trying again is safe.
        """
        return await self._bookings.ask((self._door.writing(asker), trade))

    async def book_many(
        self, asker: Principal, request: trades_pb2.BookRequest, *, timeout_s: float = BATCH_TIMEOUT_S
    ) -> trades_pb2.BookReply:
        """Book many trades in one call; one result a trade.

        Raises:
            WattbookError: nothing is known to be booked; trying again is safe.
        """
        return await self._book(self._door.writing(asker), request, timeout_s=timeout_s)

    async def _book(
        self, pass_: str, request: trades_pb2.BookRequest, *, timeout_s: float
    ) -> trades_pb2.BookReply:
        metadata = rpc.outgoing_metadata(pass_)
        reply = await _answer(self._stub.Book(request, timeout=timeout_s, metadata=metadata))
        if len(reply.results) != len(request.trades):
            raise Unavailable("a service answered in part; try again")
        return reply

    async def accept(self, asker: Principal, trade: trades_pb2.TradeToBook) -> Booking:
        """Book one trade as the exchange's last word on it, as ``asker`` of the desk accepts it.

        Raises:
            WattbookError: nothing is known to be booked; trying again is safe.
        """
        request = trades_pb2.BookRequest(source=trades_pb2.REST, accepted=True, trades=[trade])
        reply = await self._book(self._door.writing(asker), request, timeout_s=self._timeout_s)
        result = RESULTS.get(reply.results[0], "invalid")
        return Booking(result, reply.reasons.get(0, ""), corrected=bool(reply.corrected))

    async def corrections(
        self, asker: Principal, request: trades_pb2.CorrectionsRequest
    ) -> tuple[Sequence[Any], int]:
        """Corrections, and the number that the next page goes on from; 0 where there are no more.

        Raises:
            WattbookError: as the owner refused it, or Unavailable.
        """
        metadata = rpc.outgoing_metadata(self._door.reading(asker))
        found: list[Any] = []
        next_after_seq = 0
        call = self._stub.Corrections(request, timeout=SEARCH_TIMEOUT_S, metadata=metadata)
        try:
            async for page in call:
                found.extend(page.corrections)
                next_after_seq = page.next_after_seq
        except grpc.RpcError as error:
            raise rpc.translate(error) from error
        return found, next_after_seq

    async def differing(
        self, asker: Principal, request: trades_pb2.DifferingRequest
    ) -> trades_pb2.DifferingPage:
        """What the exchange stated otherwise than it stands in the book.

        Raises:
            WattbookError: as the owner refused it, or Unavailable.
        """
        metadata = rpc.outgoing_metadata(self._door.reading(asker))
        reply = await _answer(self._stub.Differing(request, timeout=self._timeout_s, metadata=metadata))
        return cast(trades_pb2.DifferingPage, reply)

    async def search(self, asker: Principal, request: trades_pb2.SearchRequest) -> AsyncIterator[Any]:
        """Matching trades in booking order, page by page.

        Raises:
            WattbookError: as the owner refused it, or Unavailable.
        """
        metadata = rpc.outgoing_metadata(self._door.reading(asker))
        call = self._stub.Search(request, timeout=SEARCH_TIMEOUT_S, metadata=metadata)
        try:
            async for page in call:
                yield page
        except grpc.RpcError as error:
            raise rpc.translate(error) from error
        finally:
            call.cancel()

    async def is_ready(self) -> bool:
        """Whether trade-service says that it serves."""
        return await says_it_serves(self._health)

    async def close(self) -> None:
        """Finish what runs and disconnect."""
        await self._bookings.close()
        await self._channel.close(grace=1.0)

    async def _book_gathered(self, asked: Sequence[tuple[str, trades_pb2.TradeToBook]]) -> Sequence[Booking]:
        return await call_by_pass(asked, self._book_together)

    async def _book_together(self, pass_: str, trades: Sequence[trades_pb2.TradeToBook]) -> Sequence[Booking]:
        request = new_request()
        request.trades.extend(trades)
        reply = await self._book(pass_, request, timeout_s=self._timeout_s)
        if not reply.reasons:
            return [_PLAIN_BOOKINGS[result] for result in reply.results]
        reasons = reply.reasons
        return [
            Booking(RESULTS.get(result, "invalid"), reasons.get(index, ""))
            for index, result in enumerate(reply.results)
        ]


_PLAIN_BOOKINGS = {result: Booking(name) for result, name in RESULTS.items()}


async def _answer(call: Any) -> Any:
    try:
        return await call
    except grpc.RpcError as error:
        raise rpc.translate(error) from error
