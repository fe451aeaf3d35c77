"""Users in the store. Everything here blocks: call it from a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError
from wattbook.access import Role
from wattbook.clock import from_epoch_us, to_epoch_us
from wattbook.db import Store, can_be_kept, repeated
from wattbook.errors import Conflict, NotFound

from gateway.domain.users import User, changed
from gateway.store.revocations import note_revocation
from gateway.store.tables import refresh_tokens, users


class UserStore:
    """The users; names are unique and compared exactly."""

    def __init__(self, store: Store) -> None:
        """Use ``store``, which is migrated."""
        self._store = store

    def find(self, name: str) -> User | None:
        """The user of that name, if any."""
        with self._store.read() as connection:
            return find_user(connection, name)

    def all(self) -> list[User]:
        """Every user, by name."""
        with self._store.read() as connection:
            return [_user(row) for row in connection.execute(select(users).order_by(users.c.name))]

    @repeated
    def add(self, user: User) -> None:
        """Keep a new user.

        Raises:
            Conflict: the name is taken.
        """
        try:
            with self._store.write() as connection:
                connection.execute(insert(users).values(**_row(user)))
        except IntegrityError:
            raise Conflict(f"a user {user.name!r} exists already") from None

    @repeated
    def change(self, name: str, alter: Callable[[User], User]) -> User:
        """Replace a user by what ``alter`` makes of them; ends their sessions where that takes it.

        Raises:
            NotFound: no such user.
            Conflict: nobody would be left to administer users.
        """
        with self._store.write() as connection:
            old = find_user(connection, name)
            if old is None:
                raise NotFound(f"no user {name!r}")
            new = changed(old, alter(old))
            connection.execute(update(users).where(users.c.name == name).values(**_row(new)))
            if old.is_working_admin and not any(user.is_working_admin for user in _all(connection)):
                raise Conflict("the last enabled admin cannot be disabled or demoted")
            if new.session_counter != old.session_counter:
                connection.execute(refresh_tokens.delete().where(refresh_tokens.c.user_name == name))
                note_revocation(
                    connection, user_name=name, session_counter=new.session_counter, now=new.changed_at
                )
            return new


def find_user(connection: Connection, name: str) -> User | None:
    """The user of that name, if any, as a transaction sees them."""
    if not can_be_kept(name):  # anybody may try to sign in as anything
        return None
    row = connection.execute(select(users).where(users.c.name == name)).first()
    return None if row is None else _user(row)


def _all(connection: Connection) -> list[User]:
    return [_user(row) for row in connection.execute(select(users))]


def _user(row: Any) -> User:
    return User(
        name=row.name,
        password_hash=row.password_hash,
        roles=frozenset(Role(role) for role in row.roles.split(",") if role),
        trader_id=row.trader_id,
        disabled=row.disabled,
        created_at=from_epoch_us(row.created_us),
        changed_at=from_epoch_us(row.changed_us),
        signed_out_at=None if row.signed_out_us is None else from_epoch_us(row.signed_out_us),
        session_counter=row.session_counter,
    )


def _row(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "password_hash": user.password_hash,
        "roles": ",".join(sorted(user.roles)),
        "trader_id": user.trader_id,
        "disabled": user.disabled,
        "created_us": to_epoch_us(user.created_at),
        "changed_us": to_epoch_us(user.changed_at),
        "signed_out_us": to_epoch_us(user.signed_out_at) if user.signed_out_at else None,
        "session_counter": user.session_counter,
    }
