"""A lock whose waiters are served in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from wattbook.errors import Unavailable


class FairLock:
    """First come, first served, with a bounded wait. Not reentrant: asking twice is a fault and says so.

    ``threading.Lock`` lets whoever runs first take it, so one busy thread can starve the others.
    """

    def __init__(self, what: str, *, timeout_s: float) -> None:
        """Guard ``what`` (named in errors); wait at most ``timeout_s``."""
        self._what = what
        self._timeout_s = timeout_s
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._taken = False
        self._owner: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for the block.

        Raises:
            Unavailable: it was not free in time.
            RuntimeError: this thread holds it already.
        """
        if self._owner == threading.get_ident():
            raise RuntimeError(f"{self._what} is already held by this thread")
        if not self._acquire():
            raise Unavailable(f"{self._what} is busy; try again")
        self._owner = threading.get_ident()
        try:
            yield
        finally:
            self._owner = None
            self._release()

    def _acquire(self) -> bool:
        with self._mutex:
            if not self._taken:
                self._taken = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=self._timeout_s):
            return True
        with self._mutex:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
            return True  # it was handed over just as the wait ended

    def _release(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()  # stays taken: handed over
            else:
                self._taken = False
