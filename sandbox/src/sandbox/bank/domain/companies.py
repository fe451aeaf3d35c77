"""Who the companies are: names, owners and addresses as they are in five countries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from sandbox.bank.domain.accounts import Accounts, country_of

_MOST_SAMPLED = 500  # of each list and country; companies draw from them
_LOCALES = {
    "NL": ("nl_NL", ("B.V.", "N.V.", "V.O.F.")),
    "DE": ("de_DE", ("GmbH", "AG", "KG")),
    "FR": ("fr_FR", ("SARL", "SA", "SAS")),
    "GB": ("en_GB", ("Ltd", "plc", "LLP")),
    "FI": ("fi_FI", ("Oy", "Oyj", "Ky")),
}


@dataclass(frozen=True, slots=True)
class Company:
    """A company; the address holds a line break, ``balance`` is what the bank states in EUR, never a sum."""

    id: int
    name: str
    owner: str
    address: str
    ibans: tuple[str, ...]
    balance: str


def companies_of(accounts: Accounts, *, seed: int) -> list[Company]:
    """All companies, the same for the same seed."""
    number = len(accounts.count)
    most = min(_MOST_SAMPLED, number)
    samples = {country: _sample(country, seed, most) for country in _LOCALES}
    chance = Random(seed * 7919 + 5)  # noqa: S311  # made data must be repeatable
    made = []
    for company in range(number):
        country = country_of(accounts, company)
        families, firsts, addresses = samples[country]
        family, partner = chance.choice(families), chance.choice(families)
        name = f"{family} & {partner}" if chance.random() < 0.3 else family
        form = chance.choice(_LOCALES[country][1])
        owner = f"{chance.choice(firsts)} {family}"
        balance = f"{chance.randrange(-5_000_000, 50_000_000) / 100:.2f}"
        ibans = tuple(accounts.of_company(company))
        made.append(Company(company, f"{name} {form}", owner, chance.choice(addresses), ibans, balance))
    return made


@cache
def _sample(country: str, seed: int, most: int) -> tuple[list[str], list[str], list[str]]:
    """Family names, first names and addresses."""
    from faker import Faker  # slow to load, and most of the time nobody asks for names

    fake = Faker(_LOCALES[country][0])
    fake.seed_instance(seed)
    return (
        [fake.last_name() for _ in range(most)],
        [fake.first_name() for _ in range(most)],
        [fake.address() for _ in range(most)],
    )
