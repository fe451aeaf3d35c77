"""What is true of a trade: which statements can be booked, which flags they carry, when two are the same.

A confirmed trade is a fact: one that is late, off-tick or out of range is booked and flagged. Refused is
only what cannot be understood or kept. See ``docs/domain.md``.
"""

from trade_service.domain.delivery import InvalidTrade, day_number
from trade_service.domain.trade import (
    BookedRow,
    BookedTrade,
    Criteria,
    Direction,
    Position,
    Result,
    Source,
    Trade,
    different_fields,
    flag_names,
    name_problem,
    trade_of,
)

__all__ = [
    "BookedRow",
    "BookedTrade",
    "Criteria",
    "Direction",
    "InvalidTrade",
    "Position",
    "Result",
    "Source",
    "Trade",
    "day_number",
    "different_fields",
    "flag_names",
    "name_problem",
    "trade_of",
]
