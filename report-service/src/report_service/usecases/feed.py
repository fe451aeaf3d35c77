"""The feed's state and the completeness of trading days in memory; pages read it, one thread renews it."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Protocol

from wattbook.clock import Clock
from wattbook.errors import InvalidInput, NotFound, Unavailable
from wattbook.periods import DEFAULT_AREA, FIRST_DAY, LAST_DAY, area_of

from report_service.domain.feed import Difference, Feed, TradingDay

_log = logging.getLogger(__name__)

FEED = "feed"  # what a change of the feed is announced as
MOST_DAYS = 16
IN_USE_S = 600.0
OPEN_DAY_EVERY_S = 2.0
CLOSED_DAY_EVERY_S = 30.0
UNCONFIRMED_EVERY_S = 15.0  # the book looks through all trades of the day
_FOREVER_S = float("inf")


@dataclass(frozen=True, slots=True)
class FeedWatch:
    """What is known of the feed: ``is_used`` where it has an owner, ``lost_since`` while that is away.

    ``feed`` is None before the owner first answered; while it is away it stays as known then.
    """

    is_used: bool
    feed: Feed | None = None
    lost_since: datetime | None = None


@dataclass(slots=True)
class _Day:
    found: TradingDay | None = None
    read_s: float = -_FOREVER_S
    looked_s: float = -_FOREVER_S


class FeedBoard:
    """Readers from any thread; written by the watcher's."""

    def __init__(self, clock: Clock, *, is_used: bool = True) -> None:
        """Know nothing; without an ingest-service (``is_used`` false) that is how it stays."""
        self._clock = clock
        self._watch = FeedWatch(is_used, lost_since=clock.now() if is_used else None)
        self._days: dict[date, _Day] = {}
        self._changed = threading.Condition()
        self._on_look: Callable[[], None] = lambda: None
        self._on_change: list[Callable[[], None]] = []
        self.version = 0

    @property
    def watch(self) -> FeedWatch:
        """What is known of the feed; another object where something changed."""
        return self._watch

    def on_look(self, call: Callable[[], None]) -> None:
        """Call ``call`` when a day is first looked at."""
        self._on_look = call

    def on_change(self, call: Callable[[], None]) -> None:
        """Call ``call`` when anything changed; it must be quick."""
        self._on_change.append(call)

    def day(self, day: date, *, wait_s: float = 0.0) -> TradingDay | None:
        """How complete a trading day is; None while it is not known. The first look lets it be asked for.

        Waits for that first answer for up to ``wait_s``.
        """
        if not self._watch.is_used or not FIRST_DAY <= day <= LAST_DAY:
            return None
        now_s = self._clock.monotonic_s()
        known = self._days.get(day)
        if known is None:
            known = self._start(day, now_s)
            self._on_look()
            if wait_s:
                with self._changed:
                    self._changed.wait_for(lambda: known.found is not None, wait_s)
        known.looked_s = now_s
        return known.found

    def due(self) -> list[date]:
        """Days in use whose answer is older than it should be; the most recently looked at first."""
        now_s = self._clock.monotonic_s()
        today = self._clock.now().astimezone(area_of(DEFAULT_AREA).zone).date()
        with self._changed:
            wanted = [
                (each.looked_s, day)
                for day, each in self._days.items()
                if now_s - each.looked_s <= IN_USE_S and now_s - each.read_s >= _every_s(day, today, each)
            ]
        return [day for _, day in sorted(wanted, reverse=True)]

    def note(self, feed: Feed) -> None:
        """Keep how the feed is."""
        with self._changed:
            self._set(FeedWatch(True, feed))

    def put(self, day: date, found: TradingDay) -> None:
        """Keep how complete a day is."""
        with self._changed:
            known = self._days.get(day)
            if known is None:
                return
            known.read_s = self._clock.monotonic_s()
            is_same = known.found == found
            known.found = found
            if not is_same:
                self.version += 1
                self._changed.notify_all()
        if not is_same:
            self._tell()

    def lost(self) -> None:
        """The owner is away: what is known stays, and says since when."""
        with self._changed:
            if self._watch.is_used and self._watch.lost_since is None:
                self._set(FeedWatch(True, self._watch.feed, self._clock.now()))

    def _set(self, watch: FeedWatch) -> None:
        self._watch = watch
        self.version += 1
        self._tell()

    def _tell(self) -> None:
        for call in self._on_change:
            call()

    def _start(self, day: date, now_s: float) -> _Day:
        with self._changed:
            known = self._days.setdefault(day, _Day(looked_s=now_s))
            while len(self._days) > MOST_DAYS:
                del self._days[min(self._days, key=lambda each: self._days[each].looked_s)]
        return known


def _every_s(day: date, today: date, known: _Day) -> float:
    """A day that is still traded, or whose file is still to come, changes all the time."""
    is_settled = day < today and known.found is not None and known.found.is_complete
    return CLOSED_DAY_EVERY_S if is_settled else OPEN_DAY_EVERY_S


class FeedOwner(Protocol):
    """The owner of the feed, as we need it. Every call raises Unavailable where it is away."""

    def status(self) -> Feed:
        """How the feed is."""
        ...

    def trading_day(self, day: date) -> TradingDay:
        """How complete a trading day is."""
        ...


class UnconfirmedOwner(Protocol):
    """The book, as we need it here."""

    def unconfirmed(self, day: date) -> tuple[Difference, ...]:
        """What clients booked of a trading day and the exchange never stated. Raises Unavailable."""
        ...


class Unconfirmed:
    """What the exchange never stated, day by day, asked for once in a while; use it from one thread."""

    def __init__(self, book: UnconfirmedOwner, clock: Clock) -> None:
        """Ask ``book``."""
        self._book = book
        self._clock = clock
        self._known: OrderedDict[date, tuple[float, tuple[Difference, ...] | None]] = OrderedDict()

    def of(self, day: date) -> tuple[Difference, ...] | None:
        """A day's; None where the book cannot be asked now."""
        now_s = self._clock.monotonic_s()
        read_s, found = self._known.get(day, (-_FOREVER_S, None))
        if now_s - read_s >= UNCONFIRMED_EVERY_S:
            try:
                found = self._book.unconfirmed(day)
            except Unavailable:
                found = None
            self._known[day] = now_s, found
            while len(self._known) > MOST_DAYS:
                self._known.popitem(last=False)
        return found


class FeedKeeper:
    """Keeps one board fresh from the owner; use it from one thread."""

    def __init__(self, board: FeedBoard, owner: FeedOwner, *, unconfirmed: Unconfirmed | None = None) -> None:
        """Nothing is asked until :meth:`tend`."""
        self._board = board
        self._owner = owner
        self._unconfirmed = unconfirmed

    def tend(self) -> None:
        """Ask how the feed is, and how complete the days in use are; call it often.

        Raises:
            Unavailable: the owner cannot be asked now; call again later.
        """
        self._board.note(self._owner.status())
        for day in self._board.due():
            try:
                found = self._owner.trading_day(day)
                if self._unconfirmed is not None:
                    found = replace(found, unconfirmed=self._unconfirmed.of(day))
                self._board.put(day, found)
            except (InvalidInput, NotFound) as error:
                _log.warning("no such trading day", extra={"day": str(day), "reason": error.message})
                self._board.put(day, TradingDay(day))


def trading_day_of(day: date, now: datetime) -> date:
    """The trading day that a page about a delivery day speaks of: that day, or today where it is yet to come.

    Trading of a delivery day begins the day before, and its last trade is made on the day itself.
    """
    return min(day, now.astimezone(area_of(DEFAULT_AREA).zone).date())
