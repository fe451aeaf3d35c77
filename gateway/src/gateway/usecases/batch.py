"""Book very many trades as they arrive, in bounded memory: read, prepare in a thread, book, note the results.

A chunk of rows is one call to trade-service. A few calls are under way at once, so that one is read while
another is written to the disk; a chunk that repeats an id of an earlier one waits for it, so that of two rows
with one id the first is booked. Once a few are under way the sender waits (TCP's own flow control). The
results go to a temporary file once they outgrow memory, so that
a client which does not read before it has sent everything cannot deadlock.

What batches share are threads and calls, and both are taken only for as long as they work: who sends slowly
holds up nobody. A user has a share of them; programs of ours (the nightly file's) have a lane of their own.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any

import msgspec
from wattbook.access import Principal
from wattbook.errors import InvalidInput, TooManyRequests, Unauthenticated, Unavailable
from wattbook.trade.statement import CsvTrade, JsonTrade
from wattbook_proto import trades_pb2

from gateway.clients import TradesClient, new_request, stated
from gateway.usecases.memory import Memory
from gateway.usecases.threads import Pool

CHUNK_ROWS = 2_000  # measured: a tenth more rows a second than 1,000; more would keep single bookings waiting
CHUNKS_AHEAD = 3
SPOOL_BYTES = 1024 * 1024
THREADS = 2
CALLS_AT_ONCE = 12
MOST_OPEN = 64  # batches that are being sent, each with some chunks in memory
OPEN_OF_ONE = 8
CALLS_OF_ONE = 6
MOST_WAITING = 64  # for an earlier one of the same user to end
WAIT_S = 10.0

# What a reader makes of one row: its id where it can be told, and the trade or why it is none.
Row = tuple[str | None, JsonTrade | CsvTrade | str]
# Takes what arrived (None at the end), gives the rows that are complete, one by one.
Reader = Callable[[bytes | None], Iterator[Row]]


class RowResult(msgspec.Struct, omit_defaults=True):
    """One row of the answer; ``reason`` says why it was refused.

    ``corrected``: added in place of what was booked under its id before, now or by an earlier file;
    ``booked``: to the exchange's file, what a conflict is with.
    """

    row: int
    id: str | None
    result: str
    reason: str | None = None
    corrected: bool = False
    booked: msgspec.Raw | None = None


@dataclass(slots=True)
class Summary:
    """How many rows became what, and every listed row's result in ``spool``, encoded."""

    spool: IO[bytes]
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("added", "duplicate", "conflict", "invalid"), 0)
    )


@dataclass(frozen=True, slots=True)
class Form:
    """How the results are wanted: a line each or the inside of a JSON array.

    All, or only those where somebody may have to look: refused rows, and those that corrected the book.
    ``trade_json`` writes a booked trade.
    """

    trade_json: Callable[[trades_pb2.BookedTrade], str]
    lines: bool = False
    only_refused: bool = False


@dataclass(slots=True)
class _Chunk:
    first_row: int
    ids: list[str | None]
    names: frozenset[str]  # the ids of the trades in the request
    refused: dict[int, str]
    request: trades_pb2.BookRequest


class _Lane:
    """What the batches of some senders share, out of reach for all others."""

    def __init__(self, name: str, *, threads: int, calls: int) -> None:
        self.pool = Pool(name, threads=threads, most_waiting=MOST_OPEN)
        self.calls = asyncio.Semaphore(calls)
        self.open = 0


class _Sender:
    """A user's share."""

    def __init__(self) -> None:
        self.places = asyncio.Semaphore(OPEN_OF_ONE)
        self.calls = asyncio.Semaphore(CALLS_OF_ONE)
        self.batches = 0


def states_for_exchange(asker: Principal, *, from_file: bool) -> bool:
    """Whether a batch is the exchange's own statement: its nightly file, as ingest-service sends it."""
    return from_file and asker.speaks_for_exchange


class Batches:
    """Books batches, many at once."""

    def __init__(self, client: TradesClient, memory: Memory) -> None:
        """Ask ``client``; ``memory`` knows when a user's rights ended."""
        self._client = client
        self._memory = memory
        self._users = _Lane("batch", threads=THREADS, calls=CALLS_AT_ONCE)
        self._programs = _Lane("file", threads=1, calls=CALLS_OF_ONE)
        self._senders: defaultdict[tuple[str, bool], _Sender] = defaultdict(_Sender)
        self._waiting = 0

    async def book(
        self, asker: Principal, body: AsyncIterator[bytes], reader: Reader, *, from_file: bool, form: Form
    ) -> Summary:
        """Book every row of ``body``; the caller closes the spool.

        Raises:
            Forbidden: the asker may not book from a file.
            InvalidInput: the body as a whole is none.
            Unauthenticated: their rights ended meanwhile; what was sent before is booked.
            TooManyRequests: the asker sends too many at once.
            Unavailable: too many are sent by all, or trade-service failed midway; sending all again is safe.
        """
        if from_file:
            asker.require_file_source()
        lane = self._programs if asker.is_client else self._users
        async with self._share(asker, lane) as sender:
            spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115  # the caller closes it
            try:
                run = _Run(
                    self._client, self._memory, lane, sender, asker, from_file, form, Summary(spool),
                    began=self._memory.times_forgotten(asker.name),
                )  # fmt: skip
                return await run.book(body, reader)
            except BaseException:
                spool.close()
                raise

    @asynccontextmanager
    async def _share(self, asker: Principal, lane: _Lane) -> AsyncIterator[_Sender]:
        """A place among the batches of one's own; until one is free nothing of the body is read."""
        key = asker.name, asker.is_client
        sender = self._senders[key]
        sender.batches += 1
        try:
            await self._wait_for(sender)
            try:
                if lane.open >= MOST_OPEN:
                    raise Unavailable("many batches are being sent; try again", retry_after_s=5)
                lane.open += 1
                try:
                    yield sender
                finally:
                    lane.open -= 1
            finally:
                sender.places.release()
        finally:
            sender.batches -= 1
            if not sender.batches:
                del self._senders[key]

    async def _wait_for(self, sender: _Sender) -> None:
        if sender.places.locked() and self._waiting >= MOST_WAITING:
            raise Unavailable("many batches are waiting; try again", retry_after_s=5)
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await sender.places.acquire()
        except TimeoutError:
            raise TooManyRequests(
                "your other batches are still being sent; try again after them", retry_after_s=2
            ) from None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Finish what runs."""
        self._users.pool.close()
        self._programs.pool.close()


@dataclass(slots=True)
class _Run:
    client: TradesClient
    memory: Memory
    lane: _Lane
    sender: _Sender
    asker: Principal
    from_file: bool
    form: Form
    summary: Summary
    began: int
    rows_seen: int = 0
    waiting: list[Row] = field(default_factory=list)
    booking: deque[tuple[_Chunk, asyncio.Task[Any]]] = field(default_factory=deque)

    async def book(self, body: AsyncIterator[bytes], reader: Reader) -> Summary:
        try:
            async for data in body:
                await self._take(reader, data)
            await self._take(reader, None)
            while self.booking:
                await self._note_oldest()
        finally:
            calls = [call for _, call in self.booking]
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        return self.summary

    async def _take(self, reader: Reader, data: bytes | None) -> None:
        self._require_rights()
        rows = reader(data)
        while (chunk := await self.lane.pool.run(self._next_chunk, rows, last=data is None)) is not None:
            while len(self.booking) >= CHUNKS_AHEAD:
                await self._note_oldest()
            before = [call for earlier, call in self.booking if not earlier.names.isdisjoint(chunk.names)]
            self.booking.append((chunk, asyncio.ensure_future(self._booked(chunk.request, before))))

    async def _booked(
        self, request: trades_pb2.BookRequest, before: Sequence[asyncio.Task[Any]]
    ) -> trades_pb2.BookReply:
        if before:
            await asyncio.wait(before)
            if any(call.cancelled() or call.exception() is not None for call in before):
                raise Unavailable("an earlier part was not booked; send all again")
        if not request.trades:
            return trades_pb2.BookReply()
        async with self.sender.calls, self.lane.calls:
            self._require_rights()
            return await self.client.book_many(self.asker, request)

    def _require_rights(self) -> None:
        """A user who was disabled, or has other roles or another password, has to begin again."""
        if not self.asker.is_client and self.memory.times_forgotten(self.asker.name) != self.began:
            raise Unauthenticated("your rights changed while you sent this; a part of it may be booked")

    def _next_chunk(self, rows: Iterator[Row], *, last: bool) -> _Chunk | None:
        """The next chunk out of ``rows`` and what waited; None once ``rows`` is used up."""
        self.waiting.extend(islice(rows, CHUNK_ROWS - len(self.waiting)))
        if len(self.waiting) < CHUNK_ROWS and not (last and self.waiting):
            return None
        complete, self.waiting = self.waiting, []
        return self._chunk(complete)

    def _chunk(self, rows: Sequence[Row]) -> _Chunk:
        refused: dict[int, str] = {}
        names = []
        by_exchange = states_for_exchange(self.asker, from_file=self.from_file)
        request = new_request(from_file=self.from_file, by_exchange=by_exchange)
        add = request.trades.add
        sees_all = self.asker.sees_all
        for index, (_, trade) in enumerate(rows):
            if type(trade) is str:
                refused[index] = trade
                continue
            try:
                refusal = None if sees_all else self.asker.refusal(trade.trader_id)  # type: ignore[union-attr]
                if refusal is None:
                    names.append(stated(trade, add).id)  # type: ignore[arg-type]
                else:
                    refused[index] = refusal
            except InvalidInput as error:
                refused[index] = error.message
        chunk = _Chunk(self.rows_seen + 1, [row[0] for row in rows], frozenset(names), refused, request)
        self.rows_seen += len(rows)
        return chunk

    async def _note_oldest(self) -> None:
        chunk, call = self.booking.popleft()
        try:
            reply = await call
        finally:
            call.cancel()
        await self.lane.pool.run(self._note, chunk, reply)

    def _note(self, chunk: _Chunk, reply: trades_pb2.BookReply) -> None:
        results = self._results(chunk, reply)
        if self.form.only_refused:
            results = [result for result in results if result.reason is not None or result.corrected]
        if not results:
            return
        spool = self.summary.spool
        if self.form.lines:
            spool.write(_ENCODER.encode_lines(results))
            return
        spool.write(b",\n" if spool.tell() else b"")
        spool.write(memoryview(_ENCODER.encode(results))[1:-1])

    def _results(self, chunk: _Chunk, reply: trades_pb2.BookReply) -> list[RowResult]:
        counts = self.summary.counts
        if self.form.only_refused and not (reply.reasons or reply.corrected or chunk.refused):
            for result, count in Counter(reply.results).items():
                counts[RESULT_NAMES[result]] += count
            return []
        booked = iter(reply.results)
        corrected = frozenset(reply.corrected)
        position = -1
        results = []
        for index, trade_id in enumerate(chunk.ids):
            reason = chunk.refused.get(index)
            is_corrected = False
            if reason is None:
                position += 1
                is_corrected = position in corrected
                name = RESULT_NAMES[next(booked)]
                if name in _REFUSALS:
                    reason = reply.reasons.get(position) or name
            else:
                name = "invalid"
            counts[name] += 1
            row = RowResult(chunk.first_row + index, trade_id, name, reason, is_corrected)
            if name == "conflict" and position in reply.booked:
                row.booked = msgspec.Raw(self.form.trade_json(reply.booked[position]).encode())
            results.append(row)
        return results


_ENCODER = msgspec.json.Encoder()
_REFUSALS = frozenset({"conflict", "invalid"})
RESULT_NAMES = {
    trades_pb2.ADDED: "added",
    trades_pb2.DUPLICATE: "duplicate",
    trades_pb2.CONFLICT: "conflict",
    trades_pb2.INVALID: "invalid",
}
