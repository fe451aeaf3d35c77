"""A thread that takes one turn after another: start, waking, back-off and stop, written once."""

from __future__ import annotations

import logging
import threading

from wattbook.errors import WattbookError
from wattbook.retry import Backoff, Retrying

_log = logging.getLogger(__name__)


class Loop:
    """Takes its :meth:`turn`, waits as long as that said or until it is woken, and takes the next one.

    A turn that fails is taken again with back-off. The thread is a daemon: one that hangs does not hold up
    the end of the process.
    """

    def __init__(self, name: str, *, backoff: Backoff | None = None, stop_s: float = 5.0) -> None:
        """``name`` is for logs; a stop waits up to ``stop_s`` for the turn at hand and :meth:`finish`."""
        self.stopping = threading.Event()
        self.retrying = Retrying(backoff or Backoff(first_s=0.1, most_s=5.0))
        self._name = name
        self._stop_s = stop_s
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Take the next turn now."""
        self._woken.set()

    def stop(self) -> None:
        """End after the turn at hand."""
        self.stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(self._stop_s)

    def turn(self) -> float | None:
        """Do what is to be done; the seconds until the next turn, None after the last one."""
        raise NotImplementedError

    def failed(self, error: Exception) -> float:
        """Tell of a turn that raised; the seconds until the next one."""
        delay_s = self.retrying.failed()
        log = _log.warning if isinstance(error, WattbookError) else _log.exception
        extra = {"loop": self._name, "reason": str(error), "again_in_s": round(delay_s, 3)}
        log("a turn failed and is taken again", extra=extra)
        return delay_s

    def finish(self) -> None:
        """After the last turn."""

    def _run(self) -> None:
        while not self.stopping.is_set():
            self._woken.clear()
            try:
                wait_s = self.turn()
            except Exception as error:
                self.stopping.wait(self.failed(error))
                continue
            self.retrying.worked()
            if wait_s is None:
                break
            self._woken.wait(wait_s)
        self.finish()
