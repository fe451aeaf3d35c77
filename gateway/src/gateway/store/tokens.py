"""Refresh tokens in the store, by their hash only. Everything here blocks: call it from a thread."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, update
from wattbook.clock import from_epoch_us, to_epoch_us
from wattbook.db import Store, repeated

from gateway.store.tables import refresh_tokens as tokens


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A token that was given out; those that follow each other by rotation are one ``family``."""

    token_hash: str
    family: str
    user_name: str
    client_id: str
    expires_at: datetime
    used_at: datetime | None = None


class TokenStore:
    """The refresh tokens that were given out and have not expired."""

    def __init__(self, store: Store) -> None:
        """Use ``store``, which is migrated."""
        self._store = store

    @repeated
    def add(self, token: RefreshToken, *, now: datetime) -> None:
        """Keep a new token; expired ones go."""
        with self._store.write() as connection:
            connection.execute(delete(tokens).where(tokens.c.expires_us <= to_epoch_us(now)))
            connection.execute(
                insert(tokens).values(
                    token_hash=token.token_hash,
                    family=token.family,
                    user_name=token.user_name,
                    client_id=token.client_id,
                    expires_us=to_epoch_us(token.expires_at),
                )
            )

    @repeated
    def use(self, token_hash: str, *, client_id: str, now: datetime) -> RefreshToken | None:
        """Mark a client's token as used; returned as it was before: ``used_at`` is set where it came again.

        Of two that use it at once, one sees it unused. None where there is no such token that still holds.
        """
        with self._store.write() as connection:
            row = connection.execute(select(tokens).where(tokens.c.token_hash == token_hash)).first()
            if row is None or row.expires_us <= to_epoch_us(now) or row.client_id != client_id:
                return None
            if row.used_us is None:
                used = update(tokens).where(tokens.c.token_hash == token_hash)
                connection.execute(used.values(used_us=to_epoch_us(now)))
            return RefreshToken(
                row.token_hash,
                row.family,
                row.user_name,
                row.client_id,
                from_epoch_us(row.expires_us),
                None if row.used_us is None else from_epoch_us(row.used_us),
            )

    def family_of(self, token_hash: str) -> str | None:
        """The family of a token, used or not; None where it is not known."""
        with self._store.read() as connection:
            query = select(tokens.c.family).where(tokens.c.token_hash == token_hash)
            return connection.execute(query).scalar_one_or_none()

    @repeated
    def revoke_family(self, family: str) -> None:
        """No token of the family holds any more."""
        with self._store.write() as connection:
            connection.execute(delete(tokens).where(tokens.c.family == family))
