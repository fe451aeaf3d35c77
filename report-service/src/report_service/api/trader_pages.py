"""A trader's page: their day against the market, as page, stream and CSV."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import date

from flask import Blueprint, redirect, request
from wattbook.errors import Forbidden
from wattbook.pages import safe_address
from wattbook.periods import AREAS
from werkzeug.wrappers import Response as AnyResponse

from report_service.api import live
from report_service.api.answers import live_page, repeatable, said_of_feed, stream_of
from report_service.api.columns import COLUMNS, PRESETS, chosen
from report_service.api.csvs import download, performance_csv, pnl_csv
from report_service.api.health import joined
from report_service.api.live_pages import frame
from report_service.api.pages import area_asked, day_asked, day_now, reader
from report_service.api.signin import require_trading
from report_service.api.site import (
    COLUMNS_COOKIE,
    Site,
    columns,
    day_address,
    locale,
    site,
    tag_of,
)
from report_service.api.streams import Snapshot, Topic
from report_service.domain.book import ReportKey
from report_service.domain.performance import Performance
from report_service.domain.prices import DayKey
from report_service.usecases.feed import FEED

MOST_SWITCHED = 200
YEAR_S = 365 * 24 * 3600
_ROOT = "/traders/<path:trader_id>"

trader_pages = Blueprint("trader", __name__)
trader_pages.before_request(require_trading)


@trader_pages.get(f"{_ROOT}/days/<day>")
def trader_day(trader_id: str, day: str) -> AnyResponse:
    """A trader's day."""
    if day == "today":
        day = day_now(site().clock, area_asked()).isoformat()
        return redirect(day_address(trader_id, day, area=area_asked()))
    looked = look(trader_id, day)
    repeatable(looked.holds)
    return live_page("trader.html", looked.topic.render(), lambda: view_of(looked.found))


@trader_pages.get(f"{_ROOT}/live/<day>")
def trader_live(trader_id: str, day: str) -> AnyResponse:
    """Where the page was before there was one page a day."""
    return redirect(day_address(trader_id, day, area=area_asked()))


@trader_pages.get(f"{_ROOT}/days/<day>/stream")
@trader_pages.get(f"{_ROOT}/live/<day>/stream")
def trader_stream(trader_id: str, day: str) -> AnyResponse:
    """What changes on it."""
    return stream_of(trader_topic(key_of(trader_id, day), locale()))


@trader_pages.get(f"{_ROOT}/days/<day>.csv")
def day_csv(trader_id: str, day: str) -> AnyResponse:
    """Trades, totals and PnL by hour."""
    report = site().model.report(key_of(trader_id, day))
    return download(f"pnl_{trader_id}_{report.key.day}.csv", pnl_csv(report), f"{report.version}-csv")


@trader_pages.get(f"{_ROOT}/days/<day>/performance.csv")
def day_performance_csv(trader_id: str, day: str) -> AnyResponse:
    """Everything in the table."""
    found = look(trader_id, day).found
    name = f"performance_{trader_id}_{found.key.day}.csv"
    return download(name, performance_csv(found), f"{found.version}-csv")


@trader_pages.post("/columns")
def choose_columns() -> AnyResponse:
    """Remember which columns to show; harmless, so it takes no token."""
    preset = request.form.get("preset")
    shown = next((each.shown for each in PRESETS if each.name == preset), request.form.getlist("column"))
    response = redirect(safe_address(request.form.get("return_to", "")), 303)
    text = chosen(shown).text
    secure = request.is_secure
    response.set_cookie(COLUMNS_COOKIE, text, max_age=YEAR_S, path="/", samesite="Lax", secure=secure)
    return response


@dataclass(frozen=True, slots=True)
class Look:
    """A trader's day as it stands."""

    parts: Site
    found: Performance
    topic: Topic

    def holds(self) -> bool:
        """Whether it stands like that still."""
        return self.parts.performances.performance(self.found.key) is self.found


def look(trader_id: str, day: str) -> Look:
    """A trader's day, with its prices where they come within a moment.

    Raises:
        Forbidden: not the reader's to see.
        NotFound: no such day or area.
        Unavailable: no snapshot of the book yet.
    """
    key = key_of(trader_id, day)
    performances = site().performances
    performances.await_prices((key,))
    return Look(site(), performances.performance(key), trader_topic(key, locale()))


def trader_topic(key: ReportKey, locale_: str) -> Topic:
    """A trader's day as a stream; it renders on any thread."""
    parts = site()

    def render() -> Snapshot:
        found, book, prices = parts.performances.performance(key), parts.model.state, parts.board.state
        nearest = _nearest_days(parts, key) if found.report.is_empty else ()
        tag = tag_of("live", found.version, found.prices.is_loaded, book, prices, nearest, locale_)
        figures = parts.snapshots.of(
            tag,
            lambda: live.live_slots(found, book=book, prices=prices, locale=locale_, nearest=nearest),
        )
        return joined(figures, said_of_feed(parts, key.day, locale_))

    return Topic(("live", key, locale_), frozenset({key, DayKey(key.area, key.day), FEED}), render)


def view_of(found: Performance) -> dict[str, object]:
    """What the page says besides its slots."""
    key = found.key

    def address(day: date | str, suffix: str = "") -> str:
        return day_address(key.trader_id, str(day), area=key.area, suffix=suffix)

    names = site().model.trader_names() if reader().reads_all else []
    day = key.day.isoformat()
    return {
        **frame(key.area, key.day, address),
        "trader_id": key.trader_id,
        "others": [(name, day_address(name, day, area=key.area)) for name in names[:MOST_SWITCHED]],
        "areas": sorted(AREAS),
        "zone_names": _zone_names(found),
        "day_url": address(day),
        "csv_url": address(day, "/performance.csv"),
        "rows": [
            {
                **row,
                "trades_url": address(day, f"/trades/{row['slug']}"),
                "price_url": address(day, f"/prices/{row['slug']}"),
            }
            for row in live.hours_of(found)
        ],
        "columns": COLUMNS,
        "presets": PRESETS,
        "shown": columns(),
    }


def key_of(trader_id: str, day: str) -> ReportKey:
    """Whose day an address means.

    Raises:
        Forbidden: not the reader's to see.
        NotFound: no such day or area.
    """
    if not reader().may_read(trader_id):
        raise Forbidden(f"You may not read the trades of {trader_id}.")
    return ReportKey(area_asked(), trader_id, day_asked(day))


def _nearest_days(parts: Site, key: ReportKey) -> live.Nearest:
    """The last day with trades before an empty one, and the next after it."""
    days = parts.model.days_of(key.trader_id)
    at = bisect_left(days, (key.day, ""))
    return tuple(days[max(at - 1, 0) : at + 1])


def _zone_names(found: Performance) -> str:
    first, last = found.hours[0][0].local_start, found.hours[-1][0].local_start
    names = dict.fromkeys((first.tzname() or "", last.tzname() or ""))
    return " then ".join(names) + (f", {len(found.hours)} hours" if len(names) > 1 else "")
