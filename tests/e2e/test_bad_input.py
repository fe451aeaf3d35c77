"""Bad input over the wire, one of each kind: refused with the contract's error, none booked, none a 5xx.

All the ways to be wrong are tried where they are told apart: ``tests/unit/gateway/test_trade_bodies.py``,
``tests/unit/trade_service/test_trade_rules.py`` and ``tests/integration/gateway/``.
"""

from __future__ import annotations

import base64
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.client import JSON, Client
from tests.support.desk import Desk
from tests.support.trades import trade, unique

pytestmark = pytest.mark.flow("Book over REST")


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The error's body, after checking its shape."""
    assert answer.status_code == status, answer.text[:500]
    body = answer.json()
    assert body["status_code"] == status
    assert isinstance(body["message"], str)
    assert body["message"]
    assert "Traceback" not in answer.text
    assert answer.headers["x-request-id"]
    return dict(body)


@pytest.mark.parametrize(
    ("field", "value"),
    [("JSON", "NaN"), ("price", "1.5"), ("quantity", "0.15"), ("delivery_day", '"2023-02-30"')],
)
def test_what_is_no_trade_is_refused_by_name_and_not_booked(admin: Client, field: str, value: str) -> None:
    sent = trade(trader_id=unique("trader"))
    name = "price" if field == "JSON" else field
    content = json.dumps({**sent, name: "@"}).replace('"@"', value)

    answer = admin.http.post("/v1/trades", content=content, headers={"Content-Type": JSON})

    assert field in refused(answer, 400)["message"]
    assert admin.trades(trader_id=sent["trader_id"]) == []


def test_what_only_the_owner_can_tell_is_refused_by_name(admin: Client) -> None:
    no_hour = trade(delivery_day="2023-03-26", delivery_hour=2)
    other_hour = trade(delivery_hour=14, delivery_start="2023-02-28T12:00:00Z")

    assert "2023-03-26" in refused(admin.book(no_hour), 400)["message"]
    assert "delivery_start" in refused(admin.book(other_hour), 400)["message"]


def test_what_is_not_served_or_too_large_is_refused_in_the_same_shape(admin: Client) -> None:
    refused(admin.http.get("/v1/nothing"), 404)
    refused(admin.http.delete("/v1/trades"), 405)
    refused(admin.http.post("/v1/trades", content="{}", headers={"Content-Type": "text/plain"}), 415)
    refused(admin.book(trade(id="x" * 2_000_000)), 413)


def test_who_keeps_guessing_is_told_to_wait(desk: Desk, admin: Client) -> None:
    name, password = unique("u"), "the right one, later"
    assert admin.add_user(name, password, "desk").status_code in (200, 201)

    def guess(attempt: int) -> httpx.Response:
        said = base64.b64encode(f"{name}:wrong{attempt}".encode()).decode()
        header = {"Authorization": f"Basic {said}"}
        return httpx.get(f"{desk.url}/v1/me", headers=header, timeout=20, trust_env=False)

    throttled = next((answer for answer in map(guess, range(40)) if answer.status_code != 401), None)

    assert throttled is not None
    assert int(refused(throttled, 429) and throttled.headers["retry-after"]) >= 1
    assert admin.http.get("/v1/me").status_code == 200  # others are not punished


def test_torn_http_never_takes_the_gateway_down(desk: Desk, admin: Client) -> None:
    address = urlsplit(desk.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=10) as raw:
        raw.sendall(b"NONSENSE\r\n\r\n")
        assert b" 400 " in raw.recv(4096).split(b"\r\n")[0]

    assert admin.http.get("/v1/me").status_code == 200
