"""What the exchange corrected, old beside new, and the desk's choice where it stated a trade twice."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, redirect, request
from markupsafe import Markup
from wattbook.errors import Forbidden, WattbookError
from werkzeug.wrappers import Response as AnyResponse

from report_service.api.figures import Writer, time_text
from report_service.api.health import moment
from report_service.api.pages import reader
from report_service.api.signin import check_form, require_person
from report_service.api.site import locale, rendered, session_at_hand, site
from report_service.api.tables import dash, statement_cell
from report_service.domain.corrections import Content, Correction, Differing
from report_service.domain.people import may_open

LARGEST_NUMBER = 999_999_999_999_999
LONGEST_ID = 128

correction_pages = Blueprint("corrections", __name__)
correction_pages.before_request(require_person)


@correction_pages.before_request
def _require_right() -> None:
    """As the gateway's API has it."""
    if not may_open(reader(), "corrections"):
        raise Forbidden("Only users with a role in trading may see this.")


@correction_pages.get("/corrections")
def listed() -> str:
    """What was corrected, newest first, and above it what waits for the desk."""
    return _page()


@correction_pages.post("/corrections")
def accept() -> AnyResponse | tuple[str, int]:
    """Let one of the exchange's statements hold."""
    check_form()
    try:
        site().corrections.accept(session_at_hand(), request.form.get("content", ""))
    except WattbookError as error:
        if error.http_status not in {400, 409}:
            raise
        return _page(problem=f"{error.message.removesuffix('.')}."), error.http_status
    return redirect(corrections_address(_trade_asked(), done="accepted"), 303)


def corrections_address(trade_id: str = "", **more: str | int) -> str:
    """The address of the page; with a trade of it alone in what waits."""
    asked = {name: value for name, value in {"trade_id": trade_id, **more}.items() if value}
    return "/corrections" + (f"?{urlencode(asked)}" if asked else "")


def _trade_asked() -> str:
    return request.values.get("trade_id", "")[:LONGEST_ID]


def _page(problem: str = "") -> str:
    trade_id, before, after = _trade_asked(), _number("before"), _number("after")
    waiting = site().corrections.differing(session_at_hand(), trade_id=trade_id, after=after)
    found = site().corrections.page(session_at_hand(), before=before)
    view = {
        "is_desk": reader().is_desk,
        "trade_id": trade_id,
        "waiting": [_waiting(each) for each in waiting.items],
        "waiting_url": corrections_address(trade_id, after=waiting.next_after) if waiting.next_after else "",
        "rows": [_corrected(each) for each in found.items],
        "older_url": corrections_address(before=found.next_before) if found.next_before else "",
        "newest_url": corrections_address() if before or after or trade_id else "",
        "problem": problem,
        "done": request.args.get("done", ""),
    }
    return rendered("corrections.html", section="desk" if reader().is_desk else "trading", view=view)


def _number(name: str) -> int:
    text = request.args.get(name, "")
    return min(int(text), LARGEST_NUMBER) if text.isascii() and text.isdecimal() and len(text) < 20 else 0


def _waiting(each: Differing) -> dict[str, object]:
    now = site().clock.now()
    return {
        "trade_id": each.trade_id,
        "source": "on the feed" if each.source == "feed" else "in a nightly file",
        "at": moment(each.at, now),
        "booked": _cell(each.booked, each.stated),
        "stated": _cell(each.stated, each.booked),
        "booked_json": each.booked.json,
        "stated_json": each.stated.json,
    }


def _corrected(each: Correction) -> dict[str, object]:
    now = site().clock.now()
    return {
        "trade_id": each.trade_id,
        "at": Markup('<time datetime="{}" title="{}">{}</time>').format(
            each.at.isoformat(), time_text(each.at, "DE", with_day=True), moment(each.at, now)
        ),
        "replaced": _cell(each.replaced, each.by),
        "by": _cell(each.by, each.replaced),
        "accepted_by": each.accepted_by,
    }


def _cell(content: Content | None, other: Content | None) -> Markup:
    if content is None:
        return dash("another trader's")
    return statement_cell(content.said, other.said if other else None, Writer(locale()), site().clock.now())
