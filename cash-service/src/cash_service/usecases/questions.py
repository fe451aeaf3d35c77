"""What is asked about a company: balance, history, countries, counterparties, payments, quality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from wattbook.errors import InvalidInput, NotFound

from cash_service.domain.balances import (
    AccountTotal,
    Bucket,
    Include,
    LeftOut,
    Movement,
    Sum,
    account_totals,
    buckets,
    kinds_of,
    movements,
)
from cash_service.domain.cleaning import Flow, Source
from cash_service.domain.iban import country_of, normal_iban
from cash_service.domain.periods import FUTURE_US, Interval, spans
from cash_service.domain.rates import TARGETS, Conversion
from cash_service.store.questions import Filter, Questions
from cash_service.usecases.basis import Bases, Basis

PAGE = 500


class Owner(NamedTuple):
    """A company with its accounts, as rows of the store."""

    company: Any
    accounts: list[Any]

    @property
    def numbers(self) -> list[int]:
        """The numbers of the accounts."""
        return [account.number for account in self.accounts]

    def chosen(self, iban: str) -> list[int]:
        """The accounts that are meant: one by its IBAN, or all.

        Raises:
            InvalidInput: it is not one of the company's.
        """
        if not iban:
            return self.numbers
        found = [account.number for account in self.accounts if account.iban == normal_iban(iban)]
        if not found:
            raise InvalidInput(f"account: {iban[:40]!r} is no account of company {self.company.id}")
        return found


@dataclass(frozen=True)
class BalanceFound:
    """A company's balance at an instant."""

    basis: Basis
    owner: Owner
    at_us: int
    conversion: Conversion
    totals: dict[int, AccountTotal]
    left_out: list[LeftOut]
    future_payments: int

    @property
    def balance(self) -> int:
        """All accounts together, exact."""
        return sum(total.exact for total in self.totals.values())

    @property
    def debt(self) -> int:
        """The negative balances together, exact."""
        return sum(total.exact for total in self.totals.values() if total.exact < 0)

    @property
    def credit(self) -> int:
        """The positive balances together, exact."""
        return sum(total.exact for total in self.totals.values() if total.exact > 0)


@dataclass(frozen=True)
class HistoryFound:
    """A company's history."""

    basis: Basis
    owner: Owner
    buckets: list[Bucket]
    left_out: list[LeftOut]


@dataclass(frozen=True)
class FlowsFound:
    """What moved in a period, by country or counterparty; the largest first."""

    basis: Basis
    owner: Owner
    conversion: Conversion
    flows: list[tuple[Any, Movement]]
    total: Movement
    left_out: list[LeftOut]
    count: int


@dataclass(frozen=True)
class Wanted:
    """Which payments of a company."""

    company_id: int
    from_us: int
    before_us: int
    currency: str
    include: Sequence[Include] = ()
    iban: str = ""
    flow: str = ""  # in, out, internal
    country: str = ""
    least: Decimal | None = None
    most: Decimal | None = None
    source: Source | None = None
    counterparty: str = ""


@dataclass(frozen=True)
class Selection:
    """Payments that match, as they are asked for page by page."""

    basis: Basis
    owner: Owner
    conversion: Conversion
    filter: Filter | None  # None: nothing can match


class Answers:
    """Answers about companies. Everything raises Unavailable where the store cannot be read."""

    def __init__(self, questions: Questions, bases: Bases) -> None:
        """Ask ``questions``, on the ``bases``."""
        self._questions, self._bases = questions, bases

    def now_us(self) -> int:
        """The instant."""
        return self._bases.now_us()

    def owner(self, company_id: int) -> Owner:
        """A company and its accounts.

        Raises:
            NotFound: there is none.
        """
        found = self._questions.company(company_id)
        if found is None:
            raise NotFound(f"there is no company {company_id}")
        return Owner(*found)

    def balance(
        self, company_id: int, *, at_us: int | None, currency: str, include: Sequence[Include]
    ) -> BalanceFound:
        """A company's balance at an instant; None: now, without payments over a day ahead."""
        basis = self._bases.now()
        owner = self.owner(company_id)
        now_us = self._bases.now_us()
        conversion, kinds = self._bases.conversion(basis, currency), kinds_of(include)
        sums = self._questions.sums_to(owner.numbers, now_us + FUTURE_US if at_us is None else at_us)
        totals, left_out = account_totals(sums, conversion, kinds)
        ahead = self._questions.day_sums(owner.numbers, now_us + FUTURE_US + 1, 2**62)
        future = sum(each.payments for each in ahead if each.kind in kinds)
        return BalanceFound(
            basis, owner, now_us if at_us is None else at_us, conversion, totals, left_out, future
        )

    def history(
        self, company_id: int, *, from_us: int, before_us: int, interval: Interval, currency: str,
        include: Sequence[Include], iban: str,
    ) -> HistoryFound:  # fmt: skip
        """Opening, in, out and closing of each interval.

        Raises:
            InvalidInput: it would be too many intervals, or the account is not the company's.
        """
        try:
            cut = spans(from_us, before_us, interval)
        except ValueError as error:
            raise InvalidInput(f"interval: {error}; take a longer one, or a shorter period") from error
        basis = self._bases.now()
        owner = self.owner(company_id)
        numbers = owner.chosen(iban)
        conversion, kinds = self._bases.conversion(basis, currency), kinds_of(include)
        opening, _ = account_totals(self._questions.sums_to(numbers, from_us - 1), conversion, kinds)
        sums = self._questions.day_sums(numbers, from_us, before_us)
        days, left_out = movements(sums, conversion, kinds, apart=not iban)
        opened = sum(total.exact for total in opening.values())
        return HistoryFound(basis, owner, buckets(cut, days, opened, conversion), left_out)

    def flows(
        self, company_id: int, *, from_us: int, before_us: int, currency: str, include: Sequence[Include],
        iban: str, by_country: bool, limit: int,
    ) -> FlowsFound:  # fmt: skip
        """What moved in a period, by the country of the other side, or by the other side itself."""
        basis = self._bases.now()
        owner = self.owner(company_id)
        numbers = owner.chosen(iban)
        conversion, kinds = self._bases.conversion(basis, currency), kinds_of(include)
        sums = self._questions.counterparty_sums(numbers, from_us, before_us)
        found, left_out = movements(_without_internal(sums), conversion, kinds, apart=True)
        accounts = self._questions.accounts(found)
        total = Movement()
        by_key: dict[Any, Movement] = {}
        for number, moved in found.items():
            total.merge(moved)
            key = country_of(accounts[number].iban) if by_country else number
            by_key.setdefault(key, Movement()).merge(moved)
        ordered = sorted(by_key.items(), key=lambda each: (-(each[1].cash_in + each[1].cash_out), each[0]))
        shown = ordered if by_country else [(accounts[key], moved) for key, moved in ordered[:limit]]
        return FlowsFound(basis, owner, conversion, shown, total, left_out, len(ordered))

    def selection(self, wanted: Wanted) -> Selection:
        """Payments that match.

        Raises:
            InvalidInput: the account is not the company's.
        """
        basis = self._bases.now()
        owner = self.owner(wanted.company_id)
        conversion = self._bases.conversion(basis, wanted.currency)
        counterparty = None
        if wanted.counterparty:
            counterparty = self._questions.account_by_iban(normal_iban(wanted.counterparty))
            if counterparty is None:
                return Selection(basis, owner, conversion, None)
        numbers = owner.chosen(wanted.iban)
        chosen = Filter(
            numbers, wanted.from_us, wanted.before_us, kinds_of(wanted.include),
            flows=_flows_of(wanted.flow, apart=not wanted.iban), country=wanted.country or None,
            counterparty=counterparty, source=None if wanted.source is None else int(wanted.source),
            at_least=_bounds(basis, conversion, wanted.least, least=True),
            at_most=_bounds(basis, conversion, wanted.most, least=False),
        )  # fmt: skip
        return Selection(basis, owner, conversion, chosen)

    def sums(self, selection: Selection, *, apart: bool) -> tuple[Movement, list[LeftOut]]:
        """The sums of all of it."""
        if selection.filter is None:
            return Movement(), []
        sums = self._questions.selection_sums(selection.filter)
        found, left_out = movements(sums, selection.conversion, selection.filter.kinds, apart=apart)
        return found.get(0, Movement()), left_out

    def payments(
        self, selection: Selection, *, after: tuple[int, int, int] | None, limit: int
    ) -> Iterator[tuple[list[Any], dict[int, Any], bool]]:
        """Pages of legs, newest first, with the accounts they name and whether more follow; 0: no limit."""
        left = limit
        while selection.filter is not None:
            size = min(left, PAGE) if limit else PAGE
            legs = self._questions.legs(selection.filter, after=after, limit=size + 1)
            more, legs = len(legs) > size, legs[:size]
            numbers = {leg.account for leg in legs} | {leg.counterparty for leg in legs}
            yield legs, self._questions.accounts(numbers), more
            left -= len(legs)
            if not more or (limit and not left):
                return
            after = (legs[-1].time_us, legs[-1].account, legs[-1].line)
        yield [], {}, False


def _without_internal(sums: Sequence[Sum]) -> list[Sum]:
    return [each for each in sums if each.flow in (Flow.IN, Flow.OUT)]


def _flows_of(flow: str, *, apart: bool) -> list[int] | None:
    """The flows of legs; of one account alone, transfers to others of its company are in and out as well."""
    flows = {
        "": None,
        "in": [Flow.IN] if apart else [Flow.IN, Flow.INTERNAL_IN],
        "out": [Flow.OUT] if apart else [Flow.OUT, Flow.INTERNAL_OUT],
        "internal": [Flow.INTERNAL_IN, Flow.INTERNAL_OUT],
    }[flow]
    return None if flows is None else [int(each) for each in flows]


def _bounds(
    basis: Basis, conversion: Conversion, amount: Decimal | None, *, least: bool
) -> dict[str, int] | None:
    """By currency the fewest minor units that are worth an amount, or the most that are worth no more."""
    if amount is None:
        return None
    minor = Fraction(amount) * 100
    found = {}
    for code in {*basis.rates.rates, *TARGETS}:
        fewest = conversion.least_minor(code, minor)
        if fewest is not None:
            over = conversion.part(code, fewest) > minor * conversion.over
            found[code] = fewest if least or not over else fewest - 1
    return found
