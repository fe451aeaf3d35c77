"""Whose wrong passwords count together: whom the pages were called by, and nobody that a browser invents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.desk import Desk

pytestmark = [pytest.mark.slow, pytest.mark.flow("Sign in")]

# All of 127.0.0.0/8 is this machine, so callers have addresses of their own without a network. The pages call
# the gateway from 127.0.0.1; a proxy stands at EDGE.
EDGE = "127.0.0.9"
GUESSES = 4
REFUSED, THROTTLED = 401, 429


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A product whose pages and gateway believe the machine itself and the proxy."""
    desk = Desk(
        tmp_path_factory.mktemp("behind"), environment={"WATTBOOK_TRUSTED_PROXIES": f"127.0.0.1,{EDGE}"}
    )
    try:
        yield desk.start()
        assert desk.stop() == 0, desk.logs()
    finally:
        desk.kill_all()


class Caller:
    """Somebody at a page, at an address of their own."""

    def __init__(self, desk: Desk, address: str, **headers: str) -> None:
        self.http = httpx.Client(
            base_url=desk.pages_url,
            transport=httpx.HTTPTransport(local_address=address),
            timeout=60,
            headers=headers,
        )

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def sign_in(self, name: str, password: str, **headers: str) -> int:
        """The status of an attempt."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.http.get("/sign-in").text)
        assert token is not None
        form = {"csrf_token": token.group(1), "username": name, "password": password}
        return self.http.post("/sign-in", data=form, headers=headers).status_code


def guessed(caller: Caller, name: str, **headers: str) -> list[int]:
    return [caller.sign_in(name, f"wrong {number}", **headers) for number in range(GUESSES)]


def test_browsers_at_two_addresses_are_throttled_apart(behind: Desk) -> None:
    with Caller(behind, "127.0.0.2") as guesser, Caller(behind, "127.0.0.3") as owner:
        assert guessed(guesser, "admin") == [REFUSED] * 3 + [THROTTLED]

        assert owner.sign_in("admin", behind.admin_password) == 303


def test_browsers_behind_the_proxy_are_who_it_says(behind: Desk) -> None:
    guessing, owning = {"X-Forwarded-For": "198.51.100.7"}, {"X-Forwarded-For": "198.51.100.8"}
    with Caller(behind, EDGE, **guessing) as guesser, Caller(behind, EDGE, **owning) as owner:
        assert guessed(guesser, "admin") == [REFUSED] * 3 + [THROTTLED]

        assert owner.sign_in("admin", behind.admin_password) == 303


def test_who_is_no_proxy_cannot_be_somebody_else(behind: Desk) -> None:
    with Caller(behind, "127.0.0.4") as guesser:
        statuses = [
            guesser.sign_in("admin", "wrong", **{"X-Forwarded-For": f"198.51.100.{number}"})
            for number in range(20, 20 + GUESSES)
        ]

    assert statuses == [REFUSED] * 3 + [THROTTLED]


def test_who_is_behind_the_proxy_cannot_be_somebody_else_either(behind: Desk) -> None:
    with Caller(behind, EDGE) as guesser:
        statuses = [  # the proxy adds at the end whom it was called by
            guesser.sign_in("admin", "wrong", **{"X-Forwarded-For": f"203.0.113.{number}, 198.51.100.9"})
            for number in range(GUESSES)
        ]

    assert statuses == [REFUSED] * 3 + [THROTTLED]


@pytest.mark.parametrize(
    ("address", "is_secure"), [(EDGE, True), ("127.0.0.5", False)], ids=["a proxy", "anybody"]
)
def test_a_proxy_that_speaks_tls_is_believed_that_it_does(
    behind: Desk, address: str, is_secure: bool
) -> None:
    with Caller(behind, address, **{"X-Forwarded-Proto": "https", "Host": "desk.example"}) as person:
        form = person.http.get("/sign-in")
        left = person.http.post("/sign-out", headers={"Origin": "https://desk.example"})

    assert ("Strict-Transport-Security" in form.headers) is is_secure
    assert ("; Secure" in form.headers["Set-Cookie"]) is is_secure
    assert left.status_code == (303 if is_secure else 302)  # else it wants to know first who one is


def test_without_proxies_nobody_is_believed(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    try:
        desk.start()
        with Caller(desk, "127.0.0.1") as guesser:
            statuses = [
                guesser.sign_in("admin", "wrong", **{"X-Forwarded-For": f"203.0.113.{number}"})
                for number in range(GUESSES)
            ]
    finally:
        desk.kill_all()

    assert statuses == [REFUSED] * 3 + [THROTTLED]
