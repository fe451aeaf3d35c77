"""A delivery day of the whole desk: one line a trader, ranked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate

from markupsafe import Markup, escape
from wattbook.clock import from_epoch_us
from wattbook.units import eur_from_ct_kw_min

from report_service.api.chart import scale_of
from report_service.api.figures import Writer, time_text
from report_service.api.slots import Column, Decimals, Slots, cells, connection, gauge, strip
from report_service.domain.performance import DeskDay, Performance
from report_service.usecases.model import BookState
from report_service.usecases.prices import PriceState

COLUMNS = (
    Column("spark", "The day so far", hint="Cumulative PnL by hour"),
    Column("pnl", "PnL", "€", hint="Cash so far: sold less bought; the open position is not valued"),
    Column("edge", "Edge", "€", hint="PnL + open position × reference: gained or lost against the market"),
    Column("doing", "How are we doing", "€/MWh", hint="Average minus reference price"),
    Column("bought", "Bought", "MWh"),
    Column("sold", "Sold", "MWh"),
    Column("open", "Open", "MWh", hint="Bought less sold"),
    Column("trades", "Trades"),
    Column("last", "Last trade"),
)
_SPARK_WIDTH, _SPARK_HEIGHT = 96, 24
_LEAST = Decimal("-Infinity")


def _known(value: Decimal | None) -> Decimal:
    return _LEAST if value is None else value


_ORDERS: dict[str, Callable[[Performance], object]] = {
    "trader": lambda each: each.key.trader_id,
    "pnl": lambda each: each.total.figures.pnl_ct_kw_min,
    "edge": lambda each: _known(each.total.edge_eur),
    "doing": lambda each: _known(each.total.delta_eur_per_mwh),
    "bought": lambda each: each.total.figures.buy_kw_min,
    "sold": lambda each: each.total.figures.sell_kw_min,
    "open": lambda each: each.total.figures.buy_kw_min - each.total.figures.sell_kw_min,
    "trades": lambda each: each.total.figures.trades,
    "last": lambda each: each.total.figures.last_execution_time_us,
}
DEFAULT_ORDER = "-pnl"


def order_of(text: str) -> str:
    """``pnl`` upwards, ``-pnl`` downwards; the default where it is none."""
    return text if text.removeprefix("-") in _ORDERS else DEFAULT_ORDER


def ranked(found: DeskDay, order: str) -> list[Performance]:
    """The traders by a column, names decide among equals."""
    listed = sorted(found.traders, key=lambda each: each.key.trader_id)
    return sorted(listed, key=_ORDERS[order.removeprefix("-")], reverse=order.startswith("-"))  # type: ignore[arg-type]


def row_id(trader_id: str) -> str:
    """A trader's row, whatever characters the name has."""
    return "t" + blake2b(trader_id.encode(), digest_size=6).hexdigest()


def desk_slots(found: DeskDay, *, book: BookState, prices: PriceState, locale: str) -> Slots:
    """Everything on the page that may change."""
    writer = Writer(locale)
    decimals = Decimals.of(each.total for each in found.traders)
    slots = {**connection(book, prices), **strip(found.total, writer, found.area)}
    most = max((abs(each.total.edge_ct_kw_min) for each in found.traders), default=Fraction(0))
    for each in found.traders:
        slots.update(_line(each, locale, decimals))
        slots[f"{row_id(each.key.trader_id)}.gauge"] = gauge(each.total, most)
    slots.update(cells("total", found.total, writer, decimals))
    slots["total.spark"] = _spark(list(map(sum, zip(*map(_by_hour, found.traders), strict=True))))
    slots["total.last"] = _last(found.total.figures.last_execution_time_us, found.area)
    slots["layout"] = escape(
        blake2b(repr([each.key.trader_id for each in found.traders]).encode(), digest_size=8).hexdigest()
    )
    return slots


@lru_cache(maxsize=4096)
def _line(found: Performance, locale: str, decimals: Decimals) -> Slots:
    """A trader's cells; written once a change of that trader, whoever else trades."""
    name = row_id(found.key.trader_id)
    slots = {**cells(name, found.total, Writer(locale), decimals)}
    slots[f"{name}.spark"] = _spark(_by_hour(found))
    slots[f"{name}.last"] = _last(found.total.figures.last_execution_time_us, found.key.area)
    return slots


def _last(epoch_us: int, area: str) -> Markup:
    return escape(time_text(from_epoch_us(epoch_us), area)[:8]) if epoch_us else Markup("")


def _by_hour(found: Performance) -> list[int]:
    return [each.figures.pnl_ct_kw_min for _, each in found.hours]


def _spark(pnl_ct_kw_min: Sequence[int]) -> Markup:
    """Cumulative PnL by hour, in the size of a word."""
    if not pnl_ct_kw_min:
        return Markup("")
    running = [float(eur_from_ct_kw_min(each)) for each in accumulate(pnl_ct_kw_min)]
    scale = scale_of(running)
    step = _SPARK_WIDTH / max(len(running) - 1, 1)
    span = scale.high - scale.low

    def y(value: float) -> float:
        return round((scale.high - value) / span * (_SPARK_HEIGHT - 2) + 1, 1)

    points = " ".join(f"{round(step * at, 1)},{y(value)}" for at, value in enumerate(running))
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" aria-hidden="true">'
        '<line x1="0" x2="{}" y1="{}" y2="{}"/><polyline points="{}"/></svg>'
    ).format(
        *(_SPARK_WIDTH, _SPARK_HEIGHT, _SPARK_WIDTH, _SPARK_HEIGHT),
        *(_SPARK_WIDTH, y(0), y(0), points),
    )
