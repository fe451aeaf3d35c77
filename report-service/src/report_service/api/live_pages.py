"""What pages with a stream share, and the desk's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from flask import Blueprint, redirect, request
from wattbook.errors import Forbidden
from wattbook.periods import DEFAULT_AREA, area_of
from werkzeug.wrappers import Response as AnyResponse

from report_service.api import desk
from report_service.api.answers import live_page, repeatable, said_of_feed, stream_of
from report_service.api.blocks import block_slots
from report_service.api.csvs import desk_csv, download
from report_service.api.figures import Writer, day_text
from report_service.api.health import joined
from report_service.api.pages import area_asked, day_asked, day_now, reader
from report_service.api.signin import require_trading
from report_service.api.site import (
    day_address,
    desk_address,
    locale,
    prices_address,
    reconciliation_address,
    site,
    tag_of,
)
from report_service.api.streams import Snapshot, Topic
from report_service.domain.performance import DeskDay
from report_service.domain.prices import BookDay, DayKey
from report_service.usecases.feed import FEED, trading_day_of

_DAY = timedelta(days=1)

live_pages = Blueprint("live", __name__)
live_pages.before_request(require_trading)


@live_pages.get("/desk")
def desk_today() -> AnyResponse:
    """To a day of the desk, today unless told."""
    wanted, order = request.args.get("day"), request.args.get("sort", "")
    if wanted:
        return redirect(desk_address(day_asked(wanted).isoformat(), area=area_asked(), sort=order))
    return redirect(desk_address(day_now(site().clock, area_asked()).isoformat(), area=area_asked()))


@live_pages.get("/desk/<day>")
def desk_live(day: str) -> AnyResponse:
    """All traders of a day, ranked."""
    if day == "today":
        return desk_today()
    key, order = _desk_key(day), desk.order_of(request.args.get("sort", desk.DEFAULT_ORDER))
    performances = site().performances
    performances.board.await_first((key,))
    found = performances.desk(area=key.area, day=key.day)
    repeatable(lambda: performances.desk(area=key.area, day=key.day) is found)
    snapshot = desk_topic(key, locale()).render()
    return live_page("desk.html", snapshot, lambda: _desk_view(found, order), order)


@live_pages.get("/desk/<day>.csv")
def desk_file(day: str) -> AnyResponse:
    """The same table as CSV, in the order asked for."""
    key, order = _desk_key(day), desk.order_of(request.args.get("sort", desk.DEFAULT_ORDER))
    performances = site().performances
    performances.board.await_first((key,))
    found = performances.desk(area=key.area, day=key.day)
    text = desk_csv(found, desk.ranked(found, order))
    return download(f"desk_{key.day}.csv", text, f"{found.version}{order}-csv")


@live_pages.get("/desk/<day>/stream")
def desk_stream(day: str) -> AnyResponse:
    """What changes on it."""
    return stream_of(desk_topic(_desk_key(day), locale()))


def desk_topic(key: DayKey, locale_: str) -> Topic:
    """A desk's day as a stream."""
    parts = site()

    def render() -> Snapshot:
        found = parts.performances.desk(area=key.area, day=key.day)
        book, prices = parts.model.state, parts.board.state
        tag = tag_of("desk", found.version, book, prices, locale_)
        figures = parts.snapshots.of(
            tag, lambda: desk.desk_slots(found, book=book, prices=prices, locale=locale_)
        )
        now = parts.clock.now()
        blocks = block_slots(
            parts.feed, prices, day=trading_day_of(key.day, now), writer=Writer(locale_), now=now
        )
        return joined(figures, {**said_of_feed(parts, key.day, locale_), **blocks})

    return Topic(("desk", key, locale_), frozenset({key, BookDay(key), FEED}), render)


def _desk_view(found: DeskDay, order: str) -> dict[str, object]:
    def address(day: date | str) -> str:
        return desk_address(str(day), area=found.area, sort=order)

    day = found.day.isoformat()
    return {
        **frame(found.area, found.day, address),
        "order": order,
        "csv_url": desk_address(day, area=found.area, sort=order, suffix=".csv"),
        "prices_url": prices_address(day, area=found.area),
        "rows": [
            {
                "id": desk.row_id(each.key.trader_id),
                "trader_id": each.key.trader_id,
                "url": day_address(each.key.trader_id, day, area=found.area),
            }
            for each in desk.ranked(found, order)
        ],
        "columns": desk.COLUMNS,
        "sort_url": lambda name: desk_address(day, area=found.area, sort=_turned(name, order)),
    }


def _turned(name: str, order: str) -> str:
    first = name if name == "trader" else f"-{name}"
    return (name if first.startswith("-") else f"-{name}") if order == first else first


def frame(area: str, day: date, address: Callable[[date | str], str]) -> dict[str, object]:
    """What a page of a day says of the day, and where the days around it are."""
    traded = trading_day_of(day, site().clock.now())
    return {
        "area": area,
        "reconciliation_url": reconciliation_address(traded.isoformat()),
        "trading_day": day_text(traded),
        "area_query": area != DEFAULT_AREA,
        "time_zone": area_of(area).time_zone,
        "day": day.isoformat(),
        "day_short": day_text(day),
        "day_long": day_text(day, long=True),
        "previous_url": address(day - _DAY),
        "previous_day": day_text(day - _DAY),
        "next_url": address(day + _DAY),
        "next_day": day_text(day + _DAY),
        "today_url": address("today"),
        "desk_url": desk_address(day.isoformat(), area=area),
        "locale": locale().replace("_", "-"),
        "stream_url": _stream_address(address(day)),
    }


def _stream_address(page: str) -> str:
    path, _, query = page.partition("?")
    return f"{path}/stream" + (f"?{query}" if query else "")


def _desk_key(day: str) -> DayKey:
    if not reader().reads_all:
        raise Forbidden("The desk is for desk users. Your own day is under Trading.")
    return DayKey(area_asked(), day_asked(day))
