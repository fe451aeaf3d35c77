"""Windows in any partition, order and repetition make the same balances; and figures that must agree do."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

import pytest
import sqlalchemy as sa
from cash_service.clients.dialects import ORIGINAL
from cash_service.domain.cleaning import Source
from cash_service.domain.companies import Company
from cash_service.domain.periods import DAY_US, WINDOW_US, read_time
from cash_service.store.tables import metadata
from cash_service.usecases.reading import take
from hypothesis import given, settings
from hypothesis import strategies as st
from wattbook.clock import from_epoch_us, iso_z
from wattbook_proto import cash_pb2

from tests.support.cash import Cash

OWN = ("NL91ABNA0417164300", "DE89370400440532013000", "FR7630006000011234567890189")
OTHERS = ("GB82WEST12345698765432", "UK82WEST12345698765432")
COMPANIES = [
    Company(0, "Zero", "", "", "", (OWN[0],)),
    Company(1, "One", "", "", "12.00", (OWN[1], OWN[2])),
    Company(2, "No account", "", "", "", ()),
]
RATES = json.dumps([["USD", "0.9", "1"], ["JPY", "0.0061", "0.0067"], ["GBP", "1.17", "1.29"]])
START_US = 3725 * WINDOW_US  # 2020-12-29: three windows over two months
SPAN_US = 3 * WINDOW_US

payment = st.fixed_dictionaries(
    {
        "sender": st.sampled_from(OWN + OTHERS),
        "beneficiary": st.sampled_from(OWN + OTHERS),
        "amount": st.decimals(min_value=Decimal("0.01"), max_value=10**15, places=2).map(str),
        "currency": st.sampled_from(["EUR", "USD", "JPY", "XAF"]),
        "time": st.integers(0, SPAN_US // 1_000_000 - 1).map(lambda s: START_US + s * 1_000_000),
        "copies": st.sampled_from([1, 1, 1, 2]),
    }
)


@pytest.fixture(scope="module")
def cash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cash]:
    found = Cash(f"sqlite:///{tmp_path_factory.mktemp('cash')}/cash.db")
    yield found
    found.close()


def emptied(cash: Cash) -> None:
    """As before the first answer, but for the companies and the rates."""
    with cash.store.write(durable=False) as connection:
        for name in ("leg", "cell", "set_aside", "rounding", "bank_window", "body", "outbox"):
            connection.execute(sa.delete(metadata.tables[name]))
        connection.execute(sa.update(metadata.tables["state"]).values(cells_before=0))
    if not cash.bank.companies_sha256():
        cash.bank.list_companies(COMPANIES, sha256="1")
        cash.bank.take_rates(RATES, now_us=START_US)


def heard(cash: Cash, source: Source, rows: list[dict]) -> None:
    """An answer with these rows."""
    body = cash.bank.write_down(source, answer(rows), dialect=ORIGINAL, received_us=START_US)
    take(cash.bank, cash.windows, body)


def answer(rows: list[dict]) -> bytes:
    written = [
        {name: row[name] for name in ("id", "sender", "beneficiary", "amount", "currency")}
        | {"time": iso_z(from_epoch_us(row["time"]))}
        for row in rows
        for _ in range(row["copies"])
    ]
    return json.dumps({"swift_transactions": json.dumps(written)}).encode()


def at(cash: Cash, company_id: int, at_us: int, *include: int) -> cash_pb2.BalanceReply:
    request = cash_pb2.BalanceRequest(company_id=company_id, at_us=at_us, include=include)
    return cash.ask("Balance", request)


@settings(max_examples=12)
@given(st.data(), st.lists(payment, min_size=1, max_size=12))
def test_any_partition_order_and_repetition_of_payments_make_the_same_balances(
    cash: Cash, data: st.DataObject, payments: list[dict]
) -> None:
    emptied(cash)
    payments = [row | {"id": str(place)} for place, row in enumerate(payments)]
    places = st.integers(0, len(payments) - 1)
    parts = [*data.draw(st.lists(st.sets(places, min_size=1), max_size=4)), set(range(len(payments)))]
    for part in data.draw(st.permutations(parts)):
        heard(cash, Source.SWIFT, [payments[place] for place in sorted(part)])
    heard(cash, Source.SEPA, [])

    for when_us in (START_US, START_US + WINDOW_US, START_US + SPAN_US):
        for company in COMPANIES:
            found = at(cash, company.id, when_us)
            paid = defaultdict(Decimal)
            for account in found.accounts:
                for money in account.by_currency:
                    paid[money.currency] += Decimal(money.amount)
            assert {code: sum_ for code, sum_ in paid.items() if sum_} == expected(payments, company, when_us)
            shown = Decimal(found.debt) + Decimal(found.credit) - Decimal(found.balance)
            assert abs(shown) <= Decimal("0.01")


def expected(payments: list[dict], company: Company, when_us: int) -> dict[str, Decimal]:
    """What a company has in each currency, row by row."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in payments:
        sides = {row["sender"], row["beneficiary"]}
        if row["time"] > when_us or row["copies"] > 1 or OTHERS[1] in sides:
            continue
        places = {"EUR": 2, "USD": 2}.get(row["currency"], 0)
        amount = round(Decimal(row["amount"]), places)
        sums[row["currency"]] += amount * (row["beneficiary"] in company.ibans)
        sums[row["currency"]] -= amount * (row["sender"] in company.ibans)
    return {code: sum_ for code, sum_ in sums.items() if sum_}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cash]:
    """Some hundred payments of two months, with batches, bad IBANs and a currency without a rate."""
    found = Cash(f"sqlite:///{tmp_path_factory.mktemp('cash')}/cash.db")
    emptied(found)
    rows = [
        {
            "id": str(place), "sender": (OWN + OTHERS)[place % 5],
            "beneficiary": (OWN + OTHERS)[place // 5 % 5],
            "amount": f"{place * 7919 % 100_003}.{place % 100:02d}", "copies": 1 + (place % 11 == 0),
            "currency": ("EUR", "USD", "JPY", "XAF")[place % 4], "time": START_US + place * 3_000_000_000,
        }
        for place in range(1, 400)
    ]  # fmt: skip
    heard(found, Source.SWIFT, rows)
    heard(found, Source.SEPA, [row | {"id": f"s{row['id']}", "currency": "EUR"} for row in rows[::3]])
    yield found
    found.close()


INCLUDES = [(), (cash_pb2.BATCH,), (cash_pb2.BATCH_ONCE,), (cash_pb2.INVALID_IBAN,), (1, 3)]
periods = st.tuples(st.integers(0, 20 * 24), st.integers(1, 20 * 24)).map(
    lambda hours: (START_US + hours[0] * DAY_US // 24, START_US + sum(hours) * DAY_US // 24)
)


@settings(max_examples=15)
@given(
    st.sampled_from([0, 1]), periods, st.sampled_from(range(1, 7)), st.sampled_from(INCLUDES),
    st.sampled_from(["EUR", "USD"]), st.booleans(),
)  # fmt: skip
def test_buckets_balances_and_payments_agree(
    filled: Cash, company_id: int, period: tuple, interval: int, include: tuple, currency: str, one: bool
) -> None:
    iban = OWN[company_id] if one else ""
    asked = {"company_id": company_id, "currency": currency, "include": include}
    span = {"from_us": period[0], "before_us": period[1], "iban": iban}
    history = filled.ask("History", cash_pb2.HistoryRequest(**asked, **span, interval=interval))
    pages = filled.ask("Transactions", cash_pb2.TransactionsRequest(**asked, **span))

    opening, closing = (
        filled.ask("Balance", cash_pb2.BalanceRequest(**asked, at_us=each - 1)) for each in period
    )
    first, last = history.buckets[0], history.buckets[-1]
    if one:
        first_of, last_of = (
            next(each.balance for each in found.accounts if each.account.iban == iban)
            for found in (opening, closing)
        )
    else:
        first_of, last_of = opening.balance, closing.balance
    assert (first.opening, last.closing) == (first_of, last_of)
    for left, right in zip(history.buckets, history.buckets[1:], strict=False):
        assert left.closing == right.opening
    for bucket in history.buckets:
        moved = Decimal(bucket.opening) + Decimal(bucket.cash_in) - Decimal(bucket.cash_out)
        assert Decimal(bucket.closing) - moved == Decimal(bucket.rounding)
        assert abs(Decimal(bucket.rounding)) <= Decimal("0.02")
        assert Decimal(bucket.lowest) <= Decimal(bucket.opening)
    rows = [row for page in pages for row in page.transactions]
    assert len(rows) == pages[0].sums.payments
    with_rate = [row for row in rows if row.converted]
    assert len(with_rate) == sum(bucket.payments for bucket in history.buckets)
    assert sum(each.payments for each in history.left_out) == len(rows) - len(with_rate)
    listed = sum(Decimal(row.converted) for row in with_rate if row.direction == cash_pb2.IN)
    assert abs(listed - Decimal(pages[0].sums.cash_in)) <= Decimal("0.005") * (len(rows) + 1)


@settings(max_examples=8)
@given(st.sampled_from([0, 1]), periods)
def test_including_more_never_counts_fewer_payments(filled: Cash, company_id: int, period: tuple) -> None:
    counts = [at(filled, company_id, period[1], *include).payments for include in INCLUDES]

    clean, batch, once, invalid, everything = counts
    assert clean <= once <= batch <= everything
    assert clean <= invalid <= everything
    assert everything - batch == invalid - clean


def test_pages_follow_each_other_without_a_gap_or_a_double(filled: Cash) -> None:
    asked = cash_pb2.TransactionsRequest(
        company_id=1, from_us=START_US, before_us=START_US + 60 * DAY_US, limit=7
    )
    found = []
    while True:
        pages = filled.ask("Transactions", asked)
        found += [row for page in pages for row in page.transactions]
        asked.cursor = pages[-1].next_cursor
        if not asked.cursor:
            break
    asked.limit = 0
    whole = [row for page in filled.ask("Transactions", asked) for row in page.transactions]

    assert found == whole
    assert len(found) > 100
    assert [row.time_us for row in found] == sorted((row.time_us for row in found), reverse=True)


def test_the_windows_of_the_tests_are_where_they_are_said_to_be() -> None:
    assert read_time("2020-12-29") == START_US
