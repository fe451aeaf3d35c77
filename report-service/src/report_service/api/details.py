"""What stands behind one row of a trader's table, as the panel beside it shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from markupsafe import Markup, escape
from wattbook.clock import from_epoch_s, from_epoch_us, iso_z
from wattbook.periods import HOUR_MINUTES, DeliveryPeriod, area_of
from wattbook.units import mw_from_kw

from report_service.api.chart import WIDTH, scale_of
from report_service.api.figures import Writer, day_text, decimals_needed, time_text
from report_service.api.slots import amount
from report_service.domain.effects import Effect
from report_service.domain.performance import Performance, Standing
from report_service.domain.pnl import Figures
from report_service.domain.prices import ReferencePrice

PAGE_TRADES = 200
_FLAGS = {
    "ambiguous": (
        "one of two",
        "The hour is there twice that day. The trade did not say which one; when it was made did.",
    ),
    "late": ("late", "Executed at or after the start of delivery."),
    "off_tick": ("off step", "Not a multiple of 0.1 MW."),
    "out_of_range": ("out of range", "The price is outside of what the exchange allows."),
    "corrected": ("corrected by the exchange", "The exchange stated it otherwise than it was booked first."),
    "unconfirmed": ("unconfirmed", "The exchange has not stated this trade."),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a day by its place in an address."""

    at: int
    slug: str
    period: DeliveryPeriod
    standing: Standing

    @property
    def id(self) -> str:
        """The row's id on the page."""
        return f"h{self.at}"


@dataclass(frozen=True, slots=True)
class Shown:
    """One page of a row's trades, newest first."""

    rows: Sequence[dict[str, object]]
    total: int
    first: int
    page: int
    last_page: int


def shown_trades(found: Sequence[Effect], row: Row, writer: Writer, *, page: int, unpriced: str) -> Shown:
    """A page of trades as written; ``unpriced`` says why an edge is not known."""
    last_page = max(-(-len(found) // PAGE_TRADES), 1)
    page = min(max(page, 1), last_page)
    until = len(found) - (page - 1) * PAGE_TRADES
    listed = found[max(until - PAGE_TRADES, 0) : until][::-1]
    mw_decimals = decimals_needed([mw_from_kw(each.trade.booking.quantity_kw) for each in listed], least=1)
    rows = [_trade(each, row, writer, mw_decimals, unpriced) for each in listed]
    return Shown(rows, len(found), (page - 1) * PAGE_TRADES + 1, page, last_page)


def _trade(each: Effect, row: Row, writer: Writer, mw_decimals: int, unpriced: str) -> dict[str, object]:
    booking = each.trade.booking
    executed = from_epoch_us(booking.execution_time_us)
    return {
        "id": booking.id,
        "time": _moment(executed, row.period),
        "time_exact": iso_z(executed),
        "time_words": time_text(executed, row.period.area, with_day=True),
        "period": _part(booking.delivery_start_s, booking.delivery_minutes, row.period),
        "is_buy": booking.is_buy,
        "mw": writer.number(mw_from_kw(booking.quantity_kw), decimals=mw_decimals),
        "price": writer.number(Decimal(booking.price_ct_per_mwh).scaleb(-2), decimals=2),
        "pnl": amount(each.pnl_eur, writer),
        "edge": amount(each.edge_eur, writer, why_not=unpriced),
        "average": writer.number(each.average_eur_per_mwh, decimals=2),
        "flags": [_FLAGS.get(flag, (flag, "")) for flag in each.trade.flags],
    }


def missing(found: Sequence[Effect], figures: Figures, writer: Writer) -> str:
    """How many trades of the row are not listed, in words; empty where all are."""
    left = figures.trades - len(found)
    return f"{writer.number(left)} more trades are in the row than can be listed here." if left > 0 else ""


def shown_history(
    found: Sequence[ReferencePrice], period: DeliveryPeriod, writer: Writer
) -> list[dict[str, object]]:
    """Every value of a period's price, newest first: by how much it changed, when it was known."""
    decimals = decimals_needed([each.value_eur_per_mwh for each in found], least=2)
    rows: list[dict[str, object]] = []
    before: Decimal | None = None
    for each in found:
        updated, fetched = from_epoch_us(each.last_update_us), from_epoch_us(each.fetched_us)
        change = None if before is None else each.value_eur_per_mwh - before
        rows.append(
            {
                "value": writer.number(each.value_eur_per_mwh, decimals=decimals),
                "change": _change(change, writer, decimals),
                "updated": _moment(updated, period),
                "updated_words": time_text(updated, period.area, with_day=True),
                "updated_exact": iso_z(updated),
                "fetched": _moment(fetched, period),
                "fetched_words": time_text(fetched, period.area, with_day=True),
                "fetched_exact": iso_z(fetched),
                "delay": _delay(fetched - updated, writer),
            }
        )
        before = each.value_eur_per_mwh
    return rows[::-1]


def history_line(found: Sequence[ReferencePrice], writer: Writer) -> dict[str, object] | None:
    """The price over the time of its updates, as a step; None where there is no step to draw."""
    if len(found) < 2:
        return None
    first_us, last_us = found[0].last_update_us, max(each.last_update_us for each in found)
    span_us = max(last_us - first_us, 1)
    scale = scale_of([float(each.value_eur_per_mwh) for each in found], with_zero=False)
    points: list[str] = []
    y = 0.0
    for at, each in enumerate(found):
        x = round((each.last_update_us - first_us) / span_us * WIDTH, 1)
        if at:
            points.append(f"{x},{y}")
        y = scale.y(float(each.value_eur_per_mwh))
        points.append(f"{x},{y}")
    ends = [time_text(from_epoch_us(each), found[0].area)[:5] for each in (first_us, last_us)]
    decimals = decimals_needed([Decimal(str(tick)) for tick in (scale.low, scale.high)], least=0)
    low, high = (writer.number(Decimal(str(tick)), decimals=decimals) for tick in (scale.low, scale.high))
    return {"points": " ".join(points), "low": low, "high": high, "from": ends[0], "until": ends[1]}


def title_of(found: Performance, row: Row) -> str:
    """What the panel is about, in words."""
    return f"{row.period.label}, {day_text(found.key.day)}"


def _change(change: Decimal | None, writer: Writer, decimals: int) -> Markup:
    if change is None:
        return Markup('<span class="even">first</span>')
    return writer.cell(change, decimals=decimals, sign=True)


def _delay(late: timedelta, writer: Writer) -> Markup:
    seconds = Decimal(late // timedelta(milliseconds=100)).scaleb(-1)
    if abs(seconds) < 120:
        return escape(f"{writer.number(seconds, decimals=1)} s")
    minutes = round(late / timedelta(minutes=1))
    return escape(f"{writer.number(minutes)} min" if abs(minutes) < 120 else f"{minutes // 60} h")


def _moment(instant: datetime, period: DeliveryPeriod) -> str:
    """The time, and the day where it is not the delivery day."""
    local = instant.astimezone(area_of(period.area).zone)
    day = "" if local.date() == period.delivery_day else f"{local.day} {local:%b} "
    return f"{day}{local:%H:%M:%S}"


def _part(start_s: int, minutes: int, hour: DeliveryPeriod) -> str:
    """Which part of the hour a trade is for; empty where all of it."""
    if minutes == HOUR_MINUTES:
        return ""
    return DeliveryPeriod(hour.area, from_epoch_s(start_s), minutes).label
