"""How many statements became what, by the door they came through."""

from __future__ import annotations

from collections import Counter as Tally

from wattbook.telemetry.catalogue import TRADES_BOOKED
from wattbook.telemetry.metrics import Counter
from wattbook_proto import trades_pb2

_BOOKINGS = Counter(TRADES_BOOKED)
_SOURCES = {number: name.lower() for name, number in trades_pb2.Source.items()}
_RESULTS = {number: name.lower() for name, number in trades_pb2.Result.items()}


def begin_counting() -> None:
    """Count conflicts from 0: else the first is no increase, and no alert."""
    for source in ("rest", "file", "feed"):
        _BOOKINGS.add(0, {"result": "conflict", "source": source})


def counted(reply: trades_pb2.BookReply, source: int) -> trades_pb2.BookReply:
    """The reply, counted."""
    for result, count in Tally(reply.results).items() if _BOOKINGS.is_kept else ():
        _BOOKINGS.add(count, {"result": _RESULTS[result], "source": _SOURCES[source]})
    return reply
