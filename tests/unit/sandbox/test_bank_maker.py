"""Made folders: the same whatever makes them, read back as they were made, and with a key that is right."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from sandbox.bank.api.commands import run
from sandbox.bank.api.wattbook import STYLE
from sandbox.bank.domain.encoding import array_text
from sandbox.bank.domain.rates import CURRENCIES, rate_rows
from sandbox.bank.domain.rows import Made
from sandbox.bank.domain.sets import Plan
from sandbox.bank.domain.sizes import SIZES, SOURCES, Span
from sandbox.bank.store.folder import Folder
from sandbox.bank.usecases.make import Target, make

SMALL = SIZES["small"]
PLAN = Plan(SMALL, 7, Span.of(date(2020, 2, 11), date(2020, 7, 3)))  # leap day, two quarters' ends, odd edges


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_in(tmp_path_factory.mktemp("bank"))


def made_in(folder: Path, *, format: str = "parquet") -> Path:
    make(PLAN, Target(folder, format), force=False, processes=1, progress=lambda done, of: None)
    return folder


def contents(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every file."""
    return {
        path.relative_to(folder).as_posix(): pyarrow.parquet.read_table(path).to_pylist()
        for path in sorted(folder.rglob("*.parquet"))
        if path.name != "key.parquet"
    }


@pytest.mark.slow
def test_rows_are_the_same_whatever_the_number_of_processes(made: Path, tmp_path: Path) -> None:
    days = ["--from", "2020-02-11", "--to", "2020-07-03"]
    command = [sys.executable, "-m", "sandbox.bank", "make", "--seed", "7", "--processes", "3", *days]

    subprocess.run([*command, "--out", str(tmp_path)], check=True, timeout=60)

    assert contents(tmp_path) == contents(made)


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_a_folder_hands_out_what_was_made(tmp_path: Path, format: str) -> None:
    folder = Folder(made_in(tmp_path, format=format))
    fresh = Made(SMALL, seed=7, first_window=PLAN.span.windows[0])

    inside = PLAN.span.windows[1:-1]  # those of the edges are squeezed into their days
    assert [folder.first_window, folder.last_window] == [inside[0] - 1, inside[-1] + 1]
    for source in SOURCES:
        for window in (inside[0], inside[7], inside[-1]):
            read, expected = folder.rows(source, window), fresh.rows(source, window)
            assert array_text(read, STYLE) == array_text(expected, STYLE)
    assert folder.companies() == fresh.companies()
    assert folder.others() == fresh.others()


def test_payments_of_a_folder_are_within_its_days_and_as_many_as_agreed(made: Path) -> None:
    rows = contents(made)

    for source in SOURCES:
        payments = [row for name in rows if name.startswith(source) for row in rows[name]]
        assert len(payments) == sum(SMALL.rows(source, window) for window in PLAN.span.windows)
        times = [row["timestamp"] for row in payments]
        assert times == sorted(times)
        assert datetime(2020, 2, 11, tzinfo=UTC) <= times[0]
        assert times[-1] < datetime(2020, 7, 3, tzinfo=UTC)


def test_labels_name_exactly_what_is_dirty_and_lie_apart(made: Path) -> None:
    rows = contents(made)
    for source in SOURCES:
        labels = [row for name in rows if name.startswith(f"labels/{source}") for row in rows[name]]
        groups: dict[tuple[Any, ...], int] = defaultdict(int)
        for name in rows:
            if name.startswith(source):
                assert set(rows[name][0]) == {
                    "id", "payer_iban", "beneficiary_iban", "amount_minor", "currency", "timestamp",
                }  # fmt: skip
                for row in rows[name]:
                    groups[key_of(row)] += 1
        batches = {key_of(row): row["rows"] for row in labels if row["kind"] == "batch"}
        assert batches == {key: count for key, count in groups.items() if count > 1}
        invalid = {key_of(row) for row in labels if row["kind"] == "invalid_iban"}
        bad = ("XX", "UK", "ZZ", "1A", "42")
        assert invalid == {key for key in groups if key[1].startswith(bad) or key[2].startswith(bad)}


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["id"], row["payer_iban"], row["beneficiary_iban"], row["timestamp"]


def test_the_answer_key_is_what_a_plain_sum_says(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["key", str(made)], {}) == 0
    key = pyarrow.parquet.read_table(capsys.readouterr().out.strip()).to_pylist()

    ends = [date(2020, 3, 31), date(2020, 6, 30), date(2020, 9, 30)]
    expected = plain_balances(contents(made), ends)
    found = {(row["iban"], row["currency"], row["quarter_end"]): row for row in key}
    assert set(expected) == set(found)
    for name, (clean, batched, once) in expected.items():
        row = found[name]
        assert (row["clean_minor"], row["batch_minor"], row["batch_once_minor"]) == (clean, batched, once)
    decimals = {currency.code: currency.decimals for currency in CURRENCIES}
    rates = {row["currency"]: row for row in rate_rows("multiply")}
    for row in key[::97]:
        amount = Decimal(row["clean_minor"]).scaleb(-decimals[row["currency"]])
        assert row["clean_eur"] == amount * Decimal(rates[row["currency"]]["eur_rate"])
        assert row["clean_usd"] == amount * Decimal(rates[row["currency"]]["usd_rate"])


def plain_balances(
    rows: dict[str, list[dict[str, Any]]], ends: list[date]
) -> dict[tuple[str, str, date], tuple[int, int, int]]:
    """Account, currency, quarter's end → clean, with batches, with equal ones of a batch once."""
    known = {row["iban"] for row in rows["accounts.parquet"]}
    moved: dict[tuple[str, str, date], list[int]] = defaultdict(lambda: [0, 0, 0])
    for source in SOURCES:
        payments = [row for name in rows if name.startswith(source) for row in rows[name]]
        copies: dict[tuple[Any, ...], int] = defaultdict(int)
        for row in payments:
            copies[key_of(row)] += 1
        seen = set()
        for row in payments:
            if row["payer_iban"][:2] in BAD or row["beneficiary_iban"][:2] in BAD:
                continue
            batch = copies[key_of(row)] > 1
            content = (*key_of(row), row["amount_minor"], row["currency"])
            counted = (not batch, True, not batch or content not in seen)
            seen.add(content)
            end = next(end for end in ends if row["timestamp"].date() <= end)
            for iban, sign in ((row["payer_iban"], -1), (row["beneficiary_iban"], 1)):
                if iban in known:
                    sums = moved[iban, row["currency"], end]
                    for place, counts in enumerate(counted):
                        sums[place] += sign * row["amount_minor"] * counts
    running: dict[tuple[str, str, date], tuple[int, int, int]] = {}
    for iban, currency in {key[:2] for key in moved}:
        first = min(end for end in ends if (iban, currency, end) in moved)
        total = (0, 0, 0)
        for end in ends[ends.index(first) :]:
            step = moved.get((iban, currency, end), [0, 0, 0])
            total = tuple(a + b for a, b in zip(total, step, strict=True))  # type: ignore[assignment]
            running[iban, currency, end] = total
    return running


BAD = {"XX", "UK", "ZZ", "1A", "42"}


def test_without_duckdb_the_key_says_what_is_missing(
    made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)

    assert run(["key", str(made)], {}) == 1
    assert "duckdb" in capsys.readouterr().err


SHORT = ["--from", "2020-02-11", "--to", "2020-02-12"]


def test_the_command_makes_a_folder_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["make", "--out", str(tmp_path / "new"), "--json", *SHORT], {"SETTING": "medium"}) == 0

    said = json.loads(capsys.readouterr().out)
    assert (said["size"], said["seed"], said["from"], said["to"]) == ("medium", 1, "2020-02-11", "2020-02-12")
    assert said["rows"]["sepa"] in {341, 342}
    assert Folder(tmp_path / "new").size_name == "medium"


def test_a_folder_with_something_in_it_is_replaced_only_by_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["make", "--out", str(tmp_path / "out"), *SHORT]
    assert run(out, {}) == 0
    before = contents(tmp_path / "out")

    assert run([*out, "--seed", "2"], {}) == 1
    assert "--force" in capsys.readouterr().err
    assert contents(tmp_path / "out") == before

    assert run([*out, "--seed", "2", "--force"], {}) == 0
    assert contents(tmp_path / "out") != before


def test_force_removes_nothing_that_a_maker_did_not_make(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    assert run(["make", "--out", str(tmp_path), "--force", *SHORT], {}) == 1
    assert "did not make" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").exists()


def test_a_folder_whose_maker_was_killed_is_not_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(PLAN, Target(tmp_path / "out"), force=False, processes=1, progress=killed)

    assert run(["key", str(tmp_path / "out")], {}) == 1
    assert "not whole" in capsys.readouterr().err
    assert run(["make", "--out", str(tmp_path / "out"), "--force", *SHORT], {}) == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--size", "huge"], "small, medium, large, mega"),
        (["--from", "2020-13-01"], "2020-13-01"),
        (["--seed", "-1"], "--seed"),
        (["--processes", "0"], "1…64"),
        (["--format", "xlsx"], "xlsx"),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(["make", "--out", str(tmp_path / "out"), *arguments], {})

    assert stopped.value.code == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["make", "--from", "2020-01-02", "--to", "2020-01-01", "--out", "x"], {}, "--from"),
        (["key", "no-such-folder"], {}, "no-such-folder"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], environment: dict[str, str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments, environment) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert named in line


def test_the_size_of_the_environment_is_checked_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(["make", "--out", str(tmp_path / "out")], {"SETTING": "tiny"})

    assert "tiny" in capsys.readouterr().err
