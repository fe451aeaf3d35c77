"""What the poller is given: a way to ask, and how long things take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pricing_service.domain import Outcome, Slot


class Provider(Protocol):
    """Where prices come from."""

    def ask(self, slot: Slot, done: Callable[[Outcome], None]) -> None:
        """Send one request soon or not at all; ``done`` is called once, from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take, in seconds of the clock; a clock that runs faster makes them longer."""

    lease_s: float = 3.0
    renew_s: float = 1.0
    refresh_s: float = 1.0
    retry_s: float = 1.0
    send_within_s: float = 2.0
    answer_within_s: float = 6.0

    @classmethod
    def at(cls, speed: float) -> Pace:
        """For a clock that runs ``speed`` times as fast as real time."""
        usual = cls()
        return cls(*(getattr(usual, name) * speed for name in cls.__slots__))

    @property
    def counts_within_s(self) -> float:
        """When a request without an answer has reached the provider, or never will."""
        return self.send_within_s + 1.5 * self.answer_within_s
