"""The gRPC door: ``feed.proto`` in our own words and back."""

from __future__ import annotations

import grpc
from wattbook.access import Principal
from wattbook.errors import InvalidInput
from wattbook_proto import feed_pb2, feed_pb2_grpc

from ingest_service.domain import Quarantined, QuarantineState
from ingest_service.usecases import FeedStatus, Quarantine, TieOut
from ingest_service.usecases.listening import ListenerState

RULES = {
    "Status": Principal.require_sees_all,
    "Reconciliation": Principal.require_sees_all,
    "ListQuarantine": Principal.require_sees_all,
    "ShowQuarantined": Principal.require_sees_all,
    "ReplayQuarantined": Principal.require_desk_write,
    "DropQuarantined": Principal.require_desk_write,
}


class FeedServicer(feed_pb2_grpc.FeedServicer):
    """``wattbook.feed.v1.Feed``."""

    def __init__(self, *, status: FeedStatus, quarantine: Quarantine, tie_out: TieOut) -> None:
        """Answer from these."""
        self._status = status
        self._quarantine = quarantine
        self._tie_out = tie_out

    def Status(  # noqa: N802
        self, request: feed_pb2.StatusRequest, context: grpc.ServicerContext
    ) -> feed_pb2.StatusReply:
        """Each listener and the feed as a whole."""
        now = self._status.now()
        return feed_pb2.StatusReply(
            listeners=[_listener(state) for state in now.listeners],
            frames=now.frames,
            spool_depth=now.spool_depth,
            outbox_depth=now.outbox_depth,
            quarantined=now.quarantined,
            last_trade_us=now.last_trade_us,
            lag_us=now.lag_us,
            now_us=now.now_us,
        )

    def ListQuarantine(  # noqa: N802
        self, request: feed_pb2.ListQuarantineRequest, context: grpc.ServicerContext
    ) -> feed_pb2.ListQuarantineReply:
        """Newest first, in pages."""
        items, next_before_id = self._quarantine.page(
            state=_state(request.state), before_id=request.before_id, limit=request.limit
        )
        return feed_pb2.ListQuarantineReply(
            items=map(_quarantined, items),
            open=self._quarantine.count_open(),
            next_before_id=next_before_id,
        )

    def ShowQuarantined(  # noqa: N802
        self, request: feed_pb2.QuarantinedRequest, context: grpc.ServicerContext
    ) -> feed_pb2.Quarantined:
        """One with its frame."""
        return _quarantined(self._quarantine.show(request.id))

    def ReplayQuarantined(  # noqa: N802
        self, request: feed_pb2.QuarantinedRequest, context: grpc.ServicerContext
    ) -> feed_pb2.Quarantined:
        """Read and book it again."""
        return _quarantined(self._quarantine.replay(request.id, by=request.by))

    def DropQuarantined(  # noqa: N802
        self, request: feed_pb2.DropQuarantinedRequest, context: grpc.ServicerContext
    ) -> feed_pb2.Quarantined:
        """Let it go for good."""
        return _quarantined(self._quarantine.drop(request.id, by=request.by, reason=request.reason))

    def Reconciliation(  # noqa: N802
        self, request: feed_pb2.ReconciliationRequest, context: grpc.ServicerContext
    ) -> feed_pb2.ReconciliationReply:
        """A day's nightly file against the feed."""
        found, complete_to_us, gap = self._tie_out.reconciliation(request.area, request.day)
        return feed_pb2.ReconciliationReply(
            day=found.day, reconciled=found.reconciled_us > 0, file_name=found.file_name,
            reconciled_us=found.reconciled_us, in_both=found.in_both, recovered=found.recovered,
            feed_only=found.feed_only, differing=found.differing, complete_to_us=complete_to_us, gap=gap,
            differences=[
                feed_pb2.Difference(trade_id=each.trade_id, kind=each.kind, detail=each.detail)
                for each in found.differences
            ],
        )  # fmt: skip


def _state(number: int) -> QuarantineState | None:
    if number == feed_pb2.QUARANTINE_STATE_UNSPECIFIED:
        return None
    try:
        return QuarantineState(number)
    except ValueError:
        raise InvalidInput(f"unknown state {number}") from None


def _quarantined(item: Quarantined) -> feed_pb2.Quarantined:
    return feed_pb2.Quarantined(
        id=item.id,
        received_us=item.received_us,
        origin=item.origin,
        reason=item.reason,
        frame=item.frame,
        state=int(item.state),  # type: ignore[arg-type]  # numbered as in feed.proto
        decided_by=item.decided_by,
        decided_us=item.decided_us,
        trade_id=item.trade_id,
    )


def _listener(state: ListenerState) -> feed_pb2.Listener:
    return feed_pb2.Listener(
        url=state.url,
        connected=state.connected,
        since_us=state.since_us,
        last_frame_us=state.last_frame_us,
        frames=state.frames,
        connects=state.connects,
        next_attempt_us=state.next_attempt_us,
        trouble=state.trouble,
    )
