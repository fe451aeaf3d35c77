"""The quarantine for the desk: what waits, one item with its frame, and what becomes of it."""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import urlencode

from flask import Blueprint, redirect, request
from markupsafe import Markup
from wattbook.clock import to_epoch_us
from wattbook.errors import NotFound, WattbookError
from werkzeug.wrappers import Response as AnyResponse

from report_service.api.blocks import age_text
from report_service.api.correction_pages import corrections_address
from report_service.api.figures import Writer, time_text
from report_service.api.health import moment
from report_service.api.signin import check_form, require_trading
from report_service.api.site import locale, rendered, session_at_hand, site
from report_service.api.tables import dash
from report_service.domain.quarantine import DROPPED, OPEN, REPLAYED, STATES, Quarantined, QuarantinePage

MOST_FRAME_SHOWN = 64 * 1024
LARGEST_NUMBER = 2**53 - 1
_BYTES_A_LINE = 16
_STATED_TWICE = "stated by the exchange with another"  # as the book says it
_PLACE = re.compile(r"[0-9]{1,16}-[0-9]{1,16}")  # as the gateway names them
_TONES = {OPEN: ("warn", "▲"), REPLAYED: ("good", "✓"), DROPPED: ("even", "●")}

quarantine_pages = Blueprint("quarantine", __name__)
quarantine_pages.before_request(require_trading)


@quarantine_pages.get("/quarantine")
def listed() -> str:
    """What was set aside, newest first."""
    state = request.args.get("state", OPEN)
    state = state if state in STATES else ""
    before = request.args.get("before", "")
    before = before if _PLACE.fullmatch(before) else ""
    page = site().quarantine.page(session_at_hand(), state=state, before=before)
    return rendered("quarantine.html", section="desk", traders=(), view=_list_view(page, state, before))


@quarantine_pages.get("/quarantine/<number>")
def shown(number: str) -> str:
    """One item."""
    return _item_page(site().quarantine.show(session_at_hand(), _asked(number)))


@quarantine_pages.post("/quarantine/<number>/replay")
def replay(number: str) -> AnyResponse | tuple[str, int]:
    """Read and book it again."""
    check_form()
    wanted = _asked(number)
    try:
        trader_id = request.form.get("trader", "")
        item = site().quarantine.replay(session_at_hand(), wanted, trader_id=trader_id)
    except WattbookError as error:
        return _refused(wanted, error)
    return redirect(_address(wanted, done="replay" if item.state == REPLAYED else "again"), 303)


@quarantine_pages.post("/quarantine/<number>/drop")
def drop(number: str) -> AnyResponse | tuple[str, int]:
    """Set it aside for good."""
    check_form()
    wanted = _asked(number)
    try:
        site().quarantine.drop(session_at_hand(), wanted, reason=request.form.get("reason", ""))
    except WattbookError as error:
        return _refused(wanted, error)
    return redirect(_address(wanted, done="drop"), 303)


def _refused(number: int, error: WattbookError) -> tuple[str, int]:
    """The item with what went wrong, where the item itself can be had."""
    if error.http_status not in {400, 409}:
        raise error
    item = site().quarantine.show(session_at_hand(), number)
    return _item_page(item, problem=f"{error.message.removesuffix('.')}."), error.http_status


def _item_page(item: Quarantined, *, problem: str = "") -> str:
    done = request.args.get("done", "")
    frame = item.frame or b""
    text, is_text = _frame_text(frame)
    view = {
        **_row(item),
        "frame": text,
        "is_text": is_text,
        "frame_bytes": Writer(locale()).number(len(frame)),
        "is_cut": len(frame) > MOST_FRAME_SHOWN,
        "may_replay": item.state != DROPPED and (frame or not item.trade_id),
        "may_drop": item.state != DROPPED,
        "decide_url": corrections_address(item.trade_id) if _STATED_TWICE in item.reason else "",
    }
    return rendered("quarantined.html", section="desk", traders=(), view=view, done=done, problem=problem)


def _list_view(page: QuarantinePage, state: str, before: str) -> dict[str, object]:
    def address(name: str, at: str = "") -> str:
        asked = {"state": name or "all", "before": at}
        return "/quarantine?" + urlencode({key: value for key, value in asked.items() if value})

    return {
        "state": state,
        "open": Writer(locale()).number(page.open_count),
        "states": [
            {"name": name, "title": name.capitalize() or "All", "url": address(name)}
            for name in (*STATES, "")
        ],
        "rows": [_row(each) for each in page.items],
        "older_url": address(state, page.next_before) if page.next_before else "",
        "newest_url": address(state) if before else "",
        "nodes_away": page.nodes_away,
    }


def _row(item: Quarantined) -> dict[str, object]:
    now = site().clock.now()
    tone, symbol = _TONES.get(item.state, ("even", "●"))
    return {
        "number": item.number,
        "url": _address(item.number),
        "state": item.state,
        "tone": tone,
        "symbol": symbol,
        "reason": item.reason,
        "origin": item.origin,
        "trade_id": item.trade_id,
        "received": _at(item.received, now),
        "age": age_text(to_epoch_us(now) - to_epoch_us(item.received)) if item.received else "",
        "decided": _at(item.decided, now),
        "decided_by": item.decided_by,
    }


def _at(instant: datetime | None, now: datetime) -> Markup:
    if instant is None:
        return dash("not yet")
    title = time_text(instant, "DE", with_day=True)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        instant.isoformat(), title, moment(instant, now)
    )


def _frame_text(frame: bytes) -> tuple[str, bool]:
    """The frame as it came, or its bytes where it is no text."""
    shown = frame[:MOST_FRAME_SHOWN]
    try:
        text = shown.decode()
    except UnicodeDecodeError:
        lines = range(0, len(shown), _BYTES_A_LINE)
        return "\n".join(f"{at:06x}  {shown[at : at + _BYTES_A_LINE].hex(' ')}" for at in lines), False
    return text, True


def _address(number: int, *, done: str = "") -> str:
    return f"/quarantine/{number}" + (f"?done={done}" if done else "")


def _asked(text: str) -> int:
    number = _number(text)
    if number is None:
        raise NotFound(f"Nothing is quarantined under {text[:40]}.")
    return number


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text[:17]) <= LARGEST_NUMBER else None
