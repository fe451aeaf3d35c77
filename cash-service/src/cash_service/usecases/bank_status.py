"""How far the bank is followed, and how that goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cash_service.domain.cleaning import RULES_VERSION, Source
from cash_service.domain.periods import window_span
from cash_service.store.questions import Questions
from cash_service.usecases.basis import Bases, Basis, Gap
from cash_service.usecases.companies import Found


@dataclass(frozen=True)
class SourceFound:
    """How far one source is."""

    source: Source
    complete_to_us: int | None
    missing: tuple[Gap, ...]
    stream: Any
    counts: Any  # None: nothing yet
    failed_tries: dict[str, int]


@dataclass(frozen=True)
class StatusFound:
    """How it goes."""

    basis: Basis
    leads: bool
    lag_s: float
    sources: list[SourceFound]
    companies: int
    accounts: int
    older_rules: int


class BankStatus:
    """Answers about the bank."""

    def __init__(self, questions: Questions, bases: Bases, *, leads: Callable[[], bool]) -> None:
        """Ask ``questions``; ``leads`` says whether this replica asks the bank."""
        self._questions, self._bases, self._leads = questions, bases, leads

    def status(self) -> StatusFound:
        """How it goes."""
        basis = self._bases.now()
        streams, counts, tries = self._questions.source_facts()
        by_source = {row.source: row for row in counts}
        sources = [
            SourceFound(
                Source(row.source), _complete_to(basis, Source(row.source)),
                tuple(gap for gap in basis.progress.missing if gap.source == row.source), row,
                by_source.get(row.source),
                {reason: number for (source, reason), number in tries.items() if source == row.source},
            )
            for row in sorted(streams, key=lambda row: row.source)
        ]  # fmt: skip
        return StatusFound(
            basis, self._leads(), self.lag_s(basis), sources, *self._questions.totals(),
            self._questions.older_rules(RULES_VERSION),
        )  # fmt: skip

    def lag_s(self, basis: Basis) -> float:
        """Seconds from where the payments are complete to the end of the last window that is over.

        Where nothing is missing that is at most the length of a window: the open one is never complete.
        """
        complete_to_us = basis.progress.complete_to_us
        return 0.0 if complete_to_us is None else max(0.0, (self._bases.now_us() - complete_to_us) / 1e6)

    def windows(
        self, *, source: Source | None, state: str, after: tuple[Any, ...] | None, limit: int
    ) -> Found:
        """Windows that are had, newest first."""
        rows = self._questions.windows(
            source=None if source is None else int(source), state_=state, limit=limit + 1,
            after=None if after is None else (int(after[0]), int(after[1])),
        )  # fmt: skip
        return Found(self._bases.now(), rows[:limit], len(rows) > limit)


def _complete_to(basis: Basis, source: Source) -> int | None:
    """Where one source's first gap begins."""
    newest = basis.progress.newest.get(source)
    if newest is None:
        return None
    gaps = [gap.window for gap in basis.progress.missing if gap.source is source]
    return window_span(min(gaps, default=newest + 1))[0]
