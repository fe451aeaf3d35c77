"""The bank's API in its own dialect: windows by cursor, up to the clock's now."""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from sandbox.bank.domain.sets import Plan
from sandbox.bank.domain.sizes import SIZES, Span, window_at
from sandbox.bank.usecases.make import Target, make

from tests.unit.sandbox.worlds import MORNING, BankWorld, bank_world, run

DAY_S = 86_400
OPEN = str(window_at(MORNING))


async def followed(world: BankWorld, source: str, cursor: str = "", most: int = 1000) -> list[dict[str, Any]]:
    """Answers from a cursor on, until one says that there is nothing more yet."""
    found = []
    for _ in range(most):
        answer = await world.api.get(f"/{source}", params={"cursor": cursor} if cursor else {})
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        if not found[-1]["window"]["complete"]:
            break
        cursor = found[-1]["next"]
    return found


def test_a_client_follows_the_cursor_to_now() -> None:
    async def scenario() -> list[dict[str, Any]]:
        async with bank_world(since="2022-07-17") as world:
            return await followed(world, "sepa")

    answers = run(scenario())

    windows = [answer["window"] for answer in answers]
    assert len(windows) == 41
    assert all(a["to"] == b["from"] for a, b in pairwise(windows))
    assert [window["complete"] for window in windows] == [True] * 40 + [False]
    assert windows[-1]["from"] < MORNING.strftime("%Y-%m-%dT%H:%M:%SZ") < windows[-1]["to"]
    assert {window["rows"] for window in windows[:-1]} == {34, 35}
    for answer in answers:
        assert answer["window"]["rows"] == len(answer["transactions"])
        for row in answer["transactions"]:
            assert answer["window"]["from"] <= row["timestamp"] < answer["window"]["to"]
    assert set(answers[0]["transactions"][0]) == {
        "id", "payer_iban", "beneficiary_iban", "amount", "currency", "timestamp",
    }  # fmt: skip


def test_the_open_window_grows_with_the_clock_and_is_then_complete() -> None:
    async def scenario() -> list[dict[str, Any]]:
        async with bank_world() as world:
            cursor = OPEN
            answers = []
            for _ in range(8):
                answers.append((await followed(world, "swift", cursor, most=1))[0])
                world.clock.advance(DAY_S)
            return answers

    answers = run(scenario())

    rows = [answer["transactions"] for answer in answers]
    assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(rows))
    assert len(rows[0]) < len(rows[-1]) == answers[-1]["window"]["rows"]
    assert len(rows[-1]) in {341, 342}
    assert [answer["window"]["complete"] for answer in answers][-1]
    assert all((answer["next"] != answers[0]["next"]) == answer["window"]["complete"] for answer in answers)


def test_at_the_end_it_says_when_to_come_again_and_what_it_hands_out_can_be_checked() -> None:
    async def scenario() -> tuple[httpx.Response, httpx.Response]:
        async with bank_world() as world:
            first = await world.api.get("/swift")
            return first, await world.api.get("/swift", params={"cursor": OPEN})

    first, last = run(scenario())

    assert "retry-after" not in first.headers
    assert int(last.headers["retry-after"]) > 0
    for answer in (first, last):
        text = answer.text.partition('"transactions":')[2].rpartition(',"next":')[0]
        assert hashlib.sha256(text.encode()).hexdigest() == answer.json()["window"]["sha256"]
    assert first.links["next"]["url"] == f"/swift?cursor={first.json()['next']}"


def test_a_window_that_a_client_has_is_not_sent_again() -> None:
    async def scenario() -> list[httpx.Response]:
        async with bank_world() as world:
            cursor = OPEN
            asked = [await world.api.get("/swift", params={"cursor": cursor})]
            for seconds in (0, DAY_S):
                world.clock.advance(seconds)
                etag = asked[0].headers["etag"]
                asked.append(
                    await world.api.get("/swift", params={"cursor": cursor}, headers={"If-None-Match": etag})
                )
            return asked

    first, same, grown = run(scenario())

    assert (first.status_code, same.status_code, grown.status_code) == (200, 304, 200)
    assert same.content == b""
    assert same.headers["etag"] == first.headers["etag"] != grown.headers["etag"]


def test_without_a_cursor_each_client_goes_on_where_it_left_off() -> None:
    async def scenario() -> list[str]:
        async with bank_world() as world:
            asked = []
            for who in ("a", "a", "b", "a"):
                answer = await world.api.get("/sepa", headers={"Authorization": f"Bearer {who}"})
                asked.append(answer.json()["window"]["from"])
            return asked

    first, second, other, third = map(datetime.fromisoformat, run(scenario()))

    assert other == first
    assert second - first == third - second == timedelta(days=5)


def test_a_folder_is_handed_out_to_its_end_and_then_nothing_comes(tmp_path: Path) -> None:
    plan = Plan(SIZES["small"], 7, Span.of(date(2020, 1, 1), date(2020, 3, 1)))
    make(plan, Target(tmp_path), force=False, processes=1, progress=lambda done, of: None)

    async def scenario() -> tuple[list[dict[str, Any]], httpx.Response, httpx.Response]:
        async with bank_world(source=tmp_path) as world:
            answers = await followed(world, "sepa")
            end = await world.api.get("/sepa", params={"cursor": answers[-2]["next"]})
            return answers, end, await world.api.get("/sepa", params={"cursor": "1"})

    answers, end, foreign = run(scenario())

    times = [row["timestamp"] for answer in answers for row in answer["transactions"]]
    assert len(times) == sum(plan.size.rows("sepa", window) for window in plan.span.windows)
    assert "2020-01-01" <= times[0] < times[-1] < "2020-03-01"
    assert end.json() == answers[-1]
    assert end.json()["transactions"] == []
    assert end.json()["window"]["complete"] is False
    assert int(end.headers["retry-after"]) > 0
    assert foreign.status_code == 400


REFUSED = [
    ("/sepa?cursor=x", 400, "cursor"),
    ("/sepa?cursor=1.0", 400, "cursor"),
    ("/swift?cursor=-1", 400, "cursor"),
    ("/swift?cursor=9999999", 400, "cursor"),
    ("/sepa?page=1", 400, "page"),
    ("/none", 404, ""),
]


def test_what_cannot_be_asked_is_refused_and_named() -> None:
    async def scenario() -> list[httpx.Response]:
        async with bank_world() as world:
            return [await world.api.get(path) for path, _, _ in REFUSED]

    for (path, status, named), answer in zip(REFUSED, run(scenario()), strict=True):
        assert answer.status_code == answer.json()["status_code"] == status, path
        assert named in answer.json()["message"]


def test_a_token_is_asked_for_by_everything_but_ping() -> None:
    async def scenario() -> list[int]:
        async with bank_world(token="s3cret") as world:
            paths = ("/ping", "/company_info", "/exchange_rates", "/sepa", "/swift")
            without = [(await world.api.get(path)).status_code for path in paths]
            world.api.headers["Authorization"] = "Bearer s3cret"
            return without + [(await world.api.get(path)).status_code for path in paths]

    assert run(scenario()) == [200, 401, 401, 401, 401, 200, 200, 200, 200, 200]


def test_companies_and_rates_come_as_arrays() -> None:
    async def scenario() -> tuple[Any, Any]:
        async with bank_world(rates="quoted") as world:
            return (await world.api.get("/company_info")).json(), (
                await world.api.get("/exchange_rates")
            ).json()

    companies, rates = run(scenario())

    assert len(companies) == 100
    assert set(companies[0]) == {"id", "name", "owner", "address", "ibans"}
    yen = next(rate for rate in rates if rate["currency"] == "JPY")
    assert yen["usd_rate"] > 100 > 1 > yen["eur_rate"]
