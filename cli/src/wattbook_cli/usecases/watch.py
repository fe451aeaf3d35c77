"""Knowing, without making the supervisor wait, which services are healthy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from wattbook.loop import Loop

from wattbook_cli.domain.desk import Probe

STARTING_EVERY_S = 0.05
STEADY_EVERY_S = 2.0
_TIMEOUT_S = 1.0


class Asks(Protocol):
    """:func:`wattbook_cli.clients.probes.is_healthy`."""

    def __call__(self, probe: Probe, *, timeout_s: float) -> bool:
        """Whether the answer is good and in time."""
        ...


class Watch(Loop):
    """A thread that asks every service: often while one is not healthy yet, seldom once all are."""

    def __init__(
        self, probes: Mapping[str, tuple[Probe, ...]], *, ask: Asks, changed: Callable[[], None]
    ) -> None:
        """Watch ``probes`` by service name; ``changed`` is called after each change."""
        super().__init__("watch", stop_s=_TIMEOUT_S * 2)
        self._probes = dict(probes)
        self._ask = ask
        self._changed = changed
        self._healthy = dict.fromkeys(probes, False)

    def is_healthy(self, name: str) -> bool:
        """What the last answer of a service was."""
        return self._healthy[name]

    def forget(self, name: str) -> None:
        """Its process ended: whatever it answered no longer counts."""
        self._healthy[name] = False
        self.wake()

    def turn(self) -> float:
        """Ask everybody once."""
        for name, probes in self._probes.items():
            healthy = all(self._ask(probe, timeout_s=_TIMEOUT_S) for probe in probes)
            if healthy != self._healthy[name] and not self.stopping.is_set():
                self._healthy[name] = healthy
                self._changed()
        return STEADY_EVERY_S if all(self._healthy.values()) else STARTING_EVERY_S
