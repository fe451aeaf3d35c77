"""Argon2id: hash and verify, in a bounded pool, in equal time for users that do not exist.

One thread of the pool is kept for those who were right lately, so that they wait for no stranger.
"""

from __future__ import annotations

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from wattbook.errors import Unavailable

from gateway.usecases.threads import Pool

# OWASP's recommendation for Argon2id: 19 MiB, one lane; three passes are some 40 ms here. Two at a time
# keep the process small and leave the event loop its turn (Argon2 runs outside of the interpreter lock).
TIME_COST, MEMORY_KIB, LANES = 3, 19 * 1024, 1
THREADS, MOST_WAITING = 2, 256
FOR_STRANGERS, MOST_STRANGERS_WAITING = 1, 64


class Passwords:
    """Hashes and verifies passwords."""

    def __init__(self, *, time_cost: int = TIME_COST, memory_kib: int = MEMORY_KIB) -> None:
        """Weaker costs are for tests."""
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=LANES)
        self._pool = Pool("argon2", threads=THREADS, most_waiting=MOST_WAITING)
        self._strangers = asyncio.Semaphore(FOR_STRANGERS)
        self._strangers_waiting = 0
        self._nobodys_hash = self._hasher.hash(secrets.token_urlsafe(16))

    def hash_now(self, password: str) -> str:
        """The hash to keep; blocks for some 40 ms."""
        return self._hasher.hash(password)

    async def hash(self, password: str) -> str:
        """The hash to keep.

        Raises:
            Unavailable: too many wait already.
        """
        return await self._pool.run(self._hasher.hash, password)

    async def matches(self, password_hash: str | None, password: str, *, was_right: bool = False) -> bool:
        """Whether it is the password; of nobody (None) it never is, which takes as long to find out.

        ``was_right``: it was so lately, and need not wait behind those of whom that is not known.

        Raises:
            Unavailable: too many wait already.
        """
        if was_right:
            return await self._pool.run(self._verify, password_hash, password)
        if self._strangers_waiting >= MOST_STRANGERS_WAITING:
            raise Unavailable("too many sign in at once; try again", retry_after_s=1)
        self._strangers_waiting += 1
        try:
            async with self._strangers:
                return await self._pool.run(self._verify, password_hash, password)
        finally:
            self._strangers_waiting -= 1

    def matches_now(self, password_hash: str, password: str) -> bool:
        """The same, blocking."""
        return self._verify(password_hash, password)

    def close(self) -> None:
        """Finish what runs."""
        self._pool.close()

    def _verify(self, password_hash: str | None, password: str) -> bool:
        try:
            self._hasher.verify(password_hash or self._nobodys_hash, password)
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None
