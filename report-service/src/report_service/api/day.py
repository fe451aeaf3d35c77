"""A report as the day page shows it: texts, tones and addresses; no rule, no figure of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate

from markupsafe import Markup, escape
from wattbook.clock import iso_z
from wattbook.periods import DEFAULT_AREA, DeliveryPeriod

from report_service.api.chart import Chart, bars_by_hour
from report_service.api.figures import Writer, day_text, decimals_needed, instant_of, time_text
from report_service.api.site import day_address, live_address
from report_service.domain.pnl import Figures, Report

_DAY = timedelta(days=1)
_SHORTEST_COLUMN = 5  # its heading is as wide
_PHONE_CHARACTERS = 39  # of table figures in 360 px


@dataclass(frozen=True, slots=True)
class Row:
    """An hour, or the total, as written; and its exact values for scripts."""

    label: str
    start: str
    tone: str
    trades: Markup
    buy: Markup
    sell: Markup
    pnl: Markup
    trades_value: str
    buy_value: str
    sell_value: str
    pnl_value: str


@dataclass(frozen=True, slots=True)
class Link:
    """Where to go next."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart with its words."""

    name: str
    title: str
    unit: str
    legend: tuple[tuple[str, str], ...]
    words: str
    drawn: Chart


def day_view(report: Report, *, locale: str, nearest: Sequence[tuple[date, str]]) -> dict[str, object]:
    """Everything the template of the day page writes."""
    key, total, writer = report.key, report.total, Writer(locale)
    rows, total_row = _rows(report, writer)
    before, after = key.day - _DAY, key.day + _DAY
    return {
        "trader_id": key.trader_id,
        "area": key.area,
        "area_query": key.area != DEFAULT_AREA,
        "time_zone": report.time_zone,
        "zone_names": _zone_names(report),
        "day": key.day.isoformat(),
        "day_short": day_text(key.day),
        "day_long": day_text(key.day, long=True),
        "previous_url": day_address(key.trader_id, before.isoformat(), area=key.area),
        "previous_day": day_text(before),
        "next_url": day_address(key.trader_id, after.isoformat(), area=key.area),
        "next_day": day_text(after),
        "today_url": day_address(key.trader_id, "today", area=key.area),
        "live_url": live_address(key.trader_id, key.day.isoformat(), area=key.area),
        "csv_url": day_address(key.trader_id, key.day.isoformat(), area=key.area, suffix=".csv"),
        "is_empty": report.is_empty,
        "nearest": _nearest(report, nearest),
        "rows": rows,
        "is_roomy": _is_roomy([*rows, total_row]),
        "locale": locale.replace("_", "-"),
        "total": total_row,
        "charts": _charts(report, total_row, writer),
        **_strip(total, writer, key.area),
    }


def _strip(total: Figures, writer: Writer, area: str) -> dict[str, object]:
    open_mwh = total.open_mwh
    bought_sold = decimals_needed((total.buy_mwh, total.sell_mwh, open_mwh), least=1)
    last = "none yet"
    if total.trades:
        last = f"last {time_text(instant_of(total.last_execution_time_us), area)}"
    pnl = total.pnl_eur
    return {
        "pnl": writer.figure(pnl, decimals=2, sign=True),
        "pnl_note": "gain" if pnl > 0 else "loss" if pnl < 0 else "even" if total.trades else "no trades",
        "bought": writer.figure(total.buy_mwh, decimals=bought_sold),
        "sold": writer.figure(total.sell_mwh, decimals=bought_sold),
        "open": writer.figure(open_mwh, decimals=bought_sold, sign=True),
        "open_note": "long position" if open_mwh > 0 else "short position" if open_mwh < 0 else "flat",
        "trades": writer.number(total.trades),
        "last_execution": last,
        "average_buy": writer.known(total.average_buy_eur_per_mwh, "nothing bought"),
        "average_sell": writer.known(total.average_sell_eur_per_mwh, "nothing sold"),
    }


def _rows(report: Report, writer: Writer) -> tuple[list[Row], Row]:
    every = [figures for _, figures in report.hours]
    mw_decimals = decimals_needed([value for each in every for value in (each.buy_mw, each.sell_mw)], least=1)
    rows = [_row(figures, writer, mw_decimals, period) for period, figures in report.hours]
    return rows, _row(report.total, writer, mw_decimals, None)


def _row(figures: Figures, writer: Writer, mw_decimals: int, period: DeliveryPeriod | None) -> Row:
    pnl = figures.pnl_eur
    tone = "good" if pnl > 0 else "bad" if pnl < 0 else "even" if figures.trades else "idle"
    return Row(
        label=period.label if period else "Total",
        start=iso_z(period.start) if period else "",
        tone=tone,
        trades=writer.cell(figures.trades),
        buy=writer.cell(figures.buy_mw, decimals=mw_decimals),
        sell=writer.cell(figures.sell_mw, decimals=mw_decimals),
        pnl=writer.cell(pnl, decimals=2, sign=True),
        trades_value=str(figures.trades),
        buy_value=str(figures.buy_mwh),
        sell_value=str(figures.sell_mwh),
        pnl_value=str(pnl),
    )


def _is_roomy(rows: Sequence[Row]) -> bool:
    """Whether the figures are too long for a phone, so that the table must scroll inside itself there."""
    columns = zip(*((each.label, each.trades, each.buy, each.sell, each.pnl) for each in rows), strict=True)
    widest = (max(len(escape(cell).striptags()) for cell in column) for column in columns)
    return sum(max(chars, _SHORTEST_COLUMN) for chars in widest) > _PHONE_CHARACTERS


def _charts(report: Report, total: Row, writer: Writer) -> list[Drawing]:
    pnl = [float(figures.pnl_eur) for _, figures in report.hours]
    running = list(accumulate(pnl))
    bought = [float(figures.buy_mwh) for _, figures in report.hours]
    sold = [-float(figures.sell_mwh) for _, figures in report.hours]
    return [
        Drawing(
            "pnl",
            "PnL by hour",
            "EUR",
            (("good", "gain"), ("bad", "loss"), ("running", "running total")),
            f"Bars: PnL by hour in EUR, {total.pnl} in total. The table has the figures.",
            bars_by_hour([("", pnl)], line=() if report.is_empty else running, writer=writer),
        ),
        Drawing(
            "volume",
            "Energy by hour",
            "MWh",
            (("buy", "bought"), ("sell", "sold")),
            "Bars: energy bought, upwards, and sold, downwards, by hour in MWh.",
            bars_by_hour([("buy", bought), ("sell", sold)], writer=writer),
        ),
    ]


def _nearest(report: Report, nearest: Sequence[tuple[date, str]]) -> list[Link]:
    trader_id = report.key.trader_id
    return [
        Link(
            day_text(day) + ("" if area == report.key.area else f" in {area}"),
            day_address(trader_id, day.isoformat(), area=area),
        )
        for day, area in nearest
    ]


def _zone_names(report: Report) -> str:
    first, last = report.hours[0][0].local_start, report.hours[-1][0].local_start
    names = dict.fromkeys((first.tzname() or "", last.tzname() or ""))
    return " then ".join(names) + (f", {len(report.hours)} hours" if len(names) > 1 else "")
