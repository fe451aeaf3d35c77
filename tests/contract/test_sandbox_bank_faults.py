"""What goes wrong at the bank on demand, and what is still true then."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import Any

import httpx
import pytest
import zstandard
from sandbox.bank.domain.faults import GARBAGE, TOO_LONG_BYTES
from sandbox.bank.domain.sizes import window_at

from tests.unit.sandbox.worlds import MORNING, bank_world, run

OPEN = window_at(MORNING)
OLD = OPEN - 30


def window_of(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["window"]
    return found


def sorted_rows(answer: httpx.Response) -> list[str]:
    return sorted(json.dumps(row) for row in answer.json()["transactions"])


async def asked(world: Any, window: int, source: str = "swift") -> httpx.Response:
    found: httpx.Response = await world.api.get(f"/{source}", params={"cursor": str(window)})
    return found


def test_failures_on_demand_have_the_status_asked_for() -> None:
    async def scenario() -> tuple[list[int], Any]:
        async with bank_world(faults="fail_rate=0.5,fail_status=500") as world:
            statuses = [(await asked(world, OLD)).status_code for _ in range(40)]
            return statuses, await world.control.stats()

    statuses, stats = run(scenario())

    failed = statuses.count(500)
    assert 8 < failed < 32
    assert statuses.count(200) == 40 - failed
    assert stats["counts"]["status 500"] == stats["counts"]["note failed on demand"] == failed
    assert stats["counts"]["requests"] == 40
    assert stats["counts"]["swift answers"] == 40 - failed


@pytest.mark.parametrize("dialect", ["wattbook", "original"])
@pytest.mark.parametrize("fault", ["break_rate", "crash_rate"])
def test_an_answer_can_break_off(fault: str, dialect: str) -> None:
    async def scenario() -> Any:
        async with bank_world(dialect=dialect) as world:
            await world.control.post("/control/faults", **{fault: 1})
            with pytest.raises(httpx.RemoteProtocolError):
                await world.api.get("/swift")
            await world.control.http.delete("/control/faults")
            return (await world.api.get("/swift")).status_code

    assert run(scenario()) == 200


def test_garbage_is_of_all_kinds_and_no_kind_passes_for_an_answer() -> None:
    async def scenario() -> tuple[list[httpx.Response], list[httpx.Response], Any]:
        async with bank_world() as world:
            right = [await asked(world, OLD)]
            await world.control.post("/control/faults", garbage_rate=1)
            wrong = [await asked(world, OLD) for _ in GARBAGE]
            return right, wrong, await world.control.stats()

    right, wrong, stats = run(scenario())

    assert all(usable(answer) for answer in right)
    assert not any(usable(answer) for answer in wrong)
    assert {f"note {kind}" for kind in GARBAGE} <= set(stats["counts"])
    assert max(len(answer.content) for answer in wrong) == TOO_LONG_BYTES


def usable(answer: httpx.Response) -> bool:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key twice")
        return dict(pairs)

    if answer.status_code != 200 or len(answer.content) > 64 * 1024 * 1024:
        return False
    try:
        body = json.loads(answer.text, object_pairs_hook=once)
    except ValueError:
        return False
    right = answer.headers["content-type"] == "application/json"
    return (
        right and len(body["transactions"]) == body["window"]["rows"] and len(body["window"]["sha256"]) == 64
    )


def test_a_repeated_window_says_which_it_is() -> None:
    async def scenario() -> tuple[httpx.Response, httpx.Response]:
        async with bank_world() as world:
            before = await asked(world, OLD - 1)
            await world.control.post("/control/faults", repeat_rate=1)
            return before, await asked(world, OLD)

    before, repeated = run(scenario())

    assert repeated.json() == before.json()


def test_reordered_rows_are_the_same_rows() -> None:
    async def scenario() -> tuple[httpx.Response, httpx.Response]:
        async with bank_world() as world:
            before = await asked(world, OLD)
            await world.control.post("/control/faults", reorder_rate=1)
            return before, await asked(world, OLD)

    before, after = run(scenario())

    assert before.json()["transactions"] != after.json()["transactions"]
    assert sorted_rows(before) == sorted_rows(after)
    assert window_of(before)["sha256"] != window_of(after)["sha256"]


def test_late_rows_are_there_when_the_window_is_asked_for_again() -> None:
    async def scenario() -> list[httpx.Response]:
        async with bank_world(faults="late_rate=1") as world:
            await asked(world, OLD)
            short = await asked(world, OLD)
            await world.control.post("/control/faults", late_rate=0)
            for window in range(OLD + 1, OLD + 4):
                await asked(world, window)
            return [short, await asked(world, OLD)]

    short, full = run(scenario())

    assert 0 < window_of(short)["rows"] < window_of(full)["rows"]
    assert not Counter(sorted_rows(short)) - Counter(sorted_rows(full))


def test_a_changed_window_has_other_rows_and_the_fifth_time_none() -> None:
    async def scenario() -> list[httpx.Response]:
        async with bank_world() as world:
            answers = [await asked(world, OLD)]
            for _ in range(6):
                await world.control.post("/control/change-window", source="swift", window=OLD)
                answers.append(await asked(world, OLD))
            return answers

    answers = run(scenario())

    assert len({answer.headers["etag"] for answer in answers}) == 7
    assert [window_of(answer)["rows"] == 0 for answer in answers] == [False] * 5 + [True, False]
    assert all(window_of(answer)["complete"] for answer in answers)


def test_windows_change_by_themselves_at_a_rate_and_are_listed() -> None:
    async def scenario() -> tuple[Any, Any]:
        async with bank_world(faults="change_rate=0.5") as world:
            for window in range(OLD, OLD + 20):
                await asked(world, window)
            return await world.control.get("/control/windows", source="swift"), await world.control.stats()

    windows, stats = run(scenario())

    assert [each["window"] for each in windows] == list(range(OLD, OLD + 20))
    assert sum(each["version"] for each in windows) == stats["counts"]["windows changed"] > 2


@pytest.mark.parametrize("dialect", ["wattbook", "original"])
def test_where_the_bank_keeps_the_place_all_comes_whatever_goes_wrong(dialect: str) -> None:
    """Repeated, reordered and late: in the end each payment was had, as often as it is there."""
    settings = {"dialect": dialect, "hang_real_s": 0, "since": "2023-01-05"}

    async def had(**faults: float) -> list[Counter[str]]:
        async with bank_world(**settings) as world:
            await world.control.post("/control/faults", **faults)
            found = []
            for _ in range(40):
                answer = await world.api.get("/swift")
                if answer.status_code == 200:
                    found.append(Counter(rows_in(answer.text)))
            return found

    def rows_in(text: str) -> list[str]:
        return [part.partition("}")[0] for part in text.replace("\\", "").split('{"id":')[1:]]

    calm = run(had())
    rough = run(had(repeat_rate=0.2, reorder_rate=0.2, late_rate=0.3))

    def most(answers: list[Counter[str]]) -> Counter[str]:
        together: Counter[str] = Counter()
        for answer in answers:
            together |= answer
        return together

    assert most(rough) == most(calm)
    assert [sorted(answer) for answer in rough] != [sorted(answer) for answer in calm]


def test_companies_come_accounts_move_and_rates_change() -> None:
    async def scenario() -> list[Any]:
        async with bank_world() as world:

            async def seen() -> tuple[Any, Any]:
                companies = (await world.api.get("/company_info")).json()
                return companies, (await world.api.get("/exchange_rates")).json()

            before = await seen()
            await world.control.post("/control/new-companies", count=2)
            moved = await world.control.post("/control/move-account")
            await world.control.post("/control/rates", usd_shift=1.5, without=["SGD"])
            return [before, moved, await seen(), world.bank.carried()]

    (companies, rates), moved, (companies_after, rates_after), carried = run(scenario())

    assert len(companies_after) == len(companies) + 2
    known = {iban for each in companies for iban in each["ibans"]}
    assert known.isdisjoint(iban for each in companies_after[-2:] for iban in each["ibans"])
    owner = {iban: each["id"] for each in companies_after for iban in each["ibans"]}
    assert owner[moved["iban"]] == moved["to"] + 1 != moved["from"] + 1
    assert sum(len(each["ibans"]) for each in companies_after) == len(known) + 4
    by_code, after = ({row["currency"]: row for row in table} for table in (rates, rates_after))
    assert after["EUR"]["usd_rate"] == pytest.approx(by_code["EUR"]["usd_rate"] * 1.5)
    assert set(by_code) - set(after) == {"SGD"}
    assert moved["iban"] in carried


def test_a_slow_answer_comes_late_and_others_do_not_wait_for_it() -> None:
    async def scenario() -> None:
        import asyncio

        async with bank_world(faults="slow_rate=1,slow_real_s=600") as world:
            slow = asyncio.create_task(asked(world, OLD))
            while (await world.control.stats())["counts"].get("requests", 0) < 1:
                await asyncio.sleep(0.002)
            await world.control.post("/control/faults", slow_rate=0)
            assert (await asked(world, OLD)).status_code == 200
            assert not slow.done()
            slow.cancel()
            await asyncio.wait([slow])

    run(scenario())


REFUSED = [
    ("/control/faults", {"fail_rate": 1.5}, "fail_rate"),
    ("/control/faults", {"fail_status": 200}, "fail_status"),
    ("/control/faults", {"slow_real_s": 1e9}, "slow_real_s"),
    ("/control/faults", {"what": 1}, "what"),
    ("/control/new-companies", {"count": 100_000}, "count"),
    ("/control/rates", {"without": ["ABC"]}, "ABC"),
    ("/control/rates", {"usd_shift": 0}, "usd_shift"),
    ("/control/change-window", {"source": "sct", "window": OLD}, "source"),
    ("/control/change-window", {"source": "sepa", "window": 9_999_999}, "window"),
]


def test_what_cannot_be_told_is_refused_and_named() -> None:
    async def scenario() -> list[httpx.Response]:
        async with bank_world() as world:
            return [await world.control.http.post(path, json=body) for path, body, _ in REFUSED]

    for (path, body, named), answer in zip(REFUSED, run(scenario()), strict=True):
        assert answer.status_code == 400, (path, body)
        assert named in answer.json()["message"]


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_answers_are_compressed_for_who_asks(coding: str) -> None:
    async def scenario() -> tuple[httpx.Response, bytes, httpx.Response]:
        async with bank_world() as world:
            world.api.headers["Accept-Encoding"] = "identity"
            plain = await asked(world, OLD)
            world.api.headers["Accept-Encoding"] = coding
            async with world.api.stream("GET", "/swift", params={"cursor": str(OLD)}) as answer:
                raw = b"".join([chunk async for chunk in answer.aiter_raw()])
            world.api.headers["If-None-Match"] = answer.headers["etag"]
            return plain, raw, await asked(world, OLD)

    plain, raw, again = run(scenario())

    assert "content-encoding" not in plain.headers
    assert len(raw) < len(plain.content) / 2
    unpack = {"gzip": gzip.decompress, "zstd": zstandard.ZstdDecompressor().decompress}[coding]
    assert unpack(raw) == plain.content
    assert again.status_code == 304
