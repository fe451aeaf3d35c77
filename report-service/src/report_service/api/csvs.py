"""Days as CSV, a trader's and the desk's: exact, alike for every locale, the columns of the REST API."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from urllib.parse import quote

from flask import Response
from wattbook.clock import from_epoch_us, iso_z
from wattbook.text import without_formula

from report_service.api.site import kept_response, unchanged
from report_service.domain.performance import DeskDay, Performance, Standing
from report_service.domain.pnl import Figures, Report

PNL_HEADER = ("Hour", "Number of trades", "Total BUY [MW]", "Total SELL [MW]", "PnL [EUR]")
PERFORMANCE_HEADER = (
    "Hour", "Number of trades", "Total BUY [MW]", "Total SELL [MW]", "Total BUY [MWh]", "Total SELL [MWh]",
    "PnL [EUR]", "Average price [EUR/MWh]", "Average BUY price [EUR/MWh]", "Average SELL price [EUR/MWh]",
    "Reference price [EUR/MWh]", "Reference last update", "Delta [EUR/MWh]", "Light", "Grey because",
    "Edge [EUR]", "Open position [MWh]",
)  # fmt: skip
DESK_HEADER = ("Trader", *PERFORMANCE_HEADER[1:], "Last trade")


def pnl_csv(report: Report) -> str:
    """Header, one line an hour, the total last."""
    labelled = [*((period.label, figures) for period, figures in report.hours), ("Total", report.total)]
    return _text(PNL_HEADER, (_pnl(label, each) for label, each in labelled))


def performance_csv(found: Performance) -> str:
    """The same against the reference price."""
    labelled = [*((period.label, each) for period, each in found.hours), ("Total", found.total)]
    return _text(PERFORMANCE_HEADER, (_performance(label, each) for label, each in labelled))


def desk_csv(found: DeskDay, traders: Sequence[Performance]) -> str:
    """The desk's day: one line a trader, in the order of ``traders``, the total last."""
    labelled = [*((each.key.trader_id, each.total) for each in traders), ("Total", found.total)]
    return _text(
        DESK_HEADER,
        (
            (*_performance(label, each), _instant(each.figures.last_execution_time_us))
            for label, each in labelled
        ),
    )


def download(name: str, text: str, tag: str) -> Response:
    """A file under a telling name, or 304 where the browser has it."""
    response = unchanged(tag)
    if response is None:
        response = kept_response(Response(text, content_type="text/csv; charset=utf-8"), tag)
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        response.headers["Content-Disposition"] = (
            f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
        )
    return response


def _pnl(label: str, each: Figures) -> tuple[object, ...]:
    return label, each.trades, each.buy_mw, each.sell_mw, each.pnl_eur


def _performance(label: str, each: Standing) -> tuple[object, ...]:
    figures = each.figures
    updated_us = each.price.last_update_us if each.price else each.oldest_update_us
    return (
        *(label, figures.trades, figures.buy_mw, figures.sell_mw, figures.buy_mwh, figures.sell_mwh),
        figures.pnl_eur,
        _known(figures.average_eur_per_mwh),
        _known(figures.average_buy_eur_per_mwh),
        _known(figures.average_sell_eur_per_mwh),
        _known(each.reference_eur_per_mwh),
        _instant(updated_us),
        _known(each.delta_eur_per_mwh),
        *(each.light.value, each.grey_reason, _known(each.edge_eur), figures.open_mwh),
    )


def _instant(epoch_us: int) -> str:
    return iso_z(from_epoch_us(epoch_us)) if epoch_us else ""


def _known(value: Decimal | None) -> object:
    return "" if value is None else value


def _inert(cell: object) -> object:
    """A text that no spreadsheet runs; these files are made for them. Figures stay as they are."""
    return without_formula(cell) if isinstance(cell, str) else cell


def _text(header: Sequence[str], rows: Iterable[tuple[object, ...]]) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\r\n")
    lines.writerow(header)
    lines.writerows(map(_inert, row) for row in rows)
    return text.getvalue()
