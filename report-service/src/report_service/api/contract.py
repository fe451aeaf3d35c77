"""What several answers of the gRPC contract share: keys of queries, rows of figures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from wattbook.clock import to_epoch_us
from wattbook.errors import InvalidInput
from wattbook.periods import DEFAULT_AREA, DeliveryPeriod
from wattbook_proto import reports_pb2

from report_service.domain.book import ReportKey
from report_service.domain.pnl import Figures, day_in

MOST_QUERIES = 10_000
_US_PER_S = 1_000_000


@lru_cache(maxsize=16384)
def _key(area: str, trader_id: str, day: str) -> ReportKey | str:
    try:
        return ReportKey(area or DEFAULT_AREA, trader_id, day_in(area, day))
    except ValueError as error:
        return str(error)


def keys_of(queries: Sequence[reports_pb2.PnlQuery]) -> list[ReportKey | str]:
    """What each query asks for, or why it cannot be answered.

    Raises:
        InvalidInput: they are more than one call may have.
    """
    if len(queries) > MOST_QUERIES:
        raise InvalidInput(f"{len(queries):,} queries in one call; at most {MOST_QUERIES:,}")
    return [_key(query.area, query.trader_id, query.delivery_day) for query in queries]


def row_of(figures: Figures, period: DeliveryPeriod | None = None) -> reports_pb2.PnlRow:
    """The contract's row of an hour, or of a total."""
    row = reports_pb2.PnlRow(
        trades=figures.trades,
        buy_mw=str(figures.buy_mw),
        sell_mw=str(figures.sell_mw),
        buy_mwh=str(figures.buy_mwh),
        sell_mwh=str(figures.sell_mwh),
        pnl_eur=str(figures.pnl_eur),
    )
    if period is not None:
        row.label = period.label
        row.delivery_hour = period.delivery_hour
        row.delivery_start_s = to_epoch_us(period.start) // _US_PER_S
        row.delivery_minutes = period.minutes
    return row
