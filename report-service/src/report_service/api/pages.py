"""Where one starts: who there is to pick from, and short addresses; what all pages ask of a request."""

from __future__ import annotations

from datetime import date

from flask import Blueprint, redirect, request
from wattbook.auth.people import Person
from wattbook.clock import Clock
from wattbook.errors import Forbidden, NotFound
from wattbook.periods import DEFAULT_AREA, area_of
from werkzeug.wrappers import Response as AnyResponse

from report_service.api.figures import Writer, day_text
from report_service.api.signin import require_trading
from report_service.api.site import (
    DOTS,
    day_address,
    locale,
    person,
    rendered,
    site,
)
from report_service.domain.pnl import day_in

MOST_SUGGESTED = 500
MOST_LISTED = 1000

pages = Blueprint("pages", __name__)
pages.before_request(require_trading)


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
    if wanted in DOTS:
        raise NotFound(
            f"No page can have the trader id “{wanted}” in its address. The API and the terminal show it."
        )
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


@pages.get("/traders/<path:trader_id>")
def trader_page(trader_id: str) -> AnyResponse:
    """To today of a trader; ``/traders/<id>/<day>`` to that day."""
    name, _, day = trader_id.rpartition("/")
    try:
        return redirect(day_address(name, day_in(area_asked(), day).isoformat(), area=area_asked()))
    except ValueError:
        return redirect(day_address(trader_id, "today", area=area_asked()))


def day_asked(text: str) -> date:
    """The day of an address.

    Raises:
        NotFound: it is none.
    """
    try:
        return day_in(area_asked(), text)
    except ValueError as error:
        raise NotFound(f"{error}.") from error


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
