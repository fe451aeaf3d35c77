"""The bus door: ``trade.booked`` into the read model, on a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from wattbook.bus import Delivery, Subscription, require_version
from wattbook.clock import Clock
from wattbook.retry import Backoff
from wattbook.telemetry.catalogue import REPORT_DELAY
from wattbook.telemetry.messages import handling
from wattbook.telemetry.metrics import Histogram
from wattbook_proto import events_pb2

from report_service.api.trouble import Following, Trying
from report_service.clients.trades import FOLLOW_VERSION, booking_of
from report_service.domain.book import Event, Link
from report_service.usecases.follow import GAP_WAIT_S, Follower
from report_service.usecases.model import ReadModel

_log = logging.getLogger(__name__)

RECEIVE_TIMEOUT_S = 0.5
_DELAY = Histogram(REPORT_DELAY)
FIRST_RETRY_S = 0.2
LAST_RETRY_S = 5.0


def events_of(deliveries: Sequence[Delivery]) -> list[Event]:
    """What some deliveries tell.

    Raises:
        Unavailable: one is of a version to come: it may mean more than to add, so nothing is counted.
    """
    events: list[Event] = []
    for delivery in deliveries:
        require_version(delivery.message, newest=FOLLOW_VERSION)
        body = events_pb2.TradesBooked.FromString(delivery.message.body)
        link = Link(body.epoch, body.before_seq, body.digest_before, body.after_seq, body.digest_after)
        events.append(Event([booking_of(trade) for trade in body.trades], link if link.after_seq else None))
    return events


class BookFeed(Following):
    """Listens first, then loads the snapshot, then follows; whatever fails is tried again, with back-off."""

    def __init__(
        self,
        subscribe: Callable[[], Subscription],
        follower: Follower,
        model: ReadModel,
        *,
        clock: Clock,
        system: str = "",
    ) -> None:
        """Follow through ``subscribe``, which opens a subscription without a group on ``system``'s bus."""
        trying = Trying(
            _log,
            lost="the book is cut off",
            found="the book is followed again",
            backoff=Backoff(FIRST_RETRY_S, LAST_RETRY_S),
        )
        super().__init__("book-feed", trying, lost=model.lost)
        self._clock = clock
        self._system = system
        self._subscribe = subscribe
        self._follower = follower
        self._model = model

    def turn(self) -> None:
        """Until told to stop; what is known then stays."""
        subscription = self._subscribe()
        try:
            if self._model.state.ready:
                self._follower.catch_up()
            else:
                self._follower.start_over()
            self.trying.worked()
            while not self.stopping.is_set():
                self._step(subscription)
        finally:
            subscription.close()

    def _step(self, subscription: Subscription) -> None:
        timeout_s = GAP_WAIT_S if self._follower.has_gap else RECEIVE_TIMEOUT_S
        deliveries = subscription.receive(timeout_s=timeout_s)
        if deliveries:
            messages = [delivery.message for delivery in deliveries]
            with handling(messages, system=self._system):
                self._follower.hear(events_of(deliveries))
            subscription.ack(deliveries)
            if _DELAY.is_kept:
                now = self._clock.now()
                for message in messages:
                    _DELAY.record(max(0.0, (now - message.occurred_at).total_seconds()))
        self._follower.tend()
        self._model.found()
