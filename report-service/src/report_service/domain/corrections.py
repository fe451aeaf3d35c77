"""What the exchange corrected, and what it stated twice and differently, as the desk decides over it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from report_service.domain.feed import Statement


@dataclass(frozen=True, slots=True)
class Content:
    """What a trade was at one time; ``json`` is the same as the API takes it."""

    said: Statement
    json: str


@dataclass(frozen=True, slots=True)
class Correction:
    """A content and the one that replaced it, None where that is another trader's."""

    number: int
    trade_id: str
    at: datetime
    replaced: Content | None
    by: Content | None
    accepted_by: str = ""


@dataclass(frozen=True, slots=True)
class CorrectionPage:
    """Newest first; ``next_before`` is where the next page begins, 0 where nothing more is there."""

    items: tuple[Correction, ...]
    next_before: int = 0


@dataclass(frozen=True, slots=True)
class Differing:
    """What the exchange stated otherwise than it stands in the book; ``source`` is ``feed`` or ``file``."""

    number: int
    trade_id: str
    at: datetime
    source: str
    stated: Content
    booked: Content


@dataclass(frozen=True, slots=True)
class DifferingPage:
    """In the order in which they came; ``next_after`` is where the next page begins, 0 where nothing is."""

    items: tuple[Differing, ...]
    next_after: int = 0
