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

    def after(self, seconds: float) -> datetime:
        """What :meth:`now` will tell once ``seconds`` of :meth:`monotonic_s` have passed."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def after(self, seconds: float) -> datetime:
        """So many seconds from now."""
        return self.now() + timedelta(seconds=seconds)


class SimulatedClock:
    """A clock that starts where it is told and runs as fast as it is told, the same in every process.

    Simulated time = ``start`` + (real time - ``anchor``) x ``speed``. Processes that share the three tell
    the same time, also after one of them is restarted. Its ``monotonic_s`` runs as fast as its ``now``: it
    is for those who live in the simulated world. Who only shows that world's time, and waits for real
    disks, sockets and people, takes :class:`DeskClock`.
    """

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
        self._beginning = began, start or began
        self._base = (start or began).astimezone(UTC) + (real_now - began) * speed
        self._base_s = time.monotonic()

    def now(self) -> datetime:
        """The simulated instant, aware, in UTC."""
        return self._base + timedelta(seconds=self.monotonic_s())

    def monotonic_s(self) -> float:
        """Simulated seconds since this clock was made."""
        return (time.monotonic() - self._base_s) * self.speed

    def after(self, seconds: float) -> datetime:
        """So many simulated seconds from now."""
        return self.now() + timedelta(seconds=seconds)

    @property
    def course(self) -> str:
        """See :attr:`DeskClock.course`."""
        began_ms, shown_ms = (to_epoch_us(instant) // 1000 for instant in self._beginning)
        return f"{began_ms} {shown_ms} {self.speed:g}"

    def real_s(self, simulated_s: float) -> float:
        """How long simulated seconds really last."""
        return simulated_s / self.speed


class DeskClock:
    """Tells a simulated world's time and measures waits in real seconds."""

    def __init__(self, world: SimulatedClock) -> None:
        """Tell the time of ``world``."""
        self._world = world

    @property
    def course(self) -> str:
        """``real shown speed``: what is shown at a real instant (both ms since 1970), and how fast it runs.

        For whoever must tell the same time without asking again: a browser, say.
        """
        return self._world.course

    def now(self) -> datetime:
        """The world's instant, aware, in UTC."""
        return self._world.now()

    def monotonic_s(self) -> float:
        """Real seconds since some fixed moment."""
        return time.monotonic()

    def after(self, seconds: float) -> datetime:
        """What the world's clock shows in so many real seconds."""
        return self.now() + timedelta(seconds=seconds * self._world.speed)


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

    def after(self, seconds: float) -> datetime:
        """Where ``advance(seconds)`` would put it."""
        return self._now + timedelta(seconds=seconds)

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
