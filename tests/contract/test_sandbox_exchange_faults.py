"""Every fault of the simulated exchange happens as often as it says, counted at both ends of the socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from tests.unit.sandbox.worlds import Ear, ExchangeWorld, exchange_world, run, until

pytestmark = pytest.mark.slow


async def _heard(
    folder: Path, *, ears: int = 1, count: int = 1000, faults: str = ""
) -> tuple[list[Ear], list[dict[str, Any]], dict[str, Any]]:
    """What ears heard of ``count`` trades, what the exchange says it sent, and its counts."""
    async with exchange_world(folder, faults=faults) as world, contextlib.AsyncExitStack() as stack:
        listening = [await stack.enter_async_context(world.ear()) for _ in range(ears)]
        await world.control.post("/control/emit", count=count)
        world.step(2)  # nothing is held back longer than a second
        stats = await world.control.stats()
        await world.heard_out(*listening)
        return listening, await world.control.sent(), stats


def test_without_faults_every_listener_hears_every_trade_once_in_order(tmp_path: Path) -> None:
    ears, sent, stats = run(_heard(tmp_path, ears=3))

    for ear in ears:
        assert ear.ids() == [trade["id"] for trade in sent]
        assert len(ear.frames) == 1000
    assert {(trade["listeners"], trade["copies"]) for trade in sent} == {(3, 3)}
    assert (stats["trades"], stats["heard"], stats["frames"]) == (1000, 1000, 3000)


def test_duplicates_are_the_same_frame_again(tmp_path: Path) -> None:
    (ear,), sent, stats = run(_heard(tmp_path, faults="duplicate_rate=0.2"))

    repeated = {frame: times for frame, times in Counter(ear.frames).items() if times > 1}
    assert set(repeated.values()) == {2}
    assert len(repeated) == stats["duplicated"]
    assert 150 < stats["duplicated"] < 250
    assert Counter(ear.ids()) == {trade["id"]: trade["copies"] for trade in sent}
    assert {trade["listeners"] for trade in sent} == {1}


def test_reordered_frames_come_after_later_ones_and_none_is_lost(tmp_path: Path) -> None:
    (ear,), sent, stats = run(_heard(tmp_path, faults="reorder_rate=0.1,reorder_by=4"))

    in_order = [trade["id"] for trade in sent]
    place = {trade_id: index for index, trade_id in enumerate(in_order)}
    places = [place[trade_id] for trade_id in ear.ids()]
    late = sum(later < before for before, later in pairwise(places))
    assert sorted(ear.ids()) == sorted(in_order)
    assert ear.ids() != in_order
    assert 0 < late <= stats["reordered"]
    assert 60 < stats["reordered"] < 150


def test_malformed_frames_come_beside_the_trades(tmp_path: Path) -> None:
    (ear,), sent, stats = run(_heard(tmp_path, faults="malformed_rate=0.1"))

    assert ear.ids() == [trade["id"] for trade in sent]
    assert len(ear.others()) == stats["malformed"] == sum(stats["frames_by_kind"].values())
    assert 60 < stats["malformed"] < 150
    assert len(stats["frames_by_kind"]) == 20
    assert any(isinstance(frame, bytes) for frame in ear.others())


def test_unknown_messages_come_beside_the_trades(tmp_path: Path) -> None:
    (ear,), sent, stats = run(_heard(tmp_path, faults="unknown_rate=0.05"))

    assert ear.ids() == [trade["id"] for trade in sent]
    assert len(ear.others()) == stats["unknown"]
    assert set(stats["frames_by_kind"]) == {"market state", "order", "notice", "later version"}


def test_a_garbled_trade_is_told_to_nobody_and_known_as_such(tmp_path: Path) -> None:
    (ear,), sent, stats = run(_heard(tmp_path, faults="garble_rate=0.1"))

    unheard = [trade["id"] for trade in sent if trade["listeners"] == 0]
    assert ear.ids() == [trade["id"] for trade in sent if trade["listeners"] == 1]
    assert len(unheard) == len(ear.others()) == stats["garbled"] == stats["unheard"]
    assert 60 < stats["garbled"] < 150


def test_split_gives_each_trade_to_one_listener_only(tmp_path: Path) -> None:
    (first, second), sent, stats = run(_heard(tmp_path, ears=2, faults="split=true"))

    assert not set(first.ids()) & set(second.ids())
    assert sorted(first.ids() + second.ids()) == sorted(trade["id"] for trade in sent)
    assert abs(len(first.ids()) - len(second.ids())) <= 1
    assert {trade["listeners"] for trade in sent} == {1}
    assert stats["frames"] == 1000


def test_the_books_tell_which_connection_got_what(tmp_path: Path) -> None:
    async def scenario() -> tuple[list[Ear], list[list[str]], list[dict[str, Any]]]:
        faults = "split=true,duplicate_rate=0.3"
        async with exchange_world(tmp_path, faults=faults) as world, contextlib.AsyncExitStack() as stack:
            ears = [await stack.enter_async_context(world.ear()) for _ in range(2)]
            await world.control.post("/control/emit", count=400)
            connections = await world.control.get("/control/connections")
            await world.heard_out(*ears)
            sent = [await world.control.sent(connection=number, ids="true") for number in (1, 2)]
            return ears, sent, connections

    ears, sent, connections = run(scenario())

    for ear, ids, connection in zip(ears, sent, connections, strict=True):
        assert list(dict.fromkeys(ear.ids())) == ids
        assert (connection["frames"], connection["trades"]) == (len(ear.frames), len(ids))


@pytest.mark.parametrize(("how", "code"), [("close", 1012), ("abort", 1006)])
def test_a_drop_loses_nothing_that_was_handed_over_before(tmp_path: Path, how: str, code: int) -> None:
    async def scenario() -> None:
        async with exchange_world(tmp_path) as world, world.ear() as ear:
            handed = (await world.control.post("/control/emit", count=2000))["ids"]
            assert await world.control.post("/control/drop", how=how) == {"connections": 1}
            missed = (await world.control.post("/control/emit", count=1))["ids"]
            await ear.gone()

            assert ear.ids() == handed
            assert ear.connection.close_code == code
            stats = await world.control.stats()
            assert (stats["heard"], stats["unheard"]) == (2000, len(missed))
            assert (stats["drops"], stats["connections_dropped"]) == (1, 1)

    run(scenario())


def test_dropping_one_leaves_the_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with exchange_world(tmp_path) as world, world.ear() as first, world.ear() as second:
            await world.control.post("/control/drop", who="one")
            await until(lambda: first.closed or second.closed, "one is gone")
            left = second if first.closed else first
            ids = (await world.control.post("/control/emit", count=1))["ids"]
            await world.heard_out(left)
            assert left.ids() == ids

    run(scenario())


def test_planned_drops_happen_exactly_so_often(tmp_path: Path) -> None:
    """100 in an hour of simulated trading; one that finds nobody connected waits for somebody."""

    async def listen_again_and_again(world: ExchangeWorld, heard: list[str]) -> None:
        while True:
            async with world.ear() as ear:
                await ear.gone()
                heard += ear.ids()

    async def scenario() -> tuple[dict[str, Any], list[str], list[str]]:
        faults = "drop_every_s=36,drop_times=100"
        async with exchange_world(tmp_path, faults=faults, trades_per_min=20) as world:
            world.exchange.run(now=world.clock.now())
            heard: list[str] = []
            listening = asyncio.create_task(listen_again_and_again(world, heard))
            for _ in range(110):
                await until(lambda: len(world.exchange.listeners.receivers()) == 1, "somebody listens")
                drops = world.exchange.counts["drops"]
                world.step(36)
                if world.exchange.counts["drops"] > drops:
                    await until(lambda: len(world.exchange.listeners.receivers()) == 0, "it is dropped")
            world.exchange.pause(now=world.clock.now())
            await world.control.post("/control/drop")
            stats = await world.control.stats()
            await until(lambda: len(heard) >= stats["heard"], "all is heard")
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
            return stats, heard, await world.control.sent(listeners=1, ids="true")

    stats, heard, sent = run(scenario())

    assert stats["drops"] == stats["connections_dropped"] == 100 + 1
    assert stats["drops_left"] == 0
    assert heard == sent


def test_a_frozen_socket_stays_open_and_silent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with exchange_world(tmp_path) as world, world.ear() as frozen:
            await world.control.post("/control/freeze", who="all", for_s=30)
            unanswered = await frozen.connection.ping()
            async with world.ear() as later:
                ids = (await world.control.post("/control/emit", count=5))["ids"]
                await world.heard_out(later)
                assert later.ids() == ids
            assert frozen.frames == []
            assert not unanswered.done()
            world.step(29.5)
            assert (await world.control.get("/control/state"))["frozen"] == [1]

            world.step(1)
            await unanswered
            after = (await world.control.post("/control/emit", count=2))["ids"]
            await world.heard_out(frozen)
            assert frozen.ids() == after  # what was traded meanwhile is gone
            assert not frozen.closed

    run(scenario())


def test_a_silent_socket_can_still_answer_pings_and_newcomers_can_freeze_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with exchange_world(tmp_path) as world, world.ear() as first:
            await world.control.post("/control/freeze", pongs=True, newcomers=True)
            async with world.ear() as second:
                await world.control.post("/control/emit", count=5)
                for ear in (first, second):
                    await (await ear.connection.ping())
                    assert ear.frames == []
                await world.control.post("/control/thaw")
                ids = (await world.control.post("/control/emit", count=3))["ids"]
                await world.heard_out(first, second)
                assert first.ids() == second.ids() == ids

    run(scenario())


@pytest.mark.parametrize("how", ["503", "reset"])
def test_connections_are_refused_for_a_while(tmp_path: Path, how: str) -> None:
    async def scenario() -> None:
        async with exchange_world(tmp_path) as world:
            await world.control.post("/control/refuse", how=how, for_s=10)
            for _ in range(3):
                with pytest.raises((WebSocketException, OSError)) as refused:
                    await connect(world.url)
                assert isinstance(refused.value, InvalidStatus) == (how == "503")
            world.clock.advance(10)
            async with world.ear():
                assert (await world.control.stats())["refused"] == 3

    run(scenario())


def test_a_listener_that_does_not_read_is_dropped_and_its_frames_are_not_counted_as_heard(
    tmp_path: Path,
) -> None:
    async def scenario() -> tuple[list[Ear], dict[str, Any], list[str]]:
        async with exchange_world(tmp_path) as world, world.ear() as reading:
            async with connect(world.url, max_queue=4, ping_interval=None) as deaf:
                await until(lambda: len(world.exchange.listeners) == 2, "both are known")
                deaf.transport.pause_reading()
                while not world.exchange.counts["clogged_dropped"]:
                    await world.control.post("/control/emit", count=10_000)
                    world.step()
                    await world.heard_out(reading)
                await until(lambda: len(world.exchange.listeners) == 1, "the deaf one is gone")
                deaf.transport.abort()
            stats = await world.control.stats()
            return [reading], stats, await world.control.sent(connection=2, ids="true")

    (reading,), stats, handed_to_deaf = run(scenario())

    assert stats["clogged_dropped"] == 1
    assert len(reading.ids()) == stats["trades"]
    assert stats["taken_back"] > 0
    assert len(handed_to_deaf) + stats["taken_back"] == stats["trades"]


def test_clearing_the_faults_lets_out_what_was_held_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with exchange_world(tmp_path) as world, world.ear() as ear:
            await world.control.post("/control/faults", reorder_rate=1.0, reorder_by=1000)
            ids = (await world.control.post("/control/emit", count=10))["ids"]
            assert (await world.control.stats())["held"] == 10
            answer = await world.control.http.delete("/control/faults")
            await world.heard_out(ear)
            assert answer.json()["reorder_rate"] == 0
            assert ear.ids() == ids
            assert (await world.control.stats())["reordered"] == 0  # nothing overtook them

    run(scenario())


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/control/faults", {"typo_rate": 0.1}, "typo_rate"),
        ("/control/faults", {"duplicate_rate": 2}, "duplicate_rate"),
        ("/control/faults", {"split": "yes"}, "split"),
        ("/control/emit", {"count": 0}, "count"),
        ("/control/emit", {"count": True}, "count"),
        ("/control/emit", {"file": "lost"}, "file"),
        ("/control/rate", {"trades_per_min": -1}, "trades_per_min"),
        ("/control/rate", {"per_min": 1}, "per_min"),
        ("/control/drop", {"who": "me"}, "who"),
        ("/control/refuse", {"for_s": "long"}, "for_s"),
        ("/control/frame", {}, "exactly one"),
        ("/control/frame", {"base64": "%"}, "base64"),
        ("/control/nightly-file", {"day": "tomorrow"}, "day"),
        ("/control/nightly-file", {"day": "0001-01-01"}, "day"),
        ("/control/nightly-file", {"day": "9999-12-31"}, "day"),
    ],
)
def test_a_wrong_order_is_refused_and_named(
    tmp_path: Path, path: str, body: dict[str, Any], named: str
) -> None:
    async def scenario() -> Any:
        async with exchange_world(tmp_path) as world:
            return await world.control.http.post(path, json=body)

    answer = run(scenario())

    assert answer.status_code == 400
    assert answer.json()["status_code"] == 400
    assert named in answer.json()["message"]


JSON = {"Content-Type": "application/json"}
ELSEWHERE = {"Sec-Fetch-Site": "cross-site"}


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/control/rate", b'{"trades_per_min": 7}', {"Content-Type": "text/plain"}, 415),
        ("/control/rate", b'{"trades_per_min": 7}', {}, 415),
        ("/control/rate", b'{"trades_per_min": 7}', {**JSON, "Origin": "https://elsewhere.example"}, 403),
        ("/control/rate", b'{"trades_per_min": 7}', {**JSON, **ELSEWHERE}, 403),
        ("/control/pause", b"", {"Origin": "null"}, 403),
        ("/control/pause", b"", ELSEWHERE, 403),
        ("/control/rate", b'{"trades_per_min": 7}', {"Content-Type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_no_web_page_changes_anything(
    tmp_path: Path, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    async def scenario() -> tuple[Any, ...]:
        async with exchange_world(tmp_path) as world:
            before = await world.control.get("/control/state")
            answer = await world.control.http.post(path, content=body, headers=headers)
            return answer, before, await world.control.get("/control/state")

    answer, before, after = run(scenario())

    assert answer.status_code == status, answer.text
    assert (before == after) == (status != 200)


def test_the_control_endpoint_lists_itself_and_says_it_lives(tmp_path: Path) -> None:
    async def scenario() -> tuple[Any, ...]:
        async with exchange_world(tmp_path) as world:
            listed = await world.control.get("/control")
            wrong = await world.control.http.get("/control/emit")
            nothing = await world.control.http.get("/control/nothing")
            return await world.control.get("/healthz"), listed, wrong, nothing

    health, listed, wrong, nothing = run(scenario())

    assert health["status"] == "ok"
    assert "POST /control/emit" in listed["endpoints"]
    assert (wrong.status_code, nothing.status_code) == (405, 404)
    assert nothing.json()["status_code"] == 404
