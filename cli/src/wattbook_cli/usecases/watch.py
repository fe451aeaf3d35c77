"""Knowing, without making the supervisor wait, which services are healthy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from wattbook_cli.domain.desk import Probe

STARTING_EVERY_S = 0.05
STEADY_EVERY_S = 2.0
_TIMEOUT_S = 1.0


class Asks(Protocol):
    """:func:`wattbook_cli.clients.probes.is_healthy`."""

    def __call__(self, probe: Probe, *, timeout_s: float) -> bool:
        """Whether the answer is good and in time."""
        ...


class Watch:
    """A thread that asks every service: often while one is not healthy yet, seldom once all are."""

    def __init__(
        self, probes: Mapping[str, tuple[Probe, ...]], *, ask: Asks, changed: Callable[[], None]
    ) -> None:
        """Watch ``probes`` by service name; ``changed`` is called after each change."""
        self._probes = dict(probes)
        self._ask = ask
        self._changed = changed
        self._healthy = dict.fromkeys(probes, False)
        self._hurry = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopping.set()
        self._hurry.set()
        self._thread.join(_TIMEOUT_S * 2)

    def is_healthy(self, name: str) -> bool:
        """What the last answer of a service was."""
        return self._healthy[name]

    def forget(self, name: str) -> None:
        """Its process ended: whatever it answered no longer counts."""
        self._healthy[name] = False
        self._hurry.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._hurry.clear()
            for name, probes in self._probes.items():
                healthy = all(self._ask(probe, timeout_s=_TIMEOUT_S) for probe in probes)
                if healthy != self._healthy[name] and not self._stopping.is_set():
                    self._healthy[name] = healthy
                    self._changed()
            self._hurry.wait(STEADY_EVERY_S if all(self._healthy.values()) else STARTING_EVERY_S)
