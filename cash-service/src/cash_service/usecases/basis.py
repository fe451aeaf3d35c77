"""What every figure stands on: how far the payments are had, and the rates in force."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple

from wattbook.clock import Clock, from_epoch_us, iso_z, to_epoch_us

from cash_service.domain.cleaning import Source
from cash_service.domain.periods import DAY_US, window_span
from cash_service.domain.rates import Conversion, RateTable, read_rates
from cash_service.store.questions import Questions, State

OLD_RATES_US = 2 * DAY_US
NO_TABLE = "the bank has given no exchange rates yet"


class Gap(NamedTuple):
    """A window that is missing, or had and not complete though a later one is."""

    source: Source
    window: int


@dataclass(frozen=True)
class Progress:
    """How far the payments are had."""

    complete_to_us: int | None
    missing: tuple[Gap, ...]
    newest: dict[Source, int]
    loading: bool


@dataclass(frozen=True)
class Basis:
    """What a figure stands on."""

    state: State
    progress: Progress
    rates: RateTable
    rates_received_us: int
    warning: str

    def conversion(self, target: str) -> Conversion:
        """Exact sums in EUR or USD by the rates in force."""
        return Conversion(self.rates, target)


class Bases:
    """The basis of now; what it takes to find it is kept for as long as its versions stay."""

    def __init__(self, questions: Questions, clock: Clock) -> None:
        """Ask ``questions``."""
        self._questions, self._clock = questions, clock
        self._progress: tuple[int, Progress] | None = None
        self._rates: tuple[int, int, RateTable] = (0, 0, RateTable(warning=NO_TABLE))
        self._conversions: dict[tuple[int, str], Conversion] = {}

    def now(self) -> Basis:
        """The basis of figures that are asked for now."""
        state = self._questions.state()
        progress = self._progress
        if progress is None or progress[0] != state.data_version or progress[1].loading:
            progress = self._progress = (state.data_version, _progress(self._questions))
        rates = self._rates
        if rates[0] != state.rates_version:
            found = self._questions.rates(state.rates_version)
            if found is not None:
                received_us, content = found
                rows = [(str(row[0]), row[1], row[2]) for row in json.loads(content)]
                rates = self._rates = (state.rates_version, received_us, read_rates(rows))
        return Basis(state, progress[1], rates[2], rates[1], self._warning(state, rates[2]))

    def conversion(self, basis: Basis, target: str) -> Conversion:
        """As :meth:`Basis.conversion`, made once a table."""
        key = (basis.state.rates_version, target)
        if key not in self._conversions:
            self._conversions = {key: basis.conversion(target), **dict(list(self._conversions.items())[:3])}
        return self._conversions[key]

    def now_us(self) -> int:
        """The instant."""
        return to_epoch_us(self._clock.now())

    def _warning(self, state: State, table: RateTable) -> str:
        told = [table.warning] if table.warning else []
        confirmed_us = state.rates_confirmed_us
        if state.rates_trouble and confirmed_us:
            told.append(f"the rates are of {iso_z(from_epoch_us(confirmed_us))}: {state.rates_trouble}")
        elif confirmed_us and self.now_us() - confirmed_us > OLD_RATES_US:
            told.append(f"the bank last gave the rates at {iso_z(from_epoch_us(confirmed_us))}")
        return "; ".join(told)


def _progress(questions: Questions) -> Progress:
    complete_to_us, windows, have_ended = questions.progress()
    missing: list[Gap] = []
    newest: dict[Source, int] = {}
    known = [numbers[0][0] for numbers in windows.values() if numbers]
    for source, numbers in windows.items():
        complete = {number for number, is_complete in numbers if is_complete}
        if complete:
            newest[Source(source)] = max(complete)
            gaps = (number for number in range(min(known), max(complete)) if number not in complete)
            missing.extend(Gap(Source(source), number) for number in gaps)
    missing.sort(key=lambda gap: (gap.window, gap.source))
    return Progress(complete_to_us, tuple(missing), newest, loading=not have_ended)


def gap_span(gap: Gap) -> tuple[int, int]:
    """From when to when a missing window is."""
    return window_span(gap.window)
