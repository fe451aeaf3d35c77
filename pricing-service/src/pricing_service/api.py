"""The gRPC door and the bus: ``prices.proto`` in our own words and back, events told and heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import grpc
from wattbook.access import Principal
from wattbook.bus import Message, require_version
from wattbook.bus.topology import PRICE_UPDATED
from wattbook.clock import Clock, from_epoch_us
from wattbook.errors import InvalidInput
from wattbook.periods import HOUR_MINUTES, NoSuchPeriod
from wattbook_proto import events_pb2, prices_pb2, prices_pb2_grpc

from pricing_service import usecases
from pricing_service.domain import KnownPrice, Limits
from pricing_service.store import PriceStore, Wishes

PRICES_VERSION = 1
BOOKED_VERSION = 2  # of trade.booked: the newest that is understood here
MOST_WATCHED = 200
RULES = dict.fromkeys(("Day", "History", "Watch", "Status"), Principal.require_trading)  # the market's


class PricesServicer(prices_pb2_grpc.PricesServicer):
    """``wattbook.prices.v1.Prices``."""

    def __init__(
        self,
        *,
        store: PriceStore,
        wishes: Wishes,
        clock: Clock,
        limits: Limits,
        leads: Callable[[], bool],
        watch_s: float,
    ) -> None:
        """Answer from ``store``; ``leads`` says whether this replica polls, a watch lasts ``watch_s``."""
        self._store = store
        self._wishes = wishes
        self._clock = clock
        self._limits = limits
        self._leads = leads
        self._watch_s = watch_s

    def Day(self, request: prices_pb2.DayRequest, context: grpc.ServicerContext) -> prices_pb2.DayReply:  # noqa: N802
        """The newest prices of a day."""
        delivery_day = _day(request.delivery_day)
        try:
            last_seq, found = usecases.day(self._store, area=request.area, delivery_day=delivery_day)
        except NoSuchPeriod as error:
            raise InvalidInput(str(error)) from error
        return prices_pb2.DayReply(prices=_messages(found), as_of_seq=last_seq)

    def History(  # noqa: N802
        self, request: prices_pb2.HistoryRequest, context: grpc.ServicerContext
    ) -> prices_pb2.HistoryReply:
        """Every value of a period."""
        minutes = request.delivery_minutes or HOUR_MINUTES
        try:
            found = usecases.history(
                self._store, area=request.area, start_s=request.delivery_start_s, minutes=minutes
            )
        except NoSuchPeriod as error:
            raise InvalidInput(str(error)) from error
        return prices_pb2.HistoryReply(prices=_messages(found))

    def Watch(self, request: prices_pb2.WatchRequest, context: grpc.ServicerContext) -> prices_pb2.WatchReply:  # noqa: N802
        """Fetch these first for a while."""
        starts = request.delivery_start_s
        if len(starts) > MOST_WATCHED:
            raise InvalidInput(f"at most {MOST_WATCHED} hours can be watched at once")
        try:
            usecases.watch(self._wishes, self._clock, area=request.area, starts_s=starts, for_s=self._watch_s)
        except NoSuchPeriod as error:
            raise InvalidInput(str(error)) from error
        return prices_pb2.WatchReply()

    def Status(  # noqa: N802
        self, request: prices_pb2.StatusRequest, context: grpc.ServicerContext
    ) -> prices_pb2.StatusReply:
        """How the poller is doing."""
        found = usecases.status(self._store, self._clock, limits=self._limits)
        return prices_pb2.StatusReply(
            leader=self._leads(),
            minute_budget_left=found.minute_budget_left,
            hour_budget_left=found.hour_budget_left,
            cycle_start_s=found.cycle_start_s,
            periods_tradable=found.hours_tradable,
            periods_fresh=found.hours_fresh,
            last_success_us=found.health.last_success_us,
            trouble=found.health.trouble,
            trouble_since_us=found.health.trouble_since_us,
        )


class TradedHours:
    """Hears ``trade.booked`` and remembers what is traded; hearing it again changes nothing."""

    def __init__(self, *, wishes: Wishes, clock: Clock) -> None:
        """Keep what is heard in ``wishes``."""
        self._wishes = wishes
        self._clock = clock
        self._heard: set[tuple[str, int]] = set()

    def handle(self, messages: Sequence[Message]) -> None:
        """Learn from some events. A correction makes one more period traded, and takes none back.

        Raises:
            Unavailable: the store cannot be written now, or an event is of a version to come.
        """
        for message in messages:
            require_version(message, newest=BOOKED_VERSION)
        self.learn({period for message in messages for period in _traded(message)})

    def learn(self, periods: set[tuple[str, int]]) -> None:
        """Learn periods (area, start) that were traded."""
        if new := periods - self._heard:
            usecases.learn_traded(self._wishes, self._clock, periods=new)
            self._heard = periods | (self._heard if len(self._heard) < 10_000 else set())


def price_events(rows: Sequence[KnownPrice]) -> list[Message]:
    """The ``price.updated`` event that tells of prices, in ``price_seq`` order."""
    body = events_pb2.PricesUpdated(prices=_messages(rows))
    newest_us = max(row.fetched_time_us for row in rows)
    return [
        Message(
            type=PRICE_UPDATED,
            version=PRICES_VERSION,
            body=body.SerializeToString(),
            occurred_at=from_epoch_us(newest_us),
        )
    ]


def _traded(message: Message) -> list[tuple[str, int]]:
    booked = events_pb2.TradesBooked.FromString(message.body)
    return [(trade.area, trade.delivery_start_s) for trade in booked.trades]


def _messages(rows: Sequence[KnownPrice]) -> list[Any]:
    return [prices_pb2.ReferencePrice(**row._asdict()) for row in rows]


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise InvalidInput("delivery_day must be a date, YYYY-MM-DD")
    return day
