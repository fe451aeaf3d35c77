"""Search the book, sum it up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from trade_service.domain import (
    BookedTrade,
    Correction,
    Criteria,
    Differing,
    Direction,
    Head,
    Position,
    PositionKey,
)
from trade_service.store import TradeStore

PAGE_TRADES = 5_000
PLACES_AT_ONCE = 100_000
PAGE_POSITIONS = 5_000
PAGE_CORRECTIONS = 1_000
PAGE_DIFFERING = 1_000


@dataclass(frozen=True, slots=True)
class FoundPage:
    """Trades in booking order, and the contents that some replaced, by their numbers.

    ``next_after_seq`` is 0 where nothing more matches; ``head`` is how far the book was looked at.
    """

    trades: list[BookedTrade]
    next_after_seq: int
    head: Head
    replaced: dict[int, BookedTrade] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Known:
    """What a follower of the book knows of it at a number; "" where it knows nothing."""

    epoch: str = ""
    digest: str = ""


def search(
    store: TradeStore,
    criteria: Criteria,
    *,
    after_seq: int = 0,
    limit: int = 0,
    as_of_seq: int = 0,
    history: bool = False,
) -> Iterator[FoundPage]:
    """Trades that match, booked after ``after_seq``, in pages; at least one page, ``limit`` 0 means all.

    The book as it was at ``as_of_seq`` (0: now), so that a row that moves meanwhile is found once, and a
    search ends however fast the book grows. Each page is its own short reading of the store, so a slow
    caller holds nothing. With ``history`` every number is there, also those of replaced contents.
    """
    head = store.head()
    if as_of_seq and as_of_seq < head.last_seq:
        head = Head(head.epoch, as_of_seq, "")
    if after_seq >= head.last_seq:
        yield FoundPage([], 0, head)
        return
    left = limit or head.last_seq
    while True:
        wanted = min(left, PLACES_AT_ONCE)
        # One more than wanted tells whether more matches.
        places = store.matching(
            criteria, after_seq=after_seq, until_seq=head.last_seq, most=wanted + 1, history=history
        )
        more = len(places) > wanted
        places = places[:wanted]
        for start in range(0, max(len(places), 1), PAGE_TRADES):
            page = places[start : start + PAGE_TRADES]
            last = start + PAGE_TRADES >= len(places) and not more
            yield _page(store, page, head, next_after_seq=0 if last else page[-1])
        left -= len(places)
        if not more or not left:
            return
        after_seq = places[-1]


def _page(store: TradeStore, places: list[int], head: Head, *, next_after_seq: int) -> FoundPage:
    if not places:
        return FoundPage([], next_after_seq, head)
    replaced = store.replaced_by(first_seq=places[0], last_seq=places[-1])
    return FoundPage(store.trades_at(places), next_after_seq, head, replaced)


def has_diverged(store: TradeStore, known: Known, *, after_seq: int) -> bool:
    """Whether a follower that knows the book until ``after_seq`` followed another one.

    It is ahead of the book, knows another epoch, or another digest at that number.
    """
    if known.epoch and known.epoch != store.head().epoch:
        return True
    digest = store.digest_at(after_seq)
    return digest is None or bool(digest and known.digest and digest != known.digest)


def positions(store: TradeStore) -> AbstractContextManager[tuple[Head, Iterator[list[Position]]]]:
    """How far the book is, and every trader's sums as of it in pages: one snapshot while the block lasts."""
    return store.positions(page_size=PAGE_POSITIONS)


def positions_of(store: TradeStore, keys: Iterable[PositionKey], *, as_of_seq: int) -> list[Position]:
    """The sums of some keys as of a number, added up anew; without those that have no trade."""
    found = (_position_of(store, key, as_of_seq=as_of_seq) for key in keys)
    return [position for position in found if position is not None]


def _position_of(store: TradeStore, key: PositionKey, *, as_of_seq: int) -> Position | None:
    criteria = Criteria(
        trader_id=key.trader_id,
        delivery_day=key.delivery_day,
        area=key.area,
        delivery_from_s=key.delivery_start_s,
        delivery_before_s=key.delivery_start_s + 1,
    )
    trades = [
        trade
        for page in search(store, criteria, as_of_seq=as_of_seq)
        for trade in page.trades
        if trade.delivery_minutes == key.delivery_minutes
    ]
    if not trades:
        return None
    bought = [trade for trade in trades if trade.direction == Direction.BUY]
    sold = [trade for trade in trades if trade.direction == Direction.SELL]
    return Position(
        trader_id=key.trader_id,
        area=key.area,
        delivery_start_s=key.delivery_start_s,
        delivery_minutes=key.delivery_minutes,
        trades=len(trades),
        buy_kw=sum(trade.quantity_kw for trade in bought),
        sell_kw=sum(trade.quantity_kw for trade in sold),
        buy_ct_kw_per_mwh=sum(trade.price_ct_per_mwh * trade.quantity_kw for trade in bought),
        sell_ct_kw_per_mwh=sum(trade.price_ct_per_mwh * trade.quantity_kw for trade in sold),
        last_execution_time_us=max(trade.execution_time_us for trade in trades),
    )


def corrections(
    store: TradeStore,
    criteria: Criteria,
    *,
    after_seq: int = 0,
    limit: int = 0,
    before_seq: int | None = None,
) -> Iterator[tuple[list[Correction], int]]:
    """Corrections that touch what matches, after one number, in pages, each with the number to go on after.

    That is 0 where nothing more matches. With ``before_seq`` the newest first, of those before it; 0: of all.
    """
    left = limit
    while True:
        wanted = min(left or PAGE_CORRECTIONS, PAGE_CORRECTIONS)
        found = store.corrections(criteria, after_seq=after_seq, most=wanted + 1, before_seq=before_seq)
        more = len(found) > wanted
        following = found[wanted - 1].by.booking_seq if more else 0
        if before_seq is None:
            after_seq = following
        else:
            before_seq = following
        yield found[:wanted], following
        left -= wanted
        if not more or (limit and left <= 0):
            return


def differing(
    store: TradeStore, *, trade_id: str = "", settled_too: bool = False, after: int = 0, limit: int = 0
) -> tuple[list[tuple[Differing, BookedTrade]], int]:
    """What the exchange stated otherwise than it stands in the book, each with that; where to go on after.

    That is 0 where nothing more matches.
    """
    limit = min(limit or PAGE_DIFFERING, PAGE_DIFFERING)
    found = store.differing(trade_id=trade_id, settled_too=settled_too, after=after, most=limit + 1)
    more = len(found) > limit
    del found[limit:]
    booked = store.booked([each.trade.trade_id for each in found])
    pairs = [(each, BookedTrade._make(booked[each.trade.trade_id])) for each in found]
    return pairs, found[-1].number if more else 0
