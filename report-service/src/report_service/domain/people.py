"""Who reads reports, and which."""

from __future__ import annotations

from dataclasses import dataclass

from wattbook.auth.revocations import Session

READS_ALL = frozenset({"desk", "admin", "service"})
DESK = frozenset({"desk", "admin"})
TRADER = "trader"
SEES_ALL_TRADES = frozenset({"feed", "reconciliation"})


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the gateway gave out at sign-in. Times are seconds since 1970 UTC.

    ``session`` None: by a gateway of an older release.
    """

    access: str
    refresh: str
    expires_s: int
    session: Session | None = None


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

    def may_open(self, section: str) -> bool:
        """Whether a page that is not about one trader is theirs to see, as the gateway's API has it."""
        if section == "quarantine":
            return self.is_desk
        return self.reads_all or (section not in SEES_ALL_TRADES and bool(self.roles))

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
