"""Corrections through the gateway, with the tokens of whoever asks: what they may is checked there."""

from __future__ import annotations

import json
import re
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx
from wattbook.auth.people import Tokens
from wattbook.clock import to_epoch_us
from wattbook.errors import InvalidInput

from report_service.clients.desk import Http, refusal
from report_service.domain.corrections import Content, Correction, CorrectionPage, Differing, DifferingPage
from report_service.domain.feed import Statement

PAGE_ITEMS = "100"
_KW_PER_MW = 1_000
_BEFORE = re.compile(r"[?&]before=([0-9]+)")
_AFTER = re.compile(r"[?&]after=([0-9]+)")


class CorrectionsDesk:
    """Every method raises as the gateway refused, Unavailable where it is away."""

    def __init__(self, http: Http) -> None:
        """Ask over ``http``."""
        self._http = http

    def page(self, tokens: Tokens, *, before: int) -> CorrectionPage:
        """A page, newest first; ``before`` 0 from the newest."""
        params = {"limit": PAGE_ITEMS, "before": str(before)}
        answer = self._ask("GET", "corrections", tokens, params=params)
        return CorrectionPage(tuple(map(_correction, _rows(answer))), _place(_BEFORE, answer))

    def differing(self, tokens: Tokens, *, trade_id: str, after: int) -> DifferingPage:
        """A page of what waits for somebody to decide; ``trade_id`` ``""`` means all."""
        params = {"limit": PAGE_ITEMS, "after": str(after)}
        if trade_id:
            params["trade_id"] = trade_id
        answer = self._ask("GET", "differing", tokens, params=params)
        return DifferingPage(tuple(map(_differing, _rows(answer))), _place(_AFTER, answer))

    def accept(self, tokens: Tokens, content: str) -> None:
        """Let a content hold that the exchange has stated."""
        try:
            trade = json.loads(content)
        except ValueError:
            raise InvalidInput("no statement is chosen") from None
        self._ask("POST", "corrections", tokens, json=trade)

    def _ask(self, method: str, path: str, tokens: Tokens, **sent: Any) -> httpx.Response:
        answer = self._http.sent(method, f"/v1/trades/{path}", tokens=tokens, **sent)
        if answer.status_code == httpx.codes.OK:
            return answer
        raise refusal(answer)


def _rows(answer: httpx.Response) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(answer.text, parse_float=Decimal)
    return found


def _place(pattern: re.Pattern[str], answer: httpx.Response) -> int:
    following = pattern.search(answer.headers.get("Link", ""))
    return int(following[1]) if following else 0


def _correction(row: dict[str, Any]) -> Correction:
    return Correction(
        row["number"],
        row["id"],
        datetime.fromisoformat(row["corrected_time"]),
        _content(row["replaced"]) if "replaced" in row else None,
        _content(row["by"]) if "by" in row else None,
        row["accepted_by"] or "",
    )


def _differing(row: dict[str, Any]) -> Differing:
    return Differing(
        row["number"],
        row["id"],
        datetime.fromisoformat(row["stated_time"]),
        row["stated_by"],
        _content(row["stated"]),
        _content(row["booked"]),
    )


def _content(trade: dict[str, Any]) -> Content:
    said = Statement(
        trader_id=trade["trader_id"],
        direction=trade["direction"],
        quantity_kw=int(trade["quantity"] * _KW_PER_MW),
        price_ct_per_mwh=trade["price"],
        delivery_day=trade["delivery_day"],
        delivery_hour=trade["delivery_hour"],
        execution_time_us=to_epoch_us(datetime.fromisoformat(trade["execution_time"])),
    )
    return Content(said, json.dumps(trade, default=_number))


def _number(value: Decimal) -> float:
    """A quantity of a JSON answer as the number that it was."""
    return float(value)
