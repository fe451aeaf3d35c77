"""The exchange's feed as the gateway tells it: its state, what was set aside, how complete a day is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from wattbook_cli.clients.gateway import Gateway, exact

_PAGE = 500
_MOST_AT_ONCE = 100_000


def quarantined(gateway: Gateway, *, state: str | None, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Up to ``limit`` of what was set aside, newest first, and how many are open; all states for ``None``.

    Raises:
        Stop: the gateway refuses or does not answer.
    """
    query = {"state": state, "limit": str(min(limit, _PAGE))}
    answer = gateway.ask("GET", "/v1/quarantine", query=query)
    page = exact(answer.text)
    found, still_open = list(page["items"]), int(page["open"])
    while len(found) < limit and (following := answer.links.get("next", {}).get("url")):
        answer = gateway.ask("GET", following)
        found += exact(answer.text)["items"]
    return found[:limit], still_open


def open_numbers(gateway: Gateway, *, text: str = "", received_before: datetime | None = None) -> list[int]:
    """The numbers of what waits for a decision, oldest first: with ``text`` in its reason, in any case."""
    found, _ = quarantined(gateway, state="open", limit=_MOST_AT_ONCE)
    return [
        int(item["id"])
        for item in reversed(found)
        if text.casefold() in item["reason"].casefold()
        and (received_before is None or datetime.fromisoformat(item["received"]) < received_before)
    ]


def show(gateway: Gateway, number: int) -> dict[str, Any]:
    """One with its frame."""
    return _object(gateway, "GET", f"/v1/quarantine/{number}")


def replay(gateway: Gateway, number: int, *, trader: str = "") -> dict[str, Any]:
    """Have it read and booked again, for ``trader`` where one is named; how it is then."""
    query = {"trader_id": trader} if trader else None
    return _object(gateway, "POST", f"/v1/quarantine/{number}/replay", query=query)


def drop(gateway: Gateway, number: int, *, reason: str) -> dict[str, Any]:
    """Have it set aside for good; how it is then."""
    return _object(gateway, "POST", f"/v1/quarantine/{number}/drop", body={"reason": reason})


def unequal(reconciliation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The differences to show, those first that somebody has to look at."""
    order = {"differs": 0, "feed_only": 1, "file_only": 2, "corrected": 3, "recovered": 4}
    differences = sorted(reconciliation["differences"], key=lambda each: order.get(each["kind"], 0))
    return islice(differences, _PAGE)


def _object(
    gateway: Gateway, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
) -> dict[str, Any]:
    return dict(exact(gateway.ask(method, path, query=query, body=body).text))
