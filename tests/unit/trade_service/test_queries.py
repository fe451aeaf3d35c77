"""Questions that a large book can still answer: each finds its rows by an index."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from trade_service.domain import Criteria
from trade_service.store.queries import matching
from trade_service.store.tables import trades
from wattbook import db
from wattbook.db import in_values

TRADER_DAY = "ix_trades_trader_day (trader_id=? AND delivery_day=? AND booking_seq>? AND booking_seq<?)"
EXECUTED = "ix_trades_execution_hour (<expr>>? AND <expr><?)"


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Connection]:
    folder = tmp_path_factory.mktemp("store")
    store = db.open_store(f"sqlite:///{folder}/trade.db", name="trade")
    db.migrate(store, "trade_service")
    with store.read() as connection:
        yield connection
    store.close()


def plan_of(query: sa.Select[int], connection: sa.Connection) -> str:
    sql = str(query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))
    return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}"))


@pytest.mark.parametrize(
    ("criteria", "found_by"),
    [
        (Criteria(), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (Criteria(area="DE"), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (Criteria(trader_id="a"), "COVERING INDEX ix_trades_trader_day (trader_id=?)"),
        (Criteria(delivery_day=20230228), TRADER_DAY),
        (Criteria(trader_id="a", delivery_day=20230228), TRADER_DAY),
        (Criteria(trader_id="a", delivery_day=20230228, delivery_from_s=1, delivery_before_s=2), TRADER_DAY),
        (Criteria(executed_from_us=1, executed_before_us=2), EXECUTED),
        (Criteria(trader_id="a", executed_from_us=1, executed_before_us=2), EXECUTED),
    ],
)
def test_a_search_reads_an_index_and_never_the_whole_book(
    connection: sa.Connection, criteria: Criteria, found_by: str
):
    plan = plan_of(matching(criteria, after_seq=1, until_seq=9, most=5), connection)

    assert found_by in plan
    assert "SCAN trades" not in plan


@pytest.mark.parametrize(
    ("chosen", "found_by"),
    [
        (in_values(trades.c.trade_id, ["a", "b"]), "(trade_id=?)"),
        (in_values(trades.c.booking_seq, [1, 2]), "INTEGER PRIMARY KEY (rowid=?)"),
    ],
)
def test_many_trades_are_looked_up_by_their_key(
    connection: sa.Connection, chosen: sa.ColumnElement[bool], found_by: str
):
    plan = plan_of(sa.select(trades.c.booking_seq).where(chosen), connection)

    assert found_by in plan
    assert "SCAN trades" not in plan
