"""Private PostgreSQL servers for tests: own port, own folder, free to be stopped, frozen and killed."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.support import roots
from tests.support.certificates import Certificate
from tests.support.ports import free_port
from tests.support.waiting import wait_until

ADMIN = "app"
TEMPLATE = "fresh"
# What the server's processes were told is in the system's memory, so that it outlives them all the same.
_FAST = {"fsync": "off", "full_page_writes": "off"}
_QUIET = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "max_connections": "200",
    "shared_buffers": "'64MB'",
    "max_wal_size": "'256MB'",
    "log_min_messages": "fatal",
}
_numbers = itertools.count(1)


def require() -> roots.Programs:
    """The deployed version; this machine's own where there is none, and a skip or, in CI, a failure.

    WATTBOOK_TEST_POSTGRESQL names another major version, which must be there.
    """
    chosen = os.environ.get("WATTBOOK_TEST_POSTGRESQL")
    found = roots.postgresql(root=roots.POSTGRESQL[chosen]) if chosen else roots.postgresql()
    if found is None and (chosen or os.environ.get("CI")):
        pytest.fail(f"the PostgreSQL {chosen or 'that is deployed'} is not here (make servers)")
    found = found or roots.postgresql(root=None)
    if found is None:
        pytest.skip("no PostgreSQL server here (make servers; Debian: apt-get install postgresql)")
    return found


class PostgresServer:
    """One server. It never waits for the disk unless told: what it promised survives it, not the machine."""

    def __init__(
        self,
        *,
        programs: roots.Programs | None = None,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
        tls: Certificate | None = None,
    ) -> None:
        self._programs = programs or require()
        self.port = free_port()
        self.password = secrets.token_urlsafe(12)
        self.folder = Path(tempfile.mkdtemp(prefix="wattbook-postgres-", dir="/tmp"))
        self.data = self.folder / "data"
        self._settings = {**_QUIET, **({} if durable else _FAST), "port": str(self.port), **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._free: list[str] = []
        self._tls = tls

    # --- its life

    def start(self) -> PostgresServer:
        """Start it, with a new cluster the first time, and wait until it answers."""
        if not self.data.exists():
            self._make()
        wait_until(self._started, timeout_s=30, what="PostgreSQL starts")
        wait_until(self.is_ready, timeout_s=30, what="PostgreSQL answers")
        return self

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Shut it down; SIGINT ends connections, SIGQUIT also forgets to write down what it may."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(30)

    def kill(self) -> None:
        """``kill -9`` of every process of it."""
        family = self.family()
        for process in family:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(family, timeout=10)
        if self._process is not None:
            self._process.wait(10)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Nothing of it runs for the block; connections stay open and nobody answers."""
        family = self.family()
        for process in family:
            _signal(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in family:
                _signal(process, signal.SIGCONT)

    def renew_certificate(self, made: Certificate) -> None:
        """Another certificate, for connections from soon on."""
        self._tls = made
        self._write_certificate()
        self.execute("SELECT pg_reload_conf()")

    def hang_up(self) -> None:
        """End every connection of a service of ours."""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'wattbook-%'"
        )

    def close(self) -> None:
        """End it and take its folder away."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def running(self) -> Iterator[PostgresServer]:
        """Started for the block, and gone after it."""
        try:
            yield self.start()
        finally:
            self.close()

    def family(self) -> list[psutil.Process]:
        """The postmaster and all that it started."""
        if self._process is None or self._process.poll() is not None:
            return []
        postmaster = psutil.Process(self._process.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def is_ready(self) -> bool:
        try:
            self.connect("postgres").close()
        except psycopg.Error:
            return False
        return True

    # --- what is in it

    def url(self, database: str, *, user: str = ADMIN, password: str = "") -> str:
        """The address of a database, as a service is told it."""
        return f"postgresql+psycopg://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str, **more: Any) -> psycopg.Connection[Any]:
        """A plain connection in autocommit mode."""
        given = {"user": ADMIN, "password": self.password, "autocommit": True, "connect_timeout": 5, **more}
        return psycopg.connect(host="127.0.0.1", port=self.port, dbname=database, **given)

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Statements as the administrator."""
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, query: str, *, database: str) -> list[tuple[Any, ...]]:
        """What a query finds, as the administrator."""
        with self.connect(database) as connection:
            return connection.execute(query).fetchall()

    @contextmanager
    def lending(self) -> Iterator[Lender]:
        """Databases for the block; emptied afterwards, which is quicker than to make and remove them."""
        lender = Lender(self)
        try:
            yield lender
        finally:
            lender.give_back()

    def take(self) -> str:
        """An empty database; its name."""
        if self._free:
            return self._free.pop()
        name = f"test_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return name

    def take_back(self, names: list[str]) -> None:
        """Empty them, whoever is connected."""
        if not self.is_ready():
            self.start()
        for name in names:
            self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            self.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public", database=name)
        self._free += names

    # --- inside

    def _make(self) -> None:
        password = self.folder / "password"
        password.write_text(self.password)
        self._programs.hand_over(self.folder, password)
        command = [
            "initdb", "-D", str(self.data), "-U", ADMIN, "--auth=scram-sha-256", f"--pwfile={password}",
            "-E", "UTF8", "--locale=C", "--no-sync",
        ]  # fmt: skip
        made = subprocess.run(
            self._command(*command), cwd=self.folder, capture_output=True, text=True, check=False, timeout=60
        )
        assert made.returncode == 0, made.stdout + made.stderr
        password.unlink()
        self._write_certificate()
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in self._settings.items())
        self.start()
        self.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")

    def _write_certificate(self) -> None:
        """Where it has one: as files that nobody else may read, or the server refuses to start."""
        if self._tls is None:
            return
        for source, name in ((self._tls.cert, "server.crt"), (self._tls.key, "server.key")):
            path = self.data / name
            path.write_bytes(source.read_bytes())
            path.chmod(0o600)
            self._programs.hand_over(path)
        self._settings["ssl"] = "on"

    def _started(self) -> bool:
        """Start it; after a ``kill -9`` the first tries find what the last one left and end at once."""
        if self._process is not None and self._process.poll() is None and self.is_ready():
            return True
        if self._process is None or self._process.poll() is not None:
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    self._command("postgres", "-D", str(self.data)), cwd=self.folder, stdout=log, stderr=log
                )
        return False

    def _command(self, *words: str) -> list[str]:
        return self._programs.command(*words, sees=[self.folder])


class Lender:
    """Lends empty databases of a server."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.names: list[str] = []

    def new_url(self) -> str:
        """The address of an empty database of one's own."""
        self.names.append(self.server.take())
        return self.server.url(self.names[-1])

    def give_back(self) -> None:
        """Nobody needs them any more."""
        self.server.take_back(self.names)
        self.names = []


def fails_to_serialize(table: str, when: str) -> str:
    """SQL after which inserts into ``table`` fail as conflicting transactions do, ``when`` that is true."""
    return f"""
        CREATE FUNCTION give_way() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF {when} THEN RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'; END IF;
          RETURN NEW;
        END $$;
        CREATE TRIGGER give_way BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION give_way()
    """


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
