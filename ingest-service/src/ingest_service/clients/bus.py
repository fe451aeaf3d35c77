"""The bus, even while it cannot be opened."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence

from wattbook.bus import Bus, DeadLetter, Depths, Message, Subscription
from wattbook.bus.topology import Group
from wattbook.errors import Unavailable


class PatientBus:
    """A :class:`wattbook.bus.Bus`, opened when first needed, and again after that failed."""

    def __init__(self, open_bus: Callable[[], Bus], *, system: str) -> None:
        """Use the bus that ``open_bus`` opens; ``system`` is its engine's name for telemetry.

        Raises:
            ValueError: no engine knows such a URL.
        """
        self._open = open_bus
        self.system = system
        self._lock = threading.Lock()
        self._bus: Bus | None = None
        with contextlib.suppress(Unavailable):  # said again, and tried again, by whoever uses it
            self._bus = open_bus()

    def publish(self, messages: Sequence[Message]) -> None:
        """As a bus does."""
        self._opened().publish(messages)

    def subscribe(self, types: Sequence[str], *, group: str | None) -> Subscription:
        """As a bus does."""
        return self._opened().subscribe(types, group=group)

    def dead_letters(self, *, group: str | None = None, most: int = 100) -> list[DeadLetter]:
        """As a bus does."""
        return self._opened().dead_letters(group=group, most=most)

    def replay(self, dead_letter: DeadLetter) -> None:
        """As a bus does."""
        self._opened().replay(dead_letter)

    def depths(self, types: Sequence[str], *, group: str) -> Depths:
        """As a bus does."""
        return self._opened().depths(types, group=group)

    def drop(self, dead_letter: DeadLetter) -> None:
        """As a bus does."""
        self._opened().drop(dead_letter)

    def group_names(self) -> list[str] | None:
        """As a bus does."""
        return self._opened().group_names()

    def declare(self, groups: Sequence[Group]) -> list[str]:
        """As a bus does."""
        return self._opened().declare(groups)

    def differences(self, groups: Sequence[Group]) -> list[str]:
        """As a bus does."""
        return self._opened().differences(groups)

    def close(self) -> None:
        """Let go of it."""
        with self._lock:
            if self._bus is not None:
                self._bus.close()

    def _opened(self) -> Bus:
        with self._lock:
            if self._bus is None:
                self._bus = self._open()
            return self._bus
