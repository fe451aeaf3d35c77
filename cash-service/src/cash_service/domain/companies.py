"""Companies as the bank lists them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Company(NamedTuple):
    """A company of the bank's list; ``ibans`` are normal."""

    id: int
    name: str
    owner: str
    address: str
    stated_balance: str
    ibans: tuple[str, ...]


def owners_of(companies: Iterable[Company]) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Who has each IBAN: the company with the lowest id, and the others that list it too."""
    listed: dict[str, set[int]] = {}
    for company in companies:
        for iban in company.ibans:
            listed.setdefault(iban, set()).add(company.id)
    return {iban: (min(ids), tuple(sorted(ids)[1:])) for iban, ids in listed.items()}


def search_text(company: Company) -> str:
    """What a company is found by: a part of its name, id or one of its IBANs."""
    return "\n".join((company.name.casefold(), str(company.id), *(iban.casefold() for iban in company.ibans)))
