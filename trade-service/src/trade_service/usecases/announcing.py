"""Tell others of what was not booked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wattbook.bus import Message

from trade_service.store import TradeStore


def announce(
    store: TradeStore, events: Sequence[Message], *, committed: Callable[[Sequence[Message]], None]
) -> None:
    """Events on their way, durably; ``committed`` is called with them then.

    Raises:
        Unavailable: the store cannot be written now.
    """
    store.announce(events)
    committed(events)
