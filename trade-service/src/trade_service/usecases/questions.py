"""Search the book, sum it up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from trade_service.domain import BookedTrade, Criteria, Position
from trade_service.store import TradeStore

PAGE_TRADES = 5_000
PLACES_AT_ONCE = 100_000
PAGE_POSITIONS = 5_000


@dataclass(frozen=True, slots=True)
class FoundPage:
    """Trades in booking order; ``next_after_seq`` is 0 where nothing more matches."""

    trades: list[BookedTrade]
    next_after_seq: int


def search(
    store: TradeStore, criteria: Criteria, *, after_seq: int = 0, limit: int = 0
) -> Iterator[FoundPage]:
    """Trades that match, booked after ``after_seq``, in pages; at least one page, ``limit`` 0 means all.

    Each page is its own short reading of the store, so a slow caller holds nothing. What is booked
    after the search began is left out: a search ends however fast the book grows.
    """
    until_seq = store.last_seq()
    if after_seq >= until_seq:
        yield FoundPage([], 0)
        return
    left = limit or until_seq
    while True:
        wanted = min(left, PLACES_AT_ONCE)
        # One more than wanted tells whether more matches.
        places = store.matching(criteria, after_seq=after_seq, until_seq=until_seq, most=wanted + 1)
        more = len(places) > wanted
        places = places[:wanted]
        for start in range(0, max(len(places), 1), PAGE_TRADES):
            page = places[start : start + PAGE_TRADES]
            last = start + PAGE_TRADES >= len(places) and not more
            yield FoundPage(store.trades_at(page) if page else [], 0 if last else page[-1])
        left -= len(places)
        if not more or not left:
            return
        after_seq = places[-1]


def positions(store: TradeStore) -> AbstractContextManager[tuple[int, Iterator[list[Position]]]]:
    """The last booking, and every trader's sums as of it in pages: one snapshot while the block lasts."""
    return store.positions(page_size=PAGE_POSITIONS)
