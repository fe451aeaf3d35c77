"""When a service that died is started again."""

from __future__ import annotations

import signal
from dataclasses import dataclass

EXIT_BAD_SETTINGS = 78  # as in wattbook.process: restarting will not help


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Back-off between restarts of one service, in seconds; it doubles with every death in a row.

    A service that lived for ``steady_s`` starts over with the shortest delay. Before the desk was ready
    once, ``most_at_start`` deaths of one service end the start.
    """

    first_s: float = 0.2
    most_s: float = 15.0
    steady_s: float = 30.0
    most_at_start: int = 3

    def delay_s(self, deaths_in_row: int, *, jitter: float) -> float:
        """How long to wait after the n-th death in a row; ``jitter`` in 0…1 spreads it by a half."""
        doubled_s = self.first_s * 2.0 ** min(deaths_in_row - 1, 20)
        return min(doubled_s, self.most_s) * (1.0 + 0.5 * jitter)

    def is_hopeless(self, *, exit_code: int, deaths_in_row: int, was_ready: bool) -> bool:
        """Whether starting it again is no use."""
        if exit_code == EXIT_BAD_SETTINGS:
            return True
        return not was_ready and deaths_in_row >= self.most_at_start


def ending(exit_code: int) -> str:
    """How a process ended, in words: ``exit 1``, ``killed by SIGKILL``."""
    if exit_code >= 0:
        return f"exit {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"
