"""What is true of a trade: which statements can be booked, which flags they carry, when two are the same.

A confirmed trade is a fact: one that is late, off-tick or out of range is booked and flagged. Refused is
only what cannot be understood or kept. See ``docs/domain.md``.
"""

from trade_service.domain.booking import Decision, Speaker, chained_digest, decide
from trade_service.domain.delivery import InvalidTrade, day_number, day_of
from trade_service.domain.trade import (
    BookedRow,
    BookedTrade,
    Correction,
    Criteria,
    Differing,
    Direction,
    Head,
    Position,
    PositionKey,
    Result,
    Source,
    Trade,
    confirmed_by,
    different_fields,
    flag_names,
    name_problem,
    trade_in,
    trade_of,
)

__all__ = [
    "BookedRow",
    "BookedTrade",
    "Correction",
    "Criteria",
    "Decision",
    "Differing",
    "Direction",
    "Head",
    "InvalidTrade",
    "Position",
    "PositionKey",
    "Result",
    "Source",
    "Speaker",
    "Trade",
    "chained_digest",
    "confirmed_by",
    "day_number",
    "day_of",
    "decide",
    "different_fields",
    "flag_names",
    "name_problem",
    "trade_in",
    "trade_of",
]
