"""The simulated exchange keeps the contract (sections 2 and 3), as its listeners see it through sockets."""

from __future__ import annotations

import csv
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sandbox.worlds import Ear, ExchangeWorld, exchange_world, run

FIELDS = [
    "id", "price", "quantity", "direction", "delivery_day", "delivery_hour", "trader_id", "execution_time",
]  # fmt: skip


async def _emit(world: ExchangeWorld, ear: Ear, count: int) -> list[str]:
    ids = (await world.control.post("/control/emit", count=count))["ids"]
    await world.heard_out(ear)
    return list(ids)


async def _frames(folder: Path, *, count: int = 200, **settings: Any) -> list[str]:
    async with exchange_world(folder, **settings) as world, world.ear() as ear:
        await _emit(world, ear, count)
        assert all(isinstance(frame, str) for frame in ear.frames)
        return [str(frame) for frame in ear.frames]


def test_a_frame_is_one_confirmation_with_the_eight_fields(tmp_path: Path) -> None:
    frames = run(_frames(tmp_path))

    assert len(frames) == 200
    for frame in frames:
        message = json.loads(frame, parse_float=Decimal)
        assert list(message) == ["trade_confirmation"]
        trade = message["trade_confirmation"]
        assert list(trade) == FIELDS
        assert isinstance(trade["price"], Decimal)
        assert abs(trade["price"]) <= Decimal("9999.99")
        assert trade["price"] == trade["price"].quantize(Decimal("0.01"))
        assert isinstance(trade["quantity"], Decimal)
        assert trade["quantity"] > 0
        assert trade["quantity"] == trade["quantity"].quantize(Decimal("0.1"))
        assert trade["direction"] in {"buy", "sell"}
        assert re.fullmatch(r"\d\d-\d\d", trade["delivery_hour"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", trade["execution_time"])


def test_every_id_is_new(tmp_path: Path) -> None:
    frames = run(_frames(tmp_path, count=1000))

    assert len({json.loads(frame)["trade_confirmation"]["id"] for frame in frames}) == 1000


def test_both_envelopes_are_spoken(tmp_path: Path) -> None:
    old = run(_frames(tmp_path, count=20, envelope="deal_confirmation"))
    mixed = run(_frames(tmp_path, count=100, envelope="mixed"))

    assert {next(iter(json.loads(frame))) for frame in old} == {"deal_confirmation"}
    assert {next(iter(json.loads(frame))) for frame in mixed} == {"trade_confirmation", "deal_confirmation"}


@pytest.mark.parametrize(
    ("style", "digits", "form"),
    [
        ("offset", 0, r"2023-02-06T09:31:00\+00:00"),
        ("z", 3, r"2023-02-06T09:31:00\.000Z"),
        ("offset", 6, r"2023-02-06T09:31:00\.000000\+00:00"),
        ("mixed", 0, r"2023-02-06T09:31:00(Z|\+00:00)"),
    ],
)
def test_times_end_as_set(tmp_path: Path, style: str, digits: int, form: str) -> None:
    frames = run(_frames(tmp_path, count=50, time_style=style, fraction_digits=digits))

    times = {json.loads(frame)["trade_confirmation"]["execution_time"] for frame in frames}
    assert all(re.fullmatch(form, time) for time in times)
    assert len(times) == (2 if style == "mixed" else 1)


@pytest.mark.parametrize(
    ("start", "days"),
    [
        (datetime(2023, 2, 6, 9, 31, tzinfo=UTC), {"2023-02-06": range(11, 24), "2023-02-07": range(24)}),
        (datetime(2023, 2, 6, 22, 59, tzinfo=UTC), {"2023-02-07": range(24)}),
        (
            datetime(2023, 3, 25, 20, 0, tzinfo=UTC),
            {"2023-03-25": range(22, 24), "2023-03-26": [0, 1, *range(3, 24)]},
        ),
        (datetime(2023, 10, 28, 20, 0, tzinfo=UTC), {"2023-10-28": [23], "2023-10-29": range(24)}),
    ],
)
def test_only_tradable_hours_are_traded(tmp_path: Path, start: datetime, days: dict[str, Any]) -> None:
    allowed = {(day, f"{hour:02d}-{hour + 1:02d}") for day, hours in days.items() for hour in hours}

    frames = run(_frames(tmp_path, count=3000, start=start))

    trades = [json.loads(frame)["trade_confirmation"] for frame in frames]
    assert {(trade["delivery_day"], trade["delivery_hour"]) for trade in trades} <= allowed
    assert len(allowed) - 6 <= len({(trade["delivery_day"], trade["delivery_hour"]) for trade in trades})


def test_the_doubled_hour_is_two_hours_of_one_name(tmp_path: Path) -> None:
    async def sent() -> list[dict[str, Any]]:
        async with exchange_world(tmp_path, start=datetime(2023, 10, 28, 22, 30, tzinfo=UTC)) as world:
            await world.control.post("/control/emit", count=500)
            return await world.control.sent()

    starts = {
        trade["delivery_start"]
        for trade in run(sent())
        if (trade["delivery_day"], trade["delivery_hour"]) == ("2023-10-29", 2)
    }
    assert starts == {"2023-10-29T00:00:00Z", "2023-10-29T01:00:00Z"}


@pytest.mark.slow
def test_the_same_seed_and_start_give_the_same_day(tmp_path: Path) -> None:
    async def minutes(seed: int) -> list[str | bytes]:
        async with exchange_world(tmp_path, seed=seed, trades_per_min=300) as world, world.ear() as ear:
            world.exchange.run(now=world.clock.now())
            for _ in range(12):
                world.step(10)
            await world.heard_out(ear)
            return ear.frames

    first, again, another = run(minutes(5)), run(minutes(5)), run(minutes(6))

    assert first == again
    assert first != another
    assert 450 < len(first) < 750


def test_faults_change_what_is_heard_and_not_what_is_traded(tmp_path: Path) -> None:
    async def traded(faults: str) -> list[dict[str, Any]]:
        async with exchange_world(tmp_path, faults=faults) as world, world.ear() as ear:
            await _emit(world, ear, 300)
            return await world.control.sent()

    def bare(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: line[name] for name in line if name not in {"listeners", "copies"}} for line in lines]

    disturbed = run(traded("duplicate_rate=0.3,garble_rate=0.2,malformed_rate=0.2,reorder_rate=0.1"))

    assert bare(disturbed) == bare(run(traded("")))


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1, 100, 10_000])
def test_the_rate_is_kept(tmp_path: Path, rate: int) -> None:
    minutes, look_s = max(2, 4000 // rate), max(1, min(60, 6000 // rate))

    async def count() -> int:
        async with exchange_world(tmp_path, trades_per_min=rate) as world:
            world.exchange.run(now=world.clock.now())
            for _ in range(minutes * 60 // look_s):
                world.step(look_s)
            return world.exchange.sent.last_seq

    assert run(count()) == pytest.approx(minutes * rate, rel=0.1)


def test_a_trade_that_nobody_listened_to_is_gone_but_in_the_file(tmp_path: Path) -> None:
    async def scenario() -> tuple[list[str], list[str], dict[str, Any]]:
        async with exchange_world(tmp_path) as world:
            before = (await world.control.post("/control/emit", count=7))["ids"]
            async with world.ear() as ear:
                await _emit(world, ear, 5)
                heard = ear.ids()
            await world.control.post("/control/nightly-file")
            return before, heard, await world.control.stats()

    before, heard, stats = run(scenario())

    assert len(heard) == 5
    assert not set(before) & set(heard)
    assert (stats["trades"], stats["heard"], stats["unheard"]) == (12, 5, 7)
    assert {row["id"] for row in _rows(tmp_path / "epex_trades_20230206.csv")} == {*before, *heard}


def test_the_nightly_file_says_what_the_frames_said(tmp_path: Path) -> None:
    async def scenario() -> list[dict[str, Any]]:
        styles = {"time_style": "mixed", "fraction_digits": 3}
        async with exchange_world(tmp_path, **styles) as world, world.ear() as ear:
            world.exchange.run(now=world.clock.now(), trades_per_min=60)
            world.pass_time(300)
            await world.heard_out(ear)
            await world.control.post("/control/nightly-file", day="2023-02-06")
            return ear.trades()

    heard = run(scenario())
    rows = _rows(tmp_path / "epex_trades_20230206.csv")

    assert [_from_frame(trade) for trade in heard] == [_from_row(row) for row in rows]
    assert len(rows) > 200


@pytest.mark.parametrize("final_newline", [True, False])
def test_the_nightly_file_has_the_contracts_columns(tmp_path: Path, final_newline: bool) -> None:
    async def scenario() -> None:
        async with exchange_world(tmp_path, file_final_newline=final_newline) as world:
            await world.control.post("/control/emit", count=3)
            await world.control.post("/control/nightly-file")

    run(scenario())

    text = (tmp_path / "epex_trades_20230206.csv").read_bytes().decode("utf-8")
    lines = text.split("\n")
    assert lines[0] == "id,price,quantity,direction,delivery_day,delivery_hour,trader_id,execution_time"
    row = r"t_\w+-\d+,-?\d+,\d+(\.\d)?,(buy|sell),2023-02-0[67],\d{1,2},trader_\d,2023-02-06T09:31:00Z"
    assert all(re.fullmatch(row, line) for line in lines[1:4])
    assert lines[4:] == ([""] if final_newline else [])


def test_the_file_is_written_at_midnight_in_berlin_with_that_days_trades_only(tmp_path: Path) -> None:
    start = datetime(2023, 2, 6, 22, 50, tzinfo=UTC)  # 23:50 in Berlin

    async def scenario() -> list[dict[str, Any]]:
        async with exchange_world(tmp_path, start=start, trades_per_min=60) as world:
            world.exchange.run(now=world.clock.now())
            world.pass_time(9 * 60)
            assert not list(tmp_path.iterdir())
            world.pass_time(5 * 60)
            world.exchange.files.stop()
            return await world.control.sent()

    sent = run(scenario())

    midnight = (start + timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [path.name for path in tmp_path.iterdir()] == ["epex_trades_20230206.csv"]
    assert [row["id"] for row in _rows(tmp_path / "epex_trades_20230206.csv")] == [
        trade["id"] for trade in sent if trade["execution_time"] < midnight
    ]
    assert any(trade["execution_time"] >= midnight for trade in sent)


def test_trades_can_be_left_out_of_the_file_or_differ_there(tmp_path: Path) -> None:
    async def scenario() -> tuple[Any, ...]:
        async with exchange_world(tmp_path) as world, world.ear() as ear:
            missing = (await world.control.post("/control/emit", count=2, file="missing"))["ids"]
            different = (await world.control.post("/control/emit", count=3, file="different"))["ids"]
            only_there = (await world.control.post("/control/emit", count=4, withhold=True))["ids"]
            await world.heard_out(ear)
            await world.control.post("/control/nightly-file")
            return missing, different, only_there, ear.trades()

    missing, different, only_there, heard = run(scenario())
    rows = {row["id"]: row for row in _rows(tmp_path / "epex_trades_20230206.csv")}
    said = {trade["id"]: trade for trade in heard}

    assert set(rows) == {*different, *only_there}
    assert set(said) == {*missing, *different}
    assert all(_from_row(rows[each]) != _from_frame(said[each]) for each in different)


def test_it_says_exactly_the_frame_it_is_told_to(tmp_path: Path) -> None:
    async def scenario() -> list[str | bytes]:
        async with exchange_world(tmp_path) as world, world.ear() as ear:
            assert await world.control.post("/control/frame", text="  {odd} ") == {"listeners": 1}
            await world.control.post("/control/frame", json={"a": [1, 2.5]})
            await world.control.post("/control/frame", base64="AP8=")
            await world.heard_out(ear)
            assert (await world.control.stats())["trades"] == 0
            return ear.frames

    assert run(scenario()) == ["  {odd} ", '{"a": [1, 2.5]}', b"\x00\xff"]


def test_pausing_and_resuming_and_another_rate_take_effect_at_once(tmp_path: Path) -> None:
    async def scenario() -> list[int]:
        counts = []
        async with exchange_world(tmp_path) as world:
            for action, body in (("rate", {"trades_per_min": 600}), ("pause", {}), ("resume", {})):
                await world.control.post(f"/control/{action}", **body)
                world.pass_time(60)
                counts.append(world.exchange.sent.last_seq)
        return counts

    running, paused, resumed = run(scenario())

    assert running == pytest.approx(600, rel=0.25)
    assert paused == running
    assert resumed == pytest.approx(1200, rel=0.2)


def test_whatever_a_listener_says_is_ignored(tmp_path: Path) -> None:
    async def scenario() -> int:
        async with exchange_world(tmp_path) as world, world.ear() as ear:
            for _ in range(100):
                await ear.connection.send("subscribe")
            await (await ear.connection.ping())
            await _emit(world, ear, 3)
            return len(ear.ids())

    assert run(scenario()) == 3


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _from_frame(trade: dict[str, Any]) -> tuple[Any, ...]:
    executed = datetime.fromisoformat(trade["execution_time"])
    hour = int(trade["delivery_hour"][:2])
    price = Decimal(str(trade["price"])) * 100
    others = (trade["direction"], trade["delivery_day"], hour, trade["trader_id"])
    return (trade["id"], price, Decimal(str(trade["quantity"])), *others, executed)


def _from_row(row: dict[str, str]) -> tuple[Any, ...]:
    executed = datetime.fromisoformat(row["execution_time"])
    others = (row["direction"], row["delivery_day"], int(row["delivery_hour"]), row["trader_id"])
    return (row["id"], Decimal(int(row["price"])), Decimal(row["quantity"]), *others, executed)


def test_a_restarted_exchange_still_files_what_it_sent_before(tmp_path: Path) -> None:
    files, journal = tmp_path / "files", tmp_path / "journal"

    async def day_part(start: datetime, count: int) -> list[str]:
        async with exchange_world(files, start=start, journal=journal) as world:
            await world.control.post("/control/emit", count=count, file="missing")
            sent = await world.control.post("/control/emit", count=count)
            assert (await world.control.post("/control/nightly-file"))["day"] == "2023-02-06"
            return list(sent["ids"])

    first = run(day_part(datetime(2023, 2, 6, 9, tzinfo=UTC), 3))
    with (journal / "2023-02-06.rows").open("a") as torn:
        torn.write("t_torn-1,100,12,buy,2023-02-06,12,trader_1,2023-02-06T09:")  # killed while writing
    second = run(day_part(datetime(2023, 2, 6, 12, tzinfo=UTC), 4))

    assert [row["id"] for row in _rows(files / "epex_trades_20230206.csv")] == first + second
    assert not set(first) & set(second)


def test_a_day_of_more_trades_than_are_remembered_is_filed_whole(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        journal = tmp_path / "journal"
        async with exchange_world(tmp_path / "files", journal=journal, keep_trades=10) as world:
            sent = await world.control.post("/control/emit", count=25)
            await world.control.post("/control/emit", count=1, file="missing")
            await world.control.post("/control/nightly-file")
            return list(sent["ids"])

    sent = run(scenario())

    assert [row["id"] for row in _rows(tmp_path / "files" / "epex_trades_20230206.csv")] == sent


@pytest.mark.slow
def test_the_journal_keeps_a_week(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def scenario() -> None:
        async with exchange_world(tmp_path / "files", journal=journal, trades_per_min=0.05) as world:
            world.exchange.run(now=world.clock.now())
            for _ in range(11 * 24):
                world.step(3600)

    run(scenario())

    days = sorted(path.stem for path in journal.iterdir())
    assert days == [f"2023-02-{day:02d}" for day in range(10, 18)]
