"""The owner of the feed, the quarantine and the tie-outs, in the gateway's words."""

from __future__ import annotations

from typing import Any

import grpc
from wattbook_proto import feed_pb2, feed_pb2_grpc

from gateway.clients.owner import OptionalOwner

STATES: dict[str, int] = {
    "open": feed_pb2.OPEN,
    "replayed": feed_pb2.REPLAYED,
    "dropped": feed_pb2.DROPPED,
}


class FeedClient(OptionalOwner):
    """ingest-service. Every method raises WattbookError as it refused, Unavailable where it is not there."""

    def __init__(self, target: str | None, *, timeout_s: float) -> None:
        """``target`` None: this desk has none."""
        super().__init__("ingest-service", target, timeout_s=timeout_s)

    async def status(self) -> feed_pb2.StatusReply:
        """Each listener and the feed as a whole."""
        return await self._ask("Status", feed_pb2.StatusRequest())

    async def quarantine(self, *, state: str, before_id: int, limit: int) -> feed_pb2.ListQuarantineReply:
        """A page, newest first; ``state`` ``""`` means all, ``before_id`` 0 from the newest."""
        request = feed_pb2.ListQuarantineRequest(
            state=STATES[state] if state else feed_pb2.QUARANTINE_STATE_UNSPECIFIED,  # type: ignore[arg-type]
            before_id=before_id,
            limit=limit,
        )
        return await self._ask("ListQuarantine", request)

    async def quarantined(self, number: int, *, by: str) -> feed_pb2.Quarantined:
        """One with its frame."""
        return await self._ask("ShowQuarantined", feed_pb2.QuarantinedRequest(id=number, by=by))

    async def replay(self, number: int, *, by: str) -> feed_pb2.Quarantined:
        """Have it read and booked again."""
        return await self._ask("ReplayQuarantined", feed_pb2.QuarantinedRequest(id=number, by=by))

    async def drop(self, number: int, *, by: str, reason: str) -> feed_pb2.Quarantined:
        """Have it set aside for good."""
        request = feed_pb2.DropQuarantinedRequest(id=number, by=by, reason=reason)
        return await self._ask("DropQuarantined", request)

    async def reconciliation(self, *, area: str, day: str) -> feed_pb2.ReconciliationReply:
        """A day's nightly file against the feed."""
        return await self._ask("Reconciliation", feed_pb2.ReconciliationRequest(area=area, day=day))

    def _stub_on(self, channel: grpc.aio.Channel) -> Any:
        return feed_pb2_grpc.FeedStub(channel)  # type: ignore[no-untyped-call]
