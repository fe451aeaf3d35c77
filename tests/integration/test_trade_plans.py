"""Questions to a large book in PostgreSQL: each finds its rows by an index."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from trade_service.domain import Criteria
from trade_service.store.queries import matching
from wattbook import db

from tests.support.engines import NewStoreUrl

ROWS, DAY_US = 100_000, 86_400_000_000
_FILL = f"""
    INSERT INTO trades SELECT n, 't_' || n, 1200, 100, 1, 'trader_' || mod(n, 50),
      n * ({DAY_US}::bigint / 1000), 'DE', 3600 * mod(n, 1000), 60, 20230101 + n / 1000, 0, n, 1
    FROM generate_series(1, {ROWS}) AS n
"""  # a thousand trades a day for a hundred days, in about the order of execution


@pytest.fixture
def book(new_store_url: NewStoreUrl) -> Iterator[db.Store]:
    store = db.open_store(new_store_url("trade"), name="trade")
    db.migrate(store, "trade_service")
    with store.write() as connection:
        connection.exec_driver_sql(_FILL)
    with store.write() as connection:
        connection.exec_driver_sql("ANALYZE trades")
    yield store
    store.close()


@pytest.mark.parametrize(
    "new_store_url", [pytest.param("postgresql", marks=pytest.mark.servers)], indirect=True
)
@pytest.mark.parametrize(
    ("criteria", "index", "count"),
    [
        (
            Criteria(executed_from_us=DAY_US * 50, executed_before_us=DAY_US * 51),
            "ix_trades_execution_time",
            1000,
        ),
        (Criteria(trader_id="trader_7", delivery_day=20230107), "ix_trades_trader_day", 20),
        (Criteria(trader_id="trader_7"), "Index Cond", 1000),
        (Criteria(area="DE"), "trades_pkey", 1000),
    ],
)
def test_a_search_reads_an_index_and_never_the_whole_book(
    book: db.Store, criteria: Criteria, index: str, count: int
) -> None:
    query = matching(criteria, after_seq=0, until_seq=ROWS, most=1000)
    with book.read() as connection:
        sql = str(query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))
        plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {sql.replace('%', '%%')}"))
        found = len(list(connection.execute(query)))

    assert index in plan
    assert "Seq Scan" not in plan
    assert found == count
