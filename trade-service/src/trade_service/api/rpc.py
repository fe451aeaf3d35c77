"""The gRPC server: translate, one use case, translate back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from wattbook.access import Principal
from wattbook.errors import InvalidInput, Unavailable
from wattbook.walls import caller
from wattbook_proto import trades_pb2, trades_pb2_grpc

from trade_service import usecases
from trade_service.api.counting import begin_counting, counted
from trade_service.api.events import BOOK_TIMEOUT_S, CORRECTED_VERSION
from trade_service.api.messages import (
    correction_criteria,
    correction_page,
    criteria_of,
    differing_page,
    keys_of,
    position_page,
    reply_of,
    search_page,
    stated,
)
from trade_service.domain import Criteria, Head, Speaker
from trade_service.store import TradeStore

HANDLERS = 128
STREAMS = 96  # the other handlers are for bookings
MOST_KEYS = 10_000
AUTHOR_CHARACTERS = 256
RULES = {
    "Book": Principal.require_booking,
    "Search": Principal.require_trading,
    "Positions": Principal.require_sees_all,
    "Corrections": Principal.require_trading,
    "Differing": Principal.require_desk,
}
# Who follows the book by searching it for everything; an earlier release of it does not say that it does.
_FOLLOWER = "report-service"
_CANNOT_READ = (
    f"the book tells of corrections, which only a reader of trade.booked {CORRECTED_VERSION} can count; "
    "update it"
)


class TradesServicer(trades_pb2_grpc.TradesServicer):
    """``wattbook.trades.v1.Trades``."""

    def __init__(self, *, store: TradeStore, booker: usecases.GroupCommit) -> None:
        """Answer from ``store``, book through ``booker``."""
        self._store = store
        self._booker = booker
        self._streams = threading.BoundedSemaphore(STREAMS)
        begin_counting()

    def Book(self, request: trades_pb2.BookRequest, context: grpc.ServicerContext) -> trades_pb2.BookReply:  # noqa: N802
        """Book one or many; one result a trade, in order."""
        sender = _sender(request)
        trades, invalid = stated(request.trades, booked=self._store.booked)
        outcome = self._booker.book(trades, sender=sender, timeout_s=_timeout_s(context))
        return counted(reply_of(outcome, invalid), request.source)

    def Search(  # noqa: N802
        self, request: trades_pb2.SearchRequest, context: grpc.ServicerContext
    ) -> Iterator[trades_pb2.TradePage]:
        """Matching trades in booking order, in pages."""
        asker = caller()
        criteria = criteria_of(request, trader_id=asker.visible_trader_id(request.trader_id))
        follows = bool(request.follow_version)
        if follows:
            asker.require_sees_all()
        with self._stream():
            if follows and self._has_diverged(request):
                yield trades_pb2.TradePage(diverged=True)
                return
            counts_corrections = request.follow_version >= CORRECTED_VERSION
            adds_all = follows or (asker.name == _FOLLOWER and criteria == Criteria())
            for page in usecases.search(
                self._store,
                criteria,
                after_seq=request.after_seq,
                limit=request.limit,
                as_of_seq=request.as_of_seq,
                history=follows,
            ):
                if page.replaced and adds_all and not counts_corrections:
                    raise Unavailable(_CANNOT_READ)
                yield search_page(page, asker)

    def Positions(  # noqa: N802
        self, request: trades_pb2.PositionsRequest, context: grpc.ServicerContext
    ) -> Iterator[trades_pb2.PositionPage]:
        """All positions, consistent as of one booking, or those of some keys; at least one page."""
        if request.keys:
            yield self._positions_of_keys(request)
            return
        with self._stream():
            with usecases.positions(self._store) as (head, pages):
                # Kept packed, so that a slow caller does not hold the snapshot and with it the store's log.
                packed = [position_page(head, page).SerializeToString() for page in pages]
            for page in packed or [position_page(head, []).SerializeToString()]:
                yield trades_pb2.PositionPage.FromString(page)

    def Corrections(  # noqa: N802
        self, request: trades_pb2.CorrectionsRequest, context: grpc.ServicerContext
    ) -> Iterator[trades_pb2.CorrectionPage]:
        """What was replaced, in the order of the corrections."""
        asker = caller()
        criteria = correction_criteria(request, trader_id=asker.visible_trader_id(request.trader_id))
        with self._stream():
            for page, next_after_seq in usecases.corrections(
                self._store,
                criteria,
                after_seq=request.after_seq,
                limit=request.limit,
                before_seq=request.before_seq if request.newest_first else None,
            ):
                yield correction_page(page, asker, next_after_seq=next_after_seq)

    def Differing(  # noqa: N802
        self, request: trades_pb2.DifferingRequest, context: grpc.ServicerContext
    ) -> trades_pb2.DifferingPage:
        """What the exchange stated otherwise than it stands in the book."""
        found, next_after = usecases.differing(
            self._store,
            trade_id=request.trade_id,
            settled_too=request.settled_too,
            after=request.after,
            limit=request.limit,
        )
        return differing_page(found, next_after=next_after)

    def _has_diverged(self, request: trades_pb2.SearchRequest) -> bool:
        known = usecases.Known(request.known_epoch, request.known_digest)
        return usecases.has_diverged(self._store, known, after_seq=request.after_seq)

    def _positions_of_keys(self, request: trades_pb2.PositionsRequest) -> trades_pb2.PositionPage:
        if len(request.keys) > MOST_KEYS:
            raise InvalidInput(f"at most {MOST_KEYS} keys at once")
        found = usecases.positions_of(self._store, keys_of(request), as_of_seq=request.as_of_seq)
        return position_page(Head("", request.as_of_seq, ""), found, of_keys=True)

    @contextmanager
    def _stream(self) -> Iterator[None]:
        """One of the streams that may run at once, since each keeps a handler's thread."""
        if not self._streams.acquire(blocking=False):
            raise Unavailable("too many searches at once; try again", retry_after_s=1)
        try:
            yield
        finally:
            self._streams.release()


def _sender(request: trades_pb2.BookRequest) -> usecases.Sender:
    """Who states the trades, and as whose statement.

    Raises:
        Forbidden: they may not book all of it, or not as that.
        InvalidInput: there is no such source.
    """
    asker = caller()
    if request.source not in trades_pb2.Source.values():
        raise InvalidInput(f"unknown source {request.source}")
    _require_own(asker, request)
    speaker = Speaker.CLIENT
    if request.accepted:
        asker.require_desk()
        speaker = Speaker.ACCEPTED
    elif request.by_exchange:
        asker.require_exchange_files()
        speaker = Speaker.EXCHANGE
    sees = None if asker.sees_all else (asker.own_trader_id or "")
    return usecases.Sender(int(request.source), speaker, asker.name[:AUTHOR_CHARACTERS], sees)


def _require_own(asker: Principal, request: trades_pb2.BookRequest) -> None:
    if asker.sees_all:
        return
    if request.source == trades_pb2.FILE:
        asker.require_file_source()
    for trader_id in {trade.trader_id for trade in request.trades}:
        asker.require_trader(trader_id)


def _timeout_s(context: grpc.ServicerContext) -> float:
    left_s = context.time_remaining()
    return BOOK_TIMEOUT_S if left_s is None else min(left_s, BOOK_TIMEOUT_S)
