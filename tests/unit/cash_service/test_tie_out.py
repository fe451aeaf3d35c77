"""What is made of the bank's data, against the bank's own answer key and labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa
from cash_service.domain.balances import Include, account_totals, kinds_of
from cash_service.domain.cleaning import Reason
from cash_service.domain.iban import normal_iban
from cash_service.store.tables import account, set_aside
from wattbook.clock import to_epoch_us
from wattbook_proto import cash_pb2

from tests.support.cash import Cash, exposed, made_set
from tests.support.engines import NewStoreUrl

COLUMNS = {
    "clean_minor": (),
    "batch_minor": (Include.BATCH,),
    "batch_once_minor": (Include.BATCH_ONCE,),
}


@contextmanager
def followed(data_set: Path, store_url: str) -> Iterator[Cash]:
    """The data set, followed over HTTP to its end."""
    cash = Cash(store_url)
    try:
        with exposed(data_set) as bank:
            cash.follow(bank.url)
        yield cash
    finally:
        cash.close()


@pytest.fixture(scope="module")
def last_quarter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_set(tmp_path_factory.mktemp("bank") / "small", first=date(2021, 10, 1))


def test_small_equals_the_answer_key_to_the_cent(last_quarter: Path, new_store_url: NewStoreUrl) -> None:
    with followed(last_quarter, new_store_url("cash")) as cash:
        check_balances(cash, last_quarter, quarters=1)
        check_conversion(cash, last_quarter)
        check_labels(cash, last_quarter)
        check_progress(cash)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("size", "first", "quarters"), [("small", 2018, 16), ("medium", 2021, 4)])
def test_years_of_a_set_equal_the_answer_key_to_the_cent(
    size: str, first: int, quarters: int, new_store_url: NewStoreUrl, tmp_path: Path
) -> None:
    data_set = made_set(tmp_path / size, size=size, first=date(first, 1, 1))
    with followed(data_set, new_store_url("cash")) as cash:
        check_balances(cash, data_set, quarters=quarters)
        check_conversion(cash, data_set)
        check_labels(cash, data_set)
        check_progress(cash)


def test_the_original_dialect_with_its_mislabelled_rates_and_bare_dates_gives_the_same_balances(
    last_quarter: Path, tmp_path: Path
) -> None:
    cash = Cash(f"sqlite:///{tmp_path}/cash.db")
    with exposed(last_quarter, dialect="original", hang_real_s="0") as bank:
        follower = cash.follower(bank.url)
        while not all(stream.has_end for stream in cash.bank.streams().values()):
            cash.clock.advance(follower.turn())

    status = cash.ask("Status", cash_pb2.StatusRequest())
    check_balances(cash, last_quarter, quarters=1, names={"SGD": "SGP"})
    check_labels(cash, last_quarter)
    assert (status.dialect, status.basis.rates.reading) == ("original", cash_pb2.QUOTED)
    assert [source.windows_missing for source in status.sources] == [0, 0]
    cash.close()


def check_balances(
    cash: Cash, data_set: Path, *, quarters: int, names: Mapping[str, str] | None = None
) -> None:
    """Every account and currency, by the names they have, at every quarter's end, clean and with batches."""
    names = names or {}
    for column, include in COLUMNS.items():
        key: dict[date, dict[tuple[str, str], int]] = {}
        query = f"select iban, currency, quarter_end, {column} from '{data_set}/key.parquet'"
        for iban, currency, day, minor in duckdb.sql(query).fetchall():
            key.setdefault(day, {})[iban, names.get(currency, currency)] = minor
        assert len(key) == quarters
        for day, expected in key.items():
            assert balances(cash, day, include) == {each: minor for each, minor in expected.items() if minor}


def balances(cash: Cash, day: date, include: tuple[Include, ...]) -> dict[tuple[str, str], int]:
    """By IBAN and currency, in minor units, at the end of a day; those that are not 0."""
    with cash.store.read() as connection:
        known = sa.select(account.c.number, account.c.iban).where(account.c.company_id.is_not(None))
        ibans = {row.number: row.iban for row in connection.execute(known)}
    at_us = to_epoch_us(datetime.combine(day + timedelta(days=1), time(), UTC)) - 1
    sums = cash.questions.sums_to(list(ibans), at_us)
    totals, left_out = account_totals(sums, cash.bases.now().conversion("EUR"), kinds_of(include))
    assert not left_out
    return {
        (ibans[number], currency): minor
        for number, total in totals.items()
        for currency, minor in total.by_currency.items()
        if minor
    }


def check_conversion(cash: Cash, data_set: Path) -> None:
    """Every company's balance in EUR and in USD."""
    expected = duckdb.sql(
        f"select company, sum(clean_eur), sum(clean_usd) from '{data_set}/key.parquet'"
        " where quarter_end = '2021-12-31' group by company"
    ).fetchall()
    for company, *amounts in expected:  # the key counts from 0, the API from 1
        for currency, amount in zip(("EUR", "USD"), amounts, strict=True):
            shown = amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN)
            request = cash_pb2.BalanceRequest(company_id=company + 1, currency=currency)
            assert Decimal(cash.ask("Balance", request).balance) == shown, (company, currency)


def check_labels(cash: Cash, data_set: Path) -> None:
    """What is set aside is exactly what is labelled: precision and recall are 1."""
    query = (
        f"select distinct kind, id::varchar, payer_iban, beneficiary_iban from '{data_set}/labels/*.parquet'"
    )
    expected = set(duckdb.sql(query).fetchall())
    with cash.store.read() as connection:
        rows = connection.execute(sa.select(set_aside)).all()

    found = {
        (name, row.payment_id, normal_iban(row.payer), normal_iban(row.beneficiary))
        for row in rows
        for name, reason in (("batch", Reason.BATCH), ("invalid_iban", Reason.INVALID_IBAN))
        if row.reasons & reason
    }
    assert found == expected
    assert not [row for row in rows if row.reasons & ~(Reason.BATCH | Reason.INVALID_IBAN)]


def microseconds(text: str) -> int:
    return to_epoch_us(datetime.fromisoformat(text))


def check_progress(cash: Cash) -> None:
    """Everything is had, and nothing is missing."""
    status = cash.ask("Status", cash_pb2.StatusRequest())

    assert (status.basis.windows_missing, status.basis.loading) == (0, False)
    assert status.basis.complete_to_us >= microseconds("2022-01-01T00:00:00Z")
    assert all(source.payments and not source.windows_late for source in status.sources)
