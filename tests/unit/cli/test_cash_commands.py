"""``wattbook companies``, ``balance`` and ``cash`` over answers of the gateway's own making."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from gateway.api import cash_answers
from wattbook_proto import cash_pb2

from tests.unit.cli.conftest import Wattbook
from tests.unit.cli.fakes import FakeGateway
from tests.unit.gateway.fake_cash import OWN, FakeCash

BANK = FakeCash()
SEVEN: dict[str, Any] = {"company_id": 7}


@pytest.fixture(autouse=True)
def answers(gateway: FakeGateway) -> None:
    said = {
        "companies": cash_answers.companies(BANK.Companies(cash_pb2.CompaniesRequest(limit=20), None)),
        "companies/7/balance": cash_answers.balance(BANK.Balance(cash_pb2.BalanceRequest(**SEVEN), None)),
        "companies/7/history": cash_answers.history(BANK.History(cash_pb2.HistoryRequest(**SEVEN), None)),
        "companies/7/quality": cash_answers.quality(BANK.Quality(cash_pb2.QualityRequest(**SEVEN), None)),
        "cash/status": cash_answers.status(BANK.Status(cash_pb2.StatusRequest(), None)),
        "cash/windows": cash_answers.windows(BANK.Windows(cash_pb2.WindowsRequest(), None)),
    }
    gateway.answers.update({f"GET /v1/{path}": body for path, body in said.items()})


def test_companies_are_found_and_what_they_are_called_steers_no_terminal(
    wattbook: Wattbook, gateway: FakeGateway
) -> None:
    done = wattbook("companies", "Söhne")

    assert done.code == 0, done
    assert "901.00 EUR" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    assert gateway.asked[-1][2] == "q=S%C3%B6hne&limit=20"


def test_names_in_a_file_are_no_formulas(wattbook: Wattbook) -> None:
    (header, *rows) = csv.reader(io.StringIO(wattbook("companies", "--csv").out))

    assert header[:3] == ["No.", "Company", "Owner"]
    assert rows[0][1].startswith("'=HYPERLINK")


def test_a_balance_says_debt_and_credit_and_what_it_stands_on(wattbook: Wattbook) -> None:
    done = wattbook("balance", "7")

    assert done.code == 0, done
    assert "Balance 900.10 EUR  Debt -100.00 EUR  Credit 1,000.10 EUR" in done.out
    assert "The bank states 901.00 EUR" in done.out
    assert f"{OWN[0]}" in done.out
    assert "Complete to 2021-01-01 00:00, rates version 3." in done.out
    assert "1 window missing: sepa 2021-01-01" in done.err
    assert "not in the sums, without a rate: -3.00 SGP" in done.err


def test_a_balance_by_month_comes_as_table_json_and_csv(wattbook: Wattbook, gateway: FakeGateway) -> None:
    shown = wattbook(
        "balance", "7", "--by", "month", "--in", "USD", "--include", "batch", "--from", "2021-01-01"
    )
    (row,) = csv.DictReader(io.StringIO(wattbook("balance", "7", "--by", "month", "--csv").out))
    exact = json.loads(wattbook("balance", "7", "--by", "month", "--json").out)

    assert "1,000.10" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    assert (row["Closing"], row["Lowest"]) == ("900.10", "-20.00")
    assert exact["buckets"][0]["closing"] == "900.10"
    assert gateway.asked[-3][2] == "currency=USD&include=batch&interval=month&from=2021-01-01"


def test_large_figures_leave_the_period_its_room(wattbook: Wattbook, gateway: FakeGateway) -> None:
    bucket = gateway.answers["GET /v1/companies/7/history"]["buckets"][0]
    for name in ("opening", "in", "out", "internal", "closing", "lowest"):
        bucket[name] = "-12345678.90"
    done = wattbook("balance", "7", "--by", "month")

    assert "2021-01 -12,345,678.90" in " ".join(done.out.split())
    assert max(map(len, done.out.splitlines())) <= 80


def test_a_name_that_several_have_is_refused_with_their_numbers(wattbook: Wattbook) -> None:
    done = wattbook("balance", "Mühle")

    assert done.code == 1
    assert "several companies have 'Mühle': 7 " in done.err


def test_the_bank_s_data_is_told(wattbook: Wattbook) -> None:
    status, windows, quality = (
        wattbook("cash", *words).out for words in (("status",), ("windows",), ("quality", "7"))
    )

    assert "half a body" in " ".join(status.split())
    assert "3 companies, 6 accounts, 4 payments set aside." in status
    assert "complete" in windows
    assert "Balance clean 900.10, with all of it 910.10 EUR." in quality


def test_cleaning_anew_says_what_would_differ(wattbook: Wattbook, gateway: FakeGateway) -> None:
    lines = [cash_answers.recleaned(each) for each in BANK.Reclean(cash_pb2.RecleanRequest(), None)]
    gateway.answers["POST /v1/cash/reclean"] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    done = wattbook("cash", "reclean")

    assert done.code == 0, done
    assert "2 of 2 windows" in done.err
    assert "901.00" in done.out
    assert "Nothing is changed; --keep lets them follow." in done.out


def test_every_command_has_help(wattbook: Wattbook) -> None:
    for words in (["companies"], ["balance"], *(["cash", each] for each in ("status", "windows", "reclean"))):
        assert f"Usage: wattbook {' '.join(words)}" in wattbook(*words, "--help").out
