"""The panel beside a trader's table: a row's trades, a price's history. Each at an address of its own.

The address shows the whole page with the panel open, also without scripts; scripts ask for the panel alone.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, g, render_template, request
from flask.typing import ResponseReturnValue
from wattbook.errors import NotFound, WattbookError

from report_service.api import details, live
from report_service.api.details import Row
from report_service.api.figures import Writer
from report_service.api.pages import MOST_SUGGESTED, reader
from report_service.api.signin import require_trading
from report_service.api.site import columns, day_address, locale, rendered, site
from report_service.api.trader_pages import Look, look, view_of
from report_service.domain.performance import Performance

PART = "X-Part"
_MOST_PAGE_DIGITS = 6
_ROOT = "/traders/<path:trader_id>/days/<day>"

detail_pages = Blueprint("details", __name__)
detail_pages.before_request(require_trading)


@detail_pages.get(f"{_ROOT}/trades/<slug>")
def trades(trader_id: str, day: str, slug: str) -> ResponseReturnValue:
    """The trades of a delivery period, and what each did to its row."""
    looked = look(trader_id, day)
    row = row_of(looked.found, slug)
    return _answer(looked, row, "trades", lambda: _trades(looked, row))


@detail_pages.get(f"{_ROOT}/prices/<slug>")
def prices(trader_id: str, day: str, slug: str) -> ResponseReturnValue:
    """Every value of a delivery period's reference price, and when it was known."""
    looked = look(trader_id, day)
    row = row_of(looked.found, slug)
    return _answer(looked, row, "prices", lambda: _history(row))


def row_of(found: Performance, slug: str) -> Row:
    """The row that an address names.

    Raises:
        NotFound: there is no such period on that day.
    """
    for at, (period, each) in enumerate(found.hours):
        if live.slug_of(period) == slug:
            return Row(at, slug, period, each)
    raise NotFound(f"{found.key.day} has no delivery period {slug[:20]!r} in {found.key.area}.")


def _trades(looked: Look, row: Row) -> dict[str, object]:
    writer = Writer(locale())
    found = site().details.trades(looked.found, row.period, row.standing)
    unpriced = live.why_unpriced(looked.found, site().board.state)
    shown = details.shown_trades(found, row, writer, page=_page_asked(), unpriced=unpriced)
    address = _address(looked.found, "trades", row.slug)
    joint = "&" if "?" in address else "?"
    return {
        "trades": shown,
        "newer_url": f"{address}{joint}page={shown.page - 1}" if shown.page > 1 else "",
        "older_url": f"{address}{joint}page={shown.page + 1}" if shown.page < shown.last_page else "",
        "missing": details.missing(found, row.standing.figures, writer),
    }


def _history(row: Row) -> dict[str, object]:
    writer = Writer(locale())
    try:
        found = site().details.history(row.period, row.standing.price)
    except NotFound as error:  # no pricing-service: nothing failed
        return {"history": [], "no_history": f"{error.message[:1].upper()}{error.message[1:]}."}
    return {
        "history": details.shown_history(found, row.period, writer),
        "line": details.history_line(found, writer),
        "no_history": "The provider has said no price of this period yet.",
    }


def _answer(looked: Look, row: Row, kind: str, shown: Callable[[], dict[str, object]]) -> ResponseReturnValue:
    detail: dict[str, object] = {
        "kind": kind,
        "row": row,
        "title": details.title_of(looked.found, row),
        "trades_url": _address(looked.found, "trades", row.slug),
        "prices_url": _address(looked.found, "prices", row.slug),
        "close_url": _address(looked.found),
        "again_url": request.full_path.removesuffix("?"),
    }
    status, headers = 200, {}
    try:
        detail.update(shown())
    except WattbookError as error:  # the figures are known: the page stays, and the panel says what it lacks
        status = error.http_status
        detail["error"] = f"{error.message[:1].upper()}{error.message[1:].rstrip('.')}."
        headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else {}
    return _rendered(looked, detail), status, headers


def _rendered(looked: Look, detail: dict[str, object]) -> str:
    snapshot = looked.topic.render()
    request_id = g.get("request_id", "")
    if request.headers.get(PART) == "detail":
        return render_template("detail.html", detail=detail, slots=snapshot.slots, request_id=request_id)
    return rendered(
        "trader.html",
        view=view_of(looked.found),
        slots=snapshot.slots,
        version=snapshot.version,
        traders=site().model.trader_names()[:MOST_SUGGESTED] if reader().reads_all else [],
        columns=columns(),
        detail=detail,
        request_id=request_id,
    )


def _address(found: Performance, kind: str = "", slug: str = "") -> str:
    key = found.key
    suffix = f"/{kind}/{slug}" if kind else ""
    return day_address(key.trader_id, key.day.isoformat(), area=key.area, suffix=suffix)


def _page_asked() -> int:
    text = request.args.get("page", "1")
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= _MOST_PAGE_DIGITS else 1
