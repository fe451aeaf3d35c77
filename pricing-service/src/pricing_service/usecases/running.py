"""The threads of pricing-service: one turns the poller, one takes a first step until it works."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from wattbook.errors import WattbookError
from wattbook.loop import Loop
from wattbook.retry import Backoff

from pricing_service.usecases.poller import Poller

_log = logging.getLogger(__name__)

AT_MOST_S = 1.0
LAST_ANSWERS_S = 2.0


class Polling(Loop):
    """Turns the poller when it is time, or when an answer or a wish came."""

    def __init__(self, poller: Poller, *, speed: float) -> None:
        """``speed``: seconds of the poller's clock in a real one."""
        super().__init__("poller", backoff=Backoff(AT_MOST_S, AT_MOST_S), stop_s=15.0)
        self._poller = poller
        self._speed = speed
        poller.answered = self.wake

    def turn(self) -> float:
        """As often as the poller wants it, and at least once a second."""
        return min(self._poller.turn() / self._speed, AT_MOST_S)

    def finish(self) -> None:
        """Take what is on its way for a moment, let another replica poll."""
        pause = threading.Event()
        for _ in range(int(LAST_ANSWERS_S / 0.05)):
            if not self._poller.in_flight:
                break
            pause.wait(0.05)
            self._poller.take_answers()
        try:
            self._poller.resign()
        except Exception:
            _log.exception("the poller could not write down its last answers")


class UntilItWorks(Loop):
    """Does one thing at the start, again and again until it works."""

    def __init__(self, what: str, step: Callable[[], None]) -> None:
        """Do ``step``; ``what`` is for logs."""
        super().__init__(what, backoff=Backoff(first_s=0.5, most_s=30.0))
        self._step = step

    def turn(self) -> None:
        """Once is enough."""
        self._step()

    def failed(self, error: Exception) -> float:
        """Tell that it waits."""
        if not isinstance(error, WattbookError):
            return super().failed(error)
        delay_s = self.retrying.failed()
        _log.warning(
            "a first step waits", extra={"step": self._name, "reason": str(error), "again_in_s": delay_s}
        )
        return delay_s
