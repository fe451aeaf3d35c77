"""The bank's API as the original has it: one place for everybody, text within JSON, an end without a word."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from sandbox.bank.domain.rows import Made
from sandbox.bank.domain.sets import Plan
from sandbox.bank.domain.sizes import SIZES, Span
from sandbox.bank.usecases.make import Target, make

from tests.unit.sandbox.worlds import MORNING, BankWorld, bank_world, run


def objects_of(body: str) -> list[dict[str, str]]:
    """The objects that follow each other in a body."""
    found, at = [], 0
    while at < len(body):
        value, at = json.JSONDecoder().raw_decode(body, at)
        found.append(value)
    return found


def rows_of(answer: httpx.Response, source: str) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [row for each in objects_of(answer.text) for row in json.loads(each[f"{source}_transactions"])]


async def polled(world: BankWorld, source: str, most: int = 1000) -> list[list[dict[str, Any]]]:
    """Answers until none comes any more."""
    found = []
    for _ in range(most):
        answer = await world.api.get(f"/{source}")
        if answer.status_code >= 500:
            break
        found.append(rows_of(answer, source))
    return found


def original(**settings: Any) -> Any:
    return bank_world(dialect="original", hang_real_s=0, **settings)


def test_all_payments_come_in_groups_of_five_days_that_share_their_ends() -> None:
    async def scenario() -> list[list[dict[str, Any]]]:
        async with original(since="2022-07-17") as world:
            return await polled(world, "swift")

    groups = run(scenario())

    made = Made(SIZES["small"], seed=7, first_window=3838)
    last_s = 3878 * 432_000 + 2 * 86_400  # the last whole group ends within the open window
    expected = Counter(
        int(each)
        for w in range(3838, 3879)
        for each, at in zip(made.rows("swift", w).id, made.rows("swift", w).time_s, strict=True)
        if at <= last_s
    )
    found = Counter(row["id"] for group in groups for row in group)
    assert len(groups) == 41
    assert set(found) == set(expected)
    assert sum((found - expected).values()) <= len(groups)  # a payment at the very second is in both
    assert not expected - found


def test_rows_are_as_its_clients_know_them() -> None:
    async def scenario() -> tuple[httpx.Response, list[Any]]:
        async with original(since="2022-07-17") as world:
            await world.api.get("/swift")
            second = await world.api.get("/swift")
            return second, rows_of(second, "swift") + [r for g in await polled(world, "swift", 20) for r in g]

    answer, rows = run(scenario())

    assert "}{" in answer.text
    assert set(rows[0]) == {"id", "sender", "beneficiary", "amount", "currency", "time"}
    assert {frozenset(row["amount"]) for row in rows} == {frozenset({"Float", "Status"})}
    assert {row["amount"]["Status"] for row in rows} == {2}
    bare = sum(bool(re.fullmatch(r"\d{4}-\d\d-\d\d", row["time"])) for row in rows)
    assert 0.3 < bare / len(rows) < 0.7
    assert "SGP" in {row["currency"] for row in rows}
    assert "SGD" not in {row["currency"] for row in rows}


def test_companies_and_rates_are_text_within_json() -> None:
    async def scenario() -> list[Any]:
        async with original() as world:
            return [
                (await world.api.get(path)).json()
                for path in ("/company_info", "/companyInfo", "/exchange_rates")
            ]

    companies, again, rates = run(scenario())

    assert companies == again
    rows = json.loads(companies["company_info"])
    assert set(rows[0]) == {"companyID", "name", "ibans", "address", "balance"}
    assert [row["companyID"] for row in rows] == list(range(100))
    assert all(row["ibans"].startswith("{") and row["ibans"].endswith("}") for row in rows)
    assert any("," in row["ibans"] for row in rows)
    yen = next(row for row in json.loads(rates["exchange_rates"]) if row["currency"] == "JPY")
    assert yen["usd_rate"] > 100 > 1 > yen["eur_rate"]


def test_there_is_one_place_for_everybody() -> None:
    async def scenario() -> list[list[int]]:
        async with original() as world:
            answers = [
                await world.api.get("/sepa", headers={"Authorization": who}) for who in ("a", "b", "a")
            ]
            return [[row["id"] for row in rows_of(answer, "sepa")] for answer in answers]

    first, second, third = run(scenario())

    assert max(first) < min(second)
    assert max(second) < min(third)


@pytest.mark.parametrize("end", [date(2020, 3, 1), date(2020, 3, 4)])
def test_a_folder_comes_to_its_last_payment_and_then_nothing_useful(tmp_path: Path, end: date) -> None:
    plan = Plan(SIZES["small"], 7, Span.of(date(2020, 1, 1), end))
    make(plan, Target(tmp_path), force=False, processes=1, progress=lambda done, of: None)

    async def scenario() -> tuple[list[Any], list[int]]:
        async with original(source=tmp_path) as world:
            groups = await polled(world, "sepa")
            return groups, [(await world.api.get("/sepa")).status_code for _ in range(2)]

    groups, statuses = run(scenario())

    ids = {row["id"] for group in groups for row in group}
    last = max(ids)
    assert min(ids) == plan.size.rows_before("sepa", plan.span.windows[0])
    rows = sum(plan.size.rows("sepa", window) for window in plan.span.windows)
    assert sum(len(group) for group in groups) >= rows
    assert last < plan.size.rows_before("sepa", plan.span.windows[-1] + 1)
    assert statuses == [500, 500]


def test_the_next_group_comes_once_its_days_are_over() -> None:
    async def scenario() -> tuple[int, int]:
        async with original(since=MORNING.date().isoformat()) as world:
            before = len(await polled(world, "sepa"))
            world.clock.advance(5 * 86_400)
            return before, len(await polled(world, "sepa"))

    assert run(scenario()) == (1, 1)
