"""Ask the owners of the feed and of the reference prices, for those who may."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from wattbook.access import Principal
from wattbook.clock import Clock, to_epoch_us
from wattbook.errors import WattbookError
from wattbook.periods import DEFAULT_AREA, day_bounds, periods_of_day
from wattbook_proto import feed_pb2, prices_pb2, trades_pb2

from gateway.clients import FeedClient, PricesClient, TradesClient

_log = logging.getLogger(__name__)

WATCH_EVERY_S = 20.0
MOST_TOLD = 64
MOST_UNCONFIRMED = 1_000
FARTHEST = dt.timedelta(hours=48)  # what is tradable begins sooner


class Prices:
    """Reference prices: the market's, so everybody's with a role to see."""

    def __init__(self, client: PricesClient, clock: Clock) -> None:
        """Ask ``client``; ``clock`` is the desk's."""
        self._client = client
        self._clock = clock
        self._told: OrderedDict[tuple[str, dt.date], float] = OrderedDict()
        self._telling: set[asyncio.Task[None]] = set()

    async def day(self, asker: Principal, *, delivery_day: dt.date, area: str) -> prices_pb2.DayReply:
        """The newest price of every hour of a day that has one.

        Raises:
            Forbidden: the asker has no role.
            InvalidInput: there is no such day.
        """
        asker.require_trading()
        reply = await self._client.day(asker, area=area, delivery_day=delivery_day.isoformat())
        self._tell_watched(asker, area, delivery_day)
        return reply

    async def history(self, asker: Principal, *, delivery_start_s: int, area: str) -> prices_pb2.HistoryReply:
        """Every value that an hour ever had, oldest first.

        Raises:
            Forbidden: the asker has no role.
            InvalidInput: no hour starts then.
        """
        asker.require_trading()
        return await self._client.history(asker, area=area, delivery_start_s=delivery_start_s)

    def _tell_watched(self, asker: Principal, area: str, day: dt.date) -> None:
        """Let what somebody looks at be fetched first, as long as its prices can still change.

        A hint that nobody waits for: told once in a while, however often the day is asked for.
        """
        now, now_s, key = self._clock.now(), self._clock.monotonic_s(), (area, day)
        if now_s - self._told.get(key, -WATCH_EVERY_S) < WATCH_EVERY_S:
            return
        starts = [each.start for each in periods_of_day(area, day) if now < each.start < now + FARTHEST]
        if not starts:
            return
        self._told[key] = now_s
        self._told.move_to_end(key)
        while len(self._told) > MOST_TOLD:
            self._told.popitem(last=False)
        telling = asyncio.create_task(self._tell(asker, area, [int(each.timestamp()) for each in starts]))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell(self, asker: Principal, area: str, starts_s: list[int]) -> None:
        try:
            await self._client.watch(asker, area=area, starts_s=starts_s)
        except WattbookError as error:
            _log.debug("could not tell what is looked at", extra={"reason": error.message})


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """The feed's state and the poller's; ``prices_missing`` says why the latter is not known."""

    feed: feed_pb2.StatusReply
    prices: prices_pb2.StatusReply | None
    prices_missing: str


@dataclass(frozen=True, slots=True)
class ReconciledDay:
    """A day's comparison, and what was booked of it that the exchange never stated; None: not known now."""

    compared: feed_pb2.ReconciliationReply
    unconfirmed: Sequence[trades_pb2.BookedTrade] | None


class Feed:
    """The feed's state and how complete a day is, for those who see all trades."""

    def __init__(self, feed: FeedClient, prices: PricesClient, trades: TradesClient) -> None:
        """Ask all three owners."""
        self._feed = feed
        self._prices = prices
        self._trades = trades

    async def status(self, asker: Principal) -> LiveStatus:
        """The state of both; without the feed's there is none, without the poller's there is.

        Raises:
            Forbidden: not the asker's to see.
        """
        asker.require_sees_all()
        feed, (prices, missing) = await asyncio.gather(self._feed.status(asker), self._prices_status(asker))
        return LiveStatus(feed, prices, missing)

    async def reconciliation(self, asker: Principal, *, day: dt.date, area: str) -> ReconciledDay:
        """A day's nightly file against the feed, and at most ``MOST_UNCONFIRMED`` bookings beside both.

        Raises:
            Forbidden: not the asker's to see.
            InvalidInput: there is no such day or no feed of that area.
        """
        asker.require_sees_all()
        compared = await self._feed.reconciliation(asker, area=area, day=day.isoformat())
        begins, ends = day_bounds(area or DEFAULT_AREA, day)
        request = trades_pb2.SearchRequest(
            area=area or DEFAULT_AREA, unconfirmed=True, limit=MOST_UNCONFIRMED,
            executed_from_us=to_epoch_us(begins), executed_before_us=to_epoch_us(ends),
        )  # fmt: skip
        try:
            pages = [page.trades async for page in self._trades.search(asker, request)]
        except WattbookError:
            return ReconciledDay(compared, None)
        return ReconciledDay(compared, [trade for page in pages for trade in page])

    async def _prices_status(self, asker: Principal) -> tuple[prices_pb2.StatusReply | None, str]:
        try:
            return await self._prices.status(asker), ""
        except WattbookError as error:
            return None, error.message


class Quarantine:
    """What could not be read or booked, for the desk to decide over, in the asker's name."""

    def __init__(self, client: FeedClient) -> None:
        """Ask ``client``."""
        self._client = client

    async def page(
        self, asker: Principal, *, state: str, before: tuple[int, int], limit: int
    ) -> feed_pb2.ListQuarantineReply:
        """Up to ``limit``, newest first; ``state`` ``""`` means all, ``before`` as the owner names places.

        Raises:
            Forbidden: not the asker's to see.
        """
        asker.require_desk()
        return await self._client.quarantine(asker, state=state, before=before, limit=limit)

    async def show(self, asker: Principal, number: int) -> feed_pb2.Quarantined:
        """One with its frame.

        Raises:
            Forbidden: not the asker's to see.
            NotFound: there is none of that number.
        """
        asker.require_desk()
        return await self._client.quarantined(asker, number)

    async def replay(self, asker: Principal, number: int, *, trader_id: str = "") -> feed_pb2.Quarantined:
        """Have it read and booked again; it stays, with the new reason, where that fails again.

        With ``trader_id`` it is booked for that trader, under its id as it stands.

        Raises:
            Forbidden: not the asker's to do.
            NotFound: there is none of that number. Conflict: it was dropped.
            InvalidInput: trades are booked for no trader of that name.
        """
        asker.require_desk()
        return await self._client.replay(asker, number, trader_id=trader_id)

    async def drop(self, asker: Principal, number: int, *, reason: str) -> feed_pb2.Quarantined:
        """Set it aside for good.

        Raises:
            Forbidden: not the asker's to do.
            NotFound: there is none of that number.
        """
        asker.require_desk()
        return await self._client.drop(asker, number, reason=reason)
