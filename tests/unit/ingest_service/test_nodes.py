"""Several nodes as one feed: the rules, and nodes that ask each other for whoever asks one of them."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_service.api import RULES, FeedServicer, confirmed_events
from ingest_service.clients import Peer, peers
from ingest_service.domain import (
    NUMBERS_A_NODE,
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
    day_of,
    heard_by_any,
    merged,
    node_of,
    place_of,
    public_number,
    together,
)
from ingest_service.store import FeedDays, QuarantineStore, Spool
from ingest_service.usecases import (
    AllNodes,
    Completeness,
    FeedStatus,
    Housekeeping,
    Intake,
    Own,
    Quarantine,
    Spooler,
)
from wattbook import rpc
from wattbook.access import Role
from wattbook.auth.tokens import TokenReader
from wattbook.clock import FakeClock, to_epoch_us
from wattbook.db import Store, migrate, open_store
from wattbook.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated, Unavailable
from wattbook.walls import OPEN, Guard, callers_pass
from wattbook_proto import feed_pb2, feed_pb2_grpc

from tests.support.engines import NewStoreUrl
from tests.support.ports import free_port
from tests.support.walls import KeyRing

NOON = datetime(2023, 2, 28, 11, tzinfo=UTC)
NOON_US = to_epoch_us(NOON)
DAY = "2023-02-28"
LONGEST = 40
_frame_ids = itertools.count(1)


# --- what at least one node heard


@st.composite
def coverages(draw: st.DrawFn) -> NodeCoverage:
    """Of a node that began, was away some times, and heard everything else up to an instant."""
    edges = draw(st.lists(st.integers(1, LONGEST), min_size=2, max_size=8, unique=True).map(sorted))
    if len(edges) % 2:
        edges.pop()
    first, *inner, last = edges
    pairs = zip(inner[::2], inner[1::2], strict=True)
    return NodeCoverage(first, last, tuple(itertools.starmap(Gap, pairs)), draw(st.booleans()))


def heard_by(node: NodeCoverage) -> set[int]:
    """Every stretch from an instant to the next that a node heard, one by one."""
    missed = {at for gap in node.gaps for at in range(gap.began_us, gap.ended_us)}
    return set(range(node.first_us, node.covered_to_us)) - missed


@given(nodes=st.lists(coverages(), min_size=1, max_size=4))
def test_a_gap_of_all_nodes_is_exactly_what_none_of_them_heard_or_may_yet_say_it_heard(
    nodes: list[NodeCoverage],
) -> None:
    found = heard_by_any(nodes)

    heard = set().union(*map(heard_by, nodes))
    first, last = min(node.first_us for node in nodes), max(node.covered_to_us for node in nodes)
    said_to = min((node.covered_to_us for node in nodes if node.listening), default=last)
    unsure = [at for at in range(said_to, last) if at not in heard]
    assert found.covered_to_us == min(unsure, default=last)
    assert found.first_us == first
    assert heard_by(found) == {at for at in heard if at < found.covered_to_us}
    assert list(found.gaps) == sorted(found.gaps)


@given(node=coverages())
def test_a_node_alone_has_its_own_gaps(node: NodeCoverage) -> None:
    assert heard_by_any([node]) == heard_by_any([node, NodeCoverage()]) == node


def test_of_nodes_that_never_listened_nothing_is_known() -> None:
    assert heard_by_any([NodeCoverage(), NodeCoverage()]) == NodeCoverage()


def test_gaps_of_a_clock_that_was_set_back_since_tell_nothing() -> None:
    before = NodeCoverage(5, 15, (Gap(20, 30),))

    assert heard_by_any([before]) == NodeCoverage(5, 15)


def day(*nodes: NodeDay) -> tuple[int, bool, int]:
    found = day_of(nodes, begins_us=1000, ends_us=2000, nodes_away=())
    return found.complete_to_us, found.has_gap, found.reconciliation.reconciled_us


def node_day(coverage: NodeCoverage, *, reconciled_us: int = 0) -> NodeDay:
    return NodeDay(Reconciliation(DAY, reconciled_us=reconciled_us), coverage)


def test_a_day_is_complete_where_one_node_covers_the_others_gap() -> None:
    away = NodeCoverage(500, 1800, (Gap(1200, 1300),))
    there = NodeCoverage(1100, 1700)

    assert day(node_day(away)) == (1200, True, 0)
    assert day(node_day(away), node_day(there)) == (1800, False, 0)
    assert day(node_day(away), node_day(there._replace(gaps=(Gap(1250, 1400),)))) == (1250, True, 0)


def test_what_a_listening_node_may_yet_prove_is_no_gap() -> None:
    """One has just come back; the other was there, and says so with its next sign of life."""
    back = NodeCoverage(500, 1300, (Gap(1200, 1300),), listening=True)
    there = NodeCoverage(500, 1250, listening=True)

    assert day(node_day(back), node_day(there)) == (1250, False, 0)
    assert day(node_day(back), node_day(there._replace(covered_to_us=1301))) == (1301, False, 0)
    assert day(node_day(back), node_day(there._replace(listening=False))) == (1250, True, 0)


def test_the_newest_comparison_of_any_node_closes_the_gaps_before_it() -> None:
    gaps = NodeCoverage(500, 1800, (Gap(1200, 1300), Gap(1700, 1750)))

    assert day(node_day(gaps, reconciled_us=1100), node_day(gaps, reconciled_us=1500)) == (1700, True, 1500)
    assert day(node_day(gaps), node_day(NodeCoverage(), reconciled_us=2500)) == (2000, False, 2500)


# --- one list of all


def item(number: int, *, node: int = 0, received_us: int = NOON_US) -> Quarantined:
    return Quarantined(
        public_number(number, node=node), 0, received_us, "ws://x", "no JSON", b"", QuarantineState.OPEN, "",
        "", 0,
    )  # fmt: skip


@given(
    received=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5)), max_size=30), limit=st.integers(1, 7)
)
def test_pages_of_all_nodes_skip_nothing_and_repeat_nothing(
    received: list[tuple[int, int]], limit: int
) -> None:
    """However the receive times of several nodes fall together."""
    items = [item(number, node=node, received_us=at) for number, (node, at) in enumerate(received, start=1)]

    def page_of(node: int, before: Place | None) -> Page:
        mine = sorted((each for each in items if node_of(each.id) == node), key=place_of, reverse=True)
        left = [each for each in mine if before is None or place_of(each) < before]
        return Page(left[:limit], len(mine), place_of(left[limit - 1]) if len(left) > limit else None)

    seen: list[Quarantined] = []
    before = None
    while True:
        page = merged([page_of(node, before) for node in range(3)], limit=limit, nodes_away=())
        assert page.open == len(items)
        seen += page.items
        before = page.following
        if before is None:
            break
        assert len(page.items) == limit

    assert seen == sorted(items, key=place_of, reverse=True)


def test_numbers_tell_whose_they_are_and_those_of_the_first_node_stay_as_they_were() -> None:
    assert public_number(7, node=0) == 7
    assert [node_of(public_number(7, node=node)) for node in (0, 1, 8_999)] == [0, 1, 8_999]
    assert public_number(NUMBERS_A_NODE - 1, node=8_999) < 2**53


def test_listeners_stand_in_the_same_order_whichever_node_answers() -> None:
    nows = [
        Now([ListenerState("ws://a", node=node), ListenerState("ws://b", node=node)], 10, 1, 2, 3, at, 5, 0)
        for node, at in ((1, 70), (0, 60))
    ]

    found = together(nows, now_us=99)

    assert [(each.node, each.url) for each in found.listeners] == [
        (0, "ws://a"), (0, "ws://b"), (1, "ws://a"), (1, "ws://b")
    ]  # fmt: skip
    assert (found.frames, found.spool_depth, found.outbox_depth, found.quarantined) == (20, 2, 4, 6)
    assert (found.last_trade_us, found.lag_us, found.now_us) == (70, 5, 99)
    assert found == together(nows[::-1], now_us=99)


# --- nodes that ask each other


@dataclass
class Node:
    """A node without its listeners, behind a door of its own."""

    number: int
    store: Store
    quarantine: Quarantine
    days: FeedDays
    spool: Spool
    server: rpc.Server
    target: str

    def set_aside(self, *trade_ids: str) -> None:
        """As if the owner of the trades had refused them."""
        self.quarantine.refused([(next(_frame_ids), trade_id, "no") for trade_id in trade_ids])


class Nodes:
    """Two nodes, each of which knows the other; ``ask`` goes to one of them."""

    def __init__(self, stack: ExitStack, new_store_url: NewStoreUrl, *guards: Guard) -> None:
        self._stack = stack
        self.clock = FakeClock(NOON)
        targets = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        self.nodes = [
            self._node(number, targets, new_store_url(f"ingest{number}"), guard)
            for number, guard in enumerate(guards)
        ]

    def _node(self, number: int, targets: list[str], url: str, guard: Guard) -> Node:
        store = open_store(url, name="ingest")
        self._stack.callback(store.close)
        migrate(store, "ingest_service")
        spool = Spool(store)
        quarantine = Quarantine(
            QuarantineStore(store), clock=self.clock, spool=f"spool{number}", announce=confirmed_events,
            committed=lambda: None, node=number,
        )  # fmt: skip
        listener = ListenerState(f"ws://exchange/{number}", connected=True, node=number)
        intake = Intake(most_frames=1, most_bytes=1)
        housekeeping = Housekeeping(spool, clock=self.clock, keep_s=1, most_frames=1, keep_days=1)
        spooler = Spooler(
            intake=intake, spool=spool, clock=self.clock, announce=confirmed_events, committed=lambda: None,
            housekeeping=housekeeping,
        )  # fmt: skip
        status = FeedStatus(
            [listener], spool=spool, quarantine=quarantine, clock=self.clock, intake=intake, spooler=spooler
        )
        other = 1 - number
        channel = self._stack.enter_context(rpc.channel(targets[other], passes=callers_pass))
        days = FeedDays(store)
        own = Own(number, status, quarantine, Completeness(days, [listener]))
        everybody = AllNodes(own, [Peer(other, targets[other], channel)], askers=2)
        self._stack.callback(everybody.close)
        server = rpc.Server(targets[number], guard=guard, workers=4)
        server.register(feed_pb2_grpc.add_FeedServicer_to_server, FeedServicer(everybody), rules=RULES)
        server.start()
        self._stack.callback(server.stop, 0)
        return Node(number, store, quarantine, days, spool, server, targets[number])

    def stub(self, number: int, pass_: str = "") -> feed_pb2_grpc.FeedStub:
        channel = rpc.channel(self.nodes[number].target, passes=lambda: pass_)
        return feed_pb2_grpc.FeedStub(self._stack.enter_context(channel))

    def listed(self, number: int, **asked: object) -> feed_pb2.ListQuarantineReply:
        return rpc.call(self.stub(number).ListQuarantine, feed_pb2.ListQuarantineRequest(**asked))


@pytest.fixture
def nodes(new_store_url: NewStoreUrl) -> Iterator[Nodes]:
    with ExitStack() as stack:
        yield Nodes(stack, new_store_url, OPEN, OPEN)


@pytest.mark.parametrize("asked", [0, 1])
def test_what_both_set_aside_is_one_list_through_either(nodes: Nodes, asked: int) -> None:
    for at, node in enumerate((0, 1, 1, 0, 1)):
        nodes.clock.advance(1)
        nodes.nodes[node].set_aside(f"t_{at}")

    pages = [nodes.listed(asked, limit=2)]
    while pages[-1].next_before_id:
        last = pages[-1]
        pages.append(
            nodes.listed(asked, limit=2, before_id=last.next_before_id, before_us=last.next_before_us)
        )

    listed = [[each.trade_id for each in page.items] for page in pages]
    assert listed == [["t_4", "t_3"], ["t_2", "t_1"], ["t_0"]]
    assert {page.open for page in pages} == {5}
    assert [node_of(each.id) for page in pages for each in page.items] == [1, 0, 1, 1, 0]


def test_a_place_that_an_older_gateway_names_by_its_number_alone_is_found(nodes: Nodes) -> None:
    for node in (0, 1, 0):
        nodes.clock.advance(1)
        nodes.nodes[node].set_aside(f"of {node}")
    first = nodes.listed(0, limit=2)

    rest = nodes.listed(0, limit=2, before_id=first.next_before_id)

    assert [each.trade_id for each in (*first.items, *rest.items)] == ["of 0", "of 1", "of 0"]


def test_a_decision_is_made_by_the_node_that_holds_it(nodes: Nodes) -> None:
    nodes.nodes[1].set_aside("t_1")
    (held,) = nodes.listed(0).items
    stub = nodes.stub(0)

    shown = rpc.call(stub.ShowQuarantined, feed_pb2.QuarantinedRequest(id=held.id))
    assert (shown.trade_id, shown.id) == ("t_1", public_number(1, node=1))
    with pytest.raises(Conflict, match=rf"frame of {held.id} is no longer there"):
        rpc.call(stub.ReplayQuarantined, feed_pb2.QuarantinedRequest(id=held.id))
    request = feed_pb2.DropQuarantinedRequest(id=held.id, reason="a test")
    dropped = rpc.call(stub.DropQuarantined, request)

    assert (dropped.state, dropped.decided_by, dropped.id) == (feed_pb2.DROPPED, "anybody", held.id)
    assert nodes.nodes[1].quarantine.count_open() == 0


@pytest.mark.parametrize("number", [5, NUMBERS_A_NODE + 5, 7 * NUMBERS_A_NODE, 2**63])
def test_a_number_that_no_node_holds_is_not_found(nodes: Nodes, number: int) -> None:
    with pytest.raises(NotFound, match=str(number)):
        rpc.call(nodes.stub(0).ShowQuarantined, feed_pb2.QuarantinedRequest(id=number))


def test_a_node_that_is_asked_for_itself_asks_nobody(nodes: Nodes) -> None:
    nodes.nodes[0].set_aside("t_0")
    nodes.nodes[1].set_aside("t_1")
    (theirs,) = nodes.listed(1, only_yourself=True).items
    stub = nodes.stub(0)

    assert [each.trade_id for each in nodes.listed(0, only_yourself=True).items] == ["t_0"]
    assert len(rpc.call(stub.Status, feed_pb2.StatusRequest(only_yourself=True)).listeners) == 1
    with pytest.raises(NotFound):
        rpc.call(stub.ShowQuarantined, feed_pb2.QuarantinedRequest(id=theirs.id, only_yourself=True))


def test_without_a_node_there_are_still_answers_and_they_say_so(nodes: Nodes) -> None:
    nodes.nodes[0].set_aside("t_0")
    nodes.nodes[1].set_aside("t_1")
    theirs = next(each.id for each in nodes.listed(0).items if each.trade_id == "t_1")
    nodes.nodes[1].server.stop(0)
    stub = nodes.stub(0)

    status = rpc.call(stub.Status, feed_pb2.StatusRequest())
    assert [(each.node, each.connected, each.trouble) for each in status.listeners] == [
        (0, True, "not connected yet"), (1, False, "node 1 does not answer")
    ]  # fmt: skip
    assert status.quarantined == 1
    listed = nodes.listed(0)
    assert ([each.trade_id for each in listed.items], list(listed.nodes_away)) == (["t_0"], [1])
    day = rpc.call(stub.Reconciliation, feed_pb2.ReconciliationRequest(day=DAY))
    assert (day.day, list(day.nodes_away)) == (DAY, [1])
    with pytest.raises(Unavailable, match=f"node 1, which holds {theirs}, does not answer"):
        rpc.call(stub.ShowQuarantined, feed_pb2.QuarantinedRequest(id=theirs))


def test_nodes_that_all_ask_each_other_keep_somebody_to_answer(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask at once, nobody is told that a node is away because it asks, too."""
    monkeypatch.setattr(peers, "LOOK_TIMEOUT_S", 10.0)
    stubs = [nodes.stub(number) for number in (0, 1)]
    answers: list[str] = []

    def ask(stub: feed_pb2_grpc.FeedStub) -> None:
        for _ in range(10):
            try:
                status = rpc.call(stub.Status, feed_pb2.StatusRequest(), timeout_s=40)
            except Unavailable as error:
                answers.append(error.message)
            else:
                answers.extend(each.trouble for each in status.listeners)

    threads = [threading.Thread(target=ask, args=(stub,)) for stub in stubs * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    said = Counter(answers)
    assert said["not connected yet"] > 0
    assert set(said) <= {"not connected yet", "too many ask all nodes at once; try again"}


def test_a_day_is_what_all_nodes_know_of_it(nodes: Nodes) -> None:
    first, second = nodes.nodes
    first.spool.cover(first_us=NOON_US, covered_to_us=NOON_US + 90, gaps=[Gap(NOON_US + 20, NOON_US + 40)])
    second.spool.cover(first_us=NOON_US + 10, covered_to_us=NOON_US + 50, gaps=[])
    second.days.record(Reconciliation(DAY, file_name="their.csv", reconciled_us=NOON_US - 5, in_both=7))

    for asked in (0, 1):
        found = rpc.call(nodes.stub(asked).Reconciliation, feed_pb2.ReconciliationRequest(day=DAY))
        assert (found.complete_to_us, found.gap) == (NOON_US + 90, False)
        assert (found.reconciled, found.file_name, found.in_both) == (True, "their.csv", 7)
    alone = feed_pb2.ReconciliationRequest(day=DAY, only_yourself=True)
    own = rpc.call(nodes.stub(0).Reconciliation, alone)
    assert (own.complete_to_us, own.gap, own.reconciled) == (NOON_US + 20, True, False)


def test_a_day_that_is_none_is_refused(nodes: Nodes) -> None:
    for asked in ({"day": "2023-02-30"}, {"day": DAY, "area": "FR"}, {"day": "1800-01-01"}):
        with pytest.raises(InvalidInput):
            rpc.call(nodes.stub(0).Reconciliation, feed_pb2.ReconciliationRequest(**asked))


class Doors:
    """Guards that read passes; what the second lets in is seen."""

    def __init__(self, folder: Path) -> None:
        self.ring = KeyRing(folder)
        self.guard = Guard(TokenReader(self.ring.public_file, audience="ingest-service"))

    def pass_of(self, *roles: Role, may_write: bool = True, trader_id: str | None = None) -> str:
        return self.ring.pass_of(*roles, audience="ingest-service", may_write=may_write, trader_id=trader_id)


@pytest.fixture
def doors(tmp_path: Path) -> Doors:
    return Doors(tmp_path)


@pytest.fixture
def guarded(new_store_url: NewStoreUrl, doors: Doors) -> Iterator[Nodes]:
    with ExitStack() as stack:
        yield Nodes(stack, new_store_url, doors.guard, doors.guard)


def test_a_node_asks_another_with_the_pass_of_whoever_asks_it(guarded: Nodes, doors: Doors) -> None:
    guarded.nodes[1].set_aside("t_1")
    number = public_number(1, node=1)
    desk = guarded.stub(0, doors.pass_of(Role.DESK))

    status = rpc.call(desk.Status, feed_pb2.StatusRequest())
    assert [each.trouble for each in status.listeners] == ["not connected yet"] * 2
    request = feed_pb2.DropQuarantinedRequest(id=number, by="somebody else", reason="x")
    dropped = rpc.call(desk.DropQuarantined, request)
    assert (dropped.state, dropped.decided_by) == (feed_pb2.DROPPED, "ana")  # whose pass it is


@pytest.mark.parametrize("number", [public_number(1, node=0), public_number(1, node=1)])
@pytest.mark.parametrize("alone", [False, True])
def test_who_may_not_decide_at_one_node_may_not_through_another(
    guarded: Nodes, doors: Doors, number: int, alone: bool
) -> None:
    for node in guarded.nodes:
        node.set_aside("t")
    reading = doors.pass_of(Role.ADMIN, may_write=False)
    trading = doors.pass_of(Role.TRADER, trader_id="trader_1")
    request = feed_pb2.DropQuarantinedRequest(id=number, by="eve", reason="x", only_yourself=alone)

    for pass_, why in ((reading, "reading only"), (trading, "only desk and admin")):
        with pytest.raises(Forbidden, match=why):
            rpc.call(guarded.stub(node_of(number) if alone else 0, pass_).DropQuarantined, request)
    with pytest.raises(Unauthenticated):
        rpc.call(guarded.stub(0).DropQuarantined, request)

    assert [node.quarantine.count_open() for node in guarded.nodes] == [1, 1]


def test_a_node_does_not_lend_its_own_rights_to_whoever_asks_it(
    new_store_url: NewStoreUrl, doors: Doors, tmp_path: Path
) -> None:
    """The second trusts another key: it lets nobody in because the first did."""
    (tmp_path / "other").mkdir()
    with ExitStack() as stack:
        nodes = Nodes(stack, new_store_url, doors.guard, Doors(tmp_path / "other").guard)
        nodes.nodes[1].set_aside("t_1")
        stub = nodes.stub(0, doors.pass_of(Role.ADMIN))

        with pytest.raises(Unauthenticated):
            rpc.call(stub.ShowQuarantined, feed_pb2.QuarantinedRequest(id=public_number(1, node=1)))
        status = rpc.call(stub.Status, feed_pb2.StatusRequest())
        assert [each.trouble for each in status.listeners] == ["not connected yet", "node 1 does not answer"]
