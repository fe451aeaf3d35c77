"""Several nodes as one feed: any of them answers for all, and says which of them do not answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from wattbook.errors import Unavailable, WattbookError

from ingest_service.domain import (
    Day,
    ListenerState,
    NodeDay,
    Now,
    Page,
    Place,
    Quarantined,
    QuarantineState,
    day_of,
    merged,
    node_of,
    together,
)
from ingest_service.usecases.completeness import Completeness, asked_day
from ingest_service.usecases.quarantine import MOST_LISTED, USUALLY_LISTED, Quarantine, nothing_under
from ingest_service.usecases.status import FeedStatus

_log = logging.getLogger(__name__)
T = TypeVar("T")
NOTHING = Now([], 0, 0, 0, 0, 0, 0, 0)


class Holder(Protocol):
    """Whoever holds what was set aside: this node's :class:`Quarantine`, or a peer."""

    def show(self, number: int) -> Quarantined: ...  # noqa: D102

    def replay(self, number: int, *, by: str, trader_id: str = "") -> Quarantined: ...  # noqa: D102

    def drop(self, number: int, *, by: str, reason: str) -> Quarantined: ...  # noqa: D102


class Peer(Holder, Protocol):
    """Another node, asked only for itself; see :class:`ingest_service.clients.Peer`."""

    node: int
    url: str

    def status(self) -> Now: ...  # noqa: D102

    def page(self, *, state: QuarantineState | None, before: Place | None, limit: int) -> Page: ...  # noqa: D102

    def day(self, day: str) -> NodeDay: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Own:
    """What this node answers for itself."""

    node: int
    status: FeedStatus
    quarantine: Quarantine
    completeness: Completeness


class AllNodes:
    """Ourselves and our peers, asked at once. A call that says ``alone`` is about this node only.

    A peer that does not answer in time never fails a look at all; what one alone holds cannot be had then.
    """

    def __init__(self, own: Own, peers: Sequence[Peer], *, askers: int) -> None:
        """At most ``askers`` calls ask the peers at once.

        Keep them below the calls that are handled at once: else nodes that all ask each other have nobody
        left to answer.
        """
        self._own = own
        self._peers = {peer.node: peer for peer in peers}
        self._asking = threading.BoundedSemaphore(askers)
        self._threads = ThreadPoolExecutor(max(1, askers * len(peers)), thread_name_prefix="peers")

    def status(self, *, alone: bool = False) -> Now:
        """How the feed is; a node that does not answer shows as a listener that is not connected."""
        own = self._own.status.now()
        others, away = self._asked(lambda peer: peer.status(), alone=alone)
        missing = [replace(NOTHING, listeners=[self._away(node)]) for node in away]
        return together([own, *others, *missing], now_us=own.now_us)

    def page(
        self, *, state: QuarantineState | None, before: Place | None, limit: int, alone: bool = False
    ) -> Page:
        """What was set aside, newest first by receive time, without frames.

        Raises:
            NotFound: ``before`` has no time, and there is none of its number.
        """
        limit = min(limit or USUALLY_LISTED, MOST_LISTED)
        if before is not None and not before.received_us:
            before = Place(self.show(before.number, alone=alone).received_us, before.number)
        own = self._own.quarantine.page(state=state, before=before, limit=limit)
        others, away = self._asked(
            lambda peer: peer.page(state=state, before=before, limit=limit), alone=alone
        )
        return merged([own, *others], limit=limit, nodes_away=away)

    def show(self, number: int, *, alone: bool = False) -> Quarantined:
        """One with its frame.

        Raises:
            NotFound: there is none of that number.
            Unavailable: the node that holds it does not answer.
        """
        return self._holder(number, alone=alone).show(number)

    def replay(self, number: int, *, by: str, trader_id: str = "", alone: bool = False) -> Quarantined:
        """Have it read and handed to the owner of the trades again, by the node that holds it.

        See :meth:`Quarantine.replay` for what ``trader_id`` does.

        Raises:
            NotFound: there is none of that number. Conflict: it was dropped, or its frame is gone.
            InvalidInput: trades are booked for no trader of that name.
            Unavailable: the node that holds it does not answer.
        """
        return self._holder(number, alone=alone).replay(number, by=by, trader_id=trader_id)

    def drop(self, number: int, *, by: str, reason: str, alone: bool = False) -> Quarantined:
        """Have it let go for good, by the node that holds it.

        Raises:
            NotFound: there is none of that number.
            Unavailable: the node that holds it does not answer.
        """
        return self._holder(number, alone=alone).drop(number, by=by, reason=reason)

    def day(self, *, area: str, day: str, alone: bool = False) -> Day:
        """A day's last comparison with a nightly file, and up to when the day is known to be complete.

        Raises:
            InvalidInput: no such day, or the feed is not of that area.
        """
        asked = asked_day(area, day)
        own = self._own.completeness.of_day(asked)
        others, away = self._asked(lambda peer: peer.day(asked.day), alone=alone)
        return day_of([own, *others], begins_us=asked.begins_us, ends_us=asked.ends_us, nodes_away=away)

    def close(self) -> None:
        """Ask nobody any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _holder(self, number: int, *, alone: bool) -> Holder:
        node = node_of(number)
        if node == self._own.node:
            return self._own.quarantine
        if alone or node not in self._peers:
            raise nothing_under(number)
        return self._peers[node]

    def _asked(self, what: Callable[[Peer], T], *, alone: bool) -> tuple[list[T], tuple[int, ...]]:
        """What the peers answer, and those that do not.

        Raises:
            Unavailable: too many ask at once.
        """
        if alone or not self._peers:
            return [], ()
        if not self._asking.acquire(blocking=False):
            raise Unavailable("too many ask all nodes at once; try again", retry_after_s=1)
        try:
            return self._answers(what)
        finally:
            self._asking.release()

    def _answers(self, what: Callable[[Peer], T]) -> tuple[list[T], tuple[int, ...]]:
        # Each in the caller's context: with their pass, and in their trace.
        asked = [
            (node, self._threads.submit(copy_context().run, what, peer)) for node, peer in self._peers.items()
        ]
        answers: list[T] = []
        away: list[int] = []
        for node, answer in asked:
            try:
                answers.append(answer.result())
            except WattbookError as error:
                _log.debug("node %s does not answer", node, extra={"reason": error.message})
                away.append(node)
        return answers, tuple(away)

    def _away(self, node: int) -> ListenerState:
        return ListenerState(self._peers[node].url, trouble=f"node {node} does not answer", node=node)
