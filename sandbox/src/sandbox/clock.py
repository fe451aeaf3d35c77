"""A clock that starts where it is told and runs as fast as it is told, the same in every process.

Simulated time = ``start`` + (real time - ``anchor``) x ``speed``. Processes that share the three settings
tell the same time, also after one of them is restarted.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class SimulatedClock:
    """A :class:`wattbook.clock.Clock` of simulated time; its ``monotonic_s`` runs as fast as its ``now``."""

    def __init__(
        self, *, start: datetime | None = None, speed: float = 1.0, anchor: datetime | None = None
    ) -> None:
        """Show ``start`` (default: the anchor) at the real instant ``anchor`` (default: this moment).

        Raises:
            ValueError: the speed is not positive, or an instant is naive.
        """
        if not 0 < speed < float("inf"):
            raise ValueError("a clock's speed must be positive")
        if any(instant is not None and instant.tzinfo is None for instant in (start, anchor)):
            raise ValueError("a clock's instants must say their offset from UTC")
        real_now = datetime.now(UTC)
        began = anchor or real_now
        self.speed = speed
        # Real time is read once: from here on a correction of the machine's clock cannot make this one jump.
        self._base = (start or began).astimezone(UTC) + (real_now - began) * speed
        self._base_s = time.monotonic()

    def now(self) -> datetime:
        """The simulated instant, aware, in UTC."""
        return self._base + timedelta(seconds=self.monotonic_s())

    def monotonic_s(self) -> float:
        """Simulated seconds since this clock was made."""
        return (time.monotonic() - self._base_s) * self.speed

    def real_s(self, simulated_s: float) -> float:
        """How long simulated seconds really last."""
        return simulated_s / self.speed
