"""The bus door for cash: ``cash.changed`` onto the board on one thread, its owner asked on another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from wattbook.bus import Subscription
from wattbook.errors import WattbookError
from wattbook.retry import Backoff
from wattbook.telemetry.messages import handling
from wattbook_proto import events_pb2

from report_service.api.trouble import Trying
from report_service.usecases.cash import CashBoard

_log = logging.getLogger(__name__)

VERSION = 1
RECEIVE_TIMEOUT_S = 0.5
TEND_EVERY_S = 1.0
LEAST_BETWEEN_S = 0.1
FIRST_RETRY_S = 0.2
LAST_RETRY_S = 2.0


class CashFeed:
    """Listens, and keeps fresh what is looked at; whatever fails is tried again, with back-off."""

    def __init__(self, subscribe: Callable[[], Subscription], board: CashBoard, *, system: str = "") -> None:
        """Follow through ``subscribe``, which opens a subscription without a group on ``system``'s bus."""
        self._system = system
        self._subscribe = subscribe
        self._board = board
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._threads = [
            threading.Thread(target=self._trying, args=(what,), name=name, daemon=True)
            for name, what in (("cash", self._listen), ("cash-reads", self._read))
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop; what is known stays."""
        self._stopping.set()
        self._wanted.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)

    def _trying(self, follow: Callable[[Trying], None]) -> None:
        trying = Trying(
            _log, lost="cash is cut off", found="cash is known again",
            backoff=Backoff(FIRST_RETRY_S, LAST_RETRY_S),
        )  # fmt: skip
        while not self._stopping.is_set():
            try:
                follow(trying)
            except WattbookError as error:
                reason = error.message
            except Exception:
                _log.exception("following cash failed")
                reason = "a fault of ours"
            else:
                return  # told to stop
            self._stopping.wait(trying.failed(reason))

    def _listen(self, trying: Trying) -> None:
        subscription = self._subscribe()
        try:
            self._board.doubt()  # what was announced while nobody listened
            self._wanted.set()
            trying.worked()
            while not self._stopping.is_set():
                deliveries = subscription.receive(timeout_s=RECEIVE_TIMEOUT_S)
                if not deliveries:
                    continue
                messages = [delivery.message for delivery in deliveries]
                with handling(messages, system=self._system):
                    self._board.offer(
                        events_pb2.CashChanged.FromString(each.body)
                        for each in messages
                        if each.version == VERSION
                    )
                subscription.ack(deliveries)
                self._wanted.set()
        finally:
            subscription.close()

    def _read(self, trying: Trying) -> None:
        while not self._stopping.is_set():
            self._wanted.clear()
            self._board.tend()
            trying.worked()
            self._stopping.wait(LEAST_BETWEEN_S)
            self._wanted.wait(TEND_EVERY_S)
