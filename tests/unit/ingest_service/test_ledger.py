"""The ledger on its real store."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from ingest_service.domain import Counts, FileState
from ingest_service.store import METADATA, NAMES, Ledger
from wattbook.clock import FakeClock, to_epoch_us
from wattbook.db import Store, migrate, open_store

from tests.support.engines import NewStoreUrl

START = datetime.datetime(2023, 2, 28, tzinfo=datetime.UTC)
A, B = "a" * 64, "b" * 64


@pytest.fixture
def store(new_store_url: NewStoreUrl) -> Iterator[Store]:
    opened = open_store(new_store_url("ingest"), name="ingest")
    migrate(opened, "ingest_service")
    yield opened
    opened.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def ledger(store: Store, clock: FakeClock) -> Ledger:
    return Ledger(store, clock)


def test_the_migrations_make_what_the_tables_say(store: Store) -> None:
    with store.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_a_content_is_noted_once_under_all_its_names(store: Store, clock: FakeClock, ledger: Ledger) -> None:
    first = ledger.note(sha256=A, name="x.csv", size_bytes=5)
    clock.advance(10)
    again = ledger.note(sha256=A, name="y.csv", size_bytes=5)
    ledger.note(sha256=A, name="x.csv", size_bytes=5)

    assert first == again
    assert (again.first_name, again.state) == ("x.csv", FileState.FOUND)
    with store.read() as connection:
        rows = connection.execute(NAMES.select().order_by(NAMES.c.name)).all()
    at = to_epoch_us(START)
    assert [tuple(row) for row in rows] == [
        ("x.csv", A, at, at + 10_000_000),
        ("y.csv", A, at + 10_000_000, at + 10_000_000),
    ]


def test_a_content_goes_from_found_to_uploaded_to_done(ledger: Ledger) -> None:
    ledger.note(sha256=A, name="x.csv", size_bytes=5)
    assert ledger.unfinished() == []

    ledger.uploaded(A, counts=Counts(1, 2, 3, 4), refusal=None)
    assert [record.counts for record in ledger.unfinished()] == [Counts(1, 2, 3, 4)]

    ledger.done(A)
    assert ledger.unfinished() == []
    assert ledger.get(A).state is FileState.DONE


def test_a_content_that_was_changed_before_its_move_promises_nothing(ledger: Ledger) -> None:
    ledger.note(sha256=A, name="x.csv", size_bytes=5)
    ledger.reserve(A, choose=lambda _promised: "x.csv")
    ledger.uploaded(A, counts=Counts(), refusal=None)

    ledger.reopened(A)

    assert not ledger.is_promised("x.csv")
    assert ledger.unfinished() == []


def test_a_reserved_name_stays_the_same(ledger: Ledger) -> None:
    ledger.note(sha256=A, name="x.csv", size_bytes=5)

    assert ledger.reserve(A, choose=lambda _promised: "x.csv") == "x.csv"
    assert ledger.reserve(A, choose=lambda _promised: "other.csv") == "x.csv"


def test_a_name_is_promised_once_its_content_is_uploaded(ledger: Ledger) -> None:
    ledger.note(sha256=A, name="x.csv", size_bytes=5)
    ledger.reserve(A, choose=lambda _promised: "x.csv")
    assert not ledger.is_promised("x.csv")

    ledger.uploaded(A, counts=Counts(), refusal=None)
    assert ledger.is_promised("x.csv")
    ledger.note(sha256=B, name="x.csv", size_bytes=6)
    assert ledger.reserve(B, choose=lambda promised: "x-2.csv" if promised("x.csv") else "x.csv") == "x-2.csv"

    ledger.done(A)
    assert not ledger.is_promised("x.csv")


def test_a_name_goes_to_the_next_content_where_the_first_was_replaced(ledger: Ledger) -> None:
    for sha256 in (A, B):
        ledger.note(sha256=sha256, name="x.csv", size_bytes=5)
        assert ledger.reserve(sha256, choose=lambda _promised: "x.csv") == "x.csv"

    assert ledger.get(A).kept_name is None
