"""How a live page, its stream and their repetition are answered; what the page shows is its own affair."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from report_service.api.figures import Writer
from report_service.api.health import badge_slots
from report_service.api.pages import MOST_SUGGESTED, reader
from report_service.api.recent import Holds, may_repeat
from report_service.api.site import (
    Site,
    columns,
    header_slots,
    page_facts,
    rendered,
    sent,
    session_at_hand,
    site,
    tag_of,
    unchanged,
)
from report_service.api.slots import Slots
from report_service.api.streaming import Asked, may_stream
from report_service.api.streams import Snapshot, Topic
from report_service.usecases.feed import trading_day_of


def live_page(
    template: str, snapshot: Snapshot, view: Callable[[], dict[str, object]], *more: object, section: str = ""
) -> AnyResponse:
    """A page over its slots, kept while nothing on it changes; ``view`` makes what its stream never changes.

    ``more`` is what the view follows from besides the address and the slots.
    """
    names = tuple(site().model.trader_names()[:MOST_SUGGESTED]) if reader().reads_all else ()
    tag = tag_of(snapshot.version, template, request.full_path, names, columns(), more, page_facts())

    def page() -> str:
        return rendered(
            template,
            view=view(),
            slots=snapshot.slots,
            version=snapshot.version,
            traders=names,
            columns=columns(),
            section=section or ("trading" if template == "trader.html" else "desk"),
        )

    return unchanged(tag) or sent(site().pages.body(tag, page), tag)


def stream_of(topic: Topic) -> AnyResponse:
    """What changes on a page, as it changes.

    Raises:
        Unavailable: there is no room for one more.
        TooManyRequests: the reader has too many open.
    """
    site().hub.require_room(session_at_hand().person.name)
    topic.render()  # refuses where there is nothing to stream yet
    known = request.headers.get("Last-Event-ID") or request.args.get("last_event_id", "")
    people, signed_in = site().people, session_at_hand()
    until_s = people.unchanged_until_s(signed_in)
    name = signed_in.person.name
    asked = Asked(topic, known[:64], name, until_s, lambda: people.goes_on(signed_in))
    may_stream(request.environ, asked)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response("", content_type="text/event-stream; charset=utf-8", headers=headers)


def repeatable(holds: Callable[[], bool]) -> None:
    """Let this answer be given again while it ``holds``, and all that every live page follows from does."""
    model, board, feed = site().model, site().board, site().feed
    names, state, prices, version = model.trader_names(), model.state, board.state, feed.version
    people, signed_in = site().people, session_at_hand()
    left_min = people.left_min

    def check() -> bool:
        is_same = model.trader_names() is names and model.state is state and board.state is prices
        may_see = people.goes_on(signed_in) and people.left_min == left_min
        return is_same and feed.version == version and may_see and holds()

    may_repeat(request.environ, Holds(check, until_s=people.unchanged_until_s(signed_in)))


def said_of_feed(parts: Site, day: date, locale_: str) -> Slots:
    """What a page about a delivery day says of the feed: the pill, and how complete the day is."""
    now = parts.clock.now()
    return {**header_slots(parts), **badge_slots(parts.feed, trading_day_of(day, now), Writer(locale_), now)}
