"""What is unusual in the data, and what it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from cash_service.domain.balances import Include, Sum, account_totals, kinds_of, movements
from cash_service.domain.cleaning import (
    Flag,
    Kind,
    Reason,
    flag_names,
    reason_names,
)
from cash_service.domain.iban import IbanFacts, facts_of
from cash_service.domain.periods import FUTURE_US
from cash_service.domain.rates import Conversion
from cash_service.store.questions import Questions
from cash_service.usecases.basis import Bases, Basis
from cash_service.usecases.questions import Answers, Owner

_SWITCHES = {
    "batch": (Include.BATCH,),
    "batch_once": (Include.BATCH_ONCE,),
    "invalid_iban": (Include.INVALID_IBAN,),
}


class KindFound(NamedTuple):
    """Payments of one kind: how many, their sums where they have usable amounts, what counting them does."""

    kind: str
    payments: int
    cash_in: int | None
    cash_out: int | None
    is_set_aside: bool
    balance_without: int | None = None
    balance_with: int | None = None


@dataclass(frozen=True)
class QualityFound:
    """What is unusual of a company, or of all; sums are exact in the currency of ``conversion``."""

    basis: Basis
    owner: Owner | None
    conversion: Conversion
    kinds: list[KindFound]
    rounding: dict[str, Decimal]
    suspicious: list[tuple[Any, IbanFacts]]
    balance: int | None
    balance_with_all: int | None


class Quality:
    """Answers about the data itself."""

    def __init__(self, questions: Questions, bases: Bases, answers: Answers) -> None:
        """Ask ``questions``."""
        self._questions, self._bases, self._answers = questions, bases, answers

    def of(self, company_id: int | None, *, currency: str) -> QualityFound:
        """What is unusual of a company, or of all where it is None."""
        basis = self._bases.now()
        owner = None if company_id is None else self._answers.owner(company_id)
        numbers = None if owner is None else owner.numbers
        conversion = self._bases.conversion(basis, currency)
        at_us = self._bases.now_us() + FUTURE_US
        by_flags = self._questions.flag_sums(numbers, at_us)
        sums = [each for _, each in by_flags]
        balances = {name: _total(sums, conversion, include) for name, include in _SWITCHES.items()}
        without = _total(sums, conversion, ())
        kinds = _dirty(sums, conversion, balances if owner else {}, without)
        kinds += _flagged(by_flags, conversion)
        kinds += _unusable(self._questions.reason_counts(numbers))
        facts = [(account, facts_of(account.iban)) for account in (owner.accounts if owner else [])]
        return QualityFound(
            basis, owner, conversion, kinds, _left_off(self._questions.roundings(numbers)),
            [(account, each) for account, each in facts if each.suspicious or not each.country],
            without if owner else None,
            _total(sums, conversion, (Include.BATCH, Include.INVALID_IBAN)) if owner else None,
        )  # fmt: skip


def _dirty(
    sums: Sequence[Sum], conversion: Conversion, balances: dict[str, int], without: int
) -> list[KindFound]:
    """Payments that count on demand."""
    found = []
    for name, kinds in (
        ("batch", {Kind.BATCH, Kind.BATCH_REPEAT}),
        ("batch_once", {Kind.BATCH}),
        ("invalid_iban", {Kind.INVALID_IBAN}),
    ):
        of_kind = [each for each in sums if each.kind in kinds]
        if of_kind:
            moved = movements(of_kind, conversion, frozenset(map(int, kinds)), apart=False)[0].get(0)
            found.append(
                KindFound(
                    name, sum(each.payments for each in of_kind), moved.cash_in if moved else 0,
                    moved.cash_out if moved else 0, is_set_aside=True,
                    balance_without=without if balances else None, balance_with=balances.get(name),
                )
            )  # fmt: skip
    return found


def _flagged(by_flags: Sequence[tuple[int, Sum]], conversion: Conversion) -> list[KindFound]:
    """Payments that are kept, and flagged."""
    found = []
    for flag in (Flag.ROUNDED, Flag.OTHER_CURRENCY, Flag.NO_EXPONENT, Flag.NOT_ISO):
        of_it = [each for flags, each in by_flags if flags & flag and each.kind == Kind.CLEAN]
        if of_it:
            moved = movements(of_it, conversion, frozenset({int(Kind.CLEAN)}), apart=False)[0].get(0)
            found.append(
                KindFound(
                    flag_names(flag)[0], sum(each.payments for each in of_it),
                    moved.cash_in if moved else None, moved.cash_out if moved else None, is_set_aside=False,
                )
            )  # fmt: skip
    return found


def _unusable(counts: dict[int, int]) -> list[KindFound]:
    """Rows that cannot count at all."""
    by_name: dict[str, int] = {}
    for reasons, rows in counts.items():
        for name in reason_names(reasons & ~(Reason.INVALID_IBAN | Reason.BATCH)):
            by_name[name] = by_name.get(name, 0) + rows
    return [KindFound(name, rows, None, None, is_set_aside=True) for name, rows in by_name.items()]


def _total(sums: Sequence[Sum], conversion: Conversion, include: Sequence[Include]) -> int:
    totals, _ = account_totals(sums, conversion, kinds_of(include))
    return sum(total.exact for total in totals.values())


def _left_off(rows: Sequence[tuple[str, str]]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for currency, left_off in rows:
        found[currency] = found.get(currency, Decimal(0)) + Decimal(left_off)
    return found
