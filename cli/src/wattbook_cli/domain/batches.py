"""What became of a file that was booked."""

from __future__ import annotations

from dataclasses import dataclass

RESULTS = ("added", "duplicate", "conflict", "invalid")


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows were added, known already, contradicting a known one, or wrong."""

    added: int = 0
    duplicate: int = 0
    conflict: int = 0
    invalid: int = 0

    @property
    def rows(self) -> int:
        """All of them."""
        return self.added + self.duplicate + self.conflict + self.invalid

    @property
    def refused(self) -> int:
        """Those not booked."""
        return self.conflict + self.invalid


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was not booked.

    ``row`` counts data rows from 1; ``line`` is where it begins in the file, if known.
    """

    row: int
    line: int | None
    trade_id: str
    result: str
    reason: str
    content: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A file's outcome; ``seconds`` from the first byte sent to the last answered."""

    name: str
    counts: Counts
    seconds: float
