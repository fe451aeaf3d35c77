"""The quarantine through the gateway, with the tokens of whoever asks: what they may is checked there."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Any, Protocol

import httpx
from wattbook.auth.people import Tokens
from wattbook.errors import BY_HTTP_STATUS, Forbidden, Unavailable, WattbookError

from report_service.domain.quarantine import Quarantined, QuarantinePage

PAGE_ITEMS = 100
_CURSOR = re.compile(r"[?&]cursor=([0-9-]+)")


class Http(Protocol):
    """The gateway's HTTP; see :meth:`report_service.clients.gateway.Gateway.sent`."""

    def sent(self, method: str, path: str, *, tokens: Tokens, **sent: Any) -> httpx.Response: ...  # noqa: D102


class QuarantineDesk:
    """Every method raises as the gateway refused, Unavailable where it is away."""

    def __init__(self, http: Http) -> None:
        """Ask over ``http``."""
        self._http = http

    def page(self, tokens: Tokens, *, state: str, before: str) -> QuarantinePage:
        """A page, newest first; ``state`` ``""`` means all, ``before`` ``""`` from the newest."""
        params = {"limit": str(PAGE_ITEMS)}
        if state:
            params["state"] = state
        if before:
            params["cursor"] = before
        answer = self._ask("GET", "", tokens, params=params)
        found = answer.json()
        following = _CURSOR.search(answer.headers.get("Link", ""))
        return QuarantinePage(
            tuple(map(_item, found["items"])),
            found["open"],
            following[1] if following else "",
            tuple(found.get("nodes_away", ())),
        )

    def show(self, tokens: Tokens, number: int) -> Quarantined:
        """One with its frame."""
        return _item(self._ask("GET", f"/{number}", tokens).json())

    def replay(self, tokens: Tokens, number: int, *, trader_id: str = "") -> Quarantined:
        """Have it read and booked again, for ``trader_id`` where it is named."""
        params = {"trader_id": trader_id} if trader_id else {}
        return _item(self._ask("POST", f"/{number}/replay", tokens, params=params).json())

    def drop(self, tokens: Tokens, number: int, *, reason: str) -> Quarantined:
        """Have it set aside for good."""
        return _item(self._ask("POST", f"/{number}/drop", tokens, json={"reason": reason}).json())

    def _ask(self, method: str, path: str, tokens: Tokens, **sent: Any) -> httpx.Response:
        answer = self._http.sent(method, f"/v1/quarantine{path}", tokens=tokens, **sent)
        if answer.status_code == httpx.codes.OK:
            return answer
        raise refusal(answer)


def refusal(answer: httpx.Response) -> WattbookError:
    """What the gateway's refusal means."""
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return Forbidden("Your sign-in no longer holds. Sign out and in again")
    kind = BY_HTTP_STATUS.get(answer.status_code, Unavailable)
    try:
        message = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        message = "the gateway's answer was not understood"
    return kind(message)


def _item(body: dict[str, Any]) -> Quarantined:
    frame: bytes | None = None
    if "frame" in body:
        frame = str(body["frame"]).encode()
    elif "frame_base64" in body:
        frame = base64.b64decode(body["frame_base64"])
    return Quarantined(
        int(body["id"]),
        str(body["state"]),
        str(body["reason"]),
        str(body["origin"]),
        _instant(body["received"]),
        body["trade_id"] or "",
        body["decided_by"] or "",
        _instant(body["decided"]),
        frame,
    )


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
