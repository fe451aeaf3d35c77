"""The book's own migrations while trades are booked and published, as during an update."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest
from wattbook import db, outbox
from wattbook.bus import Message, open_bus
from wattbook.db import Migration
from wattbook.outbox import Relay

from tests.support.postgres import Lender
from tests.support.waiting import wait_until
from tests.unit.trade_service.test_group_commit import NOW, trade

pytestmark = pytest.mark.servers
ROWS = 50_000
FILL = f"""
    INSERT INTO trades SELECT n, 'filled_' || n, 1200, 100, 1, 'trader_' || mod(n, 50),
      n * 86400000::bigint, 'DE', 3600 * mod(n, 1000), 60, 20230101 + n / 1000, 0, n, 1
    FROM generate_series(1, {ROWS}) AS n
"""
COLUMNS = """
    booking_seq, trade_id, price_ct_per_mwh, quantity_kw, direction, trader_id, execution_time_us, area,
    delivery_start_s, delivery_minutes, delivery_day, flags, booked_time_us, source
"""
MAKING_INDEX = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE '%INDEX CONCURRENTLY%' AND wait_event = 'virtualxid'
"""


class BusyBook:
    """A filled book at schema 0001 that is booked into all the time, and its outbox published."""

    def __init__(self, url: str, folder: Path, old_release: str) -> None:
        self.url = url
        self.store = db.open_store(url, name="trade")
        assert db.migrate(self.store, old_release) == Migration("", "0001")
        with self.store.write() as connection:
            connection.exec_driver_sql(FILL)
            connection.exec_driver_sql(f"UPDATE booking_counter SET last_booking_seq = {ROWS}")
        self.bus = open_bus(f"sqlite:///{folder / 'bus.db'}")
        self.relay = Relay(self.store, self.bus)
        self.relay.start()
        self.booked, self.trouble = 0, ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._book)
        self._thread.start()

    def _book(self) -> None:
        while not self._stopping.is_set():
            try:
                self._commit_as_the_first_release_did()
            except Exception as error:
                self.trouble = repr(error)
                return
            self.booked += 1

    @db.repeated
    def _commit_as_the_first_release_did(self) -> None:
        event = Message("trade.booked", b"", NOW)
        with self.store.write() as connection:
            locked = "SELECT last_booking_seq FROM booking_counter FOR UPDATE"
            seq = connection.exec_driver_sql(locked).scalar_one() + 1
            row = (seq, *trade(self.booked), 0, 1)
            marks = ", ".join(["%s"] * len(row))
            connection.exec_driver_sql(f"INSERT INTO trades ({COLUMNS}) VALUES ({marks})", row)
            connection.exec_driver_sql(f"UPDATE booking_counter SET last_booking_seq = {seq}")
            outbox.enqueue(connection, [event])
        self.relay.notify([event])

    def more(self, count: int) -> None:
        """So many more are booked, and all events are on the bus at some moment."""
        until = self.booked + count
        wait_until(lambda: self.booked >= until or self.trouble, timeout_s=60, what="bookings go on")
        assert not self.trouble
        wait_until(lambda: self.relay.depth() == 0, timeout_s=60, what="events are published")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.store.read() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(60)
        self.relay.stop()

    def close(self) -> None:
        self.stop()
        self.bus.close()
        self.store.close()


@pytest.fixture
def book(databases: Lender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BusyBook]:
    old = tmp_path / "old" / "older_trade_service"
    shutil.copytree(Path(str(files("trade_service"))) / "migrations", old / "migrations")
    (old / "__init__.py").touch()
    for newer in (old / "migrations/versions").glob("000[2-9]_*.py"):
        newer.unlink()
    monkeypatch.syspath_prepend(old.parent)
    made = BusyBook(databases.new_url(), tmp_path, old.name)
    yield made
    made.close()


@pytest.mark.parametrize("killed", [False, True], ids=["", "killed once"])
def test_bookings_and_publishing_go_on_while_the_book_is_migrated(
    book: BusyBook, databases: Lender, killed: bool
) -> None:
    """A reader with an old snapshot holds the migration up in its longest part for as long as we look."""
    newer, other = (db.open_store(book.url, name="migrator") for _ in range(2))
    database = book.url.rpartition("/")[2]
    reader = databases.server.connect(database, autocommit=False)
    reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    reader.execute("SELECT 1 FROM trades LIMIT 1")
    book.more(10)

    def making_index() -> list[tuple[int]]:
        return databases.server.rows(MAKING_INDEX, database=database)

    with ThreadPoolExecutor(2) as places:
        first = places.submit(db.migrate, newer, "trade_service")
        ((pid,),) = wait_until(making_index, timeout_s=60, what="the index is being made")
        if killed:  # leaves an index that is not valid
            databases.server.execute(f"SELECT pg_terminate_backend({pid})")
            wait_until(
                lambda: (now := making_index()) and now != [(pid,)], timeout_s=60, what="it is made anew"
            )
        second = places.submit(db.migrate, other, "trade_service")  # must not hold the first up
        book.more(100)
        reader.rollback()
        done = {first.result(120), second.result(120)}
    book.more(100)
    book.stop()

    assert done == {Migration("0001", "0004"), Migration("0004", "0004")}
    assert not book.trouble
    indices = """
        SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = 'trades'::regclass
    """
    assert dict(book.rows(indices)) == dict.fromkeys(
        ["trades_pkey", "uq_trades_trade_id", "ix_trades_trader_day", "ix_trades_execution_time"], True
    )
    storage = "SELECT attstorage FROM pg_attribute WHERE attrelid = 'outbox'::regclass AND attname = 'body'"
    assert book.rows(storage) == [("e",)]
    assert book.rows("SELECT count(*), max(booking_seq) FROM trades") == [(ROWS + book.booked,) * 2]
    for each in (newer, other):
        each.close()
    reader.close()
