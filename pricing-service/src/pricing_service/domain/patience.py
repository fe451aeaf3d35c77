"""What to do after failures: wait ever longer, for one hour's question or for the provider as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from wattbook.retry import Backoff

from pricing_service.domain.answers import Trouble

TRIES_A_CYCLE = 6
_REMEMBER = 50
LONGEST_HOLD_S = 3600.0
_AGAIN = Backoff(first_s=1.0, most_s=120.0)
_DOWN = Backoff(first_s=1.0, most_s=30.0)
_SLOW_DOWN = Backoff(first_s=5.0, most_s=60.0)


@dataclass(slots=True)
class Tries:
    """What was tried for one hour in this cycle; ``over`` when this cycle has no more to give."""

    count: int = 0
    again_s: float = 0.0
    over: bool = False

    def failed(self, now: float, rng: Random) -> None:
        """Try later, or not again in this cycle."""
        self.count += 1
        self.again_s = now + _jittered(_AGAIN, self.count, rng)
        self.over = self.count >= TRIES_A_CYCLE


@dataclass(slots=True)
class Patience:
    """Whether the provider may be asked. While it fails it is asked one thing at a time."""

    rng: Random
    failures: int = 0
    reason: str = ""
    since_s: float = 0.0
    share_failed: float = 0.0
    held_until_s: float = 0.0
    _closed_until_s: float = field(default=0.0)
    _failed_s: float = field(default=0.0)

    @property
    def open_at_s(self) -> float:
        """When it may be asked again."""
        return max(self._closed_until_s, self.held_until_s)

    def count(self, *, failed: bool) -> None:
        """Keep the share of requests that fail, of about the last fifty."""
        self.share_failed += ((1.0 if failed else 0.0) - self.share_failed) / _REMEMBER

    def worked(self) -> None:
        """It answered. What it said itself about when to come again still holds."""
        self.failures, self.reason, self.since_s, self._closed_until_s = 0, "", 0.0, 0.0

    def failed(self, trouble: Trouble, *, sent_s: float, now: float) -> None:
        """It did not; requests that were on their way together count as one failure."""
        if not self.reason:
            self.since_s = now
        self.reason = trouble.reason
        if trouble.retry_after_s is not None:
            self.held_until_s = max(self.held_until_s, now + min(trouble.retry_after_s, LONGEST_HOLD_S))
        if self.failures and sent_s < self._failed_s:
            return
        self.failures += 1
        self._failed_s = now
        backoff = _SLOW_DOWN if trouble.slow_down else _DOWN
        self._closed_until_s = now + _jittered(backoff, self.failures, self.rng)

    def shift(self, seconds: float) -> None:
        """The clock was set."""
        for name in ("_closed_until_s", "held_until_s", "_failed_s", "since_s"):
            value = getattr(self, name)
            setattr(self, name, value + seconds if value else value)


def _jittered(backoff: Backoff, failures: int, rng: Random) -> float:
    """Between half of the cap and the cap: never at once, which full jitter allows."""
    return backoff.cap_s(failures) * rng.uniform(0.5, 1.0)
