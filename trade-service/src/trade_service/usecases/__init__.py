"""What trade-service does: book in groups, search, sum up."""

from trade_service.usecases.announcing import announce
from trade_service.usecases.booking import GroupCommit, Outcome
from trade_service.usecases.questions import FoundPage, positions, search

__all__ = ["FoundPage", "GroupCommit", "Outcome", "announce", "positions", "search"]
