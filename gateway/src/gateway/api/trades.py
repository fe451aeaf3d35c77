"""``/trades``: translate, one use case, translate back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import msgspec
from wattbook.clock import from_epoch_s, from_epoch_us, iso_z
from wattbook.errors import InvalidInput
from wattbook.periods import DEFAULT_AREA, DeliveryPeriod
from wattbook.trade.statement import json_trade
from wattbook.units import mw_from_kw
from wattbook_proto import trades_pb2

from gateway.api.http import Request, Response, json_response
from gateway.usecases.threads import Pool
from gateway.usecases.trades import Filters, Trades

_SMALL_PAGE = 50
CORRECTIONS = 1_000
_SOURCES: dict[int, str] = {trades_pb2.FEED: "feed", trades_pb2.FILE: "file"}
_text = msgspec.json.Encoder().encode


class TradesApi:
    """Handlers of the trades document, without batches."""

    def __init__(self, trades: Trades, formatting: Pool) -> None:
        """Long pages are formatted in ``formatting``'s threads."""
        self._trades = trades
        self._formatting = formatting

    async def add(self, request: Request) -> Response:
        """``POST /trades``."""
        trade = json_trade(await request.body())
        booking = await self._trades.book(request.principal, trade)
        return json_response({"result": booking.result, "id": trade.id})

    async def accept(self, request: Request) -> Response:
        """``POST /trades/corrections``."""
        trade = json_trade(await request.body())
        booking = await self._trades.accept(request.principal, trade)
        corrected = {"corrected": True} if booking.corrected else {}
        return json_response({"result": booking.result, "id": trade.id, **corrected})

    async def corrections(self, request: Request) -> Response:
        """``GET /trades/corrections``."""
        limit, after_seq = request.params.get("limit", CORRECTIONS), request.params.get("after", 0)
        found, next_seq = await self._trades.corrections(
            request.principal,
            _filters(request),
            limit=limit,
            after_seq=after_seq,
            before_seq=request.params.get("before"),
        )
        place = "after" if "before" not in request.params else "before"
        body = ",\n".join([_correction_json(each) for each in found]).encode()
        headers = _next("corrections", request, {place: next_seq} if next_seq else {})
        return Response(200, b"[" + body + b"]", headers=headers)

    async def differing(self, request: Request) -> Response:
        """``GET /trades/differing``."""
        params = request.params
        page = await self._trades.differing(
            request.principal,
            trade_id=params.get("trade_id", ""),
            settled_too=params.get("state") == "all",
            after=params.get("after", 0),
            limit=params.get("limit", 0),
        )
        body = ",\n".join([_differing_json(each) for each in page.statements]).encode()
        headers = _next("differing", request, {"after": page.next_after} if page.next_after else {})
        return Response(200, b"[" + body + b"]", headers=headers)

    async def search(self, request: Request) -> Response:
        """``GET /trades``."""
        filters = _filters(request)
        limit, cursor = request.params.get("limit"), request.params.get("cursor")
        if limit is None:
            if cursor is not None:
                raise InvalidInput("cursor: needs limit")
            return await self._stream(self._trades.search(request.principal, filters))
        page = await self._trades.page(request.principal, filters, limit=limit, cursor=cursor)
        headers = [(b"link", _link(request, page.next_cursor))] if page.next_cursor else []
        body = await self._formatted(page.trades)
        return Response(200, b"[" + body + b"]", headers=headers)

    async def _stream(self, pages: AsyncIterator[Sequence[Any]]) -> Response:
        # The first page is awaited here, so that what fails at once is answered as an error.
        first: Sequence[Any] = ()
        async for first in pages:  # noqa: B007  # anext with a default fails in CPython 3.11
            break
        return Response(200, pieces=self._pieces(first, pages))

    async def _pieces(
        self, first: Sequence[Any], pages: AsyncIterator[Sequence[Any]]
    ) -> AsyncGenerator[bytes, None]:
        yield b"[" + await self._formatted(first)
        anything = bool(first)
        async for trades in pages:
            if trades:
                yield (b",\n" if anything else b"") + await self._formatted(trades)
                anything = True
        yield b"]\n"

    async def _formatted(self, trades: Sequence[Any]) -> bytes:
        if len(trades) <= _SMALL_PAGE:
            return _trades_json(trades)
        return await self._formatting.run(_trades_json, trades)


def _filters(request: Request) -> Filters:
    params = request.params
    return Filters(
        params.get("trader_id", ""),
        params.get("delivery_day"),
        params.get("area", ""),
        unconfirmed=params.get("unconfirmed") == "only",
    )


def _link(request: Request, cursor: str | None) -> bytes:
    params = {**request.params, "cursor": cursor}
    return f'</v1/trades?{urlencode(params)}>; rel="next"'.encode()


def _next(path: str, request: Request, place: dict[str, int]) -> list[tuple[bytes, bytes]]:
    if not place:
        return []
    query = urlencode({**request.params, **place})
    return [(b"link", f'</v1/trades/{path}?{query}>; rel="next"'.encode())]


def _trades_json(trades: Sequence[Any]) -> bytes:
    return ",\n".join([trade_json(trade) for trade in trades]).encode()


def _correction_json(correction: trades_pb2.Correction) -> str:
    corrected = iso_z(from_epoch_us(correction.corrected_us))
    contents = "".join(
        f',"{name}":{trade_json(getattr(correction, name))}'
        for name in ("replaced", "by")
        if correction.HasField(name)  # type: ignore[arg-type]
    )
    by = correction.by
    accepted_by = _quoted(by.author) if by.author and by.source != trades_pb2.FILE else "null"
    return (
        f'{{"number":{correction.booking_seq},"id":{_quoted(correction.id)},'
        f'"corrected_time":"{corrected}","accepted_by":{accepted_by}{contents}}}'
    )


def _differing_json(each: trades_pb2.DifferingStatement) -> str:
    settled = f'"{iso_z(from_epoch_us(each.settled_us))}"' if each.settled_us else "null"
    return (
        f'{{"number":{each.number},"id":{_quoted(each.stated.id)},'
        f'"stated_time":"{iso_z(from_epoch_us(each.stated.booked_time_us))}",'
        f'"stated_by":"{_SOURCES.get(each.stated.source, "rest")}",'
        f'"stated":{trade_json(each.stated)},"booked":{trade_json(each.booked)},'
        f'"settled_time":{settled},"settled_by":{_quoted(each.settled_by) if each.settled_by else "null"}}}'
    )


def trade_json(trade: trades_pb2.BookedTrade) -> str:
    """A booked trade as the document has it."""
    delivery, marks = _delivery(trade.area, trade.delivery_start_s, trade.delivery_minutes)
    if trade.HasField("replaced"):
        marks += f',"corrected":true,"replaced":{trade_json(trade.replaced)}'
    direction = "buy" if trade.direction == trades_pb2.BUY else "sell"
    return (
        f'{{"id":{_quoted(trade.id)},"price":{trade.price_ct_per_mwh},"quantity":{_mw(trade.quantity_kw)},'
        f'"direction":"{direction}",{delivery},"trader_id":{_quoted(trade.trader_id)},'
        f'"execution_time":"{iso_z(from_epoch_us(trade.execution_time_us))}"{marks}}}'
    )


@lru_cache(maxsize=16_384)
def _delivery(area: str, start_s: int, minutes: int) -> tuple[str, str]:
    period = DeliveryPeriod(area, from_epoch_s(start_s), minutes)
    labels = f'"delivery_day":"{period.delivery_day}","delivery_hour":{period.delivery_hour}'
    marks = "" if area == DEFAULT_AREA else f',"area":"{area}"'
    if period.doubled:
        marks += f',"delivery_start":"{iso_z(period.start)}"'
    return labels, marks


def _quoted(text: str) -> str:
    return _text(text).decode()


@lru_cache(maxsize=16_384)
def _mw(quantity_kw: int) -> str:
    return format(mw_from_kw(quantity_kw), "f")
