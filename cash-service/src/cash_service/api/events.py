"""The event about what changed."""

from __future__ import annotations

from collections.abc import Callable

from wattbook.bus import Message
from wattbook.bus.topology import CASH_CHANGED
from wattbook.clock import Clock
from wattbook_proto import cash_pb2, events_pb2

from cash_service.domain.cleaning import Source
from cash_service.store.windows import Change

CASH_VERSION = 1
_SOURCES = {Source.SEPA: cash_pb2.SEPA, Source.SWIFT: cash_pb2.SWIFT}


def cash_event(clock: Clock) -> Callable[[Change], Message]:
    """What makes ``cash.changed`` of a change, by the time of ``clock``."""

    def made(change: Change) -> Message:
        body = events_pb2.CashChanged(
            data_version=change.data_version,
            rates_version=change.rates_version,
            company_ids=change.company_ids,
            source=_SOURCES[change.source] if change.source else None,
            window=change.window,
        )
        return Message(
            type=CASH_CHANGED, version=CASH_VERSION, body=body.SerializeToString(), occurred_at=clock.now()
        )

    return made
