"""The bus, even while it cannot be opened; and nothing is said on it before its hearers are known to it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

from wattbook.bus import Bus, DeadLetter, Depths, Message, Subscription, open_bus, system_of
from wattbook.errors import Unavailable

CONFIRMED = "trade.confirmed"
REFUSED = "trade.refused"
OWNER_GROUP = "trade-service"


class TradesBus:
    """A :class:`wattbook.bus.Bus`, opened when first needed and again after that failed.

    A group hears what is published after it was first subscribed. The first trade may be confirmed before the
    owner of the trades has ever started, so its group, and ours for its refusals, is made known first.
    """

    def __init__(self, url: str, *, refused_group: str) -> None:
        """Use the bus at ``url``.

        Raises:
            ValueError: no engine knows such a URL.
        """
        self._url = url
        self.system = system_of(url)
        self._refused_group = refused_group
        self._lock = threading.Lock()
        self._bus: Bus | None = None
        self._introduced = False
        with contextlib.suppress(Unavailable):  # said again, and tried again, by whoever uses it
            self._bus = open_bus(url)

    def publish(self, messages: Sequence[Message]) -> None:
        """Durable, all or none, when this returns. Raises like a bus."""
        bus = self._opened()
        if not self._introduced:
            bus.subscribe([CONFIRMED], group=OWNER_GROUP).close()
            bus.subscribe([REFUSED], group=self._refused_group).close()
            self._introduced = True
        bus.publish(messages)

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

    def close(self) -> None:
        """Let go of it."""
        with self._lock:
            if self._bus is not None:
                self._bus.close()

    def _opened(self) -> Bus:
        with self._lock:
            if self._bus is None:
                self._bus = open_bus(self._url)
            return self._bus
