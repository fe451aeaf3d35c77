"""Let go of what is done and old, a little at a time."""

from __future__ import annotations

from datetime import timedelta

from wattbook.clock import Clock, to_epoch_us

from ingest_service.domain import execution_day
from ingest_service.store import Spool

AT_ONCE = 5_000  # a second, above what the fastest feed brings
FORGET_EVERY_S = 3_600.0


class Housekeeping:
    """Only frames that are settled go, and trades of days long past."""

    def __init__(
        self, spool: Spool, *, clock: Clock, keep_s: float, most_frames: int, keep_days: int
    ) -> None:
        """Keep at most ``most_frames`` settled frames for ``keep_s``, trades for ``keep_days``."""
        self._spool = spool
        self._clock = clock
        self._keep_s = keep_s
        self._most_frames = most_frames
        self._keep_days = keep_days
        self._forget_at_s = 0.0

    def tidy(self) -> None:
        """Do a little.

        Raises:
            Unavailable: the store cannot be written now.
        """
        now = self._clock.now()
        before_us = to_epoch_us(now - timedelta(seconds=self._keep_s))
        self._spool.trim(before_us=before_us, most_frames=self._most_frames, at_once=AT_ONCE)
        if self._clock.monotonic_s() >= self._forget_at_s:
            self._forget_at_s = self._clock.monotonic_s() + FORGET_EVERY_S
            day = execution_day(to_epoch_us(now)) - timedelta(days=self._keep_days)
            self._spool.forget_trades(before_day=int(day.strftime("%Y%m%d")))
