"""Who reads reports, and which."""

from __future__ import annotations

from dataclasses import dataclass

READS_ALL = frozenset({"desk", "admin", "service"})
DESK = frozenset({"desk", "admin"})
TRADER = "trader"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the gateway gave out at sign-in. Times are seconds since 1970 UTC."""

    access: str
    refresh: str
    expires_s: int


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody signed in, with the roles the gateway said they have."""

    name: str
    roles: tuple[str, ...]
    trader_id: str | None = None

    @property
    def reads_all(self) -> bool:
        """Whether every trader's reports are theirs to read."""
        return not READS_ALL.isdisjoint(self.roles)

    @property
    def is_desk(self) -> bool:
        """Whether they decide for the desk: over what was set aside, say."""
        return not DESK.isdisjoint(self.roles)

    def may_read(self, trader_id: str) -> bool:
        """Whether a trader's reports are theirs to read: a trader reads only their own."""
        return self.reads_all or (TRADER in self.roles and trader_id == self.trader_id)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person's session: who, by which tokens, since when, last seen when (seconds since 1970 UTC)."""

    person: Person
    tokens: Tokens
    since_s: int
    seen_s: int
