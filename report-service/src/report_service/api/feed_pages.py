"""Pages about what the desk lives on: the feed, a trading day's completeness, a day's reference prices."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from flask import Blueprint, redirect, request
from markupsafe import Markup
from wattbook.periods import area_of, periods_of_day
from werkzeug.wrappers import Response as AnyResponse

from report_service.api import tables
from report_service.api.answers import live_page, repeatable, said_of_feed, stream_of
from report_service.api.blocks import block_slots
from report_service.api.figures import Writer, day_text
from report_service.api.health import badge_slots, joined, pill_slots
from report_service.api.pages import area_asked, day_asked, day_now, reader
from report_service.api.signin import require_person
from report_service.api.site import locale, prices_address, reconciliation_address, site
from report_service.api.slots import Slots
from report_service.api.streams import Snapshot, Topic
from report_service.domain.feed import Feed, TradingDay
from report_service.domain.prices import DayKey
from report_service.usecases.feed import FEED

FIRST_LOOK_S = 1.0  # for a day that nobody looked at lately
_DAY = timedelta(days=1)
_NOTHING = Snapshot("", {})

feed_pages = Blueprint("feed", __name__)
feed_pages.before_request(require_person)


@feed_pages.get("/feed")
def feed_page() -> AnyResponse:
    """How the feed and the poller of prices are; everybody's to see."""
    repeatable(lambda: True)
    feed = site().feed.watch.feed or Feed()
    names = feed.names
    today = day_now(site().clock, "DE")
    return live_page(
        "feed.html", feed_topic(locale()).render(), lambda: _feed_view(names, today), names, today
    )


@feed_pages.get("/feed/stream")
def feed_stream() -> AnyResponse:
    """What changes on it; and, for every page that has no stream of its own, the pill."""
    return stream_of(feed_topic(locale()))


@feed_pages.get("/reconciliation")
def reconciliation_today() -> AnyResponse:
    """To a trading day, today unless told."""
    day = day_asked(request.args["day"]) if request.args.get("day") else day_now(site().clock, "DE")
    return redirect(reconciliation_address(day.isoformat()))


@feed_pages.get("/reconciliation/<day>")
def reconciliation_page(day: str) -> AnyResponse:
    """A trading day's nightly file against the feed."""
    if day == "today":
        return reconciliation_today()
    wanted, kind, rows = day_asked(day), _kind(), reader().reads_all
    site().feed.day(wanted, wait_s=FIRST_LOOK_S)
    repeatable(lambda: True)
    snapshot = reconciliation_topic(wanted, kind, rows=rows, locale_=locale()).render()
    return live_page("reconciliation.html", snapshot, lambda: _reconciliation_view(wanted, kind))


@feed_pages.get("/reconciliation/<day>/stream")
def reconciliation_stream(day: str) -> AnyResponse:
    """What changes on it."""
    return stream_of(reconciliation_topic(day_asked(day), _kind(), rows=reader().reads_all, locale_=locale()))


@feed_pages.get("/prices")
def prices_today() -> AnyResponse:
    """To a delivery day's prices, today's unless told."""
    area = area_asked()
    day = day_asked(request.args["day"]) if request.args.get("day") else day_now(site().clock, area)
    return redirect(prices_address(day.isoformat(), area=area))


@feed_pages.get("/prices/<day>")
def prices_page(day: str) -> AnyResponse:
    """The reference prices of a delivery day: the market's, so everybody's to see."""
    if day == "today":
        return prices_today()
    key = DayKey(area_asked(), day_asked(day))
    prices = site().board.prices(key)
    repeatable(lambda: site().board.prices(key) is prices)
    return live_page("prices.html", prices_topic(key, locale()).render(), lambda: _prices_view(key))


@feed_pages.get("/prices/<day>/stream")
def prices_stream(day: str) -> AnyResponse:
    """What changes on it."""
    return stream_of(prices_topic(DayKey(area_asked(), day_asked(day)), locale()))


def feed_topic(locale_: str) -> Topic:
    """The feed as a stream."""
    parts = site()

    def render() -> Snapshot:
        now, writer = parts.clock.now(), Writer(locale_)
        feed = parts.feed.watch.feed or Feed()
        slots = pill_slots(parts.feed.watch, parts.model.state, now)
        today = day_now(parts.clock, "DE")
        slots |= block_slots(parts.feed, parts.board.state, day=today, writer=writer, now=now)
        slots |= tables.listener_slots(feed, writer, now) | tables.kept_slots(feed, writer)
        slots["layout"] = Markup("{}").format(",".join(feed.names))
        return joined(_NOTHING, slots)

    return Topic(("feed", locale_), frozenset({FEED}), render)


def reconciliation_topic(day: date, kind: str, *, rows: bool, locale_: str) -> Topic:
    """A trading day's reconciliation as a stream; ``rows`` for those who see every trader's trades."""
    parts = site()

    def render() -> Snapshot:
        now, writer = parts.clock.now(), Writer(locale_)
        found = parts.feed.day(day) or TradingDay(day)
        slots = pill_slots(parts.feed.watch, parts.model.state, now)
        slots |= badge_slots(parts.feed, day, writer, now)
        slots |= tables.count_slots(found, writer, now)
        if rows:
            slots["rows"] = tables.difference_rows(found.differences, kind)
        return joined(_NOTHING, slots)

    return Topic(("reconciliation", day, kind, rows, locale_), frozenset({FEED}), render)


def prices_topic(key: DayKey, locale_: str) -> Topic:
    """A day's prices as a stream."""
    parts = site()
    periods = periods_of_day(key.area, key.day)

    def render() -> Snapshot:
        now, writer = parts.clock.now(), Writer(locale_)
        slots: Slots = said_of_feed(parts, key.day, locale_)
        slots |= tables.price_slots(periods, parts.board.prices(key), writer)
        today = day_now(parts.clock, "DE")
        slots |= block_slots(parts.feed, parts.board.state, day=today, writer=writer, now=now)
        return joined(_NOTHING, slots)

    return Topic(("prices", key, locale_), frozenset({key, FEED}), render)


def _feed_view(names: list[str], today: date) -> dict[str, object]:
    return {
        "stream_url": "/feed/stream",
        "day": today.isoformat(),
        "area_query": False,
        "reconciliation_url": reconciliation_address(today.isoformat()),
        "prices_url": prices_address(today.isoformat()),
        "lines": [{"id": f"l{at}", "name": name} for at, name in enumerate(names)],
        "columns": tables.LISTENER_COLUMNS,
    }


def _reconciliation_view(day: date, kind: str) -> dict[str, object]:
    text = day.isoformat()
    return {
        **_days(day, lambda other: reconciliation_address(other, kind=kind)),
        "stream_url": f"/reconciliation/{text}/stream" + (f"?kind={kind}" if kind else ""),
        "kind": kind,
        "kinds": [
            {"name": name, "title": title, "hint": hint, "url": reconciliation_address(text, kind=name)}
            for name, (title, hint) in tables.KINDS.items()
        ],
        "all_url": reconciliation_address(text),
        "reconciliation_url": reconciliation_address(text),
        "trading_day": day_text(day),
    }


def _prices_view(key: DayKey) -> dict[str, object]:
    day = key.day.isoformat()
    return {
        **_days(key.day, lambda other: prices_address(other, area=key.area)),
        "stream_url": f"/prices/{day}/stream" + (f"?area={key.area}" if key.area != "DE" else ""),
        "area": key.area,
        "time_zone": area_of(key.area).time_zone,
        "reconciliation_url": reconciliation_address(day),
        "prices_url": prices_address(day, area=key.area),
        "rows": tables.hours_of(periods_of_day(key.area, key.day)),
        "columns": tables.PRICE_COLUMNS,
    }


def _days(day: date, address: Callable[[str], str]) -> dict[str, object]:
    return {
        "day": day.isoformat(),
        "area_query": False,
        "day_short": day_text(day),
        "day_long": day_text(day, long=True),
        "previous_url": address((day - _DAY).isoformat()),
        "previous_day": day_text(day - _DAY),
        "next_url": address((day + _DAY).isoformat()),
        "next_day": day_text(day + _DAY),
        "today_url": address("today"),
    }


def _kind() -> str:
    asked = request.args.get("kind", "")
    return asked if asked in tables.KINDS else ""
