"""``/reports/performance`` and ``/reports/desk``: trades against the reference price, with an ETag."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec
from wattbook_proto import reports_pb2

from gateway.api.http import CSV, Request, Response
from gateway.api.reports import serve_report, tagged
from gateway.api.values import amount, instant_s, instant_us, number
from gateway.clients import PnlAsk
from gateway.usecases.desk import DeskReports, RenderedDesk
from gateway.usecases.reports import Rendered, Reports

CSV_COLUMNS = (
    "Hour", "Number of trades", "Total BUY [MW]", "Total SELL [MW]", "Total BUY [MWh]", "Total SELL [MWh]",
    "PnL [EUR]", "Average price [EUR/MWh]", "Average BUY price [EUR/MWh]", "Average SELL price [EUR/MWh]",
    "Reference price [EUR/MWh]", "Reference last update", "Delta [EUR/MWh]", "Light", "Grey because",
    "Edge [EUR]", "Open position [MWh]",
)  # fmt: skip
DESK_CSV_COLUMNS = ("Trader", *CSV_COLUMNS[1:], "Last trade")
_LIGHTS = {reports_pb2.GREEN: "green", reports_pb2.RED: "red"}


class PerformanceApi:
    """Handlers of the reports in the live document."""

    def __init__(self, performances: Reports, desks: DeskReports) -> None:
        """Serve both."""
        self._performances = performances
        self._desks = desks

    async def performance(self, request: Request) -> Response:
        """``GET /reports/performance``."""
        return await serve_report(self._performances, request)

    async def desk(self, request: Request) -> Response:
        """``GET /reports/desk``."""
        params = request.params
        report = await self._desks.desk(
            request.principal, delivery_day=params["delivery_day"], area=params.get("area", "")
        )
        if params.get("format") == "csv" or request.accepted == "text/csv":
            return tagged(request, report.csv, version=f"{report.version}-csv", content_type=CSV)
        return tagged(request, report.json, version=report.version)


def render(ask: PnlAsk, answer: reports_pb2.PerformanceAnswer) -> Rendered:
    """A performance in both its forms; figures stay the exact texts that they came as."""
    body = {
        "trader_id": ask.trader_id,
        "delivery_day": ask.delivery_day,
        "area": answer.area or ask.area,
        "time_zone": answer.time_zone,
        "hours": [_hour(row) for row in answer.rows],
        "total": _figures(answer.total),
    }
    return Rendered(answer.version, msgspec.json.encode(body) + b"\n", _csv(answer).encode())


def render_desk(delivery_day: str, reply: reports_pb2.DeskReply) -> RenderedDesk:
    """The desk's day in both its forms."""
    body = {
        "delivery_day": delivery_day,
        "area": reply.area,
        "time_zone": reply.time_zone,
        "rows": [_trader(row) for row in reply.rows],
        "total": {**_figures(reply.total.figures), "last_trade": instant_us(reply.total.last_trade_us)},
    }
    return RenderedDesk(reply.version, msgspec.json.encode(body) + b"\n", _desk_csv(reply).encode())


def _trader(row: reports_pb2.DeskRow) -> dict[str, Any]:
    return {
        "trader_id": row.trader_id,
        **_figures(row.figures),
        "last_trade": instant_us(row.last_trade_us),
        "cumulative_pnl_eur": [amount(text) for text in row.cumulative_pnl_eur],
    }


def _hour(row: reports_pb2.PerformanceRow) -> dict[str, Any]:
    return {
        "label": row.pnl.label,
        "delivery_hour": row.pnl.delivery_hour,
        "delivery_start": instant_s(row.pnl.delivery_start_s),
        **_figures(row),
    }


def _figures(row: reports_pb2.PerformanceRow) -> dict[str, Any]:
    pnl = row.pnl
    return {
        "trades": pnl.trades,
        "buy_mw": amount(pnl.buy_mw),
        "sell_mw": amount(pnl.sell_mw),
        "buy_mwh": amount(pnl.buy_mwh),
        "sell_mwh": amount(pnl.sell_mwh),
        "pnl_eur": amount(pnl.pnl_eur),
        "average_eur_per_mwh": number(row.average_eur_per_mwh),
        "average_buy_eur_per_mwh": number(row.average_buy_eur_per_mwh),
        "average_sell_eur_per_mwh": number(row.average_sell_eur_per_mwh),
        "reference_eur_per_mwh": number(row.reference_eur_per_mwh),
        "reference_last_update": instant_us(row.reference_last_update_us),
        "reference_fetched": instant_us(row.reference_fetched_us),
        "delta_eur_per_mwh": number(row.delta_eur_per_mwh),
        "light": _LIGHTS.get(row.light, "grey"),
        "grey_reason": row.grey_reason or None,
        "edge_eur": number(row.edge_eur),
        "open_mwh": number(row.open_mwh),
    }


def _csv(answer: reports_pb2.PerformanceAnswer) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(CSV_COLUMNS)
    lines.writerows(_line(row.pnl.label, row) for row in answer.rows)
    lines.writerow(_line("Total", answer.total))
    return text.getvalue()


def _desk_csv(reply: reports_pb2.DeskReply) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(DESK_CSV_COLUMNS)
    labelled = [*((row.trader_id, row) for row in reply.rows), ("Total", reply.total)]
    for label, row in labelled:
        lines.writerow([*_line(label, row.figures), instant_us(row.last_trade_us) or ""])
    return text.getvalue()


def _line(label: str, row: reports_pb2.PerformanceRow) -> list[str]:
    pnl = row.pnl
    return [
        label, str(pnl.trades), pnl.buy_mw or "0", pnl.sell_mw or "0", pnl.buy_mwh or "0",
        pnl.sell_mwh or "0", pnl.pnl_eur or "0", row.average_eur_per_mwh, row.average_buy_eur_per_mwh,
        row.average_sell_eur_per_mwh, row.reference_eur_per_mwh,
        instant_us(row.reference_last_update_us) or "", row.delta_eur_per_mwh,
        _LIGHTS.get(row.light, "grey"), row.grey_reason, row.edge_eur, row.open_mwh,
    ]  # fmt: skip
