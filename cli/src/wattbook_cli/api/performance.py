"""A trader's day against the reference price, as a table that fits its terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from wattbook_cli.api.tables import BAD, GOOD, age, signed_eur, table

WIDE = 160
UNKNOWN = "–"
_AROUND_LINES = 13  # title, head of two lines, hairlines, total, and what is said below
_AVERAGE, _REFERENCE, _SO_FAR = "Our average\nEUR/MWh", "Reference\nEUR/MWh", "How are we doing so far"
_COLUMNS = ("Delivery", _AVERAGE, _REFERENCE, _SO_FAR)
_WIDE_COLUMNS = (
    "Delivery", "Trades", "Bought\nMWh", "Sold\nMWh", "Average\nbuy", "Average\nsell", _AVERAGE, _REFERENCE,
    "Age", _SO_FAR, "Edge\nEUR", "Open\nMWh", "PnL\nEUR",
)  # fmt: skip
_LEFT_OUT_FIRST = ("Age", "Average\nbuy", "Average\nsell", "Trades", "Open\nMWh", "Bought\nMWh", "Sold\nMWh")
_LIGHTS = {"green": ("▲", "higher", GOOD), "red": ("▼", "lower", BAD)}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """How much there is to show: all columns or the desk's own four, and how much of it fits."""

    wide: bool
    now: datetime
    most_columns: int = WIDE
    most_lines: int | None = None


def performance(report: Mapping[str, Any], view: View) -> Group:
    """The day as a table with its total, and the outcome in words."""
    title = f"{report['trader_id']}, delivery {report['delivery_day']}, {report['area']}"
    zone = ZoneInfo(report["time_zone"])
    at = Text(f" ({report['time_zone']}, {view.now.astimezone(zone):%H:%M:%S})", style="dim")
    hours, left_out = _fitting(report["hours"], view)
    parts: list[Text | Table] = [Text.assemble((title, "bold"), at), Text()]
    made, missing = _fitted(hours, report["total"], view)
    parts.append(made)
    if missing:
        named = ", ".join(" ".join(head.split()) for head in missing)
        parts.append(Text(f"Left out: {named}; a wider window shows all", style="dim"))
    if left_out:
        quiet = "1 hour" if left_out == 1 else f"{left_out} hours"
        parts.append(Text(f"… and {quiet} without trades; a higher window shows all", style="dim"))
    parts += [Text(), *_meaning(report["total"])]
    return Group(*parts)


def _meaning(total: Row) -> list[Text]:
    """What PnL and edge are, with what PnL leaves out."""
    lines = [
        f"PnL {signed_eur(Decimal(total['pnl_eur']))} EUR: cash so far, {_open(total)}.",
        "Edge = PnL + open position x reference: gained or lost against the market.",
    ]
    return [Text(line, style="dim") for line in lines]


def _open(total: Row) -> str:
    position = Decimal(total["open_mwh"])
    if not position:
        return "no open position"
    return f"open position {energy(position, signed=True)} MWh not valued"


def light(row: Row, *, with_hint: bool = False) -> Text:
    """How a row is doing: a symbol, the signed difference and words; the colour only repeats them.

    With a hint how an hour did in which more was bought than sold.
    """
    known = _LIGHTS.get(row["light"])
    if known is None:
        return Text(f"● {row['grey_reason'] or 'not known'}", style="dim")
    symbol, words, style = known
    delta = Decimal(row["delta_eur_per_mwh"])
    hint = _bought(row) if with_hint else ""
    return Text(f"{symbol} {signed_eur(delta)} {words if delta else 'equal'}{hint}", style=style)


def _bought(row: Row) -> str:
    """What a net buyer wants to know: whether that was dear."""
    paid = row["average_buy_eur_per_mwh"]
    if paid is None or Decimal(row["open_mwh"]) <= 0:
        return ""
    over = Decimal(paid) - Decimal(row["reference_eur_per_mwh"])
    return f", bought {'above' if over > 0 else 'below' if over < 0 else 'at'} it"


def price(value: Any) -> str:
    """A price in EUR/MWh, to the cent."""
    return UNKNOWN if value is None else f"{Decimal(value):,.2f}"


def _fitted(hours: Sequence[Row], total: Row, view: View) -> tuple[Table, list[str]]:
    """The table with as many columns as fit: a figure is never cut short."""
    heads = list(_WIDE_COLUMNS if view.wide else _COLUMNS)
    missing: list[str] = []
    made = _filled(heads, hours, total, view.now)
    for head in _LEFT_OUT_FIRST if view.wide else ():
        if _width(made) <= view.most_columns:
            break
        heads.remove(head)
        missing.append(head)
        made = _filled(heads, hours, total, view.now)
    return made, missing


def _filled(heads: Sequence[str], hours: Sequence[Row], total: Row, now: datetime) -> Table:
    made = table(*heads, figures=[head for head in heads if head not in {"Delivery", _SO_FAR}])
    made.columns[heads.index(_SO_FAR)].no_wrap = True
    made.show_footer = True
    for hour in hours:
        cells = _cells(hour["label"], hour, now)
        if len(heads) == len(_COLUMNS):
            cells[_SO_FAR] = light(hour, with_hint=True)
        made.add_row(*(cells[head] for head in heads), style=None if hour["trades"] else "dim")
    footers = _cells("Total", total, now)
    for column, head in zip(made.columns, heads, strict=True):
        column.footer = footers[head]
    return made


def _width(made: Table) -> int:
    boundless = Console(width=1000)
    return Measurement.get(boundless, boundless.options, made).maximum


def _cells(label: str, row: Row, now: datetime) -> dict[str, str | Text]:
    cells = (
        label,
        f"{row['trades']:,}",
        energy(row["buy_mwh"]),
        energy(row["sell_mwh"]),
        price(row["average_buy_eur_per_mwh"]),
        price(row["average_sell_eur_per_mwh"]),
        price(row["average_eur_per_mwh"]),
        price(row["reference_eur_per_mwh"]),
        age(row["reference_fetched"], now=now),
        light(row),
        _amount(row["edge_eur"]),
        energy(row["open_mwh"], signed=True),
        _amount(row["pnl_eur"]),
    )
    return dict(zip(_WIDE_COLUMNS, cells, strict=True))


def energy(value: Any, *, signed: bool = False) -> str:
    """An amount of energy in MWh, at least to a tenth."""
    if value is None:
        return UNKNOWN
    exact = Decimal(value)
    places = max(1, -int(exact.normalize().as_tuple().exponent)) if exact else 1
    return f"{exact:{'+' if signed and exact else ''},.{places}f}"


def _amount(value: Any) -> str | Text:
    return UNKNOWN if value is None else signed_eur(Decimal(value))


def _fitting(hours: Sequence[Row], view: View) -> tuple[list[Row], int]:
    """The hours that fit: those without trades go first, the earliest before the later ones."""
    if view.most_lines is None or len(hours) <= view.most_lines - _AROUND_LINES:
        return list(hours), 0
    over = len(hours) - max(1, view.most_lines - _AROUND_LINES - 1)
    out = {id(hour) for hour in [hour for hour in hours if not hour["trades"]][:over]}
    return [hour for hour in hours if id(hour) not in out], len(out)
