"""The watcher: one thread that keeps asking the feed's owner how the feed is, at its own pace."""

from __future__ import annotations

import logging
import threading

from wattbook.errors import WattbookError
from wattbook.retry import Backoff

from report_service.api.trouble import Trying
from report_service.usecases.feed import FeedBoard, FeedKeeper

_log = logging.getLogger(__name__)

EVERY_S = 1.0
LEAST_BETWEEN_S = 0.05  # however many days are looked at for the first time
FIRST_RETRY_S = 0.25
LAST_RETRY_S = 4.0


class FeedWatcher:
    """Asks about once a second; whatever fails is tried again, with back-off."""

    def __init__(self, keeper: FeedKeeper, board: FeedBoard) -> None:
        """Keep ``board`` fresh through ``keeper``."""
        self._keeper = keeper
        self._board = board
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed-watch", daemon=True)
        board.on_look(self._wanted.set)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop; what is known stays."""
        self._stopping.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        trying = Trying(
            _log,
            lost="the feed's owner does not answer",
            found="the feed's owner answers again",
            backoff=Backoff(FIRST_RETRY_S, LAST_RETRY_S),
        )
        while not self._stopping.is_set():
            self._wanted.clear()
            try:
                self._keeper.tend()
            except WattbookError as error:
                self._failed(trying, error.message)
            except Exception:
                _log.exception("the watch of the feed failed")
                self._failed(trying, "a fault of ours")
            else:
                trying.worked()
                self._stopping.wait(LEAST_BETWEEN_S)
                self._wanted.wait(EVERY_S)

    def _failed(self, trying: Trying, reason: str) -> None:
        self._board.lost()
        self._stopping.wait(trying.failed(reason))
