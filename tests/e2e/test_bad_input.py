"""Bad input over the wire: each refused with the contract's error, none of it booked, none of it a 5xx."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.client import JSON, Client
from tests.support.desk import Desk
from tests.support.trades import FIELDS, trade, unique

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


def posted(client: Client, content: str | bytes, content_type: str = JSON) -> httpx.Response:
    return client.http.post("/v1/trades", content=content, headers={"Content-Type": content_type})


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '"text"', "{}}", "\x00", b"\xff\xfe{", '{"id": "a", "id": "b"'],
    ids=["nothing", "torn", "array", "null", "text", "too many", "NUL", "not UTF-8", "torn twice"],
)
def test_what_is_no_trade_in_json_is_refused(admin: Client, content: str | bytes) -> None:
    refused(posted(admin, content), 400)


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field_is_named(admin: Client, field: str) -> None:
    sent = trade()
    del sent[field]

    assert field in refused(admin.book(sent), 400)["message"]


@pytest.mark.parametrize("field", ["mood", "Price", "status_code"])
def test_an_unknown_field_is_named(admin: Client, field: str) -> None:
    assert field in refused(admin.book(trade(**{field: 1})), 400)["message"]


WRONG: dict[str, tuple[str, str]] = {
    "price 1.5": ("price", "1.5"),
    "price as text": ("price", '"120"'),
    "price null": ("price", "null"),
    "price true": ("price", "true"),
    "price beyond 32 bits": ("price", "2147483648"),
    "quantity 0": ("quantity", "0"),
    "quantity -1": ("quantity", "-1"),
    "quantity 0.15": ("quantity", "0.15"),
    "quantity 1e309": ("quantity", "1e309"),
    "quantity as text": ("quantity", '"12"'),
    "quantity with an endless exponent": ("quantity", "1e999999999"),
    "direction BUY": ("direction", '"BUY"'),
    "direction empty": ("direction", '""'),
    "day 2023-02-30": ("delivery_day", '"2023-02-30"'),
    "day with a time": ("delivery_day", '"2023-02-28T00:00:00Z"'),
    "day as a number": ("delivery_day", "20230228"),
    "hour 24": ("delivery_hour", "24"),
    "hour -1": ("delivery_hour", "-1"),
    "hour 1.5": ("delivery_hour", "1.5"),
    "hour as text": ("delivery_hour", '"14"'),
    "time without zone": ("execution_time", '"2023-02-28T11:12:35"'),
    "time without a time": ("execution_time", '"2023-02-28"'),
    "time that is none": ("execution_time", '"2023-02-28T25:12:35Z"'),
    "id empty": ("id", '""'),
    "id as a number": ("id", "5"),
    "trader empty": ("trader_id", '""'),
    "trader null": ("trader_id", "null"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_refused_and_its_field_named(admin: Client, case: str) -> None:
    field, value = WRONG[case]
    sent = trade(trader_id=unique("trader"))
    content = json.dumps({**sent, field: "@"}).replace('"@"', value)

    assert field in refused(posted(admin, content), 400)["message"]
    assert admin.trades(trader_id=sent["trader_id"]) == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_javascript_calls_a_number_is_no_json(admin: Client, number: str) -> None:
    content = json.dumps({**trade(), "quantity": "@"}).replace('"@"', number)

    assert "JSON" in refused(posted(admin, content), 400)["message"]


def test_the_march_hour_that_does_not_exist_is_refused(admin: Client) -> None:
    sent = trade(delivery_day="2023-03-26", delivery_hour=2)

    assert "2023-03-26" in refused(admin.book(sent), 400)["message"]


@pytest.mark.parametrize(
    "start", ["2023-02-28T12:00:00Z", "2023-02-28T13:30:00Z", "2023-02-28T13:00:00", "soon"]
)
def test_a_delivery_start_that_is_not_the_named_hour_is_refused(admin: Client, start: str) -> None:
    assert "delivery_start" in refused(admin.book(trade(delivery_start=start)), 400)["message"]


def test_an_id_of_two_megabytes_is_over_the_limit(admin: Client) -> None:
    refused(admin.book(trade(id="x" * 2_000_000)), 413)


def test_an_id_of_a_thousand_characters_is_refused_by_name(admin: Client) -> None:
    assert "id" in refused(admin.book(trade(id="x" * 1_000)), 400)["message"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "text/csv", ""])
def test_another_content_type_is_refused(admin: Client, content_type: str) -> None:
    refused(posted(admin, json.dumps(trade()), content_type), 415)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/nothing/at/all", 404),
        ("DELETE", "/v1/trades", 405),
        ("PUT", "/v1/trades", 405),
        ("POST", "/v1/reports/pnl", 405),
    ],
)
def test_what_is_not_served_is_refused_in_the_same_shape(
    admin: Client, method: str, path: str, status: int
) -> None:
    refused(admin.http.request(method, path), status)


@pytest.mark.parametrize(
    ("query", "about"),
    [
        ({"delivery_day": "2023-02-30", "trader_id": "t"}, "delivery_day"),
        ({"trader_id": "t"}, "delivery_day"),
        ({"delivery_day": "2023-02-28", "trader_id": "t", "area": "XX"}, "area"),
        ({"delivery_day": "2023-02-28"}, "trader_id"),
    ],
)
def test_a_report_that_cannot_be_made_is_refused(admin: Client, query: dict[str, str], about: str) -> None:
    answer = admin.http.get("/v1/reports/pnl", params=query)

    assert about in refused(answer, 400)["message"]


def said_basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


@pytest.mark.parametrize(
    "header",
    [
        said_basic(b"admin:wrong"),
        said_basic(b"nobody:wrong"),
        said_basic(b"no colon"),
        said_basic(b":"),
        said_basic("ünïcode:pässwörd".encode()),
        said_basic(b"admin:" + b"x" * 10_000),
        said_basic(b"admin:\xff\xfe"),
        "Basic",
        "Basic ====",
        "Bearer",
        "Bearer " + "x" * 5_000,
    ],
    ids=[
        "wrong",
        "nobody",
        "no colon",
        "empty",
        "UTF-8",
        "10 kB",
        "bytes",
        "bare",
        "padding",
        "bearer",
        "long",
    ],
)
def test_odd_credentials_are_refused_and_challenged(desk: Desk, header: str) -> None:
    answer = httpx.get(
        f"{desk.url}/v1/trades", headers={"Authorization": header}, timeout=20, trust_env=False
    )

    assert answer.status_code in (401, 429), answer.text
    refused(answer, answer.status_code)


@pytest.mark.parametrize("password", ["with:colons:in:it", "pässwörd ∂ƒ ünïcode", " spaces around it "])
def test_a_password_may_hold_whatever_a_person_types(desk: Desk, admin: Client, password: str) -> None:
    name = unique("u")
    assert admin.add_user(name, password, "desk").status_code in (200, 201)
    header = said_basic(f"{name}:{password}".encode())

    answer = httpx.get(f"{desk.url}/v1/me", headers={"Authorization": header}, timeout=20, trust_env=False)

    assert answer.status_code == 200
    assert answer.json()["name"] == name


def test_who_keeps_guessing_is_told_to_wait(desk: Desk, admin: Client) -> None:
    name, password = unique("u"), "the right one, later"
    assert admin.add_user(name, password, "desk").status_code in (200, 201)

    def guess(attempt: int) -> httpx.Response:
        header = {"Authorization": said_basic(f"{name}:wrong{attempt}".encode())}
        return httpx.get(f"{desk.url}/v1/me", headers=header, timeout=20, trust_env=False)

    throttled = next((answer for answer in map(guess, range(40)) if answer.status_code != 401), None)

    assert throttled is not None
    assert int(refused(throttled, 429) and throttled.headers["retry-after"]) >= 1
    assert admin.http.get("/v1/me").status_code == 200  # others are not punished


@pytest.mark.parametrize(
    "torn",
    [
        lambda host: b"GET /v1/trades HTTP/1.1\r\n\r\n",
        lambda host: b"NONSENSE\r\n\r\n",
        lambda host: f"POST /v1/trades HTTP/1.1\r\nHost: {host}\r\nContent-Length: nope\r\n\r\n".encode(),
        lambda host: f"GET /v1/trades HTTP/1.1\r\nHost: {host}\r\nX: {'y' * 200_000}\r\n\r\n".encode(),
    ],
    ids=["no host", "nonsense", "wrong length", "huge header"],
)
def test_torn_http_never_takes_the_gateway_down(
    desk: Desk, admin: Client, torn: Callable[[str], bytes]
) -> None:
    address = urlsplit(desk.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=10) as raw:
        raw.sendall(torn(address.netloc))
        with contextlib.suppress(ConnectionResetError):
            assert b" 500 " not in raw.recv(4096).split(b"\r\n")[0]

    assert admin.http.get("/v1/me").status_code == 200
