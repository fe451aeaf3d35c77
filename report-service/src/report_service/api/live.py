"""A trader's day as their page shows it: every piece of it that may change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from itertools import accumulate

from markupsafe import Markup, escape
from wattbook.clock import iso_z
from wattbook.periods import DeliveryPeriod
from wattbook.units import eur_from_ct_kw_min

from report_service.api.chart import bars_by_hour, candles_by_hour
from report_service.api.figures import Writer, day_text
from report_service.api.site import day_address
from report_service.api.slots import Decimals, Slots, cells, connection, data, drawing, floats, gauge, strip
from report_service.domain.performance import Performance
from report_service.usecases.model import BookState
from report_service.usecases.prices import PriceState

Nearest = tuple[tuple[date, str], ...]


def live_slots(
    found: Performance, *, book: BookState, prices: PriceState, locale: str, nearest: Nearest = ()
) -> Slots:
    """Everything on the page that may change; ``nearest`` are other days, where this one has no trades."""
    writer = Writer(locale)
    decimals = Decimals.of(each for _, each in found.hours)
    unpriced = why_unpriced(found, prices)
    slots = {**connection(book, prices), **strip(found.total, writer, found.key.area)}
    slots["empty"] = Markup("") if found.total.figures.trades else _empty(found, nearest)
    for at, (_, each) in enumerate(found.hours):
        slots.update(cells(f"h{at}", each, writer, decimals, unpriced=unpriced))
    slots.update(cells("total", found.total, writer, decimals, unpriced=unpriced))
    slots.update(_gauges(found))
    slots.update(_charts(found, writer))
    return slots


def why_unpriced(found: Performance, prices: PriceState) -> str:
    """Why a period may be without a reference price."""
    if not prices.is_used:
        return "reference prices are not set up here"
    if not found.prices.is_loaded:
        return "reference prices are being loaded"
    return "no reference price yet"


def slug_of(period: DeliveryPeriod) -> str:
    """A period of a day in an address: ``14-15``, ``02A-03``."""
    return period.label.replace("–", "-")


def hours_of(found: Performance) -> Sequence[dict[str, str]]:
    """The rows of the table, without what changes."""
    return [
        {"id": f"h{at}", "label": period.label, "start": iso_z(period.start), "slug": slug_of(period)}
        for at, (period, _) in enumerate(found.hours)
    ]


def _empty(found: Performance, nearest: Nearest) -> Markup:
    """What to do on a day without trades."""
    key = found.key
    links = [
        Markup('<a href="{}">{}</a>').format(
            day_address(key.trader_id, day.isoformat(), area=area),
            day_text(day) + ("" if area == key.area else f" in {area}"),
        )
        for day, area in nearest
    ]
    said = (
        Markup("Nearest days with trades: {}.").format(Markup(", ").join(links))
        if links
        else escape("The book has no trade of this trader on any day; check the id.")
    )
    return Markup(
        '<div class="notice"><p><strong>No trades of {} for delivery on {}.</strong> {} '
        "The first one shows here as soon as it is booked.</p></div>"
    ).format(key.trader_id, day_text(key.day), said)


def _gauges(found: Performance) -> Slots:
    """Bars beside the edges, the longest of the day at full length."""
    most = max((abs(each.edge_ct_kw_min) for _, each in found.hours), default=Fraction(0))
    return {f"h{at}.gauge": gauge(each, most) for at, (_, each) in enumerate(found.hours)}


def _charts(found: Performance, writer: Writer) -> Slots:
    ours = floats([each.figures.average_eur_per_mwh for _, each in found.hours])
    reference = floats([each.reference_eur_per_mwh for _, each in found.hours])
    pnl = [float(each.figures.pnl_eur) for _, each in found.hours]
    sums = accumulate(each.figures.pnl_ct_kw_min for _, each in found.hours)
    running = [float(eur_from_ct_kw_min(each)) for each in sums]
    average = candles_by_hour(ours, reference, writer=writer)
    is_traded = found.total.figures.trades > 0
    cumulative = bars_by_hour([("cash", pnl)], line=running if is_traded else (), writer=writer)
    slots = {**drawing("average", average), **drawing("cumulative", cumulative)}
    slots["series"] = data(
        {
            "ours": ours,
            "reference": reference,
            "pnl": pnl,
            "running": running,
            "average": [average.scale.low, average.scale.high],
            "cumulative": [cumulative.scale.low, cumulative.scale.high],
        }
    )
    has_average = any(each is not None for each in (*ours, *reference))
    slots["c:average"] = _chart_class(is_empty=not has_average)
    slots["c:cumulative"] = _chart_class(is_empty=not is_traded)
    return slots


def _chart_class(*, is_empty: bool) -> Markup:
    return escape("panel chart is-empty" if is_empty else "panel chart")
