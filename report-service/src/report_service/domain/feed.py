"""The exchange's feed as its owner says it is, and how complete a trading day is. Times in µs since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import cached_property

from wattbook.clock import to_epoch_us
from wattbook.periods import DEFAULT_AREA, day_bounds

SILENT_AFTER_US = 30_000_000  # at a hundred trades a minute, half a minute without one is worth a word


class Standing(Enum):
    """How the feed is."""

    NONE = "none"
    LIVE = "live"
    SILENT = "silent"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True)
class Listener:
    """One connection to the exchange; times are 0 where not yet."""

    url: str
    is_connected: bool = False
    since_us: int = 0
    last_frame_us: int = 0
    frames: int = 0
    connects: int = 0
    next_attempt_us: int = 0
    trouble: str = ""
    node: int = 0


@dataclass(frozen=True)
class Feed:
    """All listeners together, and what is kept; ``now_us`` is the owner's clock when it said so."""

    listeners: tuple[Listener, ...] = ()
    frames: int = 0
    spool_depth: int = 0
    outbox_depth: int = 0
    quarantined: int = 0
    last_trade_us: int = 0
    lag_us: int = 0
    now_us: int = 0
    files_waiting: tuple[WaitingFile, ...] = ()

    @property
    def names(self) -> list[str]:
        """What to call each listener: its address, and where several nodes listen, its node."""
        several = any(each.node for each in self.listeners)
        return [f"{each.url} · node {each.node}" if several else each.url for each in self.listeners]

    @property
    def connected(self) -> int:
        """How many listeners are connected."""
        return sum(each.is_connected for each in self.listeners)

    @cached_property
    def last_frame_us(self) -> int:
        """The last sign of the exchange on any connection; 0 where there was none."""
        return max((each.last_frame_us for each in self.listeners), default=0)

    @cached_property
    def standing(self) -> Standing:
        """How the feed is: one connection is enough, none heard for a while is silence."""
        if not self.listeners:
            return Standing.NONE
        if not self.connected:
            return Standing.DISCONNECTED
        return Standing.SILENT if self.now_us - self._heard_us > SILENT_AFTER_US else Standing.LIVE

    @property
    def since_us(self) -> int:
        """Since when it stands so: live or disconnected as the listeners say, silent since the last frame."""
        if self.standing is Standing.SILENT:
            return self._heard_us
        if self.standing is Standing.DISCONNECTED:
            return max(each.since_us for each in self.listeners)
        return min((each.since_us for each in self.listeners if each.is_connected), default=0)

    @property
    def next_attempt_us(self) -> int:
        """When somebody tries again; 0 where nobody says."""
        return min((each.next_attempt_us for each in self.listeners if each.next_attempt_us), default=0)

    @property
    def _heard_us(self) -> int:
        began_us = min((each.since_us for each in self.listeners if each.is_connected), default=0)
        return max(self.last_frame_us, began_us)


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """A nightly file that has been in the drop folder for over a minute."""

    name: str
    since_us: int
    waits_for: str


@dataclass(frozen=True, slots=True)
class Statement:
    """What somebody says of a trade; ``delivery_hour`` is local."""

    trader_id: str
    direction: str
    quantity_kw: int
    price_ct_per_mwh: int
    delivery_day: str
    delivery_hour: int
    execution_time_us: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A trade that the nightly file and the feed do not both have alike; ``kind`` as in ``feed.proto``.

    What file, feed and book say of it; None where one says nothing, or that is not known.
    """

    trade_id: str
    kind: str
    detail: str
    file: Statement | None = None
    feed: Statement | None = None
    booked: Statement | None = None


@dataclass(frozen=True)
class TradingDay:
    """How complete a trading day is, and its nightly file against the feed.

    ``has_gap``: something is missing after ``complete_to_us`` that only the nightly file can bring.
    ``unconfirmed``: what clients booked and the exchange never stated; None where that is not known now.
    """

    day: date
    is_reconciled: bool = False
    file_name: str = ""
    reconciled_us: int = 0
    in_both: int = 0
    recovered: int = 0
    feed_only: int = 0
    differing: int = 0
    file_only: int = 0
    corrected: int = 0
    complete_to_us: int = 0
    has_gap: bool = False
    differences: tuple[Difference, ...] = ()
    unconfirmed: tuple[Difference, ...] | None = None

    @cached_property
    def ends_us(self) -> int:
        """The end of the day on the exchange's wall clock."""
        return to_epoch_us(day_bounds(DEFAULT_AREA, self.day)[1])

    @property
    def to_look_at(self) -> int:
        """Differences that somebody has to look at: what the file recovered is settled."""
        return self.feed_only + self.differing + self.file_only

    @property
    def is_complete(self) -> bool:
        """Whether nothing of the day is missing."""
        return self.complete_to_us >= self.ends_us
