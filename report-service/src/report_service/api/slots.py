"""What changes on a live page: named pieces of it, each written once a change and sent where it differs.

A name that begins with ``c:`` is the class of an element, every other the content of one. The page and its
stream are written from the same slots, so they cannot disagree.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from markupsafe import Markup, escape
from wattbook.clock import from_epoch_s, from_epoch_us, iso_z
from wattbook.periods import DEFAULT_AREA

from report_service.api.chart import Chart
from report_service.api.figures import Writer, decimals_needed, time_text
from report_service.domain.performance import Light, Standing
from report_service.domain.pnl import Figures
from report_service.usecases.model import BookState
from report_service.usecases.prices import PriceState

Slots = dict[str, Markup]
_SYMBOLS = {Light.GREEN: "▲", Light.RED: "▼", Light.GREY: "●"}
_TONES = {Light.GREEN: "good", Light.RED: "bad", Light.GREY: "grey"}
_NO_VALUE = "no reference price"
_GAUGE_HALF = 24


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a live table."""

    name: str
    title: str
    unit: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Decimals:
    """How many decimals the energies and the power of a page need."""

    energy: int
    power: int

    @staticmethod
    def of(each: Iterable[Standing]) -> Decimals:
        """Enough for all of them."""
        every = [one.figures for one in each]
        energy = [value for one in every for value in (one.buy_mwh, one.sell_mwh, one.open_mwh)]
        power = [value for one in every for value in (one.buy_mw, one.sell_mw)]
        return Decimals(decimals_needed(energy, least=1), decimals_needed(power, least=1))


@lru_cache(maxsize=8192)
def cells(
    name: str, each: Standing, writer: Writer, decimals: Decimals, *, unpriced: str = _NO_VALUE
) -> Mapping[str, Markup]:
    """The cells of a row, and its classes; ``unpriced`` says why where there is no reference price.

    Remembered, since one trade changes one row.
    """
    figures = each.figures
    priced = "no trades" if not figures.trades else unpriced
    written = {
        "ours": writer.known(figures.average_eur_per_mwh, "no trades"),
        "reference": writer.known(each.reference_eur_per_mwh, unpriced),
        "age": _age(each),
        "doing": light(each, writer),
        "side": escape(each.net_side),
        "bought": writer.cell(figures.buy_mwh, decimals=decimals.energy),
        "sold": writer.cell(figures.sell_mwh, decimals=decimals.energy),
        "avg_buy": writer.known(figures.average_buy_eur_per_mwh, "nothing bought"),
        "avg_sell": writer.known(figures.average_sell_eur_per_mwh, "nothing sold"),
        "open": writer.cell(figures.open_mwh, decimals=decimals.energy, sign=True),
        "trades": writer.cell(figures.trades),
        "buy_mw": writer.cell(figures.buy_mw, decimals=decimals.power),
        "sell_mw": writer.cell(figures.sell_mw, decimals=decimals.power),
        "pnl": amount(figures.pnl_eur, writer),
        "edge": amount(each.edge_eur, writer, why_not=priced),
    }
    slots = {f"{name}.{column}": cell for column, cell in written.items()}
    slots[f"c:{name}"] = escape("traded" if figures.trades else "idle")
    return slots


def amount(value: Decimal | None, writer: Writer, *, why_not: str = "") -> Markup:
    """An amount with its sign, in plain ink: colour is the light's alone."""
    return writer.known(None, why_not) if value is None else writer.cell(value, decimals=2, sign=True)


def gauge(each: Standing, most_ct_kw_min: Fraction) -> Markup:
    """A bar beside an edge, from zero in the middle to either side; ``most_ct_kw_min`` has full length."""
    share = float(each.edge_ct_kw_min / most_ct_kw_min) if most_ct_kw_min else 0.0
    width = round(abs(share) * _GAUGE_HALF)
    if not width:
        return Markup("")
    x = _GAUGE_HALF if share > 0 else _GAUGE_HALF - width
    text = (
        f'<svg class="gauge" viewBox="0 0 {2 * _GAUGE_HALF} 10" width="{2 * _GAUGE_HALF}" height="10" '
        f'aria-hidden="true"><rect x="{x}" y="1" width="{width}" height="8"/>'
        f'<path d="M{_GAUGE_HALF} 0v10"/></svg>'
    )
    return Markup(text)  # noqa: S704 - numbers and our own words


def light(each: Standing, writer: Writer) -> Markup:
    """How we are doing: colour, symbol, words, by how much; on hover what the side traded more did."""
    tone, symbol, delta = _TONES[each.light], _SYMBOLS[each.light], each.delta_eur_per_mwh
    if delta is None:
        return Markup('<span class="light {}"><b aria-hidden="true">{}</b><em>{}</em></span>').format(
            tone, symbol, each.grey_reason
        )
    exact = each.delta_exact_ct_per_mwh
    words = "higher" if each.light is Light.GREEN else "equal" if exact == 0 else "lower"
    shown, hint = writer.number(delta, decimals=2, sign=True), each.net_side
    said = Markup('<span class="sr">, {}</span>').format(hint) if hint else ""
    return Markup(
        '<span class="light {}"{}><b aria-hidden="true">{}</b><em>{}{}</em><span>{}</span></span>'
    ).format(tone, Markup(' title="{}"').format(hint) if hint else "", symbol, words, said, shown)


def _age(each: Standing) -> Markup:
    """When the provider updated it; scripts turn this into an age."""
    price = each.price
    if price is None:
        return Markup("")
    updated = from_epoch_us(price.last_update_us)
    words = time_text(updated, price.area)
    return Markup('<time class="age" datetime="{}" title="as of {}">{}</time>').format(
        iso_z(updated), words, words[:5]
    )


def strip(total: Standing, writer: Writer, area: str) -> Slots:
    """The figures of the day, large, each with a note."""
    figures, decimals = total.figures, Decimals.of((total,)).energy
    last = "none yet"
    if figures.trades:
        last = f"last {time_text(from_epoch_us(figures.last_execution_time_us), area)}"
    position = figures.open_mwh
    slots = {
        "k.pnl": escape(writer.figure(figures.pnl_eur, decimals=2, sign=True)),
        "k.pnl.note": _cash_so_far(figures, writer, decimals) if figures.trades else escape("no trades"),
        "k.bought": escape(writer.figure(figures.buy_mwh, decimals=decimals)),
        "k.bought.note": _average(writer, figures.average_buy_eur_per_mwh, "nothing bought"),
        "k.sold": escape(writer.figure(figures.sell_mwh, decimals=decimals)),
        "k.sold.note": _average(writer, figures.average_sell_eur_per_mwh, "nothing sold"),
        "k.open": escape(writer.figure(position, decimals=decimals, sign=True)),
        "k.open.note": escape("long position" if position > 0 else "short position" if position else "flat"),
        "k.trades": escape(writer.number(figures.trades)),
        "k.trades.note": escape(last),
    }
    edge = total.edge_eur
    slots["k.edge"] = (
        writer.known(None, total.grey_reason)
        if edge is None
        else escape(writer.figure(edge, decimals=2, sign=True))
    )
    slots["k.edge.note"] = _edge_note(total)
    return slots


def _edge_note(total: Standing) -> Markup:
    if total.edge_eur is None:
        return escape(total.grey_reason)
    if total.unpriced_trades:
        one = total.unpriced_trades == 1
        return escape(f"{total.unpriced_trades} {'trade' if one else 'trades'} not priced yet")
    return Markup("<span>PnL + open position </span><span>× reference</span>")


def _cash_so_far(figures: Figures, writer: Writer, decimals: int) -> Markup:
    """What PnL is, and what it leaves out."""
    if not figures.open_mwh:
        return Markup("<span>cash so far, </span><span>no open position</span>")
    position = writer.number(figures.open_mwh, decimals=decimals, sign=True)
    return Markup("<span>cash so far, open position </span><span>{} MWh not valued</span>").format(position)


def _average(writer: Writer, value: Decimal | None, why_not: str) -> Markup:
    return (
        Markup("avg {} €/MWh").format(writer.known(value, why_not)) if value is not None else escape(why_not)
    )


def connection(book: BookState, prices: PriceState) -> Slots:
    """What is said about where the figures come from."""
    said: list[Markup] = []
    if book.lost_since:
        since = time_text(book.lost_since, DEFAULT_AREA, with_day=True)
        said.append(
            Markup(
                "<strong>Not connected to the trade book since {}.</strong> The figures are those known then."
            ).format(since)
        )
    if prices.lost_since:
        since = time_text(prices.lost_since, DEFAULT_AREA, with_day=True)
        said.append(
            Markup("<strong>Not connected to the reference prices since {}.</strong> They stay as known.")
            .format(since)
        )  # fmt: skip
    away = [
        kind for kind, lost in (("book-away", book.lost_since), ("prices-away", prices.lost_since)) if lost
    ]
    notice = Markup('<p class="notice warn afloat {}" role="status">{}</p>')
    return {
        "feed": notice.format(" ".join(away), Markup("<br>").join(said)) if said else Markup(""),
        "poller": _poller(prices),
    }


def _poller(prices: PriceState) -> Markup:
    if not prices.is_used:
        return Markup("Reference prices are not set up here: lights stay grey.")
    poller = prices.poller
    parts = []
    if poller.cycle_start_s:
        cycle = time_text(from_epoch_s(poller.cycle_start_s), DEFAULT_AREA)
        parts.append(f"newest cycle {cycle}")
    parts.append(
        f"{poller.minute_budget_left} requests left this minute, {poller.hour_budget_left} this hour"
    )
    if poller.trouble:
        since = time_text(from_epoch_us(poller.trouble_since_us), DEFAULT_AREA)
        parts.append(f"the provider is in trouble since {since}: {poller.trouble}")
    return Markup("Reference prices: {}.").format("; ".join(parts))


def drawing(name: str, chart: Chart) -> Slots:
    """A chart's marks, and the words of its axis."""
    # Plain text of our own words and of numbers: nothing to escape, and Markup.format is twenty times dearer.
    width, zero = chart.width, chart.zero_y
    marks = [f'<line class="rule" x1="0" x2="{width}" y1="{y}" y2="{y}"/>' for y in chart.rules]
    marks += [
        f'<rect class="{bar.kind}" x="{bar.x}" y="{round(bar.y, 2)}"'
        f' width="{bar.width}" height="{bar.height}"/>'
        for bar in chart.bars
    ]
    if chart.line:
        marks.append(f'<polyline class="running strong" points="{chart.line}"/>')
    if chart.scale.low <= 0 <= chart.scale.high:
        marks.append(f'<line class="zero" x1="0" x2="{width}" y1="{zero}" y2="{zero}"/>')
    ticks = Markup("").join(Markup("<li>{}</li>").format(label) for label in chart.labels)
    return {f"svg.{name}": Markup("".join(marks)), f"ticks.{name}": ticks}  # noqa: S704


def data(content: Mapping[str, object]) -> Markup:
    """Numbers for the scripts' charts; pixels only, no figure is read from them."""
    return escape(json.dumps(content, separators=(",", ":")))


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """The slots that differ."""
    return {name: text for name, text in after.items() if before.get(name) != text}


def floats(values: Sequence[Decimal | None]) -> list[float | None]:
    """For drawing only."""
    return [None if each is None else float(each) for each in values]
