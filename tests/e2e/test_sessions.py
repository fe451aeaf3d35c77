"""Sessions at the pages end with what ends them at the gateway, pages and open streams alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.client import Client
from tests.support.desk import Desk
from tests.support.pages import PageReader
from tests.support.trades import unique
from tests.support.waiting import wait_until

pytestmark = pytest.mark.flow("Sign in")

PAGE = "/traders/trader_1/days/2023-02-28"
PASSWORD = "a long password"
# Five seconds are the promise; the machine that tests may be busy.
ENDED_S = 15.0

CHANGES: dict[str, dict[str, Any]] = {
    "a new password": {"password": "another long password"},
    "a role taken away": {"roles": []},
    "being disabled": {"disabled": True},
}
WAITING = ("a new password", "being disabled", "signing out")


def _signs_out(reader: PageReader) -> None:
    answer = reader.http.post("/sign-out", headers={"Origin": str(reader.http.base_url).rstrip("/")})
    assert answer.status_code == 303


# Each waits for a beat of the stream; the gateway's and the pages' own tests know them all.
@pytest.mark.parametrize(
    "ends",
    ["a role taken away", *(pytest.param(each, marks=pytest.mark.slow) for each in WAITING)],
)
def test_a_copied_cookie_opens_nothing_once_the_session_is_over(desk: Desk, admin: Client, ends: str) -> None:
    name = unique("ana")
    body = {"name": name, "password": PASSWORD, "roles": ["desk"]}
    assert admin.http.post("/v1/users", json=body).status_code == 201
    with PageReader(desk.pages_url, name, PASSWORD) as reader, _thief(desk, reader) as thief:
        assert thief.get(PAGE).status_code == 200
        with thief.stream("GET", f"{PAGE}/stream") as stream:
            lines = stream.iter_lines()
            wait_until(lambda: next(lines) == "event: beat", timeout_s=30, what="the stream has begun")

            if ends in CHANGES:
                assert admin.http.patch(f"/v1/users/{name}", json=CHANGES[ends]).status_code == 200
            else:
                _signs_out(reader)

            for path in (PAGE, f"{PAGE}.csv", "/feed"):
                wait_until(_leads_to_sign_in(thief, path), timeout_s=ENDED_S, what=f"{path} is refused")
            assert "event: again" in list(lines), "the stream ended without a word"


def _thief(desk: Desk, reader: PageReader) -> httpx.Client:
    return httpx.Client(
        base_url=desk.pages_url, headers={"Cookie": reader.cookie}, timeout=30, trust_env=False
    )


def _leads_to_sign_in(thief: httpx.Client, path: str) -> Callable[[], bool]:
    return lambda: thief.get(path).headers.get("location", "").startswith("/sign-in")
