"""The three settings of a simulated clock, the same for every process of a desk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from wattbook.clock import Clock, DeskClock, SimulatedClock, SystemClock
from wattbook.periods import FIRST_DAY, LAST_DAY
from wattbook.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSettings:
    """Base of a service's settings that asks for the time; none of the three set: the machine's clock.

    A service lists :meth:`clock_problems` with its own problems.
    """

    clock_start: str = setting("WATTBOOK_CLOCK_START", "simulated instant to begin at", default="")
    clock_speed: float = setting("WATTBOOK_CLOCK_SPEED", "simulated seconds a real second", default=1.0)
    clock_anchor: str = setting(
        "WATTBOOK_CLOCK_ANCHOR", "real instant at which the simulated start was", default=""
    )

    @property
    def is_simulated(self) -> bool:
        """Whether any of the three says that time is not the machine's."""
        return bool(self.clock_start or self.clock_anchor) or self.clock_speed != 1

    def simulated_clock(self) -> SimulatedClock:
        """The world's clock, whose waits run as fast as its time.

        Raises:
            ValueError: an instant is none or does not say its offset, or the speed is not positive.
            OverflowError: an instant is beyond what dates can say.
        """
        return SimulatedClock(
            start=_instant(self.clock_start), speed=self.clock_speed, anchor=_instant(self.clock_anchor)
        )

    def world_clock(self) -> Clock:
        """For who lives in the world: the machine's clock, or the simulated one. Raises as above."""
        return self.simulated_clock() if self.is_simulated else SystemClock()

    def desk_clock(self) -> Clock:
        """For who shows the world's time and waits in real seconds. Raises as above."""
        return DeskClock(self.simulated_clock()) if self.is_simulated else SystemClock()

    def clock_problems(self) -> list[str]:
        """What is wrong with the three, in one line where anything is."""
        try:
            self.simulated_clock()
        except (ValueError, OverflowError) as error:
            return [f"WATTBOOK_CLOCK_START, _SPEED, _ANCHOR: {error}"]
        return []


def _instant(text: str) -> datetime | None:
    if not text:
        return None
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} does not say its offset from UTC")
    if not FIRST_DAY < instant.date() < LAST_DAY:
        raise ValueError(f"{text!r} is not between {FIRST_DAY} and {LAST_DAY}")
    return instant
