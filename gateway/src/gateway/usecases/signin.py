"""Who is asking: verifies passwords and tokens, once for many identical requests."""

from __future__ import annotations

import asyncio
import logging

from wattbook.access import Principal
from wattbook.auth.tokens import AccessToken
from wattbook.errors import Unauthenticated, WattbookError
from wattbook.telemetry.catalogue import SIGN_IN_FAILURES
from wattbook.telemetry.metrics import Counter

from gateway.domain.users import PASSWORD_MAX_BYTES, User
from gateway.store import TokenStore, UserStore
from gateway.usecases.memory import Memory
from gateway.usecases.passwords import Passwords
from gateway.usecases.threads import Pool
from gateway.usecases.throttle import Throttle
from gateway.usecases.tokens import AccessTokens

_log = logging.getLogger(__name__)

_FAILURES = Counter(SIGN_IN_FAILURES)
REFUSED = "unknown user or wrong password"


class SignIn:
    """Turns credentials into principals."""

    def __init__(
        self, *, users: UserStore, sessions: TokenStore, database: Pool, passwords: Passwords,
        tokens: AccessTokens, memory: Memory, throttle: Throttle,
    ) -> None:  # fmt: skip
        """Everything is injected; ``database`` is where the store is used."""
        self._users = users
        self._sessions = sessions
        self._database = database
        self._passwords = passwords
        self._tokens = tokens
        self._throttle = throttle
        self._verifying: dict[bytes, asyncio.Future[User]] = {}
        self.memory = memory

    async def by_password(self, name: str, password: str, *, address: str) -> Principal:
        """The user of a name and password; remembered for a minute.

        Raises:
            Unauthenticated: wrong, unknown or disabled, without saying which.
            TooManyRequests: too many wrong ones.
        """
        digest = self.memory.digest(f"{name}\0{password}".encode(errors="surrogatepass"))
        known = self.memory.recall(digest)
        if known is not None:
            return known
        return (await self._verified_once(digest, name, password, address)).principal

    async def verified_user(self, name: str, password: str, *, address: str) -> User:
        """The user of a name and password, verified now. Raises like :meth:`by_password`."""
        digest = self.memory.digest(f"{name}\0{password}".encode(errors="surrogatepass"))
        return await self._verified_once(digest, name, password, address)

    async def is_password(self, name: str, password: str, *, address: str) -> bool:
        """Whether it is the user's password. Raises TooManyRequests."""
        try:
            await self.verified_user(name, password, address=address)
        except Unauthenticated:
            return False
        return True

    async def by_token(self, token: str, digest: bytes) -> Principal:
        """Who an access token was given to, as they are now; remembered under ``digest``.

        Raises:
            Unauthenticated: not a token of ours, expired, or its user is gone or disabled.
        """
        generation = self.memory.generation
        found = self._tokens.read(token)
        name, session_id = found.principal.name, found.session.id if found.session else ""
        if found.principal.is_client:
            principal: Principal | None = self._tokens.client_principal(name)
        else:
            user = await self._database.run(self._sessions.holder, name, family=session_id or None)
            principal = user.principal if user and _still_holds(found, user) else None
        if principal is None:
            raise Unauthenticated("the token's user may not sign in any more")
        self.memory.remember(
            digest, principal, generation=generation, at_most_s=self._tokens.remaining_s(found),
            session_id=session_id,
        )  # fmt: skip
        return principal

    async def _verified_once(self, digest: bytes, name: str, password: str, address: str) -> User:
        # Keyed by address too: throttling is, and whoever is let off must not share another's verdict.
        key = digest + address.encode()
        running = self._verifying.get(key)
        if running is None:
            running = asyncio.ensure_future(self._verified(digest, name, password, address))
            self._verifying[key] = running
            running.add_done_callback(lambda _done: self._verifying.pop(key, None))
        try:
            return await asyncio.shield(running)
        except WattbookError as error:  # each waiter raises its own
            raise type(error)(error.message, retry_after_s=error.retry_after_s) from None

    async def _verified(self, digest: bytes, name: str, password: str, address: str) -> User:
        generation = self.memory.generation
        if self.memory.was_right(digest):
            user = await self._matching(name, password, was_right=True)
            if user is None:
                self.memory.note_wrong(digest)
        else:
            async with self._throttle.attempt(name, address):
                user = await self._matching(name, password)
                note = self._throttle.failed if user is None else self._throttle.worked
                note(name, address)
        if user is None:
            _FAILURES.add()
            _log.info("sign-in refused", extra={"user": name[:64], "address": address})
            raise Unauthenticated(REFUSED)
        self.memory.note_right(digest, name)
        # Before this ends: whoever comes after finds it here, whoever came before waits for it.
        self.memory.remember(digest, user.principal, generation=generation)
        return user

    async def _matching(self, name: str, password: str, *, was_right: bool = False) -> User | None:
        user = await self._database.run(self._users.find, name)
        stored = user.password_hash if user and _sensible(password) else None
        tried = password if _sensible(password) else ""
        right = await self._passwords.matches(stored, tried, was_right=was_right)
        return user if user is not None and right and not user.disabled else None


def _sensible(password: str) -> bool:
    return len(password.encode(errors="surrogatepass")) <= PASSWORD_MAX_BYTES


def _still_holds(token: AccessToken, user: User) -> bool:
    if user.disabled:
        return False
    if token.session is not None:
        return token.session.counter == user.session_counter
    # Of the release before, which knows no counters: its tokens say whole seconds, so the very second is out.
    signed_out = user.signed_out_at
    return signed_out is None or token.issued_s > signed_out.timestamp()
