"""What the tests of the gateway's HTTP door share."""

import base64
from typing import Any

import httpx

from tests.support.trades import unique

REPORT = "/v1/reports/pnl?trader_id=trader_1&delivery_day=2023-02-28"
JSON = {"Content-Type": "application/json"}


def refusal(answer: httpx.Response, status: int) -> str:
    """The message of an answer that must be an error of the contract's shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert body["status_code"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert isinstance(body["message"], str)
    assert "Traceback" not in answer.text
    if status == 401:
        assert answer.headers["www-authenticate"] == 'Basic realm="Wattbook"'
    return str(body["message"])


def user_of(admin: httpx.Client, *roles: str, trader_id: str | None = None) -> tuple[str, str]:
    """Name and password of a new user."""
    name, password = unique("u"), "passwörd:1"
    body = {"name": name, "password": password, "roles": roles, "trader_id": trader_id}
    assert admin.post("/v1/users", json=body).status_code == 201
    return name, password


def basic(text: bytes) -> dict[str, str]:
    """The header of HTTP Basic for ``name:password``, or for whatever it is."""
    return {"Authorization": "Basic " + base64.b64encode(text).decode()}
