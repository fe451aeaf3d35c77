"""Our trades against the reference price (source: the desk; edge is ours; see docs/domain.md).

A trade of a half or a quarter hour is measured against the reference price of its hour. In sums over
several hours (a day, the desk) everything that needs a reference price speaks of the *priced* trades only,
those whose hour has one: the reference of the sum is the reference prices weighted by our traded energy,
the delta is our average over those same trades minus it, the edge is the sum of their edges. Where every
traded hour has its price, which is the rule, delta is simply average minus reference; where one lacks it,
like is still compared with like, and nothing that is known goes blank. ``unpriced_trades`` tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cached_property
from hashlib import blake2b

from wattbook.clock import to_epoch_us
from wattbook.periods import DeliveryPeriod, area_of
from wattbook.units import KW_MIN_PER_MWH

from report_service.domain.book import ReportKey
from report_service.domain.pnl import Figures, Report
from report_service.domain.prices import DayPrices, ReferencePrice

NO_TRADES = "no trades"
NO_REFERENCE = "no reference price"
_US_PER_S = 1_000_000
_ZERO = Fraction(0)
_NOTHING = Figures()


class Light(Enum):
    """How we are doing so far."""

    GREY = "grey"
    GREEN = "green"
    RED = "red"


@dataclass(frozen=True)
class Standing:
    """Trades of an hour or of many against the reference price: exact sums, rounded once when shown.

    ``priced_*`` and ``reference_ct_kw_min`` are sums over priced trades: energy, price x energy, and
    reference price x energy. ``buy_edge_ct_kw_min`` is the edge of the purchases alone. ``price`` is the
    reference price of a single hour.
    """

    figures: Figures = _NOTHING
    priced_trades: int = 0
    priced_kw_min: int = 0
    priced_ct_kw_min: int = 0
    reference_ct_kw_min: Fraction = _ZERO
    edge_ct_kw_min: Fraction = _ZERO
    buy_edge_ct_kw_min: Fraction = _ZERO
    price: ReferencePrice | None = None
    oldest_update_us: int = 0
    oldest_fetched_us: int = 0

    def __add__(self, other: Standing) -> Standing:
        """Both sets of trades together; ages are those of the oldest price in use."""
        return Standing(
            self.figures + other.figures,
            self.priced_trades + other.priced_trades,
            self.priced_kw_min + other.priced_kw_min,
            self.priced_ct_kw_min + other.priced_ct_kw_min,
            self.reference_ct_kw_min + other.reference_ct_kw_min,
            self.edge_ct_kw_min + other.edge_ct_kw_min,
            self.buy_edge_ct_kw_min + other.buy_edge_ct_kw_min,
            None,
            _older(self.oldest_update_us, other.oldest_update_us),
            _older(self.oldest_fetched_us, other.oldest_fetched_us),
        )

    @cached_property
    def reference_exact_ct_per_mwh(self) -> Fraction | None:
        """An hour's reference price; of many hours, those of the priced trades weighted by their energy."""
        if self.price is not None:
            return self.price.ct_per_mwh
        return self.reference_ct_kw_min / self.priced_kw_min if self.priced_kw_min else None

    @cached_property
    def delta_exact_ct_per_mwh(self) -> Fraction | None:
        """Average realised price minus reference price, of the priced trades."""
        if not self.priced_kw_min:
            return None
        return (self.priced_ct_kw_min - self.reference_ct_kw_min) / self.priced_kw_min

    @property
    def reference_eur_per_mwh(self) -> Decimal | None:
        """The reference price to the cent; None where there is none."""
        return _cents(self.reference_exact_ct_per_mwh)

    @property
    def delta_eur_per_mwh(self) -> Decimal | None:
        """The delta to the cent, from exact values; None where it is undefined."""
        return _cents(self.delta_exact_ct_per_mwh)

    @property
    def edge_eur(self) -> Decimal | None:
        """What the priced trades gained or lost against the market; None where no trade is priced."""
        return _cents(self.edge_ct_kw_min / KW_MIN_PER_MWH) if self.priced_trades else None

    @property
    def light(self) -> Light:
        """Green if our average is higher than the reference price, red otherwise, grey while undefined."""
        delta = self.delta_exact_ct_per_mwh
        if delta is None:
            return Light.GREY
        return Light.GREEN if delta > 0 else Light.RED

    @property
    def grey_reason(self) -> str:
        """Why the light is grey; empty where it is not."""
        if self.light is not Light.GREY:
            return ""
        return NO_REFERENCE if self.figures.trades else NO_TRADES

    @property
    def net_side(self) -> str:
        """How the side that was traded more did: ``bought above the reference``; empty while not known."""
        figures = self.figures
        open_kw_min = figures.buy_kw_min - figures.sell_kw_min
        if not self.priced_kw_min or not open_kw_min:
            return ""
        if open_kw_min > 0:
            verb, above = "bought", -self.buy_edge_ct_kw_min
        else:
            verb, above = "sold", self.edge_ct_kw_min - self.buy_edge_ct_kw_min
        return f"{verb} {'above' if above > 0 else 'below' if above < 0 else 'at'} the reference"

    @property
    def unpriced_trades(self) -> int:
        """Trades of hours that have no reference price."""
        return self.figures.trades - self.priced_trades


@dataclass(frozen=True, eq=False)
class Performance:
    """A trader's day against the reference price. Compared by identity, like the report it is made from."""

    report: Report
    prices: DayPrices
    hours: tuple[tuple[DeliveryPeriod, Standing], ...]
    total: Standing
    version: str

    @property
    def key(self) -> ReportKey:
        """Whose day."""
        return self.report.key


@dataclass(frozen=True, eq=False)
class DeskDay:
    """Everybody with trades for a delivery day, by name. Compared by identity."""

    area: str
    day: date
    traders: tuple[Performance, ...]
    total: Standing
    version: str

    @cached_property
    def time_zone(self) -> str:
        """The zone in which the day is counted."""
        return area_of(self.area).time_zone


def standing(figures: Figures, price: ReferencePrice | None) -> Standing:
    """An hour's trades against its reference price."""
    if price is None:
        return Standing(figures)
    if not figures.trades:
        return replace(_UNTRADED, price=price)
    energy = figures.buy_kw_min + figures.sell_kw_min
    reference = price.ct_per_mwh
    open_kw_min = figures.buy_kw_min - figures.sell_kw_min
    return Standing(
        figures,
        figures.trades,
        energy,
        figures.buy_ct_kw_min + figures.sell_ct_kw_min,
        reference * energy,
        figures.pnl_ct_kw_min + open_kw_min * reference,
        reference * figures.buy_kw_min - figures.buy_ct_kw_min,
        price,
        price.last_update_us,
        price.fetched_us,
    )


_UNTRADED = Standing()


def performance(report: Report, prices: DayPrices) -> Performance:
    """A report against a day's prices."""
    hours = tuple(
        (period, standing(figures, prices.at(to_epoch_us(period.start) // _US_PER_S)))
        for period, figures in report.hours
    )
    total = sum((each for _, each in hours), Standing())
    digest = blake2b(report.version.encode(), digest_size=12)
    for _, each in hours:
        price = each.price
        if price is not None:
            said = (price.value_eur_per_mwh, price.last_update_us, price.fetched_us)
            digest.update(repr((price.delivery_start_s, *said)).encode())
    return Performance(report, prices, hours, total, digest.hexdigest())


def desk_day(*, area: str, day: date, traders: Iterable[Performance]) -> DeskDay:
    """A desk's day from those of its traders."""
    listed = tuple(traders)
    digest = blake2b(repr((area, day.isoformat())).encode(), digest_size=12)
    for each in listed:
        digest.update(each.version.encode())
    total = sum((each.total for each in listed), Standing())
    return DeskDay(area, day, listed, total, digest.hexdigest())


def _cents(value_ct: Fraction | None) -> Decimal | None:
    return None if value_ct is None else Decimal(round(value_ct)).scaleb(-2)  # half even, once


def _older(first_us: int, second_us: int) -> int:
    return min(first_us, second_us) if first_us and second_us else first_us or second_us
