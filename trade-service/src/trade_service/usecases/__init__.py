"""What trade-service does: book in groups, search, sum up."""

from trade_service.usecases.announcing import announce
from trade_service.usecases.booking import GroupCommit
from trade_service.usecases.ledger import Commit, Outcome, Sender
from trade_service.usecases.questions import (
    FoundPage,
    Known,
    corrections,
    differing,
    has_diverged,
    positions,
    positions_of,
    search,
)

__all__ = [
    "Commit",
    "FoundPage",
    "GroupCommit",
    "Known",
    "Outcome",
    "Sender",
    "announce",
    "corrections",
    "differing",
    "has_diverged",
    "positions",
    "positions_of",
    "search",
]
