"""Databases and roles as an administrator makes them: least rights, migrations as a step of their own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import trade_service
from psycopg import errors

from tests.integration.trade_process import ADDED, DUPLICATE, Caller, TradeProcess, stated
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers
WATTBOOK = Path(sys.executable).with_name("wattbook")
NAMES = ("trade", "pricing", "cash", "gateway", "meter", "ingest")
NEWEST = max(
    file.name[:4] for file in (Path(trade_service.__file__).parent / "migrations/versions").glob("0*.py")
)  # of trade's schema
OF_ALEMBIC = tuple(name for name in NAMES if name != "meter")  # Django's migrations


@dataclass
class Installed:
    """A server on which an administrator ran the script, and the passwords in a file as libpq reads it."""

    server: PostgresServer
    folder: Path
    passwords: dict[str, str]

    @property
    def pass_file(self) -> Path:
        return self.folder / "pgpass"

    def url(self, name: str, *, role: str = "") -> str:
        user = f"wattbook_{name}{role}"
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.server.port}/wattbook_{name}"

    def environment(self, *, role: str) -> dict[str, str]:
        urls = {f"WATTBOOK_{name.upper()}_STORE_URL": self.url(name, role=role) for name in NAMES}
        return {"PATH": os.environ["PATH"], "PGPASSFILE": str(self.pass_file), **urls}

    def connect(self, name: str, *, database: str = "") -> psycopg.Connection[tuple[object, ...]]:
        user = f"wattbook_{name}"
        return self.server.connect(database or user, user=user, password=self.passwords[user])

    def empty(self, name: str) -> None:
        """As before the first migration. The script is safe to run again."""
        database = f"wattbook_{name}"
        self.server.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public", database=database)
        run_script(self)

    def wattbook(
        self, *arguments: str, role: str = "_owner", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = self.environment(role=role) | variables
        return subprocess.run(
            [WATTBOOK, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60,
            cwd=self.folder,
        )  # fmt: skip


@pytest.fixture(scope="module")
def installed(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("installed")
    roles = [f"wattbook_{name}{role}" for name in NAMES for role in ("", "_owner")]
    made = Installed(postgres, folder, {role: secrets.token_urlsafe(9) for role in roles})
    made.pass_file.write_text("".join(f"127.0.0.1:*:*:{role}:{made.passwords[role]}\n" for role in roles))
    made.pass_file.chmod(0o600)
    run_script(made)
    yield made
    postgres.execute(*(f"DROP DATABASE wattbook_{name} WITH (FORCE)" for name in NAMES))
    postgres.execute(*(f"DROP ROLE {role}" for role in roles))


def run_script(made: Installed) -> None:
    """As an administrator does, with the passwords in psql's environment."""
    script = made.wattbook("db", "roles").stdout
    psql = shutil.which("psql")
    assert psql, "psql is not installed"
    told = {
        f"WATTBOOK_{name.upper()}_{kind}_PASSWORD": made.passwords[f"wattbook_{name}{role}"]
        for name in NAMES
        for kind, role in (("OWNER", "_owner"), ("APP", ""))
    }
    server = made.server
    done = subprocess.run(
        [psql, "-X", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(server.port), "-U", "app",
         "-d", "postgres", "-f", "-"],
        input=script, env={"PATH": os.environ["PATH"], "PGPASSWORD": server.password, **told},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_migrations_are_a_step_of_their_own_and_say_what_they_did(installed: Installed) -> None:
    installed.empty("trade")

    first, second = installed.wattbook("migrate"), installed.wattbook("migrate", "--only", "trade")

    assert first.returncode == 0, first.stderr
    assert [line.split(":")[0] for line in first.stdout.splitlines()] == list(NAMES)
    assert f"trade: the schema from nothing to {NEWEST}" in first.stdout
    assert second.stdout == f"trade: the schema was already at {NEWEST}\n"


def test_migrations_from_two_places_at_once_happen_once(installed: Installed) -> None:
    installed.empty("trade")

    with ThreadPoolExecutor(2) as places:
        done = list(places.map(lambda _: installed.wattbook("migrate", "--only", "trade"), range(2)))

    assert [each.returncode for each in done] == [0, 0], [each.stderr for each in done]
    assert sorted(each.stdout.partition("the schema ")[2][:4] for each in done) == ["from", "was "]


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (
            "postgresql+psycopg://wattbook_trade_owner:hush@127.0.0.1:PORT/wattbook_trade",
            "password authentica",
        ),
        ("postgresql+psycopg://wattbook_trade_owner:hush@127.0.0.1:9/wattbook_trade", "Connection refused"),
        ("postgresql+psycopg://wattbook_trade_owner@127.0.0.1:PORT/nowhere", '"nowhere" does not exist'),
        ("postgres://127.0.0.1/wattbook_trade", "no store engine"),
    ],
)
def test_a_migration_that_cannot_be_done_is_one_line_without_a_secret(
    installed: Installed, url: str, line: str
) -> None:
    url = url.replace("PORT", str(installed.server.port))

    done = installed.wattbook("migrate", "--only", "trade", WATTBOOK_TRADE_STORE_URL=url)

    assert (done.returncode, done.stdout) == (1, "")
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hush" not in done.stderr


def test_a_service_waits_for_the_migration_and_then_runs_with_least_rights(
    installed: Installed, tmp_path: Path
) -> None:
    installed.empty("trade")
    service = TradeProcess(
        tmp_path, **installed.environment(role=""), WATTBOOK_STORE_MIGRATE="false", WATTBOOK_LOG_JSON="true"
    )
    service.launch()
    try:
        wait_until(lambda: "this release needs" in service.log(), timeout_s=30, what="it says it waits")
        assert installed.wattbook("migrate", "--only", "trade").returncode == 0
        service.wait_ready()
        caller = Caller(service.target)
        assert caller.results(stated("a"), stated("b"), stated("a")) == [ADDED, ADDED, DUPLICATE]
        assert caller.ids() == ["a", "b"]
        caller.close()
    finally:
        service.close()
    assert not [password for password in installed.passwords.values() if password in service.log()]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "DROP TABLE users",
        "ALTER TABLE users ADD COLUMN more int",
        "TRUNCATE users",
        "CREATE SCHEMA mine",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE ROLE mine",
        "SET ROLE wattbook_gateway_owner",
    ],
)
def test_a_service_cannot_change_more_than_rows(installed: Installed, statement: str) -> None:
    installed.wattbook("migrate", "--only", "gateway")

    with installed.connect("gateway") as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        *((name, f"UPDATE alembic_version SET {change}") for name in OF_ALEMBIC for change in (
            "version_num = '9999'", "needs_code = '9999'",
        )),
        *((name, "DELETE FROM alembic_version") for name in OF_ALEMBIC),
        ("meter", "DELETE FROM django_migrations"),
        *(("meter", f"DELETE FROM {table}") for table in (
            "flow_file", "flow_file_piece", "meter_point", "meter", "register",
        )),
        ("trade", "DELETE FROM trades"),
        ("trade", "DELETE FROM replaced_trades"),
        ("trade", "UPDATE replaced_trades SET price_ct_per_mwh = 0"),
        ("trade", "DELETE FROM booking_counter"),
        ("trade", "INSERT INTO booking_counter VALUES (2, 0)"),
        ("trade", "UPDATE outbox SET type = 'none'"),
        ("pricing", "DELETE FROM prices"),
        ("pricing", "UPDATE prices SET price_seq = 0"),
    ],
)  # fmt: skip
def test_a_service_can_change_no_rows_that_it_never_changes(
    migrated: Installed, name: str, statement: str
) -> None:
    with migrated.connect(name) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.fixture(scope="module")
def migrated(installed: Installed) -> Installed:
    assert installed.wattbook("migrate").returncode == 0
    return installed


def test_a_migration_mends_the_rights_of_an_older_installation_and_running_the_roles_again_keeps_them(
    migrated: Installed,
) -> None:
    """Before, each service could write every table, and an administrator may have taken something away."""
    server, database = migrated.server, "wattbook_trade"
    server.execute(
        f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO {database}",
        f"REVOKE SELECT ON outbox FROM {database}",
        database=database,
    )

    done = migrated.wattbook("migrate", "--only", "trade")
    run_script(migrated)

    assert done.stdout == f"trade: the schema was already at {NEWEST}\n"
    given = server.rows(
        "SELECT table_name, string_agg(privilege_type, ' ' ORDER BY privilege_type) "
        "FROM information_schema.table_privileges WHERE grantee = 'wattbook_trade' GROUP BY 1",
        database=database,
    )
    assert dict(given) == {
        "alembic_version": "SELECT",
        "trades": "INSERT SELECT UPDATE",
        "replaced_trades": "INSERT SELECT",
        "booking_counter": "SELECT UPDATE",
        "outbox": "DELETE INSERT SELECT",
        "differing_statements": "INSERT SELECT UPDATE",
    }


def test_a_service_cannot_read_another_ones_database(installed: Installed) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        installed.connect("pricing", database="wattbook_trade")
