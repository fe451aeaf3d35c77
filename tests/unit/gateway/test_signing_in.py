"""Wrong passwords are stopped before they are hashed, and hold up nobody behind another address."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gateway.domain.users import User
from gateway.store import TokenStore, UserStore
from gateway.usecases.memory import Memory
from gateway.usecases.passwords import Passwords
from gateway.usecases.signin import SignIn
from gateway.usecases.threads import Pool
from gateway.usecases.throttle import MOST_FAILURES_AN_ADDRESS, Throttle, site_of
from gateway.usecases.tokens import AccessTokens
from joserfc.jwk import ECKey
from wattbook.access import Role
from wattbook.clock import FakeClock
from wattbook.db import migrate, open_store
from wattbook.errors import TooManyRequests, Unauthenticated, Unavailable

NOW = datetime(2023, 2, 28, 12, tzinfo=UTC)
RIGHT = "a long password"


class Hasher(Passwords):
    """The real one, cheap, that says whom it verifies and waits to be let on where a test wants that."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_kib=8)
        self.begun: list[str] = []
        self.may_go_on = threading.Semaphore(0)
        self.waits = False

    def _verify(self, password_hash: str | None, password: str) -> bool:
        self.begun.append(password)
        if self.waits:
            assert self.may_go_on.acquire(timeout=30)
        return super()._verify(password_hash, password)


class Door:
    """Sign-in with one user, ana."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(f"sqlite:///{folder}/gateway.db", name="gateway")
        migrate(self.store, "gateway")
        self.clock, self.hasher = FakeClock(NOW), Hasher()
        self.database = Pool("store", threads=2, most_waiting=1_000)
        users = UserStore(self.store)
        hashed, roles = self.hasher.hash_now(RIGHT), frozenset({Role.DESK})
        users.add(User("ana", hashed, roles, None, disabled=False, created_at=NOW, changed_at=NOW))
        key = ECKey.generate_key("P-256")
        self.sign_in = SignIn(
            users=users, sessions=TokenStore(self.store), database=self.database, passwords=self.hasher,
            tokens=AccessTokens(key=key, clock=self.clock, clients=frozenset()),
            memory=Memory(self.clock), throttle=Throttle(self.clock),
        )  # fmt: skip

    async def ana(self, address: str, password: str = RIGHT) -> str:
        return await self._outcome("ana", password, address)

    async def guess(self, number: int, address: str = "198.51.100.1") -> str:
        return await self._outcome(f"guessed{number}", f"wrong {number}", address)

    async def _outcome(self, name: str, password: str, address: str) -> str:
        try:
            await self.sign_in.verified_user(name, password, address=address)
        except (TooManyRequests, Unauthenticated, Unavailable) as error:
            return error.code
        return "right"

    async def begun(self, count: int) -> None:
        """Until so many verifications have begun."""
        async with asyncio.timeout(30):
            while len(self.hasher.begun) < count:
                await asyncio.sleep(0.001)

    @asynccontextmanager
    async def held_up(self, *attempts: Coroutine[Any, Any, str]) -> AsyncIterator[list[asyncio.Task[str]]]:
        """The hasher comes to no end; ``attempts`` were begun, and wait in their order."""
        self.hasher.waits = True
        self.hasher.begun.clear()
        tasks = [asyncio.create_task(attempt) for attempt in attempts]
        await self.begun(1)
        yield tasks
        self.hasher.waits = False
        self.hasher.may_go_on.release(1_000)
        await asyncio.gather(*tasks)

    def close(self) -> None:
        self.hasher.close()
        self.database.close()
        self.store.close()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path)
    yield made
    made.close()


def test_an_address_has_a_stock_of_wrong_passwords_whatever_names_it_tries(door: Door) -> None:
    async def guessing() -> list[str]:
        return list(await asyncio.gather(*(door.guess(number) for number in range(100))))

    outcomes = asyncio.run(guessing())

    assert outcomes.count("unauthenticated") == len(door.hasher.begun) == MOST_FAILURES_AN_ADDRESS
    assert outcomes.count("too_many_requests") == 100 - MOST_FAILURES_AN_ADDRESS
    assert asyncio.run(door.ana("198.51.100.2")) == "right"
    door.clock.advance(6)
    assert asyncio.run(door.guess(100)) == "unauthenticated"
    assert asyncio.run(door.guess(101)) == "too_many_requests"


def test_right_passwords_take_nothing_of_an_addresss_stock(door: Door) -> None:
    async def crowd() -> set[str]:
        return {await door.ana("198.51.100.1") for _ in range(MOST_FAILURES_AN_ADDRESS + 5)}

    assert asyncio.run(crowd()) == {"right"}


def test_who_guesses_is_verified_one_at_a_time_so_that_another_address_comes_next(door: Door) -> None:
    async def racing() -> list[str]:
        async with door.held_up(*(door.guess(number) for number in range(20))) as guesses:
            honest = asyncio.create_task(door.ana("198.51.100.2"))
            while door.hasher._strangers_waiting < 2:
                await asyncio.sleep(0.001)
            door.hasher.may_go_on.release()
            await door.begun(2)
            assert not any(guess.done() and guess.result() == "right" for guess in guesses)
        assert await honest == "right"
        return door.hasher.begun

    assert asyncio.run(racing())[:2] == ["wrong 0", RIGHT]


def test_who_was_right_lately_waits_for_no_stranger(door: Door) -> None:
    async def racing() -> list[str]:
        assert await door.ana("198.51.100.2") == "right"
        async with door.held_up(*(door.guess(n, f"203.0.113.{n}") for n in range(50))):
            honest = asyncio.create_task(door.ana("198.51.100.2"))
            await door.begun(2)
        assert await honest == "right"
        return door.hasher.begun

    stranger, second = asyncio.run(racing())[:2]
    assert (stranger.startswith("wrong"), second) == (True, RIGHT)


def test_so_many_strangers_at_once_are_told_to_come_again(door: Door) -> None:
    async def crowd() -> list[str]:
        async with door.held_up(*(door.guess(n, f"203.0.113.{n}") for n in range(100))) as guesses:
            while sum(guess.done() for guess in guesses) < 36:
                await asyncio.sleep(0.001)
        return [guess.result() for guess in guesses]

    outcomes = asyncio.run(crowd())

    assert (outcomes.count("unavailable"), outcomes.count("unauthenticated")) == (36, 64)


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_whoever_has_a_network_of_ipv6_is_one(address: str, site: str) -> None:
    assert site_of(address) == site
