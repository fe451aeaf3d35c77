"""The bus door for prices: ``price.updated`` into the board on one thread, reads of the owner on another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from wattbook.bus import Delivery, Subscription
from wattbook.retry import Backoff
from wattbook.telemetry.messages import handling
from wattbook_proto import events_pb2

from report_service.api.trouble import Following, Trying
from report_service.clients.prices import prices_of
from report_service.domain.prices import ReferencePrice
from report_service.usecases.prices import PriceBoard
from report_service.usecases.watch import PriceKeeper

_log = logging.getLogger(__name__)

VERSION = 1
RECEIVE_TIMEOUT_S = 0.5
TEND_EVERY_S = 1.0
FIRST_RETRY_S = 0.2
LAST_RETRY_S = 2.0


def updates_of(deliveries: Sequence[Delivery]) -> list[ReferencePrice]:
    """The prices in some deliveries. An event of a version to come is left to the next look at the owner."""
    prices: list[ReferencePrice] = []
    for delivery in deliveries:
        if delivery.message.version == VERSION:
            prices.extend(prices_of(events_pb2.PricesUpdated.FromString(delivery.message.body).prices))
    return prices


def _trying() -> Trying:
    backoff = Backoff(FIRST_RETRY_S, LAST_RETRY_S)
    return Trying(_log, lost="prices are cut off", found="prices are known again", backoff=backoff)


class _Reads(Following):
    """Reads from the owner what is looked at, once somebody listens to what changes."""

    def __init__(self, keeper: PriceKeeper, board: PriceBoard) -> None:
        super().__init__("price-reads", _trying(), lost=board.lost)
        self._keeper = keeper
        self.listening = threading.Event()
        board.on_look(self.wake)

    def stop(self) -> None:
        self.stopping.set()
        self.listening.set()
        super().stop()

    def turn(self) -> float:
        self.listening.wait()
        if not self.stopping.is_set():
            self._keeper.tend()
            self.trying.worked()
        return TEND_EVERY_S


class PriceFeed(Following):
    """Listens first, then reads; whatever fails is tried again, with back-off."""

    def __init__(
        self,
        subscribe: Callable[[], Subscription],
        keeper: PriceKeeper,
        board: PriceBoard,
        *,
        system: str = "",
    ) -> None:
        """Follow through ``subscribe``, which opens a subscription without a group on ``system``'s bus."""
        super().__init__("prices", _trying(), lost=board.lost)
        self._system = system
        self._subscribe = subscribe
        self._board = board
        self._reads = _Reads(keeper, board)

    def start(self) -> None:
        """Begin."""
        super().start()
        self._reads.start()

    def stop(self) -> None:
        """Stop; what is known stays."""
        super().stop()
        self._reads.stop()

    def turn(self) -> None:
        """Listen until told to stop."""
        subscription = self._subscribe()
        try:
            self._board.doubt()  # what was announced while nobody listened
            self._reads.listening.set()
            self._reads.wake()
            self.trying.worked()
            while not self.stopping.is_set():
                deliveries = subscription.receive(timeout_s=RECEIVE_TIMEOUT_S)
                if deliveries:
                    messages = [delivery.message for delivery in deliveries]
                    with handling(messages, system=self._system):
                        self._board.offer(updates_of(deliveries))
                    subscription.ack(deliveries)
                    if self._board.behind():
                        self._reads.wake()
        finally:
            subscription.close()
