"""Time enters here and nowhere else: aware, UTC, injected."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """What the time is, and how much of it passed."""

    def now(self) -> datetime:
        """The instant, aware, in UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that only ever grow; for measuring waits, not for telling the time."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime) -> None:
        """Stand at ``start``, which must be aware."""
        self._now = start.astimezone(UTC)
        self._monotonic_s = 0.0

    def now(self) -> datetime:
        """Where the test put it."""
        return self._now

    def monotonic_s(self) -> float:
        """Seconds advanced so far."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += seconds


def to_epoch_us(instant: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exactly; ``instant`` must be aware."""
    return (instant - EPOCH) // _MICROSECOND


def from_epoch_us(epoch_us: int) -> datetime:
    """The aware UTC instant of :func:`to_epoch_us`."""
    return EPOCH + timedelta(microseconds=epoch_us)


def from_epoch_s(epoch_s: int) -> datetime:
    """The aware UTC instant ``epoch_s`` seconds after 1970-01-01 UTC."""
    return EPOCH + timedelta(seconds=epoch_s)


def iso_z(instant: datetime) -> str:
    """RFC 3339 in UTC with a ``Z``, with only as many decimals of a second as needed."""
    text = instant.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"
