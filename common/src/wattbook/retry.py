"""Waiting before the next try: exponential back-off with full jitter.

Full jitter spreads those who failed together, so that what comes back up is not knocked down again
(source: "Exponential Backoff And Jitter", AWS Architecture Blog).
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays between 0 and a cap that doubles from ``first_s`` up to ``most_s``."""

    first_s: float = 0.1
    most_s: float = 10.0

    def cap_s(self, failures: int) -> float:
        """The longest delay after the ``failures``-th failure in a row (1 is the first)."""
        doublings = min(max(failures, 1) - 1, 64)
        return float(min(self.most_s, self.first_s * 2**doublings))

    def delay_s(self, failures: int, rng: random.Random) -> float:
        """A delay drawn evenly from 0 to :meth:`cap_s`."""
        return rng.uniform(0.0, self.cap_s(failures))


class Retrying:
    """Counts failures in a row and says how long to wait; one per thing that is tried."""

    def __init__(self, backoff: Backoff | None = None, *, rng: random.Random | None = None) -> None:
        """Begin with no failures; ``rng`` is for tests that need the same delays each time."""
        self._backoff = backoff or Backoff()
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, hides nothing
        self.failures = 0

    def failed(self) -> float:
        """Count a failure; the seconds to wait before the next try."""
        self.failures += 1
        return self._backoff.delay_s(self.failures, self._rng)

    def worked(self) -> None:
        """Begin again with short waits."""
        self.failures = 0
