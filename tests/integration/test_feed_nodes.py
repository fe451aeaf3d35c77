"""Two nodes that listen, trade-service and the gateway, behind closed walls: one feed, whichever is asked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ingest_service.domain import node_of
from wattbook import rpc
from wattbook.access import Role
from wattbook.errors import Forbidden
from wattbook_proto import feed_pb2, feed_pb2_grpc

from tests.integration.feed_world import Exchange, FeedIngest, rows_of
from tests.integration.trade_process import TradeProcess
from tests.support import engines
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.support.walls import KeyRing
from tests.unit.gateway.started import CLIENT_SECRET, Started

pytestmark = pytest.mark.slow

INGEST = "ingest-service"


class TwoNodes:
    """Both listen to the same exchange, each on one connection; the gateway spreads its calls over both."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        for name in ("0", "1"):
            (folder / name).mkdir()
        self.ring = KeyRing(folder)
        closed = {"WATTBOOK_VERIFY_KEYS_FILE": str(self.ring.public_file), "WATTBOOK_OPEN_WALLS": ""}
        self.exchange = Exchange(folder)
        stack.callback(self.exchange.close)
        self.trade = TradeProcess(folder, **closed).start()
        stack.callback(self.trade.close)
        self._targets = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        self.gateway = Started(
            folder, trade_target=self.trade.target, ingest_target=f"ipv4:{','.join(self._targets)}"
        )
        self.gateway.key = self.ring.key
        stack.enter_context(self.gateway)
        self.http = stack.enter_context(self.gateway.client())
        self.nodes = [self._node(folder / str(number), number, closed) for number in range(2)]
        for node in self.nodes:
            stack.callback(node.close)
            node.start()
        self.exchange.wait_listeners(2)

    def _node(self, folder: Path, number: int, closed: dict[str, str]) -> FeedIngest:
        told = {
            "gateway_url": self.gateway.url, "WATTBOOK_INGEST_CLIENT_SECRET": CLIENT_SECRET,
            "WATTBOOK_INGEST_PEERS": ",".join(self._targets), "WATTBOOK_INGEST_NODE": str(number),
            "WATTBOOK_TRADE_TARGET": self.trade.target,
            "WATTBOOK_FEED_PING_S": "0.3",
        }  # fmt: skip
        return FeedIngest(
            folder, self.exchange, bus_url=self.trade.bus_url, listeners=1,
            passes=lambda: self.pass_of(Role.DESK), port=int(self._targets[number].rpartition(":")[2]),
            **closed, **told,
        )  # fmt: skip

    def pass_of(self, *roles: Role, **more: Any) -> str:
        return self.ring.pass_of(*roles, audience=INGEST, **more)

    def get(self, path: str) -> Any:
        """A good answer of the gateway, whichever node it asks."""
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def of_either(self, path: str) -> Any:
        """The answer, which is the same from both."""
        first, second = (self.get(path) for _ in range(2))
        first.pop("complete_to", None)  # moves on
        assert first == {name: value for name, value in second.items() if name != "complete_to"}
        return first

    @property
    def day(self) -> str:
        return str(self.exchange.get("state")["trading_day"])

    def emit(self, count: int, **how: Any) -> list[str]:
        return list(self.exchange.post("emit", count=count, **how)["ids"])

    def wait_booked(self) -> None:
        """All that a listener was handed is booked."""
        handed = set(self.exchange.heard_ids())

        def booked() -> bool:
            rows = engines.stored_rows(self._book, "SELECT trade_id FROM trades")
            return handed <= {trade_id for (trade_id,) in rows}

        wait_until(booked, timeout_s=60, what="all that was heard is booked")

    @property
    def _book(self) -> str:
        return self.trade.environment["WATTBOOK_TRADE_STORE_URL"]

    def wait_whole(self) -> None:
        """Each node reaches the other, also one that was killed by the test before."""
        wait_until(
            lambda: self.of_either("/v1/quarantine?limit=1")["nodes_away"] == [],
            timeout_s=30, what="both nodes answer for both",
        )  # fmt: skip

    def heard_by(self, number: int) -> set[str]:
        """The trades that a node has from its own listener."""
        query = "SELECT trade_id FROM feed_trades WHERE received_us > 0"
        return {trade_id for (trade_id,) in engines.stored_rows(self.nodes[number].store_url, query)}

    def tie_out(self, number: int) -> Any:
        """What the day's nightly file says, taken in by a node, as the gateway tells it."""
        before = self.get(f"/v1/reconciliations/{self.day}")["reconciled_at"]
        path = self.exchange.nightly_file()
        self.nodes[number].drop(path.read_bytes(), path.name)

        def told() -> Any:
            found = self.get(f"/v1/reconciliations/{self.day}")
            return found if found["reconciled_at"] not in (None, before) else None

        found = wait_until(told, timeout_s=60, what="the file is tied out")
        assert found["in_both"] + found["recovered"] == len(rows_of(path))
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    with ExitStack() as stack:
        yield TwoNodes(tmp_path_factory.mktemp("nodes"), stack)


@pytest.mark.parametrize("taken_in_by", [0, 1])
def test_what_either_heard_is_in_both_and_only_what_neither_heard_is_recovered(
    world: TwoNodes, taken_in_by: int
) -> None:
    world.exchange.faults(split=True)
    halves = set(world.emit(400))
    world.exchange.no_faults()
    withheld = world.emit(3, withhold=True)
    world.wait_booked()
    for number in range(2):
        assert 0 < len(world.heard_by(number) & halves) < len(halves)

    found = world.tie_out(taken_in_by)

    recovered = {each["trade_id"] for each in found["differences"] if each["kind"] == "recovered"}
    assert recovered == {trade["id"] for trade in world.exchange.sent()} - set(world.exchange.heard_ids())
    assert set(withheld) <= recovered
    assert (found["recovered"], found["feed_only"], found["differing"]) == (len(recovered), 0, 0)
    assert found["in_both"] == len(world.exchange.heard_ids())
    assert world.of_either(f"/v1/reconciliations/{world.day}")["nodes_away"] == []


def test_a_gap_of_one_that_the_other_covers_is_none(world: TwoNodes) -> None:
    first, second = world.nodes
    second.kill()
    killed_us = int(time.time() * 1e6)
    world.exchange.wait_listeners(1)
    world.emit(5)
    second.start()
    world.exchange.wait_listeners(2)
    wait_until(
        lambda: second.reconciliation(world.day, alone=True).gap, timeout_s=20, what="it knows of its gap"
    )

    def covered() -> bool:
        return first.reconciliation(world.day).complete_to_us > killed_us + 1_000_000

    wait_until(covered, timeout_s=20, what="the day is covered")
    for node in (first, second):
        told = node.reconciliation(world.day)
        assert not told.gap
        assert told.complete_to_us > second.reconciliation(world.day, alone=True).complete_to_us


def test_what_both_set_aside_is_listed_replayed_and_dropped_through_either(world: TwoNodes) -> None:
    world.wait_whole()
    before = {item["id"] for item in world.of_either("/v1/quarantine?limit=1000")["items"]}
    world.exchange.post("frame", json={"notice": "no trade"})
    world.exchange.post("frame", json={"notice": "nor this"})

    def new() -> list[dict[str, Any]]:
        items = world.of_either("/v1/quarantine?limit=1000")["items"]
        return [item for item in items if item["id"] not in before]

    wait_until(lambda: len(new()) == 4, timeout_s=20, what="both set both aside")
    page = world.http.get("/v1/quarantine?limit=1")
    seen = page.json()["items"]
    while len(seen) < 4:
        page = world.http.get(page.links["next"]["url"])
        seen += page.json()["items"]
    assert seen == new()
    assert sorted(node_of(item["id"]) for item in seen) == [0, 0, 1, 1]
    assert [item["received"] for item in seen] == sorted((item["received"] for item in seen), reverse=True)

    for item in seen:
        shown = world.of_either(f"/v1/quarantine/{item['id']}")
        assert "notice" in json.loads(shown["frame"])
        again = world.http.post(f"/v1/quarantine/{item['id']}/replay").json()
        assert (again["state"], again["decided_by"]) == ("open", "admin")
    for _ in range(2):  # each time by way of the other node
        for item in seen:
            dropped = world.http.post(f"/v1/quarantine/{item['id']}/drop", json={"reason": "a test"})
            assert (dropped.status_code, dropped.json()["state"]) == (200, "dropped")
    assert not [item for item in new() if item["state"] == "open"]


def test_who_may_not_decide_may_not_at_the_other_node_either(world: TwoNodes) -> None:
    world.exchange.post("frame", json={"notice": "keep it"})

    def theirs() -> list[int]:
        items = world.of_either("/v1/quarantine?state=open&limit=1000")["items"]
        return [item["id"] for item in items if node_of(item["id"]) == 1]

    number = wait_until(theirs, timeout_s=20, what="the other set it aside")[0]
    weak = {
        "reading only": world.pass_of(Role.ADMIN, may_write=False),
        "only desk and admin": world.pass_of(Role.TRADER, trader_id="trader_1"),
    }
    for node in world.nodes:
        for why, pass_ in weak.items():
            request = feed_pb2.DropQuarantinedRequest(id=number, by="eve", reason="x")
            with rpc.channel(f"127.0.0.1:{node.port}", passes=lambda pass_=pass_: pass_) as channel:
                drop = feed_pb2_grpc.FeedStub(channel).DropQuarantined
                with pytest.raises(Forbidden, match=why):
                    rpc.call(drop, request)
    assert number in theirs()


def test_without_a_node_the_other_answers_and_says_so(world: TwoNodes) -> None:
    world.exchange.post("frame", json={"notice": "of both"})
    wait_until(
        lambda: {node_of(item["id"]) for item in world.get("/v1/quarantine")["items"]} == {0, 1},
        timeout_s=20, what="both set it aside",
    )  # fmt: skip
    items = world.get("/v1/quarantine?limit=1000")["items"]
    theirs = next(item["id"] for item in items if node_of(item["id"]) == 1)
    world.nodes[1].kill()
    try:
        listeners = wait_until(
            lambda: (told := world.get("/v1/feed")["listeners"])[1]["trouble"] and told,
            timeout_s=20, what="the other is missed",
        )  # fmt: skip
        assert [(each["node"], each["connected"]) for each in listeners] == [(0, True), (1, False)]
        assert listeners[1]["trouble"] == "node 1 does not answer"
        left = world.of_either("/v1/quarantine?limit=1000")
        assert {node_of(item["id"]) for item in left["items"]} == {0}
        assert left["nodes_away"] == [1]
        assert world.of_either(f"/v1/reconciliations/{world.day}")["nodes_away"] == [1]
        refused = world.http.post(f"/v1/quarantine/{theirs}/replay")
        assert (refused.status_code, refused.json()["message"]) == (
            503, f"node 1, which holds {theirs}, does not answer; try again"
        )  # fmt: skip
    finally:
        world.nodes[1].start()
    wait_until(
        lambda: all(each["connected"] for each in world.get("/v1/feed")["listeners"]),
        timeout_s=30, what="both listen again",
    )  # fmt: skip
    assert world.get("/v1/quarantine")["nodes_away"] == []


def test_a_node_that_is_alone_when_a_file_comes_knows_what_the_other_had_heard(world: TwoNodes) -> None:
    """Not the other node is asked, but the book, which outlives it."""
    first, second = world.nodes
    world.exchange.faults(split=True)
    world.emit(40)
    world.exchange.no_faults()
    world.wait_booked()
    second.kill()
    try:
        found = world.tie_out(0)
        assert found["nodes_away"] == [1]
        assert found["in_both"] == len(world.exchange.heard_ids())
    finally:
        second.start()
    first.assert_tidy()
