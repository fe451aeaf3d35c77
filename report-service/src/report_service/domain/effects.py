"""The trades of one delivery period, and what each did to the period's row. Exact until shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from report_service.domain.book import Booking
from report_service.domain.performance import standing
from report_service.domain.pnl import Figures
from report_service.domain.prices import ReferencePrice


@dataclass(frozen=True, slots=True)
class PeriodTrade:
    """A booked trade and its flags (``late``, ``ambiguous``, …; see docs/domain.md)."""

    booking: Booking
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Effect:
    """What a trade added to PnL and to edge (None without a reference price), and our average after it."""

    trade: PeriodTrade
    pnl_eur: Decimal
    edge_eur: Decimal | None
    average_eur_per_mwh: Decimal


def effects(trades: Iterable[PeriodTrade], price: ReferencePrice | None) -> list[Effect]:
    """Each trade's effect, in the order of execution; those of an instant in the order of booking."""
    found: list[Effect] = []
    so_far = Figures()
    for each in sorted(trades, key=lambda one: (one.booking.execution_time_us, one.booking.seq)):
        alone = _figures(each.booking)
        so_far += alone
        average = so_far.average_eur_per_mwh
        if average is None:
            raise ArithmeticError("a trade has energy")  # trade-service books none without
        found.append(Effect(each, alone.pnl_eur, standing(alone, price).edge_eur, average))
    return found


def _figures(booking: Booking) -> Figures:
    kw, minutes = booking.quantity_kw, booking.delivery_minutes
    worth = booking.price_ct_per_mwh * kw * minutes
    if booking.is_buy:
        return Figures(1, kw, 0, kw * minutes, 0, worth, 0, booking.execution_time_us)
    return Figures(1, 0, kw, 0, kw * minutes, 0, worth, booking.execution_time_us)
