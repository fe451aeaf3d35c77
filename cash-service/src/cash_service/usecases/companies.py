"""Finding companies, and what of theirs is set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cash_service.domain.iban import normal_iban
from cash_service.domain.periods import window_of
from cash_service.store.questions import Questions
from cash_service.usecases.basis import Bases, Basis
from cash_service.usecases.questions import Answers, Owner

_FEWEST_OF_IBAN = 4  # characters by which an account is meant


@dataclass(frozen=True)
class Found:
    """A page of rows, and whether more follow."""

    basis: Basis
    rows: list[Any]
    more: bool


@dataclass(frozen=True)
class CompaniesFound(Found):
    """Companies with how many accounts they have, and the IBAN by which each was found."""

    accounts: dict[int, int]
    matched: list[str]


@dataclass(frozen=True)
class CompanyFound:
    """A company, and its first and last instant with a payment."""

    basis: Basis
    owner: Owner
    first_us: int | None
    last_us: int | None


class Companies:
    """The list of companies."""

    def __init__(self, questions: Questions, bases: Bases, answers: Answers) -> None:
        """Ask ``questions``."""
        self._questions, self._bases, self._answers = questions, bases, answers

    def search(self, query: str, *, by_id: bool, after: tuple[Any, ...] | None, limit: int) -> CompaniesFound:
        """Companies of which the query is a part of the name, the id or an IBAN; searched literally."""
        texts = list(
            dict.fromkeys(text for text in (query.casefold(), normal_iban(query).casefold()) if text)
        )
        rows = self._questions.companies(
            texts,
            by_id=by_id,
            after=None if after is None else (str(after[0]), int(after[1])),
            limit=limit + 1,
        )
        more, rows = len(rows) > limit, rows[:limit]
        counts = self._questions.account_counts([row.id for row in rows])
        matched = [_matched_iban(row.search, texts[-1] if texts else "") for row in rows]
        return CompaniesFound(self._bases.now(), rows, more, counts, matched)

    def one(self, company_id: int) -> CompanyFound:
        """A company. Raises NotFound."""
        owner = self._answers.owner(company_id)
        return CompanyFound(self._bases.now(), owner, *self._questions.span(owner.numbers))

    def set_aside(
        self, company_id: int | None, *, period: tuple[int, int] | None, reason: int,
        after: tuple[Any, ...] | None, limit: int,
    ) -> Found:  # fmt: skip
        """Rows that are set aside, of a company or of all."""
        numbers = None if company_id is None else self._answers.owner(company_id).numbers
        first, before = (
            (0, 2**31 - 1) if period is None else (window_of(period[0]), window_of(period[1] - 1) + 1)
        )
        rows = self._questions.set_aside(
            numbers, first=first, before=before, reason=reason, limit=limit + 1,
            after=None if after is None else (int(after[0]), int(after[1]), int(after[2])),
        )  # fmt: skip
        return Found(self._bases.now(), rows[:limit], len(rows) > limit)


def _matched_iban(search: str, text: str) -> str:
    """The first IBAN of a search text that a query is a part of, where it says enough to mean one."""
    if len(text) < _FEWEST_OF_IBAN:
        return ""
    _, _, *ibans = search.rsplit("\n", search.count("\n"))
    return next((iban.upper() for iban in ibans if text in iban), "")
