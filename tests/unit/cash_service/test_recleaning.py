"""Cleaning the kept answers by changed rules: what it would change is shown before it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from cash_service.store.tables import account, bank_window, leg
from wattbook_proto import cash_pb2

from tests.support.cash import Cash, exposed, made_set


@pytest.fixture
def cash(tmp_path: Path) -> Iterator[Cash]:
    found = Cash(f"sqlite:///{tmp_path}/cash.db")
    with exposed(made_set(tmp_path / "small", first=date(2021, 12, 20))) as bank:
        found.follow(bank.url)
    yield found
    found.close()


def cleaned_by_other_rules(cash: Cash) -> int:
    """As if earlier rules had set a payment aside that counts today; whose it is."""
    with cash.store.write() as connection:
        row = connection.execute(sa.select(leg).where(leg.c.kind == 0).limit(1)).one()
        key = leg.c.account == row.account, leg.c.time_us == row.time_us, leg.c.line == row.line
        connection.execute(sa.update(leg).where(*key).values(kind=1))
        connection.execute(sa.update(bank_window).values(rules_version=0))
        owner = sa.select(account.c.company_id).where(account.c.number == row.account)
        return int(connection.execute(owner).scalar_one())


def reclean(cash: Cash, *, keep: bool) -> cash_pb2.RecleanReply:
    return cash.ask("Reclean", cash_pb2.RecleanRequest(keep=keep))[-1]


def test_what_changes_is_said_by_company_and_only_kept_on_demand(cash: Cash) -> None:
    company_id = cleaned_by_other_rules(cash)

    shown = reclean(cash, keep=False)
    (difference,) = shown.differences
    assert (difference.company_id, shown.done, shown.kept) == (company_id, True, False)
    assert difference.payments_after == difference.payments_before + 1
    assert difference.balance_after != difference.balance_before
    windows = cash.ask("Status", cash_pb2.StatusRequest()).windows_of_older_rules
    assert windows == shown.windows_total > 0

    assert reclean(cash, keep=True).differences == shown.differences
    assert cash.ask("Status", cash_pb2.StatusRequest()).windows_of_older_rules == 0
    assert not reclean(cash, keep=False).differences
    assert cash.windows.check(now_us=1) == ""


def test_an_account_that_moves_takes_its_past_with_it(cash: Cash) -> None:
    companies = cash.ask("Companies", cash_pb2.CompaniesRequest(limit=1000, sort="id")).companies
    first, second = companies[0].id, companies[1].id
    before = cash.ask("Balance", cash_pb2.BalanceRequest(company_id=first))
    with cash.store.write() as connection:
        moved = sa.update(account).where(account.c.iban == before.accounts[0].account.iban)
        connection.execute(moved.values(company_id=second))
        versions = sa.text("UPDATE state SET accounts_version = accounts_version + 1")
        connection.execute(versions)
    stale = cash.bank.stale(limit=1000)

    follower = cash.follower("http://127.0.0.1:9")  # nobody is there, and nobody is needed
    while cash.bank.stale(limit=1):
        follower.turn()

    after = cash.ask("Balance", cash_pb2.BalanceRequest(company_id=second))
    assert stale
    assert before.accounts[0] in list(after.accounts)
    assert cash.windows.check(now_us=1) == ""
