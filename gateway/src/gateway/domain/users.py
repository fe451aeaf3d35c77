"""Users: what one is, and what a valid one looks like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from wattbook.access import Principal, Role
from wattbook.errors import InvalidInput
from wattbook.text import trader_id_problem

PASSWORD_MIN_CHARACTERS = 8
PASSWORD_MAX_BYTES = 1024
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
TRADER_ID_MAX_CHARACTERS = 64
_NAME = re.compile(NAME_PATTERN.replace("$", r"\Z"))


@dataclass(frozen=True, slots=True)
class User:
    """A person or program with a password."""

    name: str
    password_hash: str
    roles: frozenset[Role]
    trader_id: str | None
    disabled: bool
    created_at: datetime
    changed_at: datetime
    signed_out_at: datetime | None = None  # what the release before this one gave out until then is over
    session_counter: int = 0  # what was given out under a lower one is over

    @property
    def principal(self) -> Principal:
        """What the rest of the gateway needs to know of them."""
        return Principal(self.name, self.roles, self.trader_id)

    @property
    def is_working_admin(self) -> bool:
        """Whether they can administer users now."""
        return Role.ADMIN in self.roles and not self.disabled


def changed(old: User, new: User) -> User:
    """``new``, with its sessions over where what the old one was given may not count for the new one."""
    ends = (old.password_hash, old.roles, old.trader_id) != (new.password_hash, new.roles, new.trader_id)
    if not ends and (old.disabled or not new.disabled):
        return replace(new, session_counter=old.session_counter, signed_out_at=old.signed_out_at)
    return replace(new, session_counter=old.session_counter + 1, signed_out_at=new.changed_at)


def check_name(name: str) -> None:
    """Insist on a valid user name.

    Raises:
        InvalidInput: it is not.
    """
    if not _NAME.match(name):
        raise InvalidInput("name: 1 to 64 letters, digits, dots, dashes, underscores or @, no dash first")


def check_password(password: str) -> None:
    """Insist on a password that is neither too short nor absurdly long.

    Raises:
        InvalidInput: it is.
    """
    if len(password) < PASSWORD_MIN_CHARACTERS:
        raise InvalidInput(f"password: at least {PASSWORD_MIN_CHARACTERS} characters")
    if len(password.encode()) > PASSWORD_MAX_BYTES:
        raise InvalidInput(f"password: at most {PASSWORD_MAX_BYTES} bytes")


def check_trader_id(trader_id: str) -> None:
    """Insist on a trader id under which trades can be booked.

    Raises:
        InvalidInput: it is none.
    """
    if not 0 < len(trader_id) <= TRADER_ID_MAX_CHARACTERS:
        raise InvalidInput(f"trader_id: 1 to {TRADER_ID_MAX_CHARACTERS} characters")
    if problem := trader_id_problem(trader_id):
        raise InvalidInput(f"trader_id: {problem}")


def checked_roles(roles: Sequence[str], trader_id: str | None) -> frozenset[Role]:
    """The roles, where they and the trader id go together.

    Raises:
        InvalidInput: an unknown role, or a trader without a trader id.
    """
    known = {role.value for role in Role}
    unknown = sorted(set(roles) - known)
    if unknown:
        raise InvalidInput(f"roles: unknown {', '.join(map(repr, unknown))}; known are {', '.join(Role)}")
    if Role.TRADER in roles and trader_id is None:
        raise InvalidInput("trader_id: the trader role needs one")
    return frozenset(Role(role) for role in roles)
