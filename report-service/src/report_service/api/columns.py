"""The columns of a trader's table, and which of them somebody chose to see."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from report_service.api.slots import Column

COLUMNS = (
    Column("ours", "Our average price", "€/MWh", "Bought and sold together, weighted by energy"),
    Column("reference", "Reference price", "€/MWh"),
    Column("age", "Age", hint="How long ago the provider updated the reference price"),
    Column("doing", "How are we doing so far", "€/MWh", "Our average minus the reference price"),
    Column("bought", "Bought", "MWh"),
    Column("sold", "Sold", "MWh"),
    Column("avg_buy", "Avg buy", "€/MWh"),
    Column("avg_sell", "Avg sell", "€/MWh"),
    Column("open", "Open", "MWh", "Bought less sold"),
    Column("trades", "Number of trades"),
    Column("buy_mw", "Total BUY", "MW", "Power bought, summed over trades"),
    Column("sell_mw", "Total SELL", "MW", "Power sold, summed over trades"),
    Column("pnl", "PnL", "€", "Cash so far: sold less bought; the open position is not valued"),
    Column("edge", "Edge", "€", "PnL + open position × reference: gained or lost against the market"),
)
NAMES = tuple(each.name for each in COLUMNS)
MOST_NARROW = 6


@dataclass(frozen=True, slots=True)
class Preset:
    """A choice of columns with a name."""

    name: str
    title: str
    hint: str
    shown: tuple[str, ...]


PRESETS = (
    Preset(
        "sketch",
        "Sketch",
        "The desk's own four: delivery period, our price, reference price, how we are doing",
        ("ours", "reference", "age", "doing"),
    ),
    Preset(
        "market",
        "Market",
        "And what was traded: bought, sold, PnL and edge",
        ("ours", "reference", "age", "doing", "bought", "sold", "pnl", "edge"),
    ),
    Preset(
        "pnl",
        "PnL",
        "Number of trades, totals in MW, PnL",
        ("trades", "buy_mw", "sell_mw", "pnl"),
    ),
    Preset("all", "All", "Every column", NAMES),
)
OWN = "own"


@dataclass(frozen=True, slots=True)
class Shown:
    """The columns somebody sees: a preset's, or a choice of their ``own``."""

    preset: str
    names: tuple[str, ...]

    @property
    def is_wide(self) -> bool:
        """Whether the table wants the page's whole width."""
        return len(self.names) > MOST_NARROW

    @property
    def text(self) -> str:
        """As it is remembered in a cookie."""
        return ".".join(self.names) if self.preset == OWN else self.preset


def shown_of(text: str) -> Shown:
    """What a cookie remembers; the first preset where it remembers nothing."""
    named = next((each for each in PRESETS if each.name == text), None)
    return Shown(named.name, named.shown) if named else chosen(text[:400].split("."))


def chosen(names: Collection[str]) -> Shown:
    """Columns by their names, in the table's order; the first preset where none is known."""
    known = tuple(name for name in NAMES if name in names)
    preset = next((each for each in PRESETS if each.shown == known), None)
    if preset is None and known:
        return Shown(OWN, known)
    preset = preset or PRESETS[0]
    return Shown(preset.name, preset.shown)
