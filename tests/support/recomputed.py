"""The live desk's figures worked out again from what its owners serve, without any of the product's code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.support.trades import hours_of, start_of

Trade = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One hour, or the day, as ``GET /v1/reports/performance`` states it; None is not known."""

    trades: int
    buy_mwh: Decimal
    sell_mwh: Decimal
    open_mwh: Decimal
    pnl_eur: Decimal
    average_eur_per_mwh: Decimal | None
    reference_eur_per_mwh: Decimal | None
    delta_eur_per_mwh: Decimal | None
    edge_eur: Decimal | None
    light: str


@dataclass(frozen=True)
class _Sums:
    """Exact sums over trades of one hour, in MWh, EUR and EUR; the last three of priced trades only."""

    trades: int = 0
    bought: Fraction = Fraction(0)
    sold: Fraction = Fraction(0)
    spent: Fraction = Fraction(0)
    earned: Fraction = Fraction(0)
    priced: Fraction = Fraction(0)
    worth: Fraction = Fraction(0)
    market: Fraction = Fraction(0)
    edge: Fraction = Fraction(0)
    priced_trades: int = 0

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


def lines_of_day(
    trades: Iterable[Trade], prices: Iterable[dict[str, Any]], day: date
) -> dict[datetime | None, Line]:
    """Every hour of the day by its start, and the day under None."""
    starts = hours_of(day)
    known = {_instant(price["delivery_start"]): Fraction(price["value_eur_per_mwh"]) for price in prices}
    by_hour: dict[datetime, list[Trade]] = defaultdict(list)
    for trade in trades:
        if trade["delivery_day"] == day.isoformat():
            by_hour[start_of(trade, starts)].append(trade)
    sums = {start: _sums(by_hour[start], known.get(start)) for start in starts}
    total = sum(sums.values(), _Sums())
    lines: dict[datetime | None, Line] = {
        start: _line(each, known.get(start)) for start, each in sums.items()
    }
    return {**lines, None: _line(total, total.market / total.priced if total.priced else None)}


def lines_of_report(report: dict[str, Any]) -> dict[datetime | None, Line]:
    """The same out of the report."""
    hours = {_instant(row["delivery_start"]): _read(row) for row in report["hours"]}
    return {**hours, None: _read(report["total"])}


def _sums(trades: Sequence[Trade], reference: Fraction | None) -> _Sums:
    bought = [trade for trade in trades if trade["direction"] == "buy"]
    sold = [trade for trade in trades if trade["direction"] == "sell"]
    energy, value = (_energy(bought), _energy(sold)), (_value(bought), _value(sold))
    plain = _Sums(len(trades), *energy, *value)
    if reference is None or not trades:
        return plain
    edge = value[1] - value[0] + (energy[0] - energy[1]) * reference
    all_energy = sum(energy)
    priced = _Sums(
        priced=all_energy, worth=sum(value), market=all_energy * reference, edge=edge,
        priced_trades=len(trades),
    )  # fmt: skip
    return plain + priced


def _line(sums: _Sums, reference: Fraction | None) -> Line:
    energy = sums.bought + sums.sold
    delta = (sums.worth - sums.market) / sums.priced if sums.priced else None
    return Line(
        trades=sums.trades,
        buy_mwh=_exact(sums.bought),
        sell_mwh=_exact(sums.sold),
        open_mwh=_exact(sums.bought - sums.sold),
        pnl_eur=_exact(round(sums.earned - sums.spent, 2)),
        average_eur_per_mwh=_cents((sums.spent + sums.earned) / energy if energy else None),
        reference_eur_per_mwh=_cents(reference),
        delta_eur_per_mwh=_cents(delta),
        edge_eur=_cents(sums.edge if sums.priced_trades else None),
        light="grey" if delta is None else "green" if delta > 0 else "red",
    )


def _read(row: dict[str, Any]) -> Line:
    values = {each.name: row[each.name] for each in fields(Line)}
    return Line(
        **{name: Decimal(value) if isinstance(value, int) else value for name, value in values.items()}
        | {"trades": row["trades"]}
    )


def _energy(trades: Iterable[Trade]) -> Fraction:
    return sum((Fraction(str(trade["quantity"])) for trade in trades), Fraction(0))


def _value(trades: Iterable[Trade]) -> Fraction:
    return sum(
        (Fraction(trade["price"]) / 100 * Fraction(str(trade["quantity"])) for trade in trades), Fraction(0)
    )


def _exact(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _cents(value: Fraction | None) -> Decimal | None:
    """To the cent, half even: what Python's own rounding of a fraction does."""
    return None if value is None else _exact(round(value, 2))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
