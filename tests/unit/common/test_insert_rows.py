"""Inserting many rows: the same as one by one, whatever their number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from wattbook.db import Store, insert_rows, open_store
from wattbook.db.rows import BLOCK_ROWS

from tests.support.engines import NewStoreUrl

metadata = sa.MetaData()
things = sa.Table(
    "things",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(200), unique=True, nullable=False),
)
wide = sa.Table("wide", metadata, *(sa.Column(f"c{number}", sa.Integer) for number in range(100)))


@pytest.fixture
def store(new_store_url: NewStoreUrl) -> Iterator[Store]:
    opened = open_store(new_store_url("store"), name="test")
    with opened.write() as connection:
        metadata.create_all(connection)
    yield opened
    opened.close()


def rows(count: int) -> list[tuple[int, str]]:
    return [(number, f"name {number}") for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS + 7])
def test_every_row_is_in_the_table_once(store: Store, count: int) -> None:
    with store.write() as connection:
        insert_rows(connection, things, rows(count))

    with store.read() as connection:
        assert connection.execute(sa.select(things).order_by(things.c.id)).all() == rows(count)


ODD = ("", "a\tb", "a\nb", "a\rb", "\\", "\\.", "\\N", "None", "%s", "ü€", " ", "'")


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("count", [1, BLOCK_ROWS + 1])
def test_texts_come_back_as_they_were(store: Store, odd: str, count: int) -> None:
    made = [*rows(count), (count, odd)]
    with store.write() as connection:
        insert_rows(connection, things, made)

    with store.read() as connection:
        assert connection.execute(sa.select(things).order_by(things.c.id)).all() == made


def test_what_is_nothing_is_not_the_word_for_it(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write() as connection:
        insert_rows(connection, things, [(1, None)])


def test_a_wide_table_stays_within_what_a_statement_takes(store: Store) -> None:
    with store.write() as connection:
        insert_rows(connection, wide, [tuple(range(100))] * 1_234)

    with store.read() as connection:
        assert connection.execute(sa.select(sa.func.count(), sa.func.sum(wide.c.c99))).one() == (
            1_234,
            122_166,
        )


@pytest.mark.parametrize("at", [0, BLOCK_ROWS - 1, 2 * BLOCK_ROWS + 3])
def test_a_row_that_breaks_a_rule_leaves_nothing_of_the_transaction(store: Store, at: int) -> None:
    broken = rows(2 * BLOCK_ROWS + 10)
    broken[at] = (at, "name 5" if at != 5 else "name 6")

    with pytest.raises(IntegrityError), store.write() as connection:
        insert_rows(connection, things, broken)

    with store.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(things)).scalar_one() == 0
