"""Whatever the bank does wrong on the way, at the end the balances are those of its payments."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from cash_service.store.tables import account, cell, failed_try, leg
from wattbook_proto import cash_pb2

from tests.support.cash import Cash, exposed, made_set

DAY_S = 86_400.0
FAULTS = {
    "broken": "break_rate=0.2,fail_rate=0.1,garbage_rate=0.4",
    "mixed up": "repeat_rate=0.3,reorder_rate=0.3",
    "late and changed": "late_rate=0.3,change_rate=0.3",
}


@pytest.fixture(scope="module")
def two_months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_set(tmp_path_factory.mktemp("bank") / "small", first=date(2021, 11, 1))


def everything(cash: Cash) -> dict[tuple[str, int, int, str, int], int]:
    """Legs by account, time and what they are; without the numbers that a store gives."""
    query = sa.select(
        account.c.iban, leg.c.time_us, leg.c.minor, leg.c.currency, leg.c.kind, sa.func.count()
    ).join(account, account.c.number == leg.c.account)
    query = query.group_by(account.c.iban, leg.c.time_us, leg.c.minor, leg.c.currency, leg.c.kind)
    with cash.store.read() as connection:
        return {tuple(row[:-1]): row[-1] for row in connection.execute(query)}


def follow(cash: Cash, url: str, *, days: int) -> None:
    """Ask to the end of each of some days."""
    follower = cash.follower(url)
    for _ in range(days):
        while not all(each.has_end for each in cash.bank.streams().values()) or not follower.turn():
            cash.clock.advance(follower.turn())
        cash.clock.advance(DAY_S + 1)
    follower.resign()


@pytest.mark.slow
@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_the_end_is_as_if_nothing_had_gone_wrong(faults: str, two_months: Path, tmp_path: Path) -> None:
    troubled, calm = Cash(f"sqlite:///{tmp_path}/a.db"), Cash(f"sqlite:///{tmp_path}/b.db")
    with exposed(two_months, faults=faults) as bank:
        follow(troubled, bank.url, days=1)
        httpx.delete(f"{bank.control_url}/control/faults").raise_for_status()
        follow(troubled, bank.url, days=3)
        follow(calm, bank.url, days=1)

    found = troubled.ask("Status", cash_pb2.StatusRequest())
    assert everything(troubled) == everything(calm)
    assert (found.basis.windows_missing, found.check_trouble) == (0, "")
    assert found.checked_us
    with troubled.store.read() as connection:
        reasons = set(connection.execute(sa.select(failed_try.c.reason)).scalars())
    if "garbage" in faults:
        assert {"content_type", "redirect", "too_large", "sha256", "rows"} <= reasons
    if "change" in faults:
        assert sum(source.windows_changed for source in found.sources) > 0
    troubled.close()
    calm.close()


def test_sums_that_differ_from_their_payments_are_found_and_told(two_months: Path, tmp_path: Path) -> None:
    cash = Cash(f"sqlite:///{tmp_path}/cash.db")
    with exposed(two_months) as bank:
        cash.follow(bank.url)
    assert cash.windows.check(now_us=1) == ""

    with cash.store.write() as connection:
        first = sa.select(cell.c.account, cell.c.month).order_by(cell.c.account).limit(1)
        number, month = connection.execute(first).one()
        wrong = sa.update(cell).where(cell.c.account == number, cell.c.month == month)
        connection.execute(wrong.values(low=cell.c.low + 1))

    assert "sums of 1 months differ" in cash.windows.check(now_us=2)
    assert "sums of 1 months" in cash.ask("Status", cash_pb2.StatusRequest()).check_trouble
    cash.close()
