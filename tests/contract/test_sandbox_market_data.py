"""The simulated provider keeps the contract (section 4), as its customers see it over HTTP."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from wattbook.clock import EPOCH

from tests.unit.sandbox.worlds import MORNING, ProviderWorld, provider_world, run

TODAY, TOMORROW = "2023-02-06", "2023-02-07"
CYCLE = timedelta(minutes=10)


def _label(hour: int) -> str:
    return f"{hour:02d}-{hour + 1:02d}"


def _body(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.text, parse_float=Decimal)
    return found


def _updated(body: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(body["last_update"])


def _out_of(day: datetime) -> datetime:
    """The instant of the cycle that a publication instant belongs to."""
    return EPOCH + (day - EPOCH) // CYCLE * CYCLE


@pytest.mark.parametrize("base", ["", "/v1"])
def test_a_price_has_the_contracts_five_fields(base: str) -> None:
    async def scenario() -> httpx.Response:
        async with provider_world() as world:
            return await world.ask(TODAY, "12-13", base=base)

    answer = run(scenario())
    body = _body(answer)

    assert answer.headers["content-type"].startswith("application/json")
    assert list(body) == ["delivery_day", "delivery_hour", "value", "unit", "last_update"]
    assert (body["delivery_day"], body["delivery_hour"], body["unit"]) == (TODAY, "12-13", "euro")
    assert isinstance(body["value"], Decimal)
    assert body["value"] == body["value"].quantize(Decimal("0.01"))
    assert re.fullmatch(r"2023-02-06T09:30:[012]\dZ", body["last_update"])


@pytest.mark.parametrize(("base", "there", "not_there"), [("v1", "/v1", ""), ("bare", "", "/v1")])
def test_the_base_is_a_setting(base: str, there: str, not_there: str) -> None:
    async def scenario() -> list[int]:
        async with provider_world(base=base) as world:
            return [(await world.ask(TODAY, "12-13", base=each)).status_code for each in (there, not_there)]

    assert run(scenario()) == [200, 404]


def test_units_and_times_are_written_both_ways() -> None:
    async def scenario() -> list[dict[str, Any]]:
        async with provider_world(unit="mixed", time_style="mixed", fraction_digits=3) as world:
            return [_body(await world.ask(TODAY, "12-13")) for _ in range(4)]

    bodies = run(scenario())

    assert {body["unit"] for body in bodies} == {"euro", "euro/mwh"}
    assert {body["last_update"][23:] for body in bodies} == {"Z", "+00:00"}
    assert {body["last_update"][19] for body in bodies} == {"."}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({}, "delivery_day, delivery_hour"),
        ({"delivery_day": TODAY}, "delivery_hour"),
        ({"delivery_hour": "12-13"}, "delivery_day"),
        ({"delivery_day": "06.02.2023", "delivery_hour": "12-13"}, "delivery_day"),
        ({"delivery_day": "2023-2-6", "delivery_hour": "12-13"}, "delivery_day"),
        ({"delivery_day": "2023-02-30", "delivery_hour": "12-13"}, "delivery_day"),
        ({"delivery_day": TODAY, "delivery_hour": "12"}, "'12'"),
        ({"delivery_day": TODAY, "delivery_hour": "24-25"}, "24-25"),
        ({"delivery_day": TODAY, "delivery_hour": "12-14"}, "12-14"),
        ({"delivery_day": TODAY, "delivery_hour": "7-8"}, "7-8"),
        ({"delivery_day": "2023-03-26", "delivery_hour": "02-03"}, "2023-03-26"),
        ({"delivery_day": "0001-01-01", "delivery_hour": "02-03"}, "0001-01-01"),
    ],
)
def test_bad_input_is_400_with_an_error_message(query: dict[str, str], named: str) -> None:
    async def scenario() -> httpx.Response:
        async with provider_world() as world:
            return await world.api.get("/v1/reference-price", params=query)

    answer = run(scenario())

    assert answer.status_code == 400
    assert named in answer.json()["error_message"]


def test_at_10_31_every_hour_from_11_today_to_23_tomorrow_is_fresh_and_no_other() -> None:
    async def scenario() -> dict[tuple[str, int], Any]:
        async with provider_world(per_minute=1000) as world:
            days = (TODAY, TOMORROW, "2023-02-08")
            answers = {(day, hour): await world.ask(day, _label(hour)) for day in days for hour in range(24)}
            return {
                key: _updated(_body(answer)) if answer.status_code == 200 else answer.status_code
                for key, answer in answers.items()
            }

    updated = run(scenario())
    tradable = {(TODAY, hour) for hour in range(11, 24)} | {(TOMORROW, hour) for hour in range(24)}
    fresh = {updated[key] for key in tradable}

    assert len(fresh) == 1
    assert _out_of(fresh.pop()) == datetime(2023, 2, 6, 9, 30, tzinfo=UTC)
    assert {updated[("2023-02-08", hour)] for hour in range(24)} == {404}
    for hour in range(11):  # closed: the last cycle before delivery began
        begin = datetime(2023, 2, 5, 23, tzinfo=UTC) + timedelta(hours=hour)
        assert _out_of(updated[(TODAY, hour)]) == begin - CYCLE


@pytest.mark.parametrize("clock_change", [("2023-03-26", 23), ("2023-10-29", 25)])
def test_a_day_of_a_clock_change_has_all_its_hours(clock_change: tuple[str, int]) -> None:
    day, hours = clock_change
    start = datetime.fromisoformat(f"{day}T00:31:00+00:00") - timedelta(hours=12)

    async def scenario() -> tuple[dict[str, int], Any]:
        async with provider_world(start=start, first_trade_within_min=0) as world:
            answers = {_label(hour): await world.ask(day, _label(hour)) for hour in range(24)}
            stats = await world.control.stats()
            return {label: answer.status_code for label, answer in answers.items()}, stats

    statuses, stats = run(scenario())

    local_hours_left = 10 if hours == 23 else 9  # it is 13:31, or in summer 14:31
    assert statuses.pop("02-03") == (400 if hours == 23 else 200)
    assert set(statuses.values()) == {200}
    assert stats["publications"][-1]["hours"] == local_hours_left + hours


@pytest.mark.slow
def test_publications_are_every_ten_minutes_up_to_30_s_late_irregularly_and_all_hours_at_once() -> None:
    """Looking every second at two hours over three hours of simulated trading."""

    async def scenario() -> tuple[list[tuple[datetime, datetime]], Any]:
        seen: list[tuple[datetime, datetime]] = []
        async with provider_world(per_minute=10**6, per_hour=10**7) as world:
            for _ in range(3 * 60):
                world.clock.advance(9 * 60 - 1 if not seen else 0)
                first = _updated(_body(await world.ask(TODAY, "23-24")))
                other = _updated(_body(await world.ask(TOMORROW, "23-24")))
                assert first == other
                if not seen or seen[-1][1] != first:
                    seen.append((world.clock.now(), first))
                world.clock.advance(1 if world.clock.now().minute % 10 == 0 else 30)
            return seen, await world.control.stats()

    seen, stats = run(scenario())
    published = [datetime.fromisoformat(each["published_at"]) for each in stats["publications"]]

    assert len(seen) >= 4
    for at, stamped in seen[1:]:
        (found,) = [each for each in published if each.replace(microsecond=0) == stamped]
        assert timedelta(0) <= at - found <= timedelta(seconds=31)
    late_s = [(each - _out_of(each)).total_seconds() for each in published]
    assert all(0 <= late <= 30 for late in late_s)
    assert len(set(late_s)) == len(late_s)


def test_a_price_is_out_at_its_instant_and_not_a_millisecond_before() -> None:
    async def scenario() -> None:
        async with provider_world() as world:
            world.clock.advance(3600)
            published = datetime.fromisoformat(
                (await world.control.stats())["publications"][-1]["published_at"]
            )
        async with provider_world(start=published - timedelta(milliseconds=1)) as world:
            before = _body(await world.ask(TOMORROW, "12-13"))
            world.clock.advance(0.001)
            after = _body(await world.ask(TOMORROW, "12-13"))

        assert _updated(after) == published.replace(microsecond=0)
        assert _updated(before) < _updated(after) - timedelta(minutes=9)
        assert before["value"] != after["value"]

    run(scenario())


def test_an_hours_price_stands_still_after_its_gate_closed() -> None:
    async def scenario() -> list[dict[str, Any]]:
        async with provider_world() as world:
            found = []
            for _ in range(5):
                world.clock.advance(3600)
                found.append(_body(await world.ask(TODAY, "12-13")))
            return found

    first, *closed = run(scenario())

    assert first != closed[0]
    assert all(body == closed[0] for body in closed)
    assert _out_of(_updated(closed[0])) == datetime(2023, 2, 6, 10, 50, tzinfo=UTC)


@pytest.mark.parametrize(("style", "status"), [("404", 404), ("absent", 200), ("null", 200)])
def test_an_hour_without_a_trade_has_no_price_yet(style: str, status: int) -> None:
    start = datetime(2023, 2, 5, 23, 1, tzinfo=UTC)  # a minute after tomorrow's hours opened

    async def scenario() -> tuple[httpx.Response, httpx.Response]:
        async with provider_world(start=start, no_price=style, first_trade_within_min=300) as world:
            before = await world.ask(TOMORROW, "12-13")
            world.clock.advance(6 * 3600)
            return before, await world.ask(TOMORROW, "12-13")

    before, after = run(scenario())

    assert before.status_code == status
    if status == 200:
        assert before.json().get("value") is None
        assert ("value" in before.json()) == (style == "null")
    assert _body(after)["value"] is not None


def test_one_seed_is_one_market_and_another_is_another() -> None:
    async def prices(seed: int) -> list[Decimal]:
        async with provider_world(seed=seed) as world:
            return [_body(await world.ask(TOMORROW, _label(hour)))["value"] for hour in range(24)]

    first = run(prices(3))

    assert first == run(prices(3))
    assert first != run(prices(4))


def test_fifty_in_any_minute_are_answered_and_the_51st_is_refused_and_counted() -> None:
    async def scenario() -> tuple[list[int], Any]:
        async with provider_world() as world:
            statuses = []
            for _ in range(50):
                statuses.append((await world.ask(TODAY, "12-13")).status_code)
                world.clock.advance(1)
            statuses.append((await world.ask(TODAY, "12-13")).status_code)  # 50 s after the first: the 51st
            world.clock.advance(9.999)
            statuses.append((await world.ask(TODAY, "12-13")).status_code)
            world.clock.advance(0.001)  # the first is a minute old
            statuses.append((await world.ask(TODAY, "12-13")).status_code)
            statuses.append((await world.ask(TODAY, "12-13")).status_code)
            return statuses, await world.control.stats()

    statuses, stats = run(scenario())

    assert statuses == [200] * 50 + [429, 429, 200, 429]
    assert (stats["violations"], stats["minute"]["violations"], stats["hour"]["violations"]) == (3, 3, 0)
    assert stats["minute"]["used"] == 50
    assert stats["minute"]["most_asked_in_any"] == 53
    assert stats["requests"]["total"] == 54
    assert stats["requests"]["by_status"] == {"200": 51, "429": 3}


@pytest.mark.slow
def test_a_thousand_in_any_hour_are_answered_and_the_1001st_is_refused_and_counted() -> None:
    async def ask_and_wait(world: ProviderWorld, seconds: float) -> int:
        status = (await world.ask(TODAY, "12-13")).status_code
        world.clock.advance(seconds)
        return status

    async def scenario() -> tuple[list[int], Any]:
        async with provider_world() as world:
            statuses = [await ask_and_wait(world, 3) for _ in range(999)]  # 2,997 s; 20 a minute
            statuses.append(await ask_and_wait(world, 602.999))
            statuses.append(await ask_and_wait(world, 0.001))  # 1 ms before the first is an hour old
            statuses.append(await ask_and_wait(world, 0))
            return statuses, await world.control.stats()

    statuses, stats = run(scenario())

    assert statuses == [200] * 1000 + [429, 200]
    assert (stats["violations"], stats["minute"]["violations"], stats["hour"]["violations"]) == (1, 0, 1)
    assert sum(stats["requests"]["by_minute"].values()) == stats["requests"]["total"] == 1002
    assert stats["requests"]["by_hour"] == {
        "2023-02-06T09:00:00+00:00": 580,
        "2023-02-06T10:00:00+00:00": 422,
    }


def test_every_request_counts_whatever_it_asks() -> None:
    async def scenario() -> tuple[Any, Any]:
        async with provider_world() as world:
            await world.api.get("/")
            await world.api.get("/v1/reference-price")
            await world.ask(TODAY, "12-13")
            await world.ask("2024-01-01", "12-13")
            return await world.control.stats(), await world.control.get("/control/requests", after_seq=1)

    stats, requests = run(scenario())

    assert stats["minute"]["used"] == 4
    assert [(each["seq"], each["status"], each["delivery_day"]) for each in requests] == [
        (2, 400, ""), (3, 200, TODAY), (4, 404, "2024-01-01"),
    ]  # fmt: skip


async def _with_faults(count: int = 40, **faults: Any) -> tuple[list[httpx.Response], Any]:
    async with provider_world() as world:
        await world.control.post("/control/faults", **faults)
        answers = [await world.ask(TODAY, "12-13") for _ in range(count)]
        return answers, await world.control.stats()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_failures_on_demand_are_counted_and_are_no_violations(status: int) -> None:
    answers, stats = run(_with_faults(fail_rate=0.5, fail_status=status))

    failed = sum(answer.status_code == status for answer in answers)
    assert 10 <= failed <= 30
    assert stats["requests"]["by_note"] == {"failed on demand": failed}
    assert stats["violations"] == 0
    assert stats["minute"]["used"] == 40


def test_garbage_is_of_many_kinds_and_each_is_counted() -> None:
    answers, stats = run(_with_faults(garbage_rate=1))

    assert {answer.status_code for answer in answers} == {200}
    assert set(stats["requests"]["by_note"].values()) == {4}
    assert len(stats["requests"]["by_note"]) == 10
    assert not any(_usable(answer) for answer in answers)


def test_a_price_is_null_and_then_present_again() -> None:
    async def scenario() -> tuple[httpx.Response, httpx.Response]:
        async with provider_world() as world:
            await world.control.post("/control/faults", null_rate=1)
            null = await world.ask(TODAY, "12-13")
            assert (await world.control.http.delete("/control/faults")).json()["null_rate"] == 0
            return null, await world.ask(TODAY, "12-13")

    null, present = run(scenario())

    assert null.json()["value"] is None
    assert set(null.json()) == set(present.json())
    assert _usable(present)


def test_prices_can_go_missing_and_units_wrong() -> None:
    missing, _ = run(_with_faults(count=3, missing_rate=1))
    wrong, _ = run(_with_faults(count=3, wrong_unit="usd"))

    assert {answer.status_code for answer in missing} == {404}
    assert {answer.json()["unit"] for answer in wrong} == {"usd"}


def test_a_stale_provider_stands_still_and_catches_up() -> None:
    async def scenario() -> list[dict[str, Any]]:
        async with provider_world() as world:
            found = [_body(await world.ask(TOMORROW, "12-13"))]
            await world.control.post("/control/faults", stale=True)
            for stale in (True, False):
                world.clock.advance(1800)
                await world.control.post("/control/faults", stale=stale)
                found.append(_body(await world.ask(TOMORROW, "12-13")))
            return found

    before, stale, after = run(scenario())

    assert stale == before
    assert _updated(after) - _updated(before) > timedelta(minutes=59)


@pytest.mark.parametrize("skew_s", [60, -60])
def test_a_wrong_clock_shifts_publications_and_stamps(skew_s: int) -> None:
    async def scenario() -> Any:
        async with provider_world(latest_s=0) as world:
            await world.control.post("/control/faults", skew_s=skew_s)
            publishes_at = datetime(2023, 2, 6, 9, 40, tzinfo=UTC) - timedelta(seconds=skew_s)
            world.clock.advance((publishes_at - MORNING).total_seconds() - 0.001)
            before = _updated(_body(await world.ask(TOMORROW, "12-13")))
            world.clock.advance(0.001)
            after = _updated(_body(await world.ask(TOMORROW, "12-13")))
            return before, after, (await world.control.stats())["publications"][-1], publishes_at

    before, after, publication, publishes_at = run(scenario())

    assert before == datetime(2023, 2, 6, 9, 30, tzinfo=UTC)
    assert after == datetime(2023, 2, 6, 9, 40, tzinfo=UTC)
    assert datetime.fromisoformat(publication["published_at"]) == publishes_at
    assert datetime.fromisoformat(publication["stamped"]) == after


def test_what_is_out_stays_out_when_the_providers_clock_is_set_back() -> None:
    async def scenario() -> list[dict[str, Any]]:
        async with provider_world(start=datetime(2023, 2, 6, 9, 30, 45, tzinfo=UTC)) as world:
            before = _body(await world.ask(TOMORROW, "12-13"))
            await world.control.post("/control/faults", skew_s=-600)
            return [before, _body(await world.ask(TOMORROW, "12-13"))]

    before, after = run(scenario())

    assert before == after


def test_a_slow_answer_comes_late_and_others_do_not_wait_for_it() -> None:
    async def scenario() -> None:
        async with provider_world() as world:
            await world.control.post("/control/faults", slow_rate=1, slow_real_s=600)
            slow = asyncio.create_task(world.ask(TODAY, "12-13"))
            while (await world.control.stats())["requests"]["total"] < 1:
                await asyncio.sleep(0.002)
            await world.control.post("/control/faults", slow_rate=0)
            assert _usable(await world.ask(TODAY, "12-13"))
            assert not slow.done()
            slow.cancel()
            await asyncio.wait([slow])

    run(scenario())


def test_an_answer_can_break_off() -> None:
    async def scenario() -> Any:
        async with provider_world() as world:
            await world.control.post("/control/faults", break_rate=1)
            with pytest.raises(httpx.RemoteProtocolError):
                await world.ask(TODAY, "12-13")
            return await world.control.stats()

    assert run(scenario())["requests"]["by_note"] == {"broken off": 1}


@pytest.mark.parametrize(
    ("faults", "named"),
    [({"fail_rate": 1.5}, "fail_rate"), ({"fail_status": 200}, "fail_status"), ({"what": 1}, "what"),
     ({"skew_s": 1e9}, "skew_s"), ({"wrong_unit": 3}, "wrong_unit")],
)  # fmt: skip
def test_impossible_faults_are_refused_and_named(faults: dict[str, Any], named: str) -> None:
    async def scenario() -> httpx.Response:
        async with provider_world() as world:
            return await world.control.http.post("/control/faults", json=faults)

    answer = run(scenario())

    assert answer.status_code == 400
    assert named in answer.json()["message"]


def _usable(answer: httpx.Response) -> bool:
    try:
        body = answer.json()
        updated = datetime.fromisoformat(body["last_update"])
        named = (body["delivery_day"], body["delivery_hour"]) == (TODAY, "12-13")
        return named and updated.tzinfo is not None and abs(float(body["value"])) < 10_000
    except (ValueError, KeyError, TypeError):
        return False
