"""``/reports/pnl``: a report as JSON or CSV, with an ETag."""

from __future__ import annotations

from typing import Any

import msgspec
from wattbook.clock import from_epoch_s, iso_z
from wattbook_proto import reports_pb2

from gateway.api.http import CSV, JSON, Request, Response
from gateway.clients import PnlAsk
from gateway.usecases.reports import Rendered, Reports

CSV_HEADER = "Hour,Number of trades,Total BUY [MW],Total SELL [MW],PnL [EUR]"
_ALWAYS = [(b"cache-control", b"private, no-cache"), (b"vary", b"Accept, Authorization")]


class ReportsApi:
    """Handlers of the reports document."""

    def __init__(self, reports: Reports) -> None:
        """Serve ``reports``."""
        self._reports = reports

    async def pnl(self, request: Request) -> Response:
        """``GET /reports/pnl``."""
        return await serve_report(self._reports, request)


async def serve_report(reports: Reports, request: Request) -> Response:
    """The trader's day that a request asks for, in the form that it asks for."""
    params = request.params
    report = await reports.report(
        request.principal,
        trader_id=params.get("trader_id", ""),
        delivery_day=params["delivery_day"],
        area=params.get("area", ""),
    )
    if params.get("format") == "csv" or request.accepted == "text/csv":
        return tagged(request, report.csv, version=f"{report.version}-csv", content_type=CSV)
    return tagged(request, report.json, version=report.version)


def tagged(
    request: Request, body: bytes, *, version: str, content_type: bytes = JSON, weak: bool = False
) -> Response:
    """The body with its version as ETag; no body where the asker has that version.

    ``weak`` where bodies of one version may differ in what does not matter.
    """
    etag = f'"{version}"'.encode()
    headers = [*_ALWAYS, (b"etag", b"W/" + etag if weak else etag)]
    if _still_has(request.header(b"if-none-match"), etag):
        return Response(304, content_type=None, headers=headers)
    return Response(200, body, content_type=content_type, headers=headers)


def _still_has(if_none_match: bytes | None, etag: bytes) -> bool:
    if if_none_match is None:
        return False
    known = [tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")]
    return etag in known or known == [b"*"]


def render(ask: PnlAsk, answer: reports_pb2.PnlAnswer) -> Rendered:
    """A report in both its forms; figures stay the exact texts that they came as."""
    return Rendered(answer.version, _json(ask, answer).encode(), _csv(answer).encode())


def _json(ask: PnlAsk, answer: reports_pb2.PnlAnswer) -> str:
    head = {
        "trader_id": ask.trader_id,
        "delivery_day": ask.delivery_day,
        "area": answer.area or ask.area,
        "time_zone": answer.time_zone,
    }
    hours = ",".join(
        f'{{"label":{_quoted(row.label)},"delivery_hour":{row.delivery_hour},'
        f'"delivery_start":"{iso_z(from_epoch_s(row.delivery_start_s))}",{_figures(row)}}}'
        for row in answer.rows
    )
    opening = msgspec.json.encode(head).decode()[:-1]
    return f'{opening},"hours":[{hours}],"total":{{{_figures(answer.total)}}}}}\n'


def _figures(row: reports_pb2.PnlRow) -> str:
    return (
        f'"trades":{row.trades},"buy_mw":{row.buy_mw or 0},"sell_mw":{row.sell_mw or 0},'
        f'"buy_mwh":{row.buy_mwh or 0},"sell_mwh":{row.sell_mwh or 0},"pnl_eur":{row.pnl_eur or 0}'
    )


def _csv(answer: reports_pb2.PnlAnswer) -> str:
    lines = [CSV_HEADER, *(_line(row.label, row) for row in answer.rows), _line("Total", answer.total)]
    return "\n".join(lines) + "\n"


def _line(label: str, row: Any) -> str:
    return f"{label},{row.trades},{row.buy_mw or 0},{row.sell_mw or 0},{row.pnl_eur or 0}"


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
