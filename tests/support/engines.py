"""The engines that stores run on in tests."""

from __future__ import annotations

import functools
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from wattbook.db.postgres_engines import WRITING
from wattbook_cli.domain.desk import BUS_URL, STORES, store_variable

from tests.support import disks, rabbitmq
from tests.support.postgres import Lender, PostgresServer

NewStoreUrl = Callable[[str], str]
"""Makes the address of a new, empty store; the name is for people."""

EMBEDDED, PRODUCTION = "sqlite", "postgresql"
_shared: dict[str, PostgresServer] = {}
_shared_bus: dict[str, rabbitmq.Server] = {}
_given: dict[Path, Lender] = {}
_given_buses: dict[Path, str] = {}


def is_production() -> bool:
    """Whether tests that do not choose run on PostgreSQL and RabbitMQ, as in ``make test-production``.

    Raises:
        ValueError: WATTBOOK_TEST_ENGINE names neither engine.
    """
    chosen = os.environ.get("WATTBOOK_TEST_ENGINE", "embedded")
    if chosen not in {"embedded", "production"}:
        raise ValueError(f"WATTBOOK_TEST_ENGINE: {chosen!r} is neither embedded nor production")
    return chosen == "production"


def shared_server() -> PostgresServer:
    """One server for all tests of this process, started when it is first asked for."""
    if "server" not in _shared:
        is_durable = os.environ.get("WATTBOOK_TEST_DURABLE") == "true"  # where figures are measured
        _shared["server"] = PostgresServer(durable=is_durable).start()
    return _shared["server"]


def shared_bus() -> rabbitmq.Server:
    """The same for RabbitMQ; take a virtual host of your own in it, and never kill it."""
    if "bus" not in _shared_bus:
        _shared_bus["bus"] = rabbitmq.Server().start()
    return _shared_bus["bus"]


def close_shared_servers() -> None:
    """At the end of the process, those that were started."""
    if "server" in _shared:
        _shared.pop("server").close()
    if "bus" in _shared_bus:
        _shared_bus.pop("bus").close()


def new_store_url(engine: str, folder: Path, lender: Callable[[], Lender]) -> NewStoreUrl:
    """How stores are made on an engine; ``lender`` is asked only where one is needed."""
    if engine == PRODUCTION:
        return lambda _name: lender().new_url()
    return lambda name: f"sqlite:///{folder}/stores/{name}.db"


@functools.cache
def store_url(folder: Path, name: str) -> str:
    """The store of that name of a test with that folder, always the same, on the engine that was chosen."""
    if not is_production():
        return f"sqlite:///{folder}/stores/{name}.db"
    lender = _given.setdefault(folder, Lender(shared_server()))
    return lender.new_url()


def bus_url(folder: Path) -> str:
    """The bus of a test with that folder, always the same, on the engine that was chosen."""
    if not is_production():
        return f"sqlite:///{folder}/bus/bus.db"
    if folder not in _given_buses:
        _given_buses[folder] = shared_bus().vhost()
    return shared_bus().url(_given_buses[folder])


def desk_environment(folder: Path) -> dict[str, str]:
    """What a whole desk is told about its engines; nothing where they are the embedded ones."""
    if not is_production():
        return {}
    stores = {store_variable(name): store_url(folder, name) for name in STORES}
    return {**stores, BUS_URL: bus_url(folder)}


def give_back(folder: Path) -> None:
    """A test is over: whoever comes next may have the databases of its folder and those below."""
    for each in [given for given in _given if given == folder or folder in given.parents]:
        _given.pop(each).give_back()
    for each in [given for given in _given_buses if given == folder or folder in given.parents]:
        shared_bus().manage("DELETE", f"vhosts/{_given_buses.pop(each)}")


def stored_rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """What a store holds, whoever else uses it."""
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as file:
            return file.execute(query).fetchall()
    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connection:
        return connection.execute(query).fetchall()  # type: ignore[call-overload]


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another process writes to a store for the whole block, and does not come to an end."""
    if url.startswith("sqlite:///"):
        with disks.locked(Path(url.removeprefix("sqlite:///"))):
            yield
        return
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        connection.execute(WRITING.partition(";")[2])
        yield
        connection.rollback()


@contextmanager
def held(url: str) -> Iterator[None]:
    """A bus takes nothing for the whole block: locked by another process, or short of memory."""
    if url.startswith("sqlite:///"):
        with disks.locked(Path(url.removeprefix("sqlite:///"))):
            yield
        return
    with shared_bus().short_of_memory():
        yield
