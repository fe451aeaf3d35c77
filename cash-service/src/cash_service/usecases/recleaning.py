"""Cleaning the kept answers anew by changed rules: what it would change of each company, and keeping it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cash_service.domain.cleaning import Flow, Kind, clean, legs_of
from cash_service.store.bank import BankStore, WindowState
from cash_service.store.questions import Questions
from cash_service.store.windows import Windows
from cash_service.usecases.basis import Bases
from cash_service.usecases.reading import clean_again, kept_rows

EVERY = 20  # windows between two messages


class Difference(NamedTuple):
    """What it changes of a company; balances as shown in EUR."""

    company_id: int
    name: str
    payments_before: int
    payments_after: int
    balance_before: str
    balance_after: str


@dataclass(frozen=True)
class Step:
    """How far it is; the last one has the differences."""

    done: int
    total: int
    differences: list[Difference] = field(default_factory=list)
    is_done: bool = False
    kept: bool = False


class Recleaning:
    """Cleans windows that other rules have cleaned."""

    def __init__(
        self, questions: Questions, bases: Bases, bank: BankStore, windows: Windows,
        *, committed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Clean ``bank``'s answers into ``windows``; ``committed`` is called after commits with events."""
        self._questions, self._bases, self._bank, self._windows = questions, bases, bank, windows
        self._committed = committed

    def run(self, *, keep: bool) -> Iterator[Step]:
        """What changes; with ``keep`` it is changed, window by window."""
        windows = self._bank.of_older_rules()
        changes = _Changes()
        for done, had in enumerate(windows):
            if done % EVERY == 0:
                yield Step(done, len(windows))
            self._compare(had, changes)
        differences = self._differences(changes)
        if keep:
            for had in windows:
                clean_again(self._bank, self._windows, had)
            self._committed()
        yield Step(len(windows), len(windows), differences, is_done=True, kept=keep)

    def _compare(self, had: WindowState, changes: _Changes) -> None:
        rows = kept_rows(self._bank, had.source, had.number, version=had.version)
        if rows is None:
            return
        cleaned = clean(rows, source=had.source, window=had.number)
        numbers, companies = self._windows.known(cleaned.ibans)
        legs = legs_of(cleaned, source=had.source, numbers=numbers, companies=companies)
        company_of = dict(zip(numbers.tolist(), companies.tolist(), strict=True))
        columns = legs.account, legs.currency, legs.flow, legs.minor, legs.kind
        for account, code, flow, minor, kind in zip(*(each.tolist() for each in columns), strict=True):
            if kind == Kind.CLEAN:
                changes.count(company_of[account], cleaned.currencies[code], flow, minor, 1)
        for row in self._windows.legs(had.source, had.number):
            if row.kind == Kind.CLEAN:
                changes.count(row.company_id, row.currency, row.flow, -row.minor, -1)

    def _differences(self, changes: _Changes) -> list[Difference]:
        basis = self._bases.now()
        conversion = self._bases.conversion(basis, "EUR")
        found = []
        for company_id in sorted(changes.companies()):
            row = self._questions.company(company_id)
            if row is None:
                continue
            numbers = [account.number for account in row[1]]
            sums = [
                each
                for each in self._questions.sums_to(numbers, self._bases.now_us())
                if each.kind == Kind.CLEAN
            ]
            exact = sum(
                conversion.part(each.currency, each.minor if each.flow in _CREDIT else -each.minor)
                for each in sums
                if conversion.has_rate(each.currency)
            )
            moved = sum(
                conversion.part(currency, minor)
                for (company, currency), minor in changes.minor.items()
                if company == company_id and conversion.has_rate(currency)
            )
            payments = sum(each.payments for each in sums)
            found.append(
                Difference(
                    company_id, row[0].name, payments, payments + changes.payments[company_id],
                    conversion.text(exact), conversion.text(exact + moved),
                )
            )  # fmt: skip
        return found


_CREDIT = (Flow.IN, Flow.INTERNAL_IN)


class _Changes:
    """What counts now less what counted, by company."""

    def __init__(self) -> None:
        self.minor: Counter[tuple[int, str]] = Counter()
        self.payments: Counter[int] = Counter()

    def count(self, company_id: int, currency: str, flow: int, minor: int, payments: int) -> None:
        self.minor[company_id, currency] += minor if flow in _CREDIT else -minor
        self.payments[company_id] += payments

    def companies(self) -> set[int]:
        changed = {company for (company, _), minor in self.minor.items() if minor}
        return changed | {company for company, payments in self.payments.items() if payments}
