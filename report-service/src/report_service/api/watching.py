"""The watcher: one thread that keeps asking the feed's owner how the feed is, at its own pace."""

from __future__ import annotations

import logging

from wattbook.retry import Backoff

from report_service.api.trouble import Following, Trying
from report_service.usecases.feed import FeedBoard, FeedKeeper

_log = logging.getLogger(__name__)

EVERY_S = 1.0
LEAST_BETWEEN_S = 0.05  # however many days are looked at for the first time
FIRST_RETRY_S = 0.25
LAST_RETRY_S = 4.0


class FeedWatcher(Following):
    """Asks about once a second; whatever fails is tried again, with back-off."""

    def __init__(self, keeper: FeedKeeper, board: FeedBoard) -> None:
        """Keep ``board`` fresh through ``keeper``."""
        trying = Trying(
            _log,
            lost="the feed's owner does not answer",
            found="the feed's owner answers again",
            backoff=Backoff(FIRST_RETRY_S, LAST_RETRY_S),
        )
        super().__init__("feed-watch", trying, lost=board.lost)
        self._keeper = keeper
        board.on_look(self.wake)

    def turn(self) -> float:
        """Ask."""
        self._keeper.tend()
        self.trying.worked()
        self.stopping.wait(LEAST_BETWEEN_S)
        return EVERY_S
