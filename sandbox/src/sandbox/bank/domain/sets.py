"""What a made data set is: its size, chance and days, and how it is cut into parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from sandbox.bank.domain.sizes import SIZES, SOURCES, Size, Span, day_of

WINDOWS_A_PART = 16


@dataclass(frozen=True, slots=True)
class Part:
    """Windows of one source that are made, and lie, together."""

    source: str
    windows: range

    @property
    def name(self) -> str:
        """The first window that it may have."""
        return str(part_of(self.windows[0]))


def part_of(window: int) -> int:
    """The first window of the part that a window is in."""
    return window - window % WINDOWS_A_PART


@dataclass(frozen=True, slots=True)
class Plan:
    """What is made: the same plan is the same data."""

    size: Size
    seed: int
    span: Span

    @property
    def rows(self) -> int:
        """Payments of both sources."""
        return sum(self.size.rows(source, window) for source in SOURCES for window in self.span.windows)

    def parts(self) -> Iterator[Part]:
        """All parts, by source and time."""
        windows = self.span.windows
        for source in SOURCES:
            for first in range(part_of(windows[0]), windows[-1] + 1, WINDOWS_A_PART):
                inside = range(max(first, windows[0]), min(first + WINDOWS_A_PART, windows[-1] + 1))
                yield Part(source, inside)

    def as_dict(self) -> dict[str, Any]:
        """As it is written down."""
        first, end = day_of(self.span.first_day).isoformat(), day_of(self.span.end_day).isoformat()
        return {"size": self.size.name, "seed": self.seed, "from": first, "to": end}

    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> Plan:
        """What was written down.

        Raises:
            KeyError, ValueError: it is no plan.
        """
        days = Span.of(date.fromisoformat(written["from"]), date.fromisoformat(written["to"]))
        return cls(SIZES[written["size"]], int(written["seed"]), days)
