"""The gRPC door: ``feed.proto`` in our own words and back."""

from __future__ import annotations

import grpc
from wattbook.access import Principal
from wattbook.errors import InvalidInput
from wattbook.walls import caller
from wattbook_proto import feed_pb2, feed_pb2_grpc

from ingest_service.api.events import fill
from ingest_service.domain import (
    Difference,
    ListenerState,
    NodeCoverage,
    Place,
    Quarantined,
    QuarantineState,
    trade_of,
)
from ingest_service.usecases import AllNodes

LARGEST_NUMBER = 2**63 - 1  # what a store can be asked for
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

    def __init__(self, nodes: AllNodes) -> None:
        """Answer for all of them, or for ourselves where only that is asked."""
        self._nodes = nodes

    def Status(  # noqa: N802
        self, request: feed_pb2.StatusRequest, context: grpc.ServicerContext
    ) -> feed_pb2.StatusReply:
        """Each listener and the feed as a whole."""
        now = self._nodes.status(alone=request.only_yourself)
        return feed_pb2.StatusReply(
            listeners=[_listener(state) for state in now.listeners],
            frames=now.frames,
            spool_depth=now.spool_depth,
            outbox_depth=now.outbox_depth,
            quarantined=now.quarantined,
            last_trade_us=now.last_trade_us,
            lag_us=now.lag_us,
            now_us=now.now_us,
            files_waiting=[
                feed_pb2.WaitingFile(name=each.name, since_us=each.since_us, waits_for=each.waits_for)
                for each in now.files_waiting
            ],
        )

    def ListQuarantine(  # noqa: N802
        self, request: feed_pb2.ListQuarantineRequest, context: grpc.ServicerContext
    ) -> feed_pb2.ListQuarantineReply:
        """Newest first, in pages."""
        page = self._nodes.page(
            state=_state(request.state), before=_place(request), limit=request.limit,
            alone=request.only_yourself,
        )  # fmt: skip
        next_us, next_id = page.following or Place(0, 0)
        return feed_pb2.ListQuarantineReply(
            items=map(_quarantined, page.items), open=page.open, nodes_away=page.nodes_away,
            next_before_id=next_id, next_before_us=next_us,
        )  # fmt: skip

    def ShowQuarantined(  # noqa: N802
        self, request: feed_pb2.QuarantinedRequest, context: grpc.ServicerContext
    ) -> feed_pb2.Quarantined:
        """One with its frame."""
        return _quarantined(self._nodes.show(request.id, alone=request.only_yourself))

    def ReplayQuarantined(  # noqa: N802
        self, request: feed_pb2.QuarantinedRequest, context: grpc.ServicerContext
    ) -> feed_pb2.Quarantined:
        """Read and book it again, in the name that the pass says, also where another node forwards it."""
        return _quarantined(
            self._nodes.replay(
                request.id, by=caller().name, trader_id=request.trader_id, alone=request.only_yourself
            )
        )

    def DropQuarantined(  # noqa: N802
        self, request: feed_pb2.DropQuarantinedRequest, context: grpc.ServicerContext
    ) -> feed_pb2.Quarantined:
        """Let it go for good."""
        return _quarantined(
            self._nodes.drop(request.id, by=caller().name, reason=request.reason, alone=request.only_yourself)
        )

    def Reconciliation(  # noqa: N802
        self, request: feed_pb2.ReconciliationRequest, context: grpc.ServicerContext
    ) -> feed_pb2.ReconciliationReply:
        """A day's nightly file against the feed."""
        day = self._nodes.day(area=request.area, day=request.day, alone=request.only_yourself)
        found = day.reconciliation
        return feed_pb2.ReconciliationReply(
            day=found.day, reconciled=found.reconciled_us > 0, file_name=found.file_name,
            reconciled_us=found.reconciled_us, in_both=found.in_both, recovered=found.recovered,
            feed_only=found.feed_only, differing=found.differing, complete_to_us=day.complete_to_us,
            gap=day.has_gap, coverage=_coverage(day.coverage), nodes_away=day.nodes_away,
            file_only=found.file_only, corrected=found.corrected,
            differences=map(_difference, found.differences),
        )  # fmt: skip


def _place(request: feed_pb2.ListQuarantineRequest) -> Place | None:
    if not request.before_id:
        return None
    return Place(request.before_us, min(request.before_id, LARGEST_NUMBER))


def _coverage(heard: NodeCoverage) -> feed_pb2.Coverage:
    return feed_pb2.Coverage(
        first_us=heard.first_us,
        covered_to_us=heard.covered_to_us,
        gaps=[feed_pb2.Gap(began_us=gap.began_us, ended_us=gap.ended_us) for gap in heard.gaps],
        listening=heard.listening,
    )


def _difference(each: Difference) -> feed_pb2.Difference:
    message = feed_pb2.Difference(trade_id=each.trade_id, kind=each.kind, detail=each.detail)
    for name in ("file", "feed", "booked"):
        if content := getattr(each, name):
            fill(getattr(message, name), trade_of(each.trade_id, content))
    return message


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
        node=state.node,
    )
