"""A trader's day as the live page shows it: the desk's own sketch first, everything else one click away."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from markupsafe import Markup, escape
from wattbook.clock import iso_z
from wattbook.units import eur_from_ct_kw_min

from report_service.api.chart import bars_by_hour, candles_by_hour
from report_service.api.figures import Writer
from report_service.api.slots import (
    Column,
    Decimals,
    Slots,
    cells,
    connection,
    data,
    drawing,
    floats,
    strip,
)
from report_service.domain.performance import Performance
from report_service.usecases.model import FeedState
from report_service.usecases.prices import PriceState

COLUMNS = (
    Column("ours", "Our average price", "€/MWh", is_more=False),
    Column("reference", "Reference price", "€/MWh", is_more=False),
    Column(
        "doing", "How are we doing so far", "€/MWh", is_more=False, hint="Our average minus the reference"
    ),
    Column("bought", "Bought", "MWh"),
    Column("sold", "Sold", "MWh"),
    Column("avg_buy", "Avg buy", "€/MWh"),
    Column("avg_sell", "Avg sell", "€/MWh"),
    Column("open", "Open", "MWh", hint="Bought less sold"),
    Column("trades", "Trades"),
    Column("pnl", "PnL", "€"),
    Column("edge", "Edge", "€", hint="What the trades gained or lost against the reference price"),
)


def live_slots(found: Performance, *, feed: FeedState, prices: PriceState, locale: str) -> Slots:
    """Everything on the page that may change."""
    writer = Writer(locale)
    decimals = Decimals.of(each for _, each in found.hours)
    slots = {**connection(feed, prices), **strip(found.total, writer, found.key.area)}
    for at, (_, each) in enumerate(found.hours):
        slots.update(cells(f"h{at}", each, writer, decimals))
    slots.update(cells("total", found.total, writer, decimals))
    slots.update(_charts(found, writer))
    return slots


def hours_of(found: Performance) -> Sequence[dict[str, str]]:
    """The rows of the table, without what changes."""
    return [
        {"id": f"h{at}", "label": period.label, "start": iso_z(period.start)}
        for at, (period, _) in enumerate(found.hours)
    ]


def _charts(found: Performance, writer: Writer) -> Slots:
    ours = floats([each.figures.average_eur_per_mwh for _, each in found.hours])
    reference = floats([each.reference_eur_per_mwh for _, each in found.hours])
    pnl = [float(each.figures.pnl_eur) for _, each in found.hours]
    sums = accumulate(each.figures.pnl_ct_kw_min for _, each in found.hours)
    running = [float(eur_from_ct_kw_min(each)) for each in sums]
    average = candles_by_hour(ours, reference, writer=writer)
    is_traded = found.total.figures.trades > 0
    cumulative = bars_by_hour([("", pnl)], line=running if is_traded else (), writer=writer)
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
