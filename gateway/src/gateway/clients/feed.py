"""The owner of the feed, the quarantine and the tie-outs, in the gateway's words."""

from __future__ import annotations

from typing import Any

import grpc
from wattbook.access import Principal
from wattbook_proto import feed_pb2, feed_pb2_grpc

from gateway.clients.owner import Door, OptionalOwner

STATES: dict[str, int] = {
    "open": feed_pb2.OPEN,
    "replayed": feed_pb2.REPLAYED,
    "dropped": feed_pb2.DROPPED,
}


class FeedClient(OptionalOwner):
    """ingest-service. Every method raises WattbookError as it refused, Unavailable where it is not there."""

    def __init__(self, door: Door | None, *, timeout_s: float) -> None:
        """``door`` None: this desk has none."""
        super().__init__("ingest-service", door, timeout_s=timeout_s)

    async def status(self, asker: Principal) -> feed_pb2.StatusReply:
        """Each listener and the feed as a whole."""
        return await self._ask(asker, "Status", feed_pb2.StatusRequest())

    async def quarantine(
        self, asker: Principal, *, state: str, before: tuple[int, int], limit: int
    ) -> feed_pb2.ListQuarantineReply:
        """A page, newest first; ``state`` ``""`` means all.

        ``before`` is the receive time (µs) and the number of what came last on the page before; zeros: none.
        """
        before_us, before_id = before
        request = feed_pb2.ListQuarantineRequest(
            state=STATES[state] if state else feed_pb2.QUARANTINE_STATE_UNSPECIFIED,  # type: ignore[arg-type]
            before_us=before_us,
            before_id=before_id,
            limit=limit,
        )
        return await self._ask(asker, "ListQuarantine", request)

    async def quarantined(self, asker: Principal, number: int) -> feed_pb2.Quarantined:
        """One with its frame."""
        return await self._ask(
            asker, "ShowQuarantined", feed_pb2.QuarantinedRequest(id=number, by=asker.name)
        )

    async def replay(self, asker: Principal, number: int, *, trader_id: str = "") -> feed_pb2.Quarantined:
        """Have it read and booked again, for ``trader_id`` where it is named."""
        request = feed_pb2.QuarantinedRequest(id=number, by=asker.name, trader_id=trader_id)
        return await self._ask(asker, "ReplayQuarantined", request, writes=True)

    async def drop(self, asker: Principal, number: int, *, reason: str) -> feed_pb2.Quarantined:
        """Have it set aside for good."""
        request = feed_pb2.DropQuarantinedRequest(id=number, by=asker.name, reason=reason)
        return await self._ask(asker, "DropQuarantined", request, writes=True)

    async def reconciliation(self, asker: Principal, *, area: str, day: str) -> feed_pb2.ReconciliationReply:
        """A day's nightly file against the feed."""
        return await self._ask(asker, "Reconciliation", feed_pb2.ReconciliationRequest(area=area, day=day))

    def _stub_on(self, channel: grpc.aio.Channel) -> Any:
        return feed_pb2_grpc.FeedStub(channel)  # type: ignore[no-untyped-call]
