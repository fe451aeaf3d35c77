"""Book one trade, find trades."""

from __future__ import annotations

import datetime as dt
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from wattbook.access import Principal
from wattbook.errors import Conflict, InvalidInput
from wattbook.periods import FIRST_DAY, LAST_DAY
from wattbook.trade.statement import JsonTrade
from wattbook_proto import trades_pb2

from gateway.clients import Booking, TradesClient, stated

_SEQ_BYTES, _CHECK_BYTES = 8, 8
_CURSOR_BYTES = 2 * _SEQ_BYTES + _CHECK_BYTES


@dataclass(frozen=True, slots=True)
class Filters:
    """Which trades; ``""`` and None mean all."""

    trader_id: str = ""
    delivery_day: dt.date | None = None
    area: str = ""
    unconfirmed: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A page of trades and, where there are more, the cursor of the next one."""

    trades: Sequence[Any]
    next_cursor: str | None


class Trades:
    """Trades of trade-service, for those who may see and book them."""

    def __init__(self, client: TradesClient) -> None:
        """Ask ``client``."""
        self._client = client

    async def book(self, asker: Principal, trade: JsonTrade) -> Booking:
        """Book one trade; answered once it is durable.

        Raises:
            Forbidden: not the asker's to book.
            Conflict: another trade is booked under this id.
            InvalidInput: it cannot be.
        """
        asker.require_trader(trade.trader_id)
        booking = await self._client.book(asker, stated(trade))
        if booking.result == "conflict":
            raise Conflict(booking.reason or "another trade is booked under this id")
        if booking.result == "invalid":
            raise InvalidInput(booking.reason or "the trade is not valid")
        return booking

    async def accept(self, asker: Principal, trade: JsonTrade) -> Booking:
        """Book one trade as the exchange's last word on it: what it has stated, and nothing else.

        Raises:
            Forbidden: the asker is not of the desk.
            Conflict: the exchange has not stated it.
            InvalidInput: it cannot be booked.
        """
        asker.require_desk_write()
        booking = await self._client.accept(asker, stated(trade))
        if booking.result == "conflict":
            raise Conflict(booking.reason or "the exchange has not stated it so")
        if booking.result not in ("added", "duplicate"):
            raise InvalidInput(booking.reason or "the trade is not valid")
        return booking

    async def corrections(
        self, asker: Principal, filters: Filters, *, limit: int, after_seq: int, before_seq: int | None
    ) -> tuple[Sequence[Any], int]:
        """Up to ``limit`` corrections after one, and the number to go on from; 0 where there are no more.

        With ``before_seq`` the newest first, of those before it; 0: of all.

        Raises:
            Forbidden: not the asker's to see.
        """
        search = _request(asker, filters)
        request = trades_pb2.CorrectionsRequest(
            trader_id=search.trader_id,
            delivery_day=search.delivery_day,
            area=search.area,
            after_seq=after_seq,
            limit=limit,
            newest_first=before_seq is not None,
            before_seq=before_seq or 0,
        )
        return await self._client.corrections(asker, request)

    async def differing(
        self, asker: Principal, *, trade_id: str, settled_too: bool, after: int, limit: int
    ) -> trades_pb2.DifferingPage:
        """What the exchange stated otherwise than it stands in the book.

        Raises:
            Forbidden: the asker is not of the desk.
        """
        asker.require_desk()
        request = trades_pb2.DifferingRequest(
            trade_id=trade_id, settled_too=settled_too, after=after, limit=limit
        )
        return await self._client.differing(asker, request)

    async def search(self, asker: Principal, filters: Filters) -> AsyncIterator[Sequence[Any]]:
        """Every matching trade in booking order, in pages as they come.

        Raises:
            Forbidden: not the asker's to see.
        """
        async for page in self._client.search(asker, _request(asker, filters)):
            yield page.trades

    async def page(self, asker: Principal, filters: Filters, *, limit: int, cursor: str | None) -> Page:
        """Up to ``limit`` matching trades after ``cursor``, of the book as it was at the first page.

        Raises:
            Forbidden: not the asker's to see.
            InvalidInput: the cursor is none, or of other filters.
        """
        request = _request(asker, filters)
        if cursor:
            request.after_seq, request.as_of_seq = place_in(cursor, filters)
        request.limit = limit + 1  # one more tells whether there is a next page
        found: list[Any] = []
        as_of_seq = 0
        async for page in self._client.search(asker, request):
            found.extend(page.trades)
            as_of_seq = page.as_of_seq
        more = len(found) > limit
        del found[limit:]
        return Page(
            found, cursor_after(found[-1].booking_seq, filters, as_of_seq=as_of_seq) if more else None
        )


def cursor_after(seq: int, filters: Filters, *, as_of_seq: int) -> str:
    """An opaque cursor: what was seen last, the book's number then, and a check of the filters."""
    raw = seq.to_bytes(_SEQ_BYTES, "big") + as_of_seq.to_bytes(_SEQ_BYTES, "big")
    return urlsafe_b64encode(raw + _check(raw, filters)).decode().rstrip("=")


def place_in(cursor: str, filters: Filters) -> tuple[int, int]:
    """What was seen last, and the number that the book had then; 0 in cursors of an earlier release.

    Raises:
        InvalidInput: the cursor is none, or of other filters.
    """
    try:
        data = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        data = b""
    raw, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if len(data) not in (_CURSOR_BYTES, _CURSOR_BYTES - _SEQ_BYTES) or check != _check(raw, filters):
        raise InvalidInput("cursor: not a cursor of this query; follow the Link header unchanged")
    seq, as_of_seq = raw[:_SEQ_BYTES], raw[_SEQ_BYTES:]
    return int.from_bytes(seq, "big"), int.from_bytes(as_of_seq, "big")


def _check(raw: bytes, filters: Filters) -> bytes:
    of_what = f"{filters.trader_id}\0{filters.delivery_day}\0{filters.area}".encode()
    if filters.unconfirmed:
        of_what += b"\0unconfirmed"
    return hashlib.sha256(raw + of_what).digest()[:_CHECK_BYTES]


def _request(asker: Principal, filters: Filters) -> trades_pb2.SearchRequest:
    day = filters.delivery_day
    if day is not None and not FIRST_DAY <= day <= LAST_DAY:
        raise InvalidInput(f"delivery_day: outside {FIRST_DAY}…{LAST_DAY}")
    return trades_pb2.SearchRequest(
        trader_id=asker.visible_trader_id(filters.trader_id),
        delivery_day=day.isoformat() if day else "",
        area=filters.area,
        unconfirmed=filters.unconfirmed,
    )
