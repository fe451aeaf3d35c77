"""Other nodes of ingest-service, each asked only for itself, with the pass of whoever asks us."""

from __future__ import annotations

from typing import Any

import grpc
from wattbook import rpc
from wattbook.errors import Unavailable
from wattbook_proto import feed_pb2, feed_pb2_grpc, trades_pb2

from ingest_service.domain import (
    ConfirmedTrade,
    Difference,
    Gap,
    ListenerState,
    NodeCoverage,
    NodeDay,
    Now,
    Page,
    Place,
    Quarantined,
    QuarantineState,
    Reconciliation,
    WaitingFile,
    kept_content,
)

LOOK_TIMEOUT_S = 1.5  # whoever asks us waits for two seconds or more
DECIDE_TIMEOUT_S = 3.0


class Peer:
    """A node over gRPC. Every method raises as it refused, Unavailable where it does not answer in time."""

    def __init__(self, node: int, target: str, channel: grpc.Channel) -> None:
        """Call ``node``, which is at ``target``, over ``channel``, which the caller closes."""
        self.node = node
        self.url = f"grpc://{target}"
        self._stub: Any = feed_pb2_grpc.FeedStub(channel)  # type: ignore[no-untyped-call]

    def status(self) -> Now:
        """How its feed is."""
        request = feed_pb2.StatusRequest(only_yourself=True)
        reply = rpc.call(self._stub.Status, request, timeout_s=LOOK_TIMEOUT_S)
        return Now(
            listeners=[self._listener(each) for each in reply.listeners],
            frames=reply.frames,
            spool_depth=reply.spool_depth,
            outbox_depth=reply.outbox_depth,
            quarantined=reply.quarantined,
            last_trade_us=reply.last_trade_us,
            lag_us=reply.lag_us,
            now_us=reply.now_us,
            files_waiting=[
                WaitingFile(each.name, each.since_us, each.waits_for) for each in reply.files_waiting
            ],
        )

    def page(self, *, state: QuarantineState | None, before: Place | None, limit: int) -> Page:
        """What it set aside, newest first, without frames."""
        at = before or Place(0, 0)
        request = feed_pb2.ListQuarantineRequest(
            state=int(state or 0),  # type: ignore[arg-type]  # numbered as in feed.proto
            before_id=at.number, before_us=at.received_us, limit=limit, only_yourself=True,
        )  # fmt: skip
        reply = rpc.call(self._stub.ListQuarantine, request, timeout_s=LOOK_TIMEOUT_S)
        more = reply.next_before_id > 0
        following = Place(reply.next_before_us, reply.next_before_id) if more else None
        return Page([_quarantined(item) for item in reply.items], reply.open, following)

    def day(self, day: str) -> NodeDay:
        """What it knows of a trading day."""
        request = feed_pb2.ReconciliationRequest(day=day, only_yourself=True)
        reply = rpc.call(self._stub.Reconciliation, request, timeout_s=LOOK_TIMEOUT_S)
        found = Reconciliation(
            reply.day, file_name=reply.file_name, reconciled_us=reply.reconciled_us, in_both=reply.in_both,
            recovered=reply.recovered, feed_only=reply.feed_only, differing=reply.differing,
            file_only=reply.file_only, corrected=reply.corrected,
            differences=tuple(map(_difference, reply.differences)),
        )  # fmt: skip
        heard = reply.coverage
        gaps = tuple(Gap(gap.began_us, gap.ended_us) for gap in heard.gaps)
        return NodeDay(found, NodeCoverage(heard.first_us, heard.covered_to_us, gaps, heard.listening))

    def show(self, number: int) -> Quarantined:
        """One that it set aside, with its frame."""
        request = feed_pb2.QuarantinedRequest(id=number, only_yourself=True)
        return self._holder(number, self._stub.ShowQuarantined, request, LOOK_TIMEOUT_S)

    def replay(self, number: int, *, by: str, trader_id: str = "") -> Quarantined:
        """Have it read and booked again, for ``trader_id`` where it is named."""
        request = feed_pb2.QuarantinedRequest(id=number, by=by, trader_id=trader_id, only_yourself=True)
        return self._holder(number, self._stub.ReplayQuarantined, request, DECIDE_TIMEOUT_S)

    def drop(self, number: int, *, by: str, reason: str) -> Quarantined:
        """Have it set aside for good."""
        request = feed_pb2.DropQuarantinedRequest(id=number, by=by, reason=reason, only_yourself=True)
        return self._holder(number, self._stub.DropQuarantined, request, DECIDE_TIMEOUT_S)

    def _holder(self, number: int, method: Any, request: Any, timeout_s: float) -> Quarantined:
        try:
            return _quarantined(rpc.call(method, request, timeout_s=timeout_s))
        except Unavailable as error:
            message = f"node {self.node}, which holds {number}, does not answer; try again"
            raise Unavailable(message, retry_after_s=error.retry_after_s) from error

    def _listener(self, each: feed_pb2.Listener) -> ListenerState:
        return ListenerState(
            each.url,
            connected=each.connected,
            since_us=each.since_us,
            last_frame_us=each.last_frame_us,
            frames=each.frames,
            connects=each.connects,
            next_attempt_us=each.next_attempt_us,
            trouble=each.trouble,
            node=self.node,
        )


def _difference(each: feed_pb2.Difference) -> Difference:
    file, feed, booked = (
        _content(getattr(each, name)) if each.HasField(name) else "" for name in ("file", "feed", "booked")
    )
    return Difference(each.trade_id, each.kind, each.detail, file, feed, booked)


def _content(stated: trades_pb2.TradeToBook) -> str:
    return kept_content(
        ConfirmedTrade(
            stated.id,
            stated.price_ct_per_mwh,
            stated.quantity_kw,
            stated.direction,
            stated.delivery_day,
            stated.delivery_hour,
            stated.trader_id,
            stated.execution_time_us,
        )
    )


def _quarantined(item: feed_pb2.Quarantined) -> Quarantined:
    return Quarantined(
        id=item.id,
        frame_id=0,  # the other node's own
        received_us=item.received_us,
        origin=item.origin,
        reason=item.reason,
        frame=item.frame,
        state=QuarantineState(item.state),
        trade_id=item.trade_id,
        decided_by=item.decided_by,
        decided_us=item.decided_us,
    )
