"""Users: add, change, list; who may is decided here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from wattbook.access import Principal, Role
from wattbook.clock import Clock
from wattbook.errors import Conflict, Forbidden, NotFound

from gateway.domain.users import (
    PASSWORD_MAX_BYTES,
    User,
    check_name,
    check_password,
    check_trader_id,
    checked_roles,
)
from gateway.store import UserStore
from gateway.usecases.passwords import Passwords
from gateway.usecases.signin import SignIn
from gateway.usecases.threads import Pool

_log = logging.getLogger(__name__)

ADMIN = "admin"
UNCHANGED = object()


@dataclass(frozen=True, slots=True)
class Change:
    """What an admin changes of a user; None leaves it, ``trader_id`` may be set to None on purpose."""

    password: str | None = None
    roles: Sequence[str] | None = None
    trader_id: Any = UNCHANGED
    disabled: bool | None = None


class Accounts:
    """The gateway's users."""

    def __init__(
        self, *, users: UserStore, database: Pool, passwords: Passwords, sign_in: SignIn, clock: Clock
    ) -> None:
        """Everything is injected; ``database`` is where the store is used."""
        self._users = users
        self._database = database
        self._passwords = passwords
        self._sign_in = sign_in
        self._clock = clock

    async def all(self, asker: Principal) -> list[User]:
        """Every user. Raises Forbidden unless an admin asks."""
        asker.require_admin()
        return await self._database.run(self._users.all)

    async def get(self, asker: Principal, name: str) -> User:
        """One user. Raises Forbidden unless an admin asks, NotFound where there is none."""
        asker.require_admin()
        return await self._existing(name)

    async def add(
        self, asker: Principal, *, name: str, password: str, roles: Sequence[str], trader_id: str | None
    ) -> User:
        """A new user.

        Raises:
            Forbidden: no admin asks.
            InvalidInput: a name, password or roles that cannot be.
            Conflict: the name is taken.
        """
        asker.require_admin()
        check_name(name)
        check_password(password)
        if trader_id is not None:
            check_trader_id(trader_id)
        granted = checked_roles(roles, trader_id)
        now = self._clock.now()
        hashed = await self._passwords.hash(password)
        user = User(name, hashed, granted, trader_id, disabled=False, created_at=now, changed_at=now)
        await self._database.run(self._users.add, user)
        _log.info("user added", extra={"user": name, "roles": sorted(granted), "by": asker.name})
        return user

    async def change(self, asker: Principal, name: str, change: Change) -> User:
        """Change a user; a new password, other roles or being disabled end their sessions.

        Raises:
            Forbidden: no admin asks.
            InvalidInput: a password or roles that cannot be.
            NotFound: no such user.
            Conflict: nobody would be left to administer users.
        """
        asker.require_admin()
        await self._existing(name)
        hashed = None
        if change.password is not None:
            check_password(change.password)
            hashed = await self._passwords.hash(change.password)
        changed = await self._apply(name, change, hashed)
        _log.info("user changed", extra={"user": name, "by": asker.name})
        return changed

    async def change_own_password(self, asker: Principal, *, old: str, new: str, address: str) -> None:
        """Change the asker's own password, which ends their other sessions.

        Raises:
            Forbidden: a client asks, which has none, or the old password is wrong.
            InvalidInput: a new password that cannot be.
        """
        if asker.is_client:
            raise Forbidden("a client has no password here")
        check_password(new)
        if len(old.encode()) > PASSWORD_MAX_BYTES or not await self._sign_in.is_password(
            asker.name, old, address=address
        ):
            raise Forbidden("the old password is wrong")
        await self._apply(asker.name, Change(), await self._passwords.hash(new))

    async def _existing(self, name: str) -> User:
        user = await self._database.run(self._users.find, name)
        if user is None:
            raise NotFound("no such user")
        return user

    async def _apply(self, name: str, change: Change, hashed: str | None) -> User:
        def alter(user: User) -> User:
            trader_id = user.trader_id if change.trader_id is UNCHANGED else change.trader_id
            if trader_id not in (None, user.trader_id):  # an id from before a rule stays the user's
                check_trader_id(trader_id)
            roles = user.roles if change.roles is None else change.roles
            now = self._clock.now()
            disabled = user.disabled if change.disabled is None else change.disabled
            return replace(
                user,
                password_hash=hashed or user.password_hash,
                roles=checked_roles(tuple(roles), trader_id),
                trader_id=trader_id,
                disabled=disabled,
                changed_at=now,
            )

        try:
            return await self._database.run(self._users.change, name, alter)
        finally:
            self._sign_in.memory.forget(name)


def ensure_admin(
    users: UserStore, passwords: Passwords, clock: Clock, *, password: str | None, password_if_new: str | None
) -> None:
    """Make the user ``admin``, or give it the password that the operator set; blocks, for the start.

    An operator's password may be of any length: it is their own, set on their own machine.

    Raises:
        Unavailable: the store cannot be written.
    """
    found = users.find(ADMIN)
    wanted = password or (password_if_new if found is None else None)
    if not wanted:
        return
    if found is not None and _is_as_wanted(found, wanted, passwords):
        return
    now = clock.now()
    hashed = passwords.hash_now(wanted)
    if found is None:
        roles = frozenset({Role.ADMIN})
        try:
            users.add(User(ADMIN, hashed, roles, None, disabled=False, created_at=now, changed_at=now))
        except Conflict:  # another process made it just now
            return
        return
    roles = found.roles | {Role.ADMIN}
    users.change(
        ADMIN,
        lambda user: replace(user, password_hash=hashed, roles=roles, disabled=False, changed_at=now),
    )


def _is_as_wanted(admin: User, password: str, passwords: Passwords) -> bool:
    return admin.is_working_admin and passwords.matches_now(admin.password_hash, password)
