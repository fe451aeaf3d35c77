"""The bus door for prices: ``price.updated`` into the board on one thread, reads of the owner on another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from wattbook.bus import Delivery, Subscription
from wattbook.errors import WattbookError
from wattbook.retry import Backoff
from wattbook.telemetry.messages import handling
from wattbook_proto import events_pb2

from report_service.api.trouble import Trying
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


class PriceFeed:
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
        self._system = system
        self._subscribe = subscribe
        self._keeper = keeper
        self._board = board
        self._stopping = threading.Event()
        self._listening = threading.Event()
        self._wanted = threading.Event()
        self._threads = [
            threading.Thread(target=self._trying, args=(what,), name=name, daemon=True)
            for name, what in (("prices", self._listen), ("price-reads", self._read))
        ]
        board.on_look(self._wanted.set)

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop; what is known stays."""
        self._stopping.set()
        self._wanted.set()
        self._listening.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)

    def _trying(self, follow: Callable[[Trying], None]) -> None:
        trying = Trying(
            _log,
            lost="prices are cut off",
            found="prices are known again",
            backoff=Backoff(FIRST_RETRY_S, LAST_RETRY_S),
        )
        while not self._stopping.is_set():
            try:
                follow(trying)
            except WattbookError as error:
                reason = error.message
            except Exception:
                _log.exception("the price feed failed")
                reason = "a fault of ours"
            else:
                return  # told to stop
            self._board.lost()
            self._stopping.wait(trying.failed(reason))

    def _listen(self, trying: Trying) -> None:
        subscription = self._subscribe()
        try:
            self._board.doubt()  # what was announced while nobody listened
            self._listening.set()
            self._wanted.set()
            trying.worked()
            while not self._stopping.is_set():
                deliveries = subscription.receive(timeout_s=RECEIVE_TIMEOUT_S)
                if deliveries:
                    messages = [delivery.message for delivery in deliveries]
                    with handling(messages, system=self._system):
                        self._board.offer(updates_of(deliveries))
                    subscription.ack(deliveries)
                    if self._board.behind():
                        self._wanted.set()
        finally:
            subscription.close()

    def _read(self, trying: Trying) -> None:
        self._listening.wait()
        while not self._stopping.is_set():
            self._wanted.clear()
            self._keeper.tend()
            trying.worked()
            self._wanted.wait(TEND_EVERY_S)
