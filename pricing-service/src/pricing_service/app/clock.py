"""A clock that starts where it is told and runs as fast as it is told, the same in every process.

Simulated time = ``start`` + (real time - ``anchor``) x ``speed``, as the sandbox tells it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from wattbook.clock import Clock, SystemClock


class SimulatedClock:
    """A :class:`wattbook.clock.Clock` of simulated time; its ``monotonic_s`` runs as fast as its ``now``."""

    def __init__(self, *, start: datetime, speed: float, anchor: datetime) -> None:
        """Show ``start`` at the real instant ``anchor``."""
        self._speed = speed
        self._base = start.astimezone(UTC) + (datetime.now(UTC) - anchor) * speed
        self._base_s = time.monotonic()

    def now(self) -> datetime:
        """The simulated instant, aware, in UTC."""
        return self._base + timedelta(seconds=self.monotonic_s())

    def monotonic_s(self) -> float:
        """Simulated seconds since this clock was made."""
        return (time.monotonic() - self._base_s) * self._speed


def clock_of(*, start: str, speed: float, anchor: str) -> Clock:
    """The machine's clock, or a simulated one where any of the three says so.

    Raises:
        ValueError: an instant is none or does not say its offset, or the speed is not positive.
    """
    if not 0 < speed < float("inf"):
        raise ValueError("a clock's speed must be positive")
    if not start and not anchor and speed == 1:
        return SystemClock()
    real = datetime.now(UTC)
    began = _instant(anchor) if anchor else real
    return SimulatedClock(start=_instant(start) if start else began, speed=speed, anchor=began)


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} does not say its offset from UTC")
    return instant
