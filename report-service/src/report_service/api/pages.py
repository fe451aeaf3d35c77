"""The report pages: a trader's day as page and CSV, and who there is to pick from."""

from __future__ import annotations

import csv
import io
import re
from bisect import bisect_left
from datetime import date
from urllib.parse import quote

from flask import Blueprint, Response, redirect, request
from wattbook.clock import Clock
from wattbook.errors import Forbidden, NotFound
from wattbook.periods import DEFAULT_AREA, area_of
from werkzeug.wrappers import Response as AnyResponse

from report_service.api.day import day_view
from report_service.api.figures import Writer, day_text
from report_service.api.health import pill_mark
from report_service.api.recent import Holds, may_repeat
from report_service.api.signin import require_person
from report_service.api.site import (
    day_address,
    feed_mark,
    kept_response,
    live_address,
    locale,
    page_facts,
    person,
    rendered,
    sent,
    session_at_hand,
    site,
    tag_of,
    unchanged,
)
from report_service.domain.book import ReportKey
from report_service.domain.people import Person
from report_service.domain.pnl import Report, day_in

MOST_SUGGESTED = 500
MOST_LISTED = 1000
CSV_HEADER = ("Hour", "Number of trades", "Total BUY [MW]", "Total SELL [MW]", "PnL [EUR]")

pages = Blueprint("pages", __name__)
pages.before_request(require_person)


@pages.get("/")
def home() -> AnyResponse:
    """To one's own day, or to where a trader is picked."""
    own = reader().trader_id
    return redirect(day_address(own, "today") if own else "/traders")


@pages.get("/traders")
def pick() -> AnyResponse | str:
    """Known traders; a search that names one exactly leads to their day."""
    wanted = request.args.get("trader_id", "").strip()
    day = request.args.get("day", "")
    if request.args.get("view") == "live" and wanted and day:
        return redirect(live_address(wanted, day, area=area_asked()))
    if not reader().reads_all:
        return redirect(day_address(wanted or _own_trader(), day or "today", area=area_asked()))
    known = site().model.traders()
    if wanted and (day or any(each.trader_id == wanted for each in known)):
        last = next((each.last_day.isoformat() for each in known if each.trader_id == wanted), "today")
        return redirect(day_address(wanted, day or last, area=area_asked()))
    found = [each for each in known if wanted.lower() in each.trader_id.lower()][:MOST_LISTED]
    writer = Writer(locale())
    listed = [
        {
            "trader_id": each.trader_id,
            "url": day_address(each.trader_id, each.last_day.isoformat()),
            "last_day": day_text(each.last_day),
            "trades": writer.number(each.trades),
        }
        for each in found
    ]
    names = [each.trader_id for each in known[:MOST_SUGGESTED]]
    return rendered("pick.html", found=listed, all=len(known), wanted=wanted, traders=names)


@pages.get("/traders/<path:trader_id>/days/<day>")
def day_page(trader_id: str, day: str) -> AnyResponse:
    """A trader's day."""
    if day == "today":
        return redirect(
            day_address(trader_id, day_now(site().clock, area_asked()).isoformat(), area=area_asked())
        )
    report = _report(trader_id, day)
    if not report.is_empty:
        may_repeat(request.environ, _holds(report))  # before the facts are read: it may be too strict only
    names = tuple(_names())
    nearest = _nearest_days(report) if report.is_empty else ()
    tag = tag_of(report.version, nearest, names, page_facts())
    return unchanged(tag) or sent(site().pages.body(tag, lambda: _day(report, nearest, names, tag)), tag)


@pages.get("/traders/<path:trader_id>/days/<day>.csv")
def day_csv(trader_id: str, day: str) -> AnyResponse:
    """The same table as CSV, exact, the same for every locale."""
    report = _report(trader_id, day)
    tag = f"{report.version}-csv"
    response = unchanged(tag)
    if response is None:
        response = kept_response(Response(csv_text(report), content_type="text/csv; charset=utf-8"), tag)
        name = f"pnl_{report.key.trader_id}_{report.key.day}.csv"
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        response.headers["Content-Disposition"] = (
            f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
        )
    return response


@pages.get("/traders/<path:trader_id>")
def trader_page(trader_id: str) -> AnyResponse:
    """To today of a trader; ``/traders/<id>/<day>`` to that day."""
    name, _, day = trader_id.rpartition("/")
    try:
        return redirect(day_address(name, day_in(area_asked(), day).isoformat(), area=area_asked()))
    except ValueError:
        return redirect(day_address(trader_id, "today", area=area_asked()))


def csv_text(report: Report) -> str:
    """Header, one line an hour, the total last."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\r\n")
    lines.writerow(CSV_HEADER)
    labelled = [*((period.label, figures) for period, figures in report.hours), ("Total", report.total)]
    for label, each in labelled:
        lines.writerow((label, each.trades, each.buy_mw, each.sell_mw, each.pnl_eur))
    return text.getvalue()


def _holds(report: Report) -> Holds:
    """The page stays the same while report, traders and feed are the same objects, and the session is."""
    model, feed = site().model, site().feed
    names, mark = model.trader_names(), feed_mark()

    def check() -> bool:
        is_same = model.report(report.key) is report and model.trader_names() is names
        return is_same and pill_mark(feed.watch, model.state) == mark

    return Holds(
        check,
        until_s=site().people.unchanged_until_s(session_at_hand()),
    )


def _day(report: Report, nearest: tuple[tuple[date, str], ...], names: tuple[str, ...], tag: str) -> str:
    view = day_view(report, locale=locale(), nearest=nearest)
    return rendered("day.html", view=view, traders=names, etag=tag)


def _report(trader_id: str, day: str) -> Report:
    if not reader().may_read(trader_id):
        raise Forbidden(f"You may not read the trades of {trader_id}.")
    return site().model.report(ReportKey(area_asked(), trader_id, day_asked(day)))


def day_asked(text: str) -> date:
    """The day of an address.

    Raises:
        NotFound: it is none.
    """
    try:
        return day_in(area_asked(), text)
    except ValueError as error:
        raise NotFound(f"{error}.") from error


def _nearest_days(report: Report) -> tuple[tuple[date, str], ...]:
    """The last day with trades before an empty one, and the next after it."""
    days = site().model.days_of(report.key.trader_id)
    at = bisect_left(days, (report.key.day, ""))
    return tuple(days[max(at - 1, 0) : at + 1])


def _names() -> list[str]:
    if not reader().reads_all:
        return []
    return site().model.trader_names()[:MOST_SUGGESTED]


def reader() -> Person:
    """Who asks.

    Raises:
        Forbidden: nobody is signed in.
    """
    found = person()
    if found is None:
        raise Forbidden("You are not signed in.")
    return found


def _own_trader() -> str:
    own = reader().trader_id
    if own is None:
        raise Forbidden("Your account is not linked to a trader id. An administrator can link it.")
    return own


def area_asked() -> str:
    """The area asked for.

    Raises:
        NotFound: there is no such area.
    """
    try:
        return area_of(request.args.get("area", DEFAULT_AREA)).code
    except ValueError as error:
        raise NotFound(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


def day_now(clock: Clock, area: str) -> date:
    """The local day it is in an area."""
    return clock.now().astimezone(area_of(area).zone).date()
