"""Who may open which page."""

from __future__ import annotations

from wattbook.auth.people import Person

SEES_ALL_TRADES = frozenset({"feed", "reconciliation"})


def may_open(person: Person, section: str) -> bool:
    """Whether a page that is not about one trader is theirs to see, as the gateway's API has it."""
    if section == "cash":
        return person.sees_cash
    if section == "quarantine":
        return person.is_desk
    return person.reads_all or (section not in SEES_ALL_TRADES and bool(person.roles))
