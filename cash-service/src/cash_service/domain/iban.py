"""IBANs: how one is written, which are invalid, which only suspicious, and whose bank it is."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import pycountry
from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

MOST_CHARACTERS = 100
_REMEMBERED = 50_000
_PROBLEMS = {
    "InvalidCountryCode": "country",
    "InvalidLength": "length",
    "InvalidChecksumDigits": "check_digits",
}

# ISO 3166-1 alpha-2, and Kosovo's code, which issues IBANs (source: SWIFT IBAN Registry).
COUNTRIES = frozenset(country.alpha_2 for country in pycountry.countries) | {"XK"}


class IbanFacts(NamedTuple):
    """What an IBAN says by itself."""

    country: str
    bank: str
    suspicious: tuple[str, ...]


def normal_iban(text: str) -> str:
    """The IBAN without blanks and hyphens, in upper case."""
    if text.isalnum() and text.isupper() and text.isascii():
        return text
    return "".join(text.split()).replace("-", "").upper()


def country_of(iban: str) -> str:
    """The country of a normal IBAN; ``""`` where it is invalid, for it does not begin with one."""
    return iban[:2] if iban[:2] in COUNTRIES else ""


@lru_cache(maxsize=_REMEMBERED)
def facts_of(iban: str) -> IbanFacts:
    """Country, bank and what is suspicious; none of it makes a payment dirty but the missing country."""
    country = country_of(iban)
    if not country:
        return IbanFacts("", "", ())
    try:
        known = IBAN(iban)
    except SchwiftyException as error:
        return IbanFacts(country, "", (_PROBLEMS.get(type(error).__name__, "characters"),))
    return IbanFacts(country, _bank(known), ())


def _bank(iban: IBAN) -> str:
    try:
        return str(iban.bank_name or "")
    except Exception:  # the registry may raise anything where it does not know the country's banks
        return ""
