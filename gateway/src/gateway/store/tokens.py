"""Refresh tokens in the store, by their hash only. Everything here blocks: call it from a thread.

Each method is one transaction: of a sign-in, an exchange and what ends the session one is first, and the
others see it. So none needs a lock of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from wattbook.clock import from_epoch_us, to_epoch_us
from wattbook.db import Store, repeated

from gateway.domain.users import User
from gateway.store.revocations import is_revoked, note_revocation
from gateway.store.tables import refresh_tokens as tokens
from gateway.store.users import find_user

# Two requests of one browser may refresh at once: the later is refused, but that is no theft.
REUSE_FORGIVEN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A token that is given out; those that follow each other by exchange are one session's ``family``."""

    token_hash: str
    client_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What became of an exchange; ``user`` None: the token did not hold. ``is_stolen``: it came again."""

    user: User | None = None
    family: str = ""
    user_name: str = ""
    is_stolen: bool = False


class TokenStore:
    """The refresh tokens that were given out and have not expired."""

    def __init__(self, store: Store) -> None:
        """Use ``store``, which is migrated."""
        self._store = store

    @repeated
    def begin(self, token: RefreshToken, *, family: str, user: User, now: datetime) -> bool:
        """Keep the first token of a session of ``user``; False where they may not begin one any more.

        That is where their session counter has risen since they were verified. Expired tokens go.
        """
        with self._store.write() as connection:
            today = find_user(connection, user.name)
            if today is None or today.disabled or today.session_counter != user.session_counter:
                return False
            connection.execute(delete(tokens).where(tokens.c.expires_us <= to_epoch_us(now)))
            _keep(connection, token, family, user)
            return True

    @repeated
    def exchange(
        self, token_hash: str, replacement: RefreshToken, *, clients: frozenset[str], now: datetime
    ) -> Exchanged:
        """Put ``replacement`` in the place of a token of one of these ``clients``, which counts once.

        One that comes again ends its session, unless the two came at about the same time.
        """
        with self._store.write() as connection:
            row = connection.execute(select(tokens).where(tokens.c.token_hash == token_hash)).first()
            if row is None or row.expires_us <= to_epoch_us(now) or row.client_id not in clients:
                return Exchanged()
            if not _is_first_use(connection, token_hash, now):
                return self._used_again(connection, row, now)
            user = find_user(connection, row.user_name)
            if user is None or not _holds(connection, row, user):
                return Exchanged()
            _keep(connection, replacement, row.family, user)
            return Exchanged(user, row.family, user.name)

    @repeated
    def end(self, token_hash: str, *, now: datetime) -> str | None:
        """End the session that a token is of, whichever of its tokens it is; its family, if it is known."""
        with self._store.write() as connection:
            row = connection.execute(select(tokens).where(tokens.c.token_hash == token_hash)).first()
            if row is not None:
                _end(connection, row, now)
            return None if row is None else row.family

    def holder(self, name: str, *, family: str | None) -> User | None:
        """The user to whom an access token was given; None where there is none, or its session is over."""
        with self._store.read() as connection:
            if family is not None and is_revoked(connection, family):
                return None
            return find_user(connection, name)

    def _used_again(self, connection: Connection, row: Any, now: datetime) -> Exchanged:
        if now - from_epoch_us(row.used_us) <= REUSE_FORGIVEN:
            return Exchanged()
        _end(connection, row, now)
        return Exchanged(family=row.family, user_name=row.user_name, is_stolen=True)


def _is_first_use(connection: Connection, token_hash: str, now: datetime) -> bool:
    used = update(tokens).where(tokens.c.token_hash == token_hash, tokens.c.used_us.is_(None))
    return connection.execute(used.values(used_us=to_epoch_us(now))).rowcount == 1


def _holds(connection: Connection, row: Any, user: User) -> bool:
    """Whether a token's session goes on; the release before wrote no counter, and knew of no user's rise."""
    is_current = (row.session_counter or 0) == user.session_counter
    return is_current and not user.disabled and not is_revoked(connection, row.family)


def _keep(connection: Connection, token: RefreshToken, family: str, user: User) -> None:
    connection.execute(
        insert(tokens).values(
            token_hash=token.token_hash,
            family=family,
            user_name=user.name,
            client_id=token.client_id,
            expires_us=to_epoch_us(token.expires_at),
            session_counter=user.session_counter,
        )
    )


def _end(connection: Connection, row: Any, now: datetime) -> None:
    connection.execute(delete(tokens).where(tokens.c.family == row.family))
    counter = row.session_counter or 0
    note_revocation(connection, user_name=row.user_name, session_counter=counter, now=now, family=row.family)
