"""A backup is restored into another server and compared row by row: ``deploy/backup``, on real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import ADMIN, PostgresServer, require

ROOT = Path(__file__).parents[2]
ROLES = ROOT / "deploy/k8s/base/databases/roles.sql"
PASSWORDS = {
    f"WATTBOOK_{name}_{role}_PASSWORD": f"{name}-{role}".lower()
    for name in ("TRADE", "PRICING", "GATEWAY", "METER", "CASH")  # ingest-service has a file
    for role in ("OWNER", "APP")
}


@pytest.fixture
def servers() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    made = [PostgresServer().start() for _ in range(2)]
    yield made[0], made[1]
    for server in made:
        server.close()


def command(
    server: PostgresServer, *words: str | Path, passwords: Mapping[str, str] = PASSWORDS
) -> subprocess.CompletedProcess[str]:
    """With the server's own tools, and not as its user."""
    programs = replace(require(), user="root")
    folders = [ROOT / "deploy", *(word.parent for word in words[1:] if isinstance(word, Path))]
    environment = {
        **os.environ, **passwords, "PATH": f"{programs.folder}:{os.environ['PATH']}", "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port), "PGUSER": ADMIN, "PGPASSWORD": server.password,
    }  # fmt: skip
    return subprocess.run(
        programs.command(*map(str, words), sees=folders),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def done(server: PostgresServer, *words: str | Path) -> None:
    answer = command(server, *words)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def furnish(server: PostgresServer) -> None:
    """Databases and roles, the schemas by their owners, and some rows by the services' own roles."""
    done(server, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f", ROLES)
    for name in ("trade", "gateway", "pricing", "meter", "cash"):
        url = server.url(f"wattbook_{name}", user=f"wattbook_{name}_owner", password=f"{name}-owner")
        environment = {**os.environ, f"WATTBOOK_{name.upper()}_STORE_URL": url}
        package = "gateway" if name == "gateway" else f"{name}_service"
        migrate = [sys.executable, "-m", f"{package}.app", "migrate"]
        subprocess.run(migrate, env=environment, check=True, capture_output=True)
    app = {"user": "wattbook_gateway", "password": "gateway-app"}
    with server.connect("wattbook_gateway", **app) as connection:
        for number in range(100):
            connection.execute(
                "INSERT INTO users (name, password_hash, roles, disabled, created_us, changed_us)"
                " VALUES (%s, %s, 'desk', false, %s, 0)",
                (f"Zoë {number}", "x" * 90, 2**53 + number),
            )


def content(server: PostgresServer) -> dict[str, Any]:
    """Every row of every table, by database and table."""
    found: dict[str, Any] = {}
    for name in ("trade", "gateway", "pricing", "meter", "cash"):
        database = f"wattbook_{name}"
        tables = server.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=database)
        for (table,) in tables:
            rows = server.rows(f'SELECT t::text FROM "{table}" AS t ORDER BY 1', database=database)
            found[f"{name}.{table}"] = rows
    return found


def test_a_restored_backup_has_every_row_and_every_right(
    servers: tuple[PostgresServer, PostgresServer], tmp_path: Path
) -> None:
    old, new = servers
    furnish(old)
    before = content(old)

    done(old, ROOT / "deploy/backup/backup", tmp_path / "backup")
    done(new, ROOT / "deploy/backup/restore", tmp_path / "backup")

    assert content(new) == before
    assert len(before["gateway.users"]) == 100
    app = {"user": "wattbook_gateway", "password": "gateway-app"}
    with new.connect("wattbook_gateway", **app) as connection:
        connection.execute("UPDATE users SET disabled = true WHERE name = 'Zoë 7'")
        with pytest.raises(Exception, match=r"must be owner|permission denied"):
            connection.execute("DROP TABLE users")
    # The schema is known as migrated: nothing is left to do.
    url = new.url("wattbook_trade", user="wattbook_trade_owner", password="trade-owner")
    migrate = [sys.executable, "-m", "trade_service.app", "migrate"]
    told = subprocess.run(
        migrate,
        env={**os.environ, "WATTBOOK_TRADE_STORE_URL": url},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "already" in told.stdout


def test_a_restore_writes_over_nothing_and_takes_no_damaged_backup(
    servers: tuple[PostgresServer, PostgresServer], tmp_path: Path
) -> None:
    old, new = servers
    furnish(old)
    done(old, ROOT / "deploy/backup/backup", tmp_path / "backup")

    over = command(old, ROOT / "deploy/backup/restore", tmp_path / "backup")
    with (tmp_path / "backup/wattbook_gateway.dump").open("r+b") as file:
        file.seek(-20, os.SEEK_END)
        file.write(b"damaged")
    damaged = command(new, ROOT / "deploy/backup/restore", tmp_path / "backup")

    assert over.returncode == 1
    assert "has tables" in over.stderr
    assert damaged.returncode != 0
    assert new.rows(
        "SELECT count(*) FROM pg_database WHERE datname LIKE 'wattbook%'", database="postgres"
    ) == [(0,)]


def test_a_restore_without_the_passwords_of_its_roles_names_them_and_makes_nothing(
    servers: tuple[PostgresServer, PostgresServer], tmp_path: Path
) -> None:
    old, new = servers
    furnish(old)
    done(old, ROOT / "deploy/backup/backup", tmp_path / "backup")
    some = {name: value for name, value in PASSWORDS.items() if name != "WATTBOOK_GATEWAY_APP_PASSWORD"}

    refused = command(new, ROOT / "deploy/backup/restore", tmp_path / "backup", passwords=some)

    assert refused.returncode == 1
    assert refused.stderr.split(": ")[-1].split() == ["WATTBOOK_GATEWAY_APP_PASSWORD"]
    roles = new.rows("SELECT rolname FROM pg_roles WHERE rolname LIKE 'wattbook%'", database="postgres")
    assert roles == []


def test_a_backup_that_fails_half_way_leaves_its_name_to_the_next(
    servers: tuple[PostgresServer, PostgresServer], tmp_path: Path
) -> None:
    old, _ = servers
    furnish(old)
    old.execute("UPDATE pg_database SET datallowconn = false WHERE datname = 'wattbook_trade'")

    failed = command(old, ROOT / "deploy/backup/backup", tmp_path / "backup")
    left = list(tmp_path.iterdir())
    old.execute("UPDATE pg_database SET datallowconn = true WHERE datname = 'wattbook_trade'")
    done(old, ROOT / "deploy/backup/backup", tmp_path / "backup")

    assert failed.returncode != 0
    assert left == []
    assert (tmp_path / "backup/taken-at").read_text().endswith("Z\n")
