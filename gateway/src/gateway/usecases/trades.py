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


@dataclass(frozen=True, slots=True)
class Filters:
    """Which trades; ``""`` and None mean all."""

    trader_id: str = ""
    delivery_day: dt.date | None = None
    area: str = ""


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

    def search(self, asker: Principal, filters: Filters) -> AsyncIterator[Sequence[Any]]:
        """Every matching trade in booking order, in pages as they come.

        Raises:
            Forbidden: not the asker's to see.
        """
        return self._client.search(asker, _request(asker, filters))

    async def page(self, asker: Principal, filters: Filters, *, limit: int, cursor: str | None) -> Page:
        """Up to ``limit`` matching trades after ``cursor``.

        Raises:
            Forbidden: not the asker's to see.
            InvalidInput: the cursor is none, or of other filters.
        """
        request = _request(asker, filters)
        request.after_seq = after_seq(cursor, filters) if cursor else 0
        request.limit = limit + 1  # one more tells whether there is a next page
        found: list[Any] = []
        async for trades in self._client.search(asker, request):
            found.extend(trades)
        more = len(found) > limit
        del found[limit:]
        return Page(found, cursor_after(found[-1].booking_seq, filters) if more else None)


def cursor_after(seq: int, filters: Filters) -> str:
    """An opaque cursor: what was seen last, and a check that it is used with the same filters."""
    raw = seq.to_bytes(_SEQ_BYTES, "big")
    return urlsafe_b64encode(raw + _check(raw, filters)).decode().rstrip("=")


def after_seq(cursor: str, filters: Filters) -> int:
    """What was seen last.

    Raises:
        InvalidInput: the cursor is none, or of other filters.
    """
    try:
        data = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        data = b""
    raw, check = data[:_SEQ_BYTES], data[_SEQ_BYTES:]
    if len(data) != _SEQ_BYTES + _CHECK_BYTES or check != _check(raw, filters):
        raise InvalidInput("cursor: not a cursor of this query; follow the Link header unchanged")
    return int.from_bytes(raw, "big")


def _check(raw: bytes, filters: Filters) -> bytes:
    of_what = f"{filters.trader_id}\0{filters.delivery_day}\0{filters.area}".encode()
    return hashlib.sha256(raw + of_what).digest()[:_CHECK_BYTES]


def _request(asker: Principal, filters: Filters) -> trades_pb2.SearchRequest:
    day = filters.delivery_day
    if day is not None and not FIRST_DAY <= day <= LAST_DAY:
        raise InvalidInput(f"delivery_day: outside {FIRST_DAY}…{LAST_DAY}")
    return trades_pb2.SearchRequest(
        trader_id=asker.visible_trader_id(filters.trader_id),
        delivery_day=day.isoformat() if day else "",
        area=filters.area,
    )
