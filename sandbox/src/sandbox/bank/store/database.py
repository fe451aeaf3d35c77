"""A data set in a database, SQLite or PostgreSQL: a table a source, indexed by window."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    inspect,
    text,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from wattbook.errors import Conflict, InvalidInput, NotFound, Unavailable

from sandbox.bank.domain.accounts import Accounts, accounts_of
from sandbox.bank.domain.companies import Company, companies_of
from sandbox.bank.domain.encoding import lines_text
from sandbox.bank.domain.payments import Payments
from sandbox.bank.domain.rates import CURRENCIES, MULTIPLY, rate_rows
from sandbox.bank.domain.rows import Rows, rows_made
from sandbox.bank.domain.sets import Part, Plan
from sandbox.bank.domain.sizes import SOURCES
from sandbox.bank.store.columns import rows_of

_CONNECT_S = 5
_COLUMNS = ("id", "payer_iban", "beneficiary_iban", "amount_minor", "currency", "time_s")
_metadata = MetaData()
_set = Table(
    "bank_set", _metadata, Column("size", Text, nullable=False), Column("seed", BigInteger, nullable=False),
    Column("first_day", Text, nullable=False), Column("end_day", Text, nullable=False),
    Column("whole", Boolean, nullable=False),
)  # fmt: skip
_company = Table(
    "company", _metadata, Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False), Column("owner", Text, nullable=False),
    Column("address", Text, nullable=False), Column("balance", Text, nullable=False),
)  # fmt: skip
_account = Table(
    "account", _metadata, Column("iban", Text, primary_key=True),
    Column("company_id", Integer, nullable=False, index=True),
)  # fmt: skip
_rate = Table(
    "exchange_rate", _metadata, Column("currency", Text, primary_key=True),
    Column("eur_rate", Text, nullable=False), Column("usd_rate", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
)  # fmt: skip
_payments = {
    source: Table(
        source, _metadata,
        Column("window_no", Integer, nullable=False), Column("row_no", Integer, nullable=False),
        Column("id", BigInteger, nullable=False), Column("payer_iban", Text, nullable=False),
        Column("beneficiary_iban", Text, nullable=False), Column("amount_minor", BigInteger, nullable=False),
        Column("currency", Text, nullable=False), Column("time_s", BigInteger, nullable=False),
    )
    for source in SOURCES
}  # fmt: skip


def url_of(given: str) -> URL:
    """The address of a database.

    Raises:
        InvalidInput: it is none of SQLite or PostgreSQL.
    """
    try:
        url = make_url(given)
    except ArgumentError:
        raise InvalidInput("a database is sqlite:///path or postgresql://user@host/name") from None
    if url.drivername in {"postgresql", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "sqlite" and url.database:
        return url
    raise InvalidInput(f"{url.drivername}: a database is sqlite:///path or postgresql://user@host/name")


def database_url(environment: Mapping[str, str], given: str | None) -> URL | None:
    """The database that is meant: the one given, or the one that ``POSTGRES_…`` names; None: none is.

    Raises:
        InvalidInput: it is none of SQLite or PostgreSQL.
    """
    if given:
        return url_of(given)
    if not environment.get("POSTGRES_HOSTNAME"):
        return None
    return URL.create(
        "postgresql+psycopg", username=environment.get("POSTGRES_USER"),
        password=environment.get("POSTGRES_PASSWORD"), host=environment["POSTGRES_HOSTNAME"],
        database=environment.get("POSTGRES_DB"),
    )  # fmt: skip


class Filling:
    """A database that a maker fills. Each process has one of its own."""

    def __init__(self, url: URL) -> None:
        """Nothing is done yet."""
        self._url = url
        self.one_writer = url.drivername == "sqlite"
        self._engine = _engine(url)

    def begin(self, plan: Plan, *, force: bool) -> bool:
        """Make the tables; False: there is nothing to do, since this very data set is there, whole.

        Raises:
            Conflict: there are other tables, and they may not go.
            Unavailable: the database cannot be reached.
        """
        with _reached(self._url), self._engine.begin() as connection:
            there = {*inspect(connection).get_table_names()} & {*_metadata.tables}
            if "bank_set" in there and not force:
                found = connection.execute(_set.select()).mappings().one()
                if dict(found) == {**_described(plan), "whole": True}:
                    return False
            if there and not (force and "bank_set" in there):
                names = ", ".join(sorted(there))
                raise Conflict(f"{_shown(self._url)} has tables {names}; --force replaces a maker's")
            _metadata.drop_all(connection)
            _metadata.create_all(connection)
            if self.one_writer:  # rows come in order; an index made at the end would sort them all
                _index(connection)
            connection.execute(_set.insert().values(**_described(plan), whole=False))
        return True

    def write_part(self, part: Part, made: Iterable[tuple[int, Payments]], accounts: Accounts) -> None:
        """Payments by window."""
        with self._engine.begin() as connection:
            for window, payments in made:
                rows = rows_made(payments, accounts)
                if self.one_writer:
                    _insert(connection, part.source, window, rows)
                else:
                    _copy(connection, part.source, lines_text(rows, window))

    def finish(self, plan: Plan, accounts: Accounts) -> None:
        """Index the payments, add companies and rates, and say that it is whole."""
        companies = companies_of(accounts, seed=plan.seed)
        with self._engine.begin() as connection:
            if not self.one_writer:
                _index(connection)
            connection.execute(_company.insert(), [
                {"id": each.id, "name": each.name, "owner": each.owner, "address": each.address,
                 "balance": each.balance}
                for each in companies
            ])  # fmt: skip
            connection.execute(
                _account.insert(),
                [{"iban": i, "company_id": each.id} for each in companies for i in each.ibans],
            )
            decimals = {currency.code: currency.decimals for currency in CURRENCIES}
            connection.execute(
                _rate.insert(),
                [{**row, "decimals": decimals[row["currency"]]} for row in rate_rows(MULTIPLY)],
            )
            connection.execute(_set.update().values(whole=True))
        if not self.one_writer:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("analyze"))


class Database:
    """A data set that lies in a database."""

    def __init__(self, url: URL) -> None:
        """Open it.

        Raises:
            NotFound: it holds none, or one that is not whole.
            Unavailable: it cannot be reached.
        """
        self._engine = _engine(url)
        with _reached(url), self._engine.connect() as connection:
            if not inspect(connection).has_table("bank_set"):
                raise NotFound(f"{_shown(url)} holds no data set")
            found = connection.execute(_set.select()).mappings().one()
        if not found["whole"]:
            raise NotFound(f"{_shown(url)} is not whole: its maker is not, or did not come, to the end")
        self.plan = Plan.from_dict({**found, "from": found["first_day"], "to": found["end_day"]})
        self.size_name = self.plan.size.name
        self.first_window = self.plan.span.windows[0]
        self.last_window = self.plan.span.windows[-1]

    def rows(self, source: str, window: int) -> Rows:
        """All rows of a window."""
        columns = ", ".join(_COLUMNS)
        lines = f"select {columns} from {source} where window_no = {window:d} order by row_no"  # noqa: S608  # ours
        with self._engine.connect() as connection:
            if self._engine.dialect.name == "sqlite":
                joined = " || ',' || ".join(_COLUMNS)
                all_lines = f"select group_concat({joined}, char(10)) from ({lines})"  # noqa: S608
                csv = (connection.execute(text(all_lines)).scalar() or "").encode()
            else:
                with (
                    _cursor(connection) as cursor,
                    cursor.copy(f"copy ({lines}) to stdout (format csv)") as copy,
                ):
                    csv = b"".join(copy)
        return _rows_of_csv(csv)

    def companies(self) -> list[Company]:
        """All companies."""
        ibans: dict[int, list[str]] = {}
        with self._engine.connect() as connection:
            for account in connection.execute(_account.select()).mappings():
                ibans.setdefault(account["company_id"], []).append(account["iban"])
            companies = connection.execute(_company.select().order_by(_company.c.id)).mappings().all()
        return [Company(**row, ibans=tuple(ibans.get(row["id"], ()))) for row in companies]

    def others(self) -> list[str]:
        """Accounts of nobody known."""
        return accounts_of(self.plan.size, seed=self.plan.seed).other_texts()


def _engine(url: URL) -> Engine:
    if url.drivername == "sqlite":
        return create_engine(url)
    return create_engine(url, connect_args={"connect_timeout": _CONNECT_S}, pool_pre_ping=True)


def _index(connection: Connection) -> None:
    for source in SOURCES:
        connection.execute(text(f"create unique index {source}_by_window on {source} (window_no, row_no)"))


def _described(plan: Plan) -> dict[str, Any]:
    said = plan.as_dict()
    return {"size": said["size"], "seed": said["seed"], "first_day": said["from"], "end_day": said["to"]}


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


@contextmanager
def _reached(url: URL) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise Unavailable(f"{_shown(url)} cannot be reached: {' '.join(str(error.orig).split())}") from None
    except DBAPIError as error:
        raise NotFound(f"{_shown(url)} holds no data set: {' '.join(str(error.orig).split())}") from None


@contextmanager
def _cursor(connection: Connection) -> Iterator[Any]:
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor:
        yield cursor


def _copy(connection: Connection, source: str, lines: bytes) -> None:
    with _cursor(connection) as cursor, cursor.copy(f"copy {source} from stdin") as copy:
        copy.write(lines)


def _insert(connection: Connection, source: str, window: int, rows: Rows) -> None:
    codes = [currency.code for currency in CURRENCIES]
    payer, beneficiary = (texts.astype(str) for texts in (rows.payer_texts, rows.beneficiary_texts))
    columns = (
        [window] * len(rows), range(len(rows)), rows.id.tolist(), payer[rows.payer].tolist(),
        beneficiary[rows.beneficiary].tolist(), rows.amount_minor.tolist(),
        [codes[code] for code in rows.currency.tolist()], rows.time_s.tolist(),
    )  # fmt: skip
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.executemany(f"insert into {source} values (?, ?, ?, ?, ?, ?, ?, ?)", zip(*columns, strict=True))  # noqa: S608


def _rows_of_csv(csv: bytes) -> Rows:
    texts = pa.string()
    types = {"id": pa.int64(), "payer_iban": texts, "beneficiary_iban": texts, "amount_minor": pa.int64(),
             "currency": texts, "time_s": pa.int64()}  # fmt: skip
    if csv:
        table = pa.csv.read_csv(
            io.BytesIO(csv), read_options=pa.csv.ReadOptions(column_names=list(types), use_threads=False),
            convert_options=pa.csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        )  # fmt: skip
    else:
        table = pa.schema(list(types.items())).empty_table()
    time = pa.compute.multiply(table["time_s"], 1000).cast(pa.timestamp("ms", "UTC"))
    return rows_of(table.append_column("timestamp", time))
