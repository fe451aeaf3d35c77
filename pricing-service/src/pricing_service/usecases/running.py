"""The thread that turns the poller."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from wattbook.errors import WattbookError
from wattbook.retry import Backoff, Retrying

from pricing_service.usecases.poller import Poller

_log = logging.getLogger(__name__)

AT_MOST_S = 1.0
AFTER_A_FAULT_S = 5.0
LAST_ANSWERS_S = 2.0
STOP_S = 15.0


class Running:
    """Turns the poller when it is time, or when an answer or a wish came."""

    def __init__(self, poller: Poller, *, speed: float) -> None:
        """``speed``: seconds of the poller's clock in a real one."""
        self._poller = poller
        self._speed = speed
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)
        poller.answered = self._wake.set

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Send nothing more, take what is on its way for a moment, let another replica poll."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                wait_s = self._poller.turn() / self._speed
            except Exception:
                _log.exception("polling failed; it goes on")
                wait_s = AFTER_A_FAULT_S
            self._wake.wait(min(wait_s, AT_MOST_S))
        self._finish()

    def _finish(self) -> None:
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


class UntilItWorks:
    """A thread that does one thing at the start, again and again until it works."""

    def __init__(self, what: str, step: Callable[[], None]) -> None:
        """Do ``step``; ``what`` is for logs."""
        self._what = what
        self._step = step
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=what, daemon=True)

    def start(self) -> None:
        """Begin to try."""
        self._thread.start()

    def stop(self) -> None:
        """Try no more."""
        self._stopping.set()

    def _run(self) -> None:
        retrying = Retrying(Backoff(first_s=0.5, most_s=30.0))
        while not self._stopping.is_set():
            try:
                self._step()
                return
            except WattbookError as error:
                delay_s = retrying.failed()
                _log.warning(
                    "a first step waits",
                    extra={"step": self._what, "reason": str(error), "again_in_s": delay_s},
                )
                self._stopping.wait(delay_s)
            except Exception:
                _log.exception("a first step failed", extra={"step": self._what})
                return
