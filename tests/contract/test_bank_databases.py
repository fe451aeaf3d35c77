"""A data set in a database is the data set of a folder, on each engine."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sandbox.bank.api.commands import run as run_command
from sandbox.bank.api.wattbook import STYLE
from sandbox.bank.domain.encoding import array_text
from sandbox.bank.domain.sets import Plan
from sandbox.bank.domain.sizes import SIZES, SOURCES, Span
from sandbox.bank.store.database import Database, url_of
from sandbox.bank.store.folder import Folder
from sandbox.bank.usecases.make import Target, make
from wattbook.errors import Conflict, NotFound, Unavailable

from tests.support.engines import NewStoreUrl
from tests.unit.sandbox.worlds import bank_world, run

PLAN = Plan(SIZES["small"], 7, Span.of(date(2020, 2, 11), date(2020, 7, 3)))


def quiet(done: int, of: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def url(new_store_url: NewStoreUrl, tmp_path: Path) -> str:
    (tmp_path / "stores").mkdir(exist_ok=True)
    return new_store_url("bank")


def test_a_database_holds_what_a_folder_holds(url: str, tmp_path: Path) -> None:
    make(PLAN, Target(tmp_path / "out", database=url_of(url)), force=False, processes=1, progress=quiet)
    folder, database = Folder(tmp_path / "out"), Database(url_of(url))

    assert database.plan == folder.plan
    assert database.companies() == folder.companies()
    assert database.others() == folder.others()
    for source in SOURCES:
        for window in PLAN.span.windows:
            read, expected = database.rows(source, window), folder.rows(source, window)
            assert array_text(read, STYLE) == array_text(expected, STYLE)
    assert len(database.rows("sepa", PLAN.span.windows[-1] + 1)) == 0


def test_a_database_is_handed_out(url: str) -> None:
    make(PLAN, Target(database=url_of(url)), force=False, processes=1, progress=quiet)

    async def scenario() -> tuple[Any, Any]:
        async with bank_world(source=url) as world:
            answers = await asyncio.gather(*(world.api.get(f"/{source}") for source in SOURCES))
            return [each.json()["window"] for each in answers], (await world.api.get("/company_info")).json()

    windows, companies = run(scenario())

    first = PLAN.span.windows[0]
    assert [each["rows"] for each in windows] == [PLAN.size.rows(source, first) for source in SOURCES]
    assert len(companies) == 100


def test_tables_that_are_there_go_only_by_force(url: str) -> None:
    make(PLAN, Target(database=url_of(url)), force=False, processes=1, progress=quiet)

    other = Plan(PLAN.size, 8, PLAN.span)
    with pytest.raises(Conflict, match="--force"):
        make(other, Target(database=url_of(url)), force=False, processes=1, progress=quiet)
    make(other, Target(database=url_of(url)), force=True, processes=1, progress=quiet)

    assert Database(url_of(url)).plan.seed == 8


def test_what_is_there_already_is_not_made_again(url: str) -> None:
    """A maker in a container runs at each start."""
    target = Target(database=url_of(url))

    assert make(PLAN, target, force=False, processes=1, progress=quiet)
    assert not make(PLAN, target, force=False, processes=1, progress=quiet)
    assert make(PLAN, target, force=True, processes=1, progress=quiet)


def test_a_database_without_a_whole_data_set_is_refused(url: str) -> None:
    with pytest.raises(NotFound, match="no data set"):
        Database(url_of(url))

    def killed(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(PLAN, Target(database=url_of(url)), force=False, processes=1, progress=killed)
    with pytest.raises(NotFound, match="not whole"):
        Database(url_of(url))


def test_a_database_that_is_not_up_is_said_to_be_away() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        Database(url_of("postgresql://somebody@127.0.0.1:9/bank"))


@pytest.mark.parametrize("given", ["mysql://h/db", "sqlite://", "no url"])
def test_only_addresses_of_known_databases_are_taken(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["make", "--database", given], {}) == 1
    assert "a database is sqlite:///path or postgresql://" in capsys.readouterr().err


def test_passwords_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    environment = {
        "POSTGRES_HOSTNAME": "127.0.0.1:9",
        "POSTGRES_USER": "u",
        "POSTGRES_PASSWORD": "hidden word",
    }

    assert run_command(["make"], environment) == 1
    assert "hidden word" not in capsys.readouterr().err


def test_data_must_go_somewhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["make"], {}) == 1
    assert "--out" in capsys.readouterr().err
