"""The SQLite store's own ways: its files, its log, and what its errors say."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from wattbook import sqlite
from wattbook.db import Store, open_store, sqlite_engines
from wattbook.errors import Unavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stores" / "x.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{path}", name="x")
    with opened.write() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")
    yield opened
    opened.close()


def write(store: Store, *, kibibytes: int = 1, durable: bool = True) -> None:
    with store.write(durable=durable) as connection:
        connection.execute(sa.text("INSERT INTO t (text) VALUES (:text)"), {"text": "x" * 1024 * kibibytes})


def pragma(connection: sa.Connection, name: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_files_are_for_their_user_only(store: Store, path: Path) -> None:
    write(store)

    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


def test_a_commit_waits_for_the_disk_unless_told_otherwise(store: Store) -> None:
    full, normal = 2, 1
    seen = []
    for durable in (True, False, True, False, False, True):
        with store.write(durable=durable) as connection:
            seen.append(pragma(connection, "synchronous"))

    assert seen == [full, normal, full, normal, normal, full]


def test_connections_keep_the_rules(store: Store) -> None:
    for block in (store.read, store.write):
        with block() as connection:
            assert pragma(connection, "journal_mode") == "wal"
            assert pragma(connection, "foreign_keys") == 1


def test_the_log_that_a_long_reader_let_grow_is_cut_back(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_bytes = 1024 * 1024
    monkeypatch.setattr(sqlite_engines, "LONG_WAL_BYTES", limit_bytes)
    monkeypatch.setattr(sqlite_engines, "SHORTEN_EVERY_S", 0.0)
    monkeypatch.setattr(sqlite_engines, "SHORTEN_WAIT_MS", 1)
    log = path.with_name("x.db-wal")

    with store.read() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM t").scalar()
        for _ in range(5):
            write(store, kibibytes=1024)
        assert log.stat().st_size > 4 * limit_bytes
    write(store)

    assert log.stat().st_size < limit_bytes


def test_a_lock_of_another_process_is_waited_for_and_then_said(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.05)
    impatient = open_store(f"sqlite:///{path}", name="x")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(Unavailable, match="cannot write now: it is locked") as caught:
        write(impatient)
    assert isinstance(caught.value.__cause__, sa.exc.OperationalError)  # the reason is not lost
    other.execute("ROLLBACK")
    write(impatient)

    other.close()
    impatient.close()


def test_a_busy_step_is_tried_again_for_a_bounded_time() -> None:
    def busy() -> None:
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    with pytest.raises(sqlite3.OperationalError):
        sqlite.patiently(busy, timeout_s=0.02)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///?a=b", "postgresql://x", ""])
def test_what_is_no_file_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not sqlite:///<file>"):
        sqlite.split_url(url)


def test_an_address_names_a_file_and_options() -> None:
    assert sqlite.split_url("sqlite:////a/b c.db?x=1&y=") == (Path("/a/b c.db"), {"x": "1", "y": ""})
    assert sqlite.split_url("sqlite:///b.db") == (Path.cwd() / "b.db", {})
