"""``/trades/batch``: the body as it streams in, the results as they streamed into the spool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import IO

import msgspec
from wattbook.errors import InvalidInput

from gateway.api.batch_rows import reader_of
from gateway.api.http import JSON, NDJSON, Request, Response
from gateway.api.trades import trade_json
from gateway.usecases.batch import Batches, Form, Summary, states_for_exchange

GATHER_BYTES = 256 * 1024
_PIECE_BYTES = 256 * 1024


class BatchApi:
    """The handler of batches."""

    def __init__(self, batches: Batches, *, limit_bytes: int, array_limit_bytes: int) -> None:
        """JSON arrays are held whole, so their limit is lower."""
        self._batches = batches
        self._limits = {"application/json": array_limit_bytes}
        self._limit_bytes = limit_bytes

    async def book(self, request: Request) -> Response:
        """``POST /trades/batch``."""
        limit = self._limits.get(request.mime_type, self._limit_bytes)
        as_lines = request.accepted == "application/x-ndjson"
        only_refused = request.params.get("results") == "refused"
        form = Form(trade_json, lines=as_lines, only_refused=only_refused)
        asker, from_file = request.principal, request.params.get("source") == "file"
        reader = reader_of(request.mime_type, is_exchange=states_for_exchange(asker, from_file=from_file))
        body = _gathered(request.stream(limit))
        summary = await self._batches.book(asker, body, reader, from_file=from_file, form=form)
        pieces = _as_lines(summary) if as_lines else _as_object(summary)
        return Response(200, content_type=NDJSON if as_lines else JSON, pieces=pieces)


async def _gathered(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body in larger pieces, each worth a trip to a thread."""
    pieces: list[bytes] = []
    size = total = 0
    async for piece in body:
        pieces.append(piece)
        size += len(piece)
        total += len(piece)
        if size >= GATHER_BYTES:
            yield b"".join(pieces)
            pieces, size = [], 0
    if not total:
        raise InvalidInput("the body is empty")
    if pieces:
        yield b"".join(pieces)


async def _as_object(summary: Summary) -> AsyncGenerator[bytes, None]:
    yield msgspec.json.encode(summary.counts)[:-1] + b',"rows":['
    async for piece in _spooled(summary.spool):
        yield piece
    yield b"]}\n"


async def _as_lines(summary: Summary) -> AsyncGenerator[bytes, None]:
    async for piece in _spooled(summary.spool):
        yield piece
    yield msgspec.json.encode({"summary": summary.counts}) + b"\n"


async def _spooled(spool: IO[bytes]) -> AsyncIterator[bytes]:
    with spool:
        spool.seek(0)
        while True:
            piece = await asyncio.to_thread(spool.read, _PIECE_BYTES)
            if not piece:
                return
            yield piece
