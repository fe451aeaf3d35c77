"""The bank's table of exchange rates: what its two columns mean, and exact conversion by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from fractions import Fraction
from math import lcm
from statistics import median
from typing import Any, NamedTuple

from cash_service.domain.money import amount_text, currency_facts, is_code

EUR, USD = "EUR", "USD"
TARGETS = (EUR, USD)
TARGET_DECIMALS = 2
FEWEST_CURRENCIES = 3
AGREEMENT = Fraction(15, 100)
_MOST_EXPONENT = 30

UNSURE = "the table does not show which way its rates are meant; amounts are multiplied by them"
TOO_FEW = "too few currencies to show which way the rates are meant; amounts are multiplied by them"


class Reading(StrEnum):
    """What a rate means."""

    MULTIPLY = "multiply"  # amount x rate
    QUOTED = "quoted"  # usd_rate is units a EUR, eur_rate is USD a unit


class Rate(NamedTuple):
    """A row of the table as the bank states it; None where it is not above zero or unreadable."""

    currency: str
    eur_rate: Fraction | None
    usd_rate: Fraction | None


@dataclass(frozen=True)
class RateTable:
    """A table with the reading that was found for it."""

    rates: Mapping[str, Rate] = field(default_factory=dict)
    reading: Reading = Reading.MULTIPLY
    warning: str = ""

    def factor(self, currency: str, target: str) -> Fraction | None:
        """What an amount is multiplied by to be in ``target`` (EUR or USD); None where there is no rate."""
        if currency == target:
            return Fraction(1)
        if self.reading is Reading.QUOTED and currency == EUR:
            dollar = self.rates.get(USD)  # units of it a EUR
            return dollar.usd_rate if dollar else None
        row = self.rates.get(currency)
        if row is None:
            return None
        if self.reading is Reading.MULTIPLY:
            return row.eur_rate if target == EUR else row.usd_rate
        if target == USD:
            return row.eur_rate
        return 1 / row.usd_rate if row.usd_rate else None


def read_rates(rows: Sequence[tuple[str, Any, Any]], *, reading: Reading | None = None) -> RateTable:
    """The table of rows (currency, eur_rate, usd_rate), texts or numbers; None finds the reading itself."""
    rates = {}
    for currency, eur_rate, usd_rate in rows:
        code = currency.strip().upper()
        if is_code(code) and code not in rates:
            rates[code] = Rate(code, _positive(eur_rate), _positive(usd_rate))
    if reading is not None:
        return RateTable(rates, reading)
    return RateTable(rates, *found_reading(rates))


def found_reading(rates: Mapping[str, Rate]) -> tuple[Reading, str]:
    """The reading by which USD per EUR agrees over the currencies, and a warning where none does alone.

    Multiplied, a unit is ``eur_rate`` EUR and ``usd_rate`` USD: their quotient is USD per EUR. Quoted, a EUR
    is ``usd_rate`` units of ``eur_rate`` USD: it is their product.
    """
    pairs = [
        (rate.eur_rate, rate.usd_rate)
        for code, rate in rates.items()
        if code not in TARGETS and rate.eur_rate and rate.usd_rate
    ]
    if len(pairs) < FEWEST_CURRENCIES:
        return Reading.MULTIPLY, TOO_FEW
    multiplied = _agreeing([usd / eur for eur, usd in pairs])
    quoted = _agreeing([usd * eur for eur, usd in pairs])
    if multiplied == quoted:
        return Reading.MULTIPLY, UNSURE
    return (Reading.MULTIPLY, "") if multiplied > quoted else (Reading.QUOTED, "")


class Conversion:
    """Exact sums in one currency, of minor units of many; integers over one common denominator.

    A sum of :meth:`part` over amounts is exact; :meth:`text` rounds it once, half even.
    """

    def __init__(self, table: RateTable, target: str) -> None:
        """Convert into ``target`` by ``table``."""
        self.target = target
        factors = {code: table.factor(code, target) for code in {*table.rates, *TARGETS}}
        whole = {code: factor for code, factor in factors.items() if factor is not None}
        scaled = {
            code: factor * Fraction(10) ** (TARGET_DECIMALS - currency_facts(code).decimals)
            for code, factor in whole.items()
        }
        self.over = lcm(*(factor.denominator for factor in scaled.values()))
        self._weights = {code: int(factor * self.over) for code, factor in scaled.items()}

    def has_rate(self, currency: str) -> bool:
        """Whether amounts in ``currency`` can be converted."""
        return currency in self._weights

    def part(self, currency: str, minor: int) -> int:
        """Minor units of ``currency`` as a part of an exact sum."""
        return minor * self._weights[currency]

    def shown_minor(self, exact: int) -> int:
        """An exact sum in minor units of the target, rounded half even."""
        whole, rest = divmod(exact, self.over)
        double = 2 * rest
        return whole + (double > self.over or (double == self.over and whole % 2))

    def text(self, exact: int) -> str:
        """An exact sum as decimal text, rounded half even."""
        return amount_text(self.shown_minor(exact), TARGET_DECIMALS)

    def least_minor(self, currency: str, target_minor: Fraction) -> int | None:
        """The fewest minor units of ``currency`` worth at least ``target_minor``; None without a rate."""
        weight = self._weights.get(currency)
        return None if weight is None else -(-target_minor * self.over // weight)


def _agreeing(quotients: list[Fraction]) -> int:
    """How many are near the median; 0 where these are too few, or not the most."""
    middle = median(quotients)
    near = sum(abs(each - middle) <= AGREEMENT * middle for each in quotients)
    return near if near >= FEWEST_CURRENCIES and 2 * near > len(quotients) else 0


def _positive(value: Any) -> Fraction | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    if not number.is_finite() or number <= 0 or abs(number.adjusted()) > _MOST_EXPONENT:
        return None
    return Fraction(number)
