"""Threads that follow what another service has, and how loudly they tell that it is cut off.

A start or a restart elsewhere is worth no warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from wattbook.errors import WattbookError
from wattbook.loop import Loop
from wattbook.retry import Backoff, Retrying

LOUD_AFTER_S = 10.0
_log = logging.getLogger(__name__)


class Trying:
    """Counts failures in a row; tells once when they last, and when they are over."""

    def __init__(self, log: logging.Logger, *, lost: str, found: str, backoff: Backoff) -> None:
        """Say ``lost`` and ``found`` into ``log``."""
        self._log = log
        self._lost = lost
        self._found = found
        self._retrying = Retrying(backoff)
        self._waited_s = 0.0
        self._is_told = False

    def failed(self, reason: str) -> float:
        """Count a failure; the seconds to wait before the next try."""
        wait_s = self._retrying.failed()
        self._waited_s += wait_s
        is_loud = self._waited_s >= LOUD_AFTER_S and not self._is_told
        self._is_told = self._is_told or is_loud
        level = logging.WARNING if is_loud else logging.DEBUG
        self._log.log(level, "%s, retrying", self._lost, extra={"reason": reason})
        return wait_s

    def worked(self) -> None:
        """It works."""
        if self._is_told:
            self._log.info(self._found)
        self._retrying.worked()
        self._waited_s, self._is_told = 0.0, False


class Following(Loop):
    """A loop that says that what it follows is ``lost`` as soon as a turn fails."""

    def __init__(self, name: str, trying: Trying, *, lost: Callable[[], None]) -> None:
        """Tell by ``trying``, which also says how long to wait."""
        super().__init__(name)
        self.trying = trying
        self._lost = lost

    def failed(self, error: Exception) -> float:
        """Lost, and why."""
        if not isinstance(error, WattbookError):
            _log.exception("%s failed", self._name)
        self._lost()
        return self.trying.failed(error.message if isinstance(error, WattbookError) else "a fault of ours")
