"""Balances and what moved them, from sums by account, currency, kind and flow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from cash_service.domain.cleaning import Flow, Kind
from cash_service.domain.periods import DAY_US, Span
from cash_service.domain.rates import Conversion


class Include(StrEnum):
    """What counts beside clean payments."""

    BATCH = "batch"
    BATCH_ONCE = "batch-once"
    INVALID_IBAN = "invalid-iban"


class Sum(NamedTuple):
    """Payments of one kind and flow in one currency; ``key`` is an account, a day or a counterparty."""

    key: int
    currency: str
    kind: int
    flow: int
    minor: int
    payments: int


class LeftOut(NamedTuple):
    """Payments that no rate can convert: in - out, in their own currency."""

    currency: str
    minor: int
    payments: int


@dataclass(slots=True)
class AccountTotal:
    """An account's balance: exact in the currency asked for, in minor units as paid."""

    exact: int = 0
    payments: int = 0
    by_currency: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Movement:
    """What moved in a time; exact sums in the currency asked for."""

    cash_in: int = 0
    cash_out: int = 0
    internal_in: int = 0
    internal_out: int = 0
    payments_in: int = 0
    payments_out: int = 0
    payments: int = 0

    @property
    def net(self) -> int:
        """What it changed."""
        return self.cash_in - self.cash_out + self.internal_in - self.internal_out

    def merge(self, other: Movement) -> None:
        """Add what moved elsewhere."""
        self.cash_in += other.cash_in
        self.cash_out += other.cash_out
        self.internal_in += other.internal_in
        self.internal_out += other.internal_out
        self.payments_in += other.payments_in
        self.payments_out += other.payments_out
        self.payments += other.payments

    def add(self, flow: int, exact: int, payments: int, *, apart: bool) -> None:
        """Count payments; ``apart``: transfers among a company's own accounts are no in and out."""
        self.payments += payments
        internal = flow in (Flow.INTERNAL_IN, Flow.INTERNAL_OUT)
        credit = flow in (Flow.IN, Flow.INTERNAL_IN)
        if internal and apart:
            if credit:
                self.internal_in += exact
            else:
                self.internal_out += exact
        elif credit:
            self.cash_in += exact
            self.payments_in += payments
        else:
            self.cash_out += exact
            self.payments_out += payments


@dataclass(frozen=True, slots=True)
class Bucket:
    """A span of a history, in minor units as shown: each rounded once."""

    span: Span
    opening: int
    cash_in: int
    cash_out: int
    internal: int
    closing: int
    lowest: int
    lowest_day: int | None  # since 1970; None: the opening was the lowest
    payments: int

    @property
    def rounding(self) -> int:
        """What rounding each figure for itself leaves between them."""
        return self.closing - (self.opening + self.cash_in - self.cash_out)


def kinds_of(include: Iterable[Include]) -> frozenset[int]:
    """The kinds of payments that count."""
    wanted = set(include)
    kinds = {Kind.CLEAN}
    if wanted & {Include.BATCH, Include.BATCH_ONCE}:
        kinds.add(Kind.BATCH)
    if Include.BATCH in wanted:
        kinds.add(Kind.BATCH_REPEAT)
    if Include.INVALID_IBAN in wanted:
        kinds.add(Kind.INVALID_IBAN)
    return frozenset(map(int, kinds))


def account_totals(
    sums: Iterable[Sum], conversion: Conversion, kinds: frozenset[int]
) -> tuple[dict[int, AccountTotal], list[LeftOut]]:
    """The balance of each account that has payments, and what could not be converted."""
    totals: dict[int, AccountTotal] = {}
    left_out: dict[str, list[int]] = {}
    for key, currency, kind, flow, minor, payments in sums:
        if kind not in kinds:
            continue
        signed = minor if flow in (Flow.IN, Flow.INTERNAL_IN) else -minor
        total = totals.setdefault(key, AccountTotal())
        total.payments += payments
        total.by_currency[currency] = total.by_currency.get(currency, 0) + signed
        if conversion.has_rate(currency):
            total.exact += conversion.part(currency, signed)
        else:
            _leave_out(left_out, currency, signed, payments)
    return totals, _left_out(left_out)


def movements(
    sums: Iterable[Sum], conversion: Conversion, kinds: frozenset[int], *, apart: bool
) -> tuple[dict[int, Movement], list[LeftOut]]:
    """What moved by key, and what could not be converted; ``apart`` as in :meth:`Movement.add`."""
    found: dict[int, Movement] = {}
    left_out: dict[str, list[int]] = {}
    for key, currency, kind, flow, minor, payments in sums:
        if kind not in kinds:
            continue
        if conversion.has_rate(currency):
            exact = conversion.part(currency, minor)
            found.setdefault(key, Movement()).add(flow, exact, payments, apart=apart)
        else:
            signed = minor if flow in (Flow.IN, Flow.INTERNAL_IN) else -minor
            _leave_out(left_out, currency, signed, payments)
    return found, _left_out(left_out)


def buckets(
    spans: Sequence[Span], days: Mapping[int, Movement], opening: int, conversion: Conversion
) -> list[Bucket]:
    """The history of ``spans``; ``days`` has what moved on each day since 1970, an exact sum each.

    A span that begins or ends within a day has that day's movement cut there: give it days of its own.
    """
    made, at = [], 0
    ordered = sorted(days)
    shown = conversion.shown_minor
    for span in spans:
        whole, lowest, lowest_day, balance = Movement(), opening, None, opening
        while at < len(ordered) and ordered[at] * DAY_US < span.before_us:
            day = ordered[at]
            moved = days[day]
            whole.merge(moved)
            balance += moved.net
            if balance < lowest:
                lowest, lowest_day = balance, day
            at += 1
        made.append(
            Bucket(
                span, shown(opening), shown(whole.cash_in), shown(whole.cash_out),
                shown(whole.internal_in), shown(balance), shown(lowest), lowest_day, whole.payments,
            )
        )  # fmt: skip
        opening = balance
    return made


def _leave_out(left_out: dict[str, list[int]], currency: str, signed: int, payments: int) -> None:
    known = left_out.setdefault(currency, [0, 0])
    known[0] += signed
    known[1] += payments


def _left_out(left_out: Mapping[str, Sequence[int]]) -> list[LeftOut]:
    return [LeftOut(currency, minor, payments) for currency, (minor, payments) in sorted(left_out.items())]
