"""Pages about what the desk lives on: the feed, a trading day's completeness, a day's reference prices."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from flask import Blueprint, redirect, request
from markupsafe import Markup
from wattbook.errors import Forbidden
from wattbook.periods import area_of, periods_of_day
from werkzeug.wrappers import Response as AnyResponse

from report_service.api import tables
from report_service.api.answers import live_page, repeatable, said_of_feed, stream_of
from report_service.api.blocks import block_slots
from report_service.api.figures import Writer, day_text
from report_service.api.health import badge_slots, joined
from report_service.api.pages import area_asked, day_asked, day_now, reader
from report_service.api.signin import require_trading
from report_service.api.site import header_slots, locale, prices_address, reconciliation_address, site
from report_service.api.slots import Slots
from report_service.api.streams import Snapshot, Topic
from report_service.domain.feed import Feed, TradingDay
from report_service.domain.people import SEES_ALL_TRADES, may_open
from report_service.domain.prices import DayKey
from report_service.usecases.feed import FEED

FIRST_LOOK_S = 1.0  # for a day that nobody looked at lately
_DAY = timedelta(days=1)
_NOTHING = Snapshot("", {})

feed_pages = Blueprint("feed", __name__)
feed_pages.before_request(require_trading)


@feed_pages.before_request
def _require_right() -> None:
    """As the gateway's API has it; what every page says in its header is for whoever is signed in."""
    section = request.path.split("/")[1]
    if section != "status" and not may_open(reader(), section):
        whose = "desk, admin and service users" if section in SEES_ALL_TRADES else "users with a role"
        raise Forbidden(f"Only {whose} may see this.")


@feed_pages.get("/status/stream")
def status_stream() -> AnyResponse:
    """What changes in the header, for pages that have no stream of their own."""
    return stream_of(status_topic())


@feed_pages.get("/feed")
def feed_page() -> AnyResponse:
    """How the feed and the poller of prices are."""
    repeatable(lambda: True)
    feed = site().feed.watch.feed or Feed()
    names = feed.names
    today = day_now(site().clock, "DE")
    return live_page(
        "feed.html", feed_topic(locale()).render(), lambda: _feed_view(names, today), names, today
    )


@feed_pages.get("/feed/stream")
def feed_stream() -> AnyResponse:
    """What changes on it."""
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
    wanted, kind = day_asked(day), _kind()
    site().feed.day(wanted, wait_s=FIRST_LOOK_S)
    repeatable(lambda: True)
    snapshot = reconciliation_topic(wanted, kind, locale_=locale()).render()
    return live_page("reconciliation.html", snapshot, lambda: _reconciliation_view(wanted, kind))


@feed_pages.get("/reconciliation/<day>/stream")
def reconciliation_stream(day: str) -> AnyResponse:
    """What changes on it."""
    return stream_of(reconciliation_topic(day_asked(day), _kind(), locale_=locale()))


@feed_pages.get("/prices")
def prices_today() -> AnyResponse:
    """To a delivery day's prices, today's unless told."""
    area = area_asked()
    day = day_asked(request.args["day"]) if request.args.get("day") else day_now(site().clock, area)
    return redirect(prices_address(day.isoformat(), area=area))


@feed_pages.get("/prices/<day>")
def prices_page(day: str) -> AnyResponse:
    """The reference prices of a delivery day: the market's, so everybody's with a role to see."""
    if day == "today":
        return prices_today()
    key = DayKey(area_asked(), day_asked(day))
    prices = site().board.prices(key)
    repeatable(lambda: site().board.prices(key) is prices)
    return live_page("prices.html", _prices_topic_of(key).render(), lambda: _prices_view(key))


@feed_pages.get("/prices/<day>/stream")
def prices_stream(day: str) -> AnyResponse:
    """What changes on it."""
    return stream_of(_prices_topic_of(DayKey(area_asked(), day_asked(day))))


def status_topic() -> Topic:
    """The header as a stream."""
    parts = site()
    return Topic(("status",), frozenset({FEED}), lambda: joined(_NOTHING, header_slots(parts)))


def feed_topic(locale_: str) -> Topic:
    """The feed as a stream."""
    parts = site()

    def render() -> Snapshot:
        now, writer = parts.clock.now(), Writer(locale_)
        feed = parts.feed.watch.feed or Feed()
        slots = header_slots(parts)
        today = day_now(parts.clock, "DE")
        slots |= block_slots(parts.feed, parts.board.state, day=today, writer=writer, now=now)
        slots |= tables.listener_slots(feed, writer, now) | tables.kept_slots(feed, writer, now)
        slots["layout"] = Markup("{}").format(",".join(feed.names))
        return joined(_NOTHING, slots)

    return Topic(("feed", locale_), frozenset({FEED}), render)


def reconciliation_topic(day: date, kind: str, *, locale_: str) -> Topic:
    """A trading day's reconciliation as a stream."""
    parts = site()

    def render() -> Snapshot:
        now, writer = parts.clock.now(), Writer(locale_)
        found = parts.feed.day(day) or TradingDay(day)
        slots = header_slots(parts)
        slots |= badge_slots(parts.feed, day, writer, now)
        slots |= tables.count_slots(found, writer, now)
        all_rows = (*found.differences, *(found.unconfirmed or ()))
        slots["rows"] = tables.difference_rows(all_rows, kind, writer, now)
        return joined(_NOTHING, slots)

    return Topic(("reconciliation", day, kind, locale_), frozenset({FEED}), render)


def _prices_topic_of(key: DayKey) -> Topic:
    return prices_topic(key, locale(), provider=may_open(reader(), "feed"))


def prices_topic(key: DayKey, locale_: str, *, provider: bool) -> Topic:
    """A day's prices as a stream; with the ``provider`` for those who may see how the feed is."""
    parts = site()
    periods = periods_of_day(key.area, key.day)

    def render() -> Snapshot:
        now, writer = parts.clock.now(), Writer(locale_)
        slots: Slots = said_of_feed(parts, key.day, locale_)
        slots |= tables.price_slots(periods, parts.board.prices(key), writer)
        if provider:
            today = day_now(parts.clock, "DE")
            slots |= block_slots(parts.feed, parts.board.state, day=today, writer=writer, now=now)
        return joined(_NOTHING, slots)

    return Topic(("prices", key, provider, locale_), frozenset({key, FEED}), render)


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
