"""A data set as a folder: payments by source and part, companies, rates, and labels apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from wattbook.errors import Conflict, NotFound

from sandbox.bank.domain.accounts import Accounts, accounts_of
from sandbox.bank.domain.companies import Company, companies_of
from sandbox.bank.domain.payments import Payments
from sandbox.bank.domain.rates import CURRENCIES, MULTIPLY, rate_rows
from sandbox.bank.domain.rows import Rows
from sandbox.bank.domain.sets import Part, Plan, part_of
from sandbox.bank.store.columns import labels_of, rows_of, table_of

PARQUET, CSV = "parquet", "csv"
FORMATS = (PARQUET, CSV)
_SET = "set.json"  # says that the folder is a maker's, and once it is whole
_COMPRESSION = "zstd"


def begin(folder: Path, plan: Plan, *, force: bool) -> None:
    """A folder with nothing in it but what it is going to be.

    Raises:
        Conflict: it holds something, and that may not go; or it is none.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not force:
            raise Conflict(f"{folder} is not empty; --force replaces what is in it")
        if not folder.is_dir() or not (folder / _SET).exists():
            raise Conflict(f"{folder} holds what the maker did not make; name another folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _describe(folder, plan, "", whole=False)


def write_part(folder: Path, part: Part, made: Iterable[Payments], accounts: Accounts, format: str) -> None:
    """The payments of a part, window by window, and their labels."""
    with (
        _writer(folder / part.source / f"{part.name}.{format}", format) as payments,
        _writer(folder / "labels" / f"{part.source}-{part.name}.{format}", format) as labels,
    ):
        for window in made:
            payments(table_of(window, accounts))
            labels(labels_of(window, accounts))


def finish(folder: Path, plan: Plan, accounts: Accounts, format: str) -> None:
    """Companies, accounts and rates; then that it is whole."""
    companies = companies_of(accounts, seed=plan.seed)
    _write(
        folder / f"companies.{format}",
        {"id": [each.id for each in companies], "name": [each.name for each in companies],
         "owner": [each.owner for each in companies], "address": [each.address for each in companies],
         "balance": [each.balance for each in companies]},
    )  # fmt: skip
    _write(
        folder / f"accounts.{format}",
        {"iban": [iban for each in companies for iban in each.ibans],
         "company": [each.id for each in companies for _ in each.ibans]},
    )  # fmt: skip
    rates = rate_rows(MULTIPLY)
    decimals = [currency.decimals for currency in CURRENCIES]
    _write(
        folder / f"rates.{format}",
        {name: [row[name] for row in rates] for name in rates[0]} | {"decimals": decimals},
    )
    _describe(folder, plan, format, whole=True)


def _describe(folder: Path, plan: Plan, format: str, *, whole: bool) -> None:
    (folder / _SET).write_text(json.dumps({**plan.as_dict(), "format": format, "whole": whole}) + "\n")


def plan_of(folder: Path) -> tuple[Plan, str]:
    """What a folder holds, and in which format.

    Raises:
        NotFound: it holds no data set, or one that is not whole.
    """
    try:
        written = json.loads((folder / _SET).read_text())
        if not written["whole"]:
            raise NotFound(
                f"{folder} is not whole: its maker did not come to the end; make it again with --force"
            )
        return Plan.from_dict(written), written["format"]
    except FileNotFoundError:
        raise NotFound(f"{folder} holds no data set: there is no {_SET} in it") from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise NotFound(f"{folder / _SET} cannot be read: {error!r}") from None


class Folder:
    """A data set that lies in a folder."""

    def __init__(self, folder: Path) -> None:
        """Open it.

        Raises:
            NotFound: it holds none.
        """
        self._folder = folder
        self.plan, self._format = plan_of(folder)
        self.size_name = self.plan.size.name
        self.first_window = self.plan.span.windows[0]
        self.last_window = self.plan.span.windows[-1]

    def rows(self, source: str, window: int) -> Rows:
        """All rows of a window."""
        first = max(part_of(window), self.first_window)
        path = self._folder / source / f"{part_of(window)}.{self._format}"
        if self._format == CSV:
            rows = rows_of(_read_csv(path))
            return rows.of_window(window)
        with pa.parquet.ParquetFile(
            path, read_dictionary=["payer_iban", "beneficiary_iban", "currency"]
        ) as file:
            return rows_of(file.read_row_group(window - first, use_threads=False))

    def companies(self) -> list[Company]:
        """All companies."""
        companies, accounts = (self._read(name).to_pylist() for name in ("companies", "accounts"))
        ibans: dict[int, list[str]] = {}
        for account in accounts:
            ibans.setdefault(account["company"], []).append(account["iban"])
        return [Company(**row, ibans=tuple(ibans.get(row["id"], ()))) for row in companies]

    def others(self) -> list[str]:
        """Accounts of nobody known."""
        return accounts_of(self.plan.size, seed=self.plan.seed).other_texts()

    def _read(self, name: str) -> pa.Table:
        path = self._folder / f"{name}.{self._format}"
        return _read_csv(path) if self._format == CSV else pa.parquet.read_table(path)


@contextmanager
def _writer(path: Path, format: str) -> Iterator[Any]:
    """What adds a table to a file; in Parquet each is a row group of its own."""
    path.parent.mkdir(exist_ok=True)
    made: Any = None

    def add(table: pa.Table) -> None:
        nonlocal made
        if made is None:
            kind = pa.csv.CSVWriter if format == CSV else _parquet_writer
            made = kind(path, table.schema)
        made.write_table(table)

    try:
        yield add
    finally:
        if made is not None:
            made.close()


def _parquet_writer(path: Path, schema: pa.Schema) -> Any:
    texts = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    return pa.parquet.ParquetWriter(path, schema, compression=_COMPRESSION, use_dictionary=texts)


def _write(path: Path, columns: dict[str, list[Any]]) -> None:
    with _writer(path, path.suffix[1:]) as add:
        add(pa.table(columns))


_CSV_TYPES = {
    "timestamp": pa.timestamp("ms", "UTC"), "id": pa.int64(), "balance": pa.string(),
    "eur_rate": pa.string(), "usd_rate": pa.string(),
}  # fmt: skip


def _read_csv(path: Path) -> pa.Table:
    options = pa.csv.ConvertOptions(column_types=_CSV_TYPES, strings_can_be_null=False)
    return pa.csv.read_csv(
        path, convert_options=options, parse_options=pa.csv.ParseOptions(newlines_in_values=True)
    )
