"""Sessions that end while their tokens are exchanged, on both engines.

Who is slower is no matter of chance here: what ends the session happens right after the first commit of
what races it.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from gateway.domain.users import User
from gateway.store import TokenStore, UserStore
from gateway.usecases.oauth import Request, TokenServer, clients_of
from gateway.usecases.tokens import AccessTokens
from joserfc.jwk import ECKey
from wattbook.access import Role
from wattbook.clock import FakeClock, to_epoch_us
from wattbook.db import Store, migrate, open_store

from tests.support.engines import NewStoreUrl

NOW = datetime(2023, 2, 28, 12, tzinfo=UTC)
KEY = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"})
KEY.ensure_kid()


class Interrupted:
    """A store in which something else happens right after the next commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.then: Callable[[], object] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @contextmanager
    def write(self, **options: Any) -> Iterator[Any]:
        with self._store.write(**options) as connection:
            yield connection
        then, self.then = self.then, None
        if then is not None:
            then()


class Desk:
    """The token endpoint without HTTP, and one user."""

    def __init__(self, url: str) -> None:
        self.plain = open_store(url, name="gateway")
        migrate(self.plain, "gateway")
        self.store = Interrupted(self.plain)
        self.clock = FakeClock(NOW)
        self.users = UserStore(self.plain)
        self.users.add(
            User(
                "ana",
                "old hash",
                frozenset({Role.DESK}),
                None,
                disabled=False,
                created_at=NOW,
                changed_at=NOW,
            )
        )
        self.server = TokenServer(
            store=TokenStore(self.store),  # type: ignore[arg-type]  # as a store does
            access=AccessTokens(key=KEY, clock=self.clock, clients=frozenset()),
            clients=clients_of({}),
            clock=self.clock,
            service_pass=lambda _client, _audience: "",
        )

    def ana(self) -> User:
        found = self.users.find("ana")
        assert found is not None
        return found

    def sign_in(self, *, verified: User | None = None) -> tuple[int, dict[str, Any]]:
        form = {"grant_type": "password", "username": "ana", "password": "x"}
        return self.server.answer(Request(form, {}, verified_user=verified or self.ana()))

    def refresh(self, token: str) -> tuple[int, dict[str, Any]]:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return self.server.answer(Request(form, {}, verified_user=None))

    def new_password(self) -> None:
        self.users.change("ana", lambda user: replace(user, password_hash="new"))

    def holds(self, answer: tuple[int, dict[str, Any]]) -> bool:
        """Whether what was given out can still be exchanged."""
        status, body = answer
        return status == 200 and self.refresh(body["refresh_token"])[0] == 200


@pytest.fixture
def desk(new_store_url: NewStoreUrl) -> Iterator[Desk]:
    made = Desk(new_store_url("gateway"))
    yield made
    made.plain.close()


ENDS: dict[str, Callable[[Desk, str], object]] = {
    "a new password": lambda desk, _token: desk.new_password(),
    "being disabled": lambda desk, _token: desk.users.change(
        "ana", lambda user: replace(user, disabled=True)
    ),
    "a role taken away": lambda desk, _token: desk.users.change(
        "ana", lambda user: replace(user, roles=frozenset())
    ),
    "another trader id": lambda desk, _token: desk.users.change(
        "ana", lambda user: replace(user, trader_id="trader_2")
    ),
    "a revocation": lambda desk, token: desk.server.revoke(token),
}


@pytest.mark.parametrize("ends", ENDS)
def test_no_session_outlives_what_ends_it_while_its_token_is_exchanged(desk: Desk, ends: str) -> None:
    token = desk.sign_in()[1]["refresh_token"]
    desk.store.then = lambda: ENDS[ends](desk, token)

    exchanged = desk.refresh(token)

    assert not desk.holds(exchanged)


def test_who_was_verified_before_a_new_password_gets_no_session_after_it(desk: Desk) -> None:
    verified = desk.ana()
    desk.new_password()

    status, body = desk.sign_in(verified=verified)

    assert (status, body["error"]) == (400, "invalid_grant")
    assert desk.holds(desk.sign_in())


def test_of_a_crowd_that_exchanges_one_token_one_gets_another(desk: Desk) -> None:
    token = desk.sign_in()[1]["refresh_token"]
    begin, statuses = threading.Barrier(8), []

    def exchange() -> None:
        begin.wait(10)
        statuses.append(desk.refresh(token)[0])

    crowd = [threading.Thread(target=exchange) for _ in range(8)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join(30)

    assert sorted(statuses) == [200] + [400] * 7


def test_a_token_that_comes_again_later_ends_its_session(desk: Desk) -> None:
    first = desk.sign_in()[1]["refresh_token"]
    second = desk.refresh(first)
    desk.clock.advance(timedelta(seconds=11).total_seconds())

    assert desk.refresh(first)[0] == 400
    assert not desk.holds(second)


def test_a_session_of_the_release_before_goes_on_until_its_user_changes(
    new_store_url: NewStoreUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old" / "older_gateway"
    (old / "migrations/versions").mkdir(parents=True)
    (old / "__init__.py").touch()
    first = Path(str(files("gateway"))) / "migrations/versions/0001_users_and_tokens.py"
    shutil.copy(first, old / "migrations/versions")
    monkeypatch.syspath_prepend(old.parent)
    url = new_store_url("gateway")
    store = open_store(url, name="gateway")
    migrate(store, old.name)
    with store.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO users VALUES ('ben', 'hash', 'desk', NULL, false, 0, 0, NULL)"
        )
        for token in ("a", "b"):
            expires_us = to_epoch_us(NOW) + 10**9
            connection.exec_driver_sql(
                f"INSERT INTO refresh_tokens VALUES ('{sha256(token.encode()).hexdigest()}', '{token}', "
                f"'ben', 'wattbook', {expires_us}, NULL)"
            )
    store.close()

    desk = Desk(url)

    assert desk.holds(desk.refresh("a"))
    desk.users.change("ben", lambda user: replace(user, password_hash="new"))
    with desk.plain.write() as connection:  # a replica of that release is slow to write
        connection.exec_driver_sql(
            f"INSERT INTO refresh_tokens VALUES ('{sha256(b'c').hexdigest()}', 'b', 'ben', 'wattbook', "
            f"{expires_us}, NULL, NULL)"
        )
    assert [desk.refresh(token)[0] for token in ("b", "c")] == [400, 400]
    desk.plain.close()
