"""Several nodes that listen, as one feed: how each is, whose a number is, what at least one heard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ingest_service.domain.completeness import Gap, complete_to_us
from ingest_service.domain.files import WaitingFile
from ingest_service.domain.quarantine import Quarantined
from ingest_service.domain.reconciliation import Reconciliation

NUMBERS_A_NODE = 10**12
MOST_NODES = 9_000  # their numbers are whole in JavaScript, below 2^53


@dataclass(slots=True)
class ListenerState:
    """What a listener is doing; written on the event loop, read anywhere. Times are 0 where not yet."""

    url: str
    connected: bool = False
    since_us: int = 0
    last_frame_us: int = 0
    frames: int = 0
    connects: int = 0
    next_attempt_us: int = 0
    trouble: str = "not connected yet"
    node: int = 0


@dataclass(frozen=True, slots=True)
class Now:
    """The feed at one moment; times are microseconds since 1970, 0 where there was nothing yet."""

    listeners: Sequence[ListenerState]
    frames: int
    spool_depth: int
    outbox_depth: int
    quarantined: int
    last_trade_us: int
    lag_us: int
    now_us: int
    files_waiting: Sequence[WaitingFile] = ()  # in the drop folder, for more than a moment


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the quarantine, newest first; ``following`` is where the next page begins, None at the end.

    ``nodes_away`` did not answer: what they hold is not in it.
    """

    items: Sequence[Quarantined]
    open: int
    following: Place | None
    nodes_away: tuple[int, ...] = ()


class Place(NamedTuple):
    """A place in the quarantine of all nodes, which is ordered by receive time, then number."""

    received_us: int
    number: int


class NodeCoverage(NamedTuple):
    """When everything was heard: from one instant to another, but for the gaps; 0 where never.

    Who is ``listening`` may yet prove to have heard what came after.
    """

    first_us: int = 0
    covered_to_us: int = 0
    gaps: tuple[Gap, ...] = ()
    listening: bool = False


@dataclass(frozen=True, slots=True)
class NodeDay:
    """What a node knows of a day: its last comparison with a nightly file, and what it heard."""

    reconciliation: Reconciliation
    coverage: NodeCoverage


@dataclass(frozen=True, slots=True)
class Day:
    """A day's last comparison, up to when it is complete, and whether a gap follows.

    ``nodes_away`` did not answer: what only they heard is not counted on.
    """

    reconciliation: Reconciliation
    coverage: NodeCoverage
    complete_to_us: int
    has_gap: bool
    nodes_away: tuple[int, ...] = ()


def public_number(number: int, *, node: int) -> int:
    """The number of a node's own ``number``, unique over all nodes."""
    return number + node * NUMBERS_A_NODE


def node_of(public: int) -> int:
    """Whose number it is."""
    return public // NUMBERS_A_NODE


def place_of(item: Quarantined) -> Place:
    """Where it stands."""
    return Place(item.received_us, item.id)


def merged(pages: Sequence[Page], *, limit: int, nodes_away: tuple[int, ...]) -> Page:
    """The newest ``limit`` of pages that began at the same place, each cut at ``limit`` itself."""
    items = sorted((item for page in pages for item in page.items), key=place_of, reverse=True)
    shown = items[:limit]
    more = len(items) > limit or any(page.following for page in pages)
    waiting = sum(page.open for page in pages)
    return Page(shown, waiting, place_of(shown[-1]) if more else None, nodes_away)


def together(nows: Sequence[Now], *, now_us: int) -> Now:
    """All nodes as one feed; the newest trade's lag is the feed's."""
    newest = max(nows, key=lambda each: each.last_trade_us)
    return Now(
        # In the same order, whichever node answers.
        listeners=sorted((each for now in nows for each in now.listeners), key=lambda each: each.node),
        frames=sum(each.frames for each in nows),
        spool_depth=sum(each.spool_depth for each in nows),
        outbox_depth=sum(each.outbox_depth for each in nows),
        quarantined=sum(each.quarantined for each in nows),
        last_trade_us=newest.last_trade_us,
        lag_us=newest.lag_us,
        now_us=now_us,
        files_waiting=[each for now in nows for each in now.files_waiting],
    )


def heard_by_any(nodes: Sequence[NodeCoverage]) -> NodeCoverage:
    """What at least one node heard; a gap that another one covers, or may yet cover, is none.

    It ends where a node that is listening has not said yet what it heard. Its gaps are in order.
    """
    spans = sorted(span for node in nodes for span in _spans(node))
    if not spans:
        return NodeCoverage()
    covered_to_us = max(node.covered_to_us for node in nodes)
    certain_to_us = min((node.covered_to_us for node in nodes if node.listening), default=covered_to_us)
    gaps: list[Gap] = []
    first_us = reach_us = spans[0][0]
    for began_us, ended_us in spans:
        if began_us > reach_us >= certain_to_us:
            covered_to_us = reach_us
            break
        if began_us > reach_us:
            gaps.append(Gap(reach_us, began_us))
        reach_us = max(reach_us, ended_us)
    return NodeCoverage(first_us, covered_to_us, tuple(gaps), any(node.listening for node in nodes))


def day_of(nodes: Sequence[NodeDay], *, begins_us: int, ends_us: int, nodes_away: tuple[int, ...]) -> Day:
    """A day of all nodes: the newest comparison with a file, and what at least one of them heard."""
    found = max((node.reconciliation for node in nodes), key=lambda each: each.reconciled_us)
    heard = heard_by_any([node.coverage for node in nodes])
    after_us = max(begins_us, found.reconciled_us)
    gap = next((each for each in heard.gaps if each.ended_us > after_us), None)
    to_us = complete_to_us(
        begins_us=begins_us, ends_us=ends_us, reconciled_us=found.reconciled_us,
        covered_to_us=heard.covered_to_us, first_us=heard.first_us, gap=gap,
    )  # fmt: skip
    has_gap = 0 < to_us < ends_us and gap is not None and gap.began_us <= to_us
    return Day(found, heard, to_us, has_gap, nodes_away)


def _spans(node: NodeCoverage) -> Iterator[tuple[int, int]]:
    """The stretches without a gap; gaps that began later than anything was heard tell nothing."""
    if not node.first_us:
        return
    began_us = node.first_us
    for gap in sorted(node.gaps):
        if gap.began_us > node.covered_to_us:
            break
        yield began_us, max(began_us, gap.began_us)
        began_us = max(began_us, gap.ended_us)
    yield began_us, max(began_us, node.covered_to_us)
