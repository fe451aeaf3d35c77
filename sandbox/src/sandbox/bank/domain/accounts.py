"""Accounts: those of the companies, those of the rest of the world, and texts that are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sandbox.bank.domain.sizes import Size

Ints = npt.NDArray[np.int64]
Texts = npt.NDArray[np.bytes_]
LONGEST = 34  # characters, ISO 13616
MOST_ACCOUNTS = 50
OTHERS_PER_COMPANY = 5
INVALID = 64
_ACCOUNTS, _OTHERS = 101, 102  # what chance is for
_PRIME = 48_271
_LAST = 7  # the last digits tell an account from all others

# Country: characters after the check digits (ISO 13616), how often, what they begin with (banks' codes).
_KNOWN = {
    "NL": (14, 40, "ABNA INGB RABO TRIO KNAB SNSB"),
    "DE": (18, 25, "10010010 37040044 50010517 70150000 20041133"),
    "FR": (23, 15, "30004 30066 30003 20041"),
    "GB": (18, 12, "BARC200000 LOYD309089 NWBK601613 HBUK401276"),
    "FI": (14, 8, "100 500 800 405"),
}
_OTHER = {
    "NL": (14, 90, "ABNA INGB RABO"), "DE": (18, 110, "10010010 37040044 50010517"),
    "FR": (23, 80, "30004 30066 20041"), "GB": (18, 80, "BARC200000 LOYD309089 MIDL400515"),
    "FI": (14, 20, "100 500"), "BE": (12, 50, "001 310 734"), "AT": (16, 40, "12000 20111 32000"),
    "ES": (20, 50, "0049 0182 2100"), "IT": (23, 60, "X03069 X02008 X05034"), "PT": (21, 20, "0033 0018"),
    "IE": (18, 20, "AIBK931152 BOFI900017"), "LU": (16, 20, "001 003"), "CH": (17, 40, "00202 00700"),
    "SE": (20, 30, "300 500 600"), "DK": (14, 20, "0040 3000"), "NO": (11, 20, "1201 1503"),
    "PL": (24, 30, "10201013 11402004"), "CZ": (20, 20, "0100 0800"), "SK": (20, 10, "0200 1100"),
    "HU": (24, 12, "117 104"), "RO": (20, 12, "BTRL BRDE"), "BG": (18, 8, "UNCR9660 STSA9300"),
    "HR": (17, 8, "2402006 2360000"), "SI": (15, 6, "02000"), "EE": (16, 6, "2200 1000"),
    "LV": (17, 6, "HABA UNLA"), "LT": (16, 6, "70440 73000"), "GR": (23, 10, "0140101 0110012"),
    "CY": (24, 5, "00200128"), "MT": (27, 5, "CFTE28004"), "TR": (22, 20, "00064 00046"),
    "AE": (19, 12, "033 026"), "SA": (20, 10, "80 10"), "IL": (19, 8, "010 020"), "BH": (18, 4, "BMAG NBOB"),
    "KW": (26, 4, "NBOK CBKU"), "KZ": (16, 6, "125 722"), "XK": (16, 3, "1212"),
}  # fmt: skip
_WITHOUT_IBAN = {
    "US": (19, 45, "021000021 026009593"),
    "CA": (17, 15, "0003 0010"),
    "JP": (14, 15, "0005 0009"),
}
_WRONG_STARTS = ("XX", "UK", "ZZ", "1A", "42")  # none is a country of ISO 3166-1


@dataclass(frozen=True, slots=True, eq=False)
class Accounts:
    """All texts a payment may name: known accounts, then others, then invalid ones.

    ``owner`` is a known account's company; a company's accounts are ``first[c] … first[c] + count[c] - 1``.
    ``rhythmic``: a known account whose company pays by weekday, month end and salary day.
    """

    texts: Texts
    known: int
    others: int
    owner: Ints
    first: Ints
    count: Ints
    rhythmic: npt.NDArray[np.bool_]

    @property
    def hot(self) -> int:
        """The account with a tenth of all SWIFT payments."""
        return self.known // 3

    def of_company(self, company: int) -> list[str]:
        """A company's IBANs."""
        first = int(self.first[company])
        return [text.decode() for text in self.texts[first : first + int(self.count[company])].tolist()]

    def other_texts(self) -> list[str]:
        """The accounts of the rest of the world."""
        return [text.decode() for text in self.texts[self.known : self.known + self.others].tolist()]


def accounts_of(size: Size, *, seed: int) -> Accounts:
    """The accounts of a size, the same for the same seed."""
    rng = generator(seed, _ACCOUNTS)
    drawn = rng.random(size.companies)
    count = np.where(drawn < 0.7, 1, 2 + (rng.random(size.companies) ** 4 * (MOST_ACCOUNTS - 2)).astype(int))
    count[size.companies // 7] = MOST_ACCOUNTS
    first = np.concatenate(([0], np.cumsum(count)[:-1]))
    owner = np.repeat(np.arange(size.companies), count)
    rhythmic = (rng.random(size.companies) < 2 / 3)[owner]
    country = rng.choice(len(_KNOWN), size=size.companies, p=_weights(_KNOWN))[owner]
    known = _texts(rng, list(_KNOWN.items()), country, start=0)

    rng = generator(seed, _OTHERS)
    table = {**_OTHER, **_WITHOUT_IBAN}
    others = size.companies * OTHERS_PER_COMPANY
    country = rng.choice(len(table), size=others, p=_weights(table))
    rest = _texts(rng, list(table.items()), country, start=len(owner))
    _spoil_check_digits(rest, rng)
    invalid = np.array(
        [_WRONG_STARTS[n % len(_WRONG_STARTS)].encode() + rest[n % others][2:] for n in range(INVALID)],
        dtype=f"S{LONGEST}",
    )
    return Accounts(np.concatenate((known, rest, invalid)), len(owner), others, owner, first, count, rhythmic)


def country_of(accounts: Accounts, company: int) -> str:
    """Where a company's first account is."""
    return bytes(accounts.texts[accounts.first[company]][:2]).decode()


def generator(*parts: int) -> np.random.Generator:
    """Chance that depends on what it is for, on nothing else."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(parts)))


def _weights(table: dict[str, tuple[int, int, str]]) -> npt.NDArray[np.float64]:
    weights = np.array([share for _, share, _ in table.values()], dtype=float)
    return weights / weights.sum()


def _texts(rng: np.random.Generator, table: list[Any], country: Ints, *, start: int) -> Texts:
    """One text for each country number, all different: the last digits count from ``start``, shuffled."""
    made = np.zeros((len(country), LONGEST), dtype=np.uint8)
    numbers = (np.arange(start, start + len(country)) * _PRIME + 1_234_567) % 10**_LAST
    for number, (code, (length, _, banks)) in enumerate(table):
        rows = np.flatnonzero(country == number)
        if not len(rows):
            continue
        rest = rng.integers(48, 58, size=(len(rows), length), dtype=np.uint8)
        starts = [np.frombuffer(bank.encode(), np.uint8) for bank in banks.split()]
        chosen = rng.integers(0, len(starts), size=len(rows))
        for bank, text in enumerate(starts):
            rest[chosen == bank, : len(text)] = text
        powers = 10 ** np.arange(_LAST - 1, -1, -1)
        rest[:, -_LAST:] = numbers[rows, None] // powers % 10 + 48
        made[rows, :2] = np.frombuffer(code.encode(), np.uint8)
        if code in _WITHOUT_IBAN:
            made[rows, 2 : 2 + length] = rest
            continue
        check = check_digits(rest, code)
        made[rows, 2], made[rows, 3] = check // 10 + 48, check % 10 + 48
        made[rows, 4 : 4 + length] = rest
    return made.view(f"S{LONGEST}").ravel()


def check_digits(rest: npt.NDArray[np.uint8], code: str) -> Ints:
    """The two check digits of accounts of a country, as a number (ISO 7064, modulo 97-10)."""
    left = np.zeros(len(rest), dtype=np.int64)
    tail = np.frombuffer(f"{code}00".encode(), np.uint8)
    for column in [*rest.astype(np.int64).T, *tail.astype(np.int64)]:
        letter = column >= 65
        value = np.where(letter, column - 55, column - 48)
        left = (left * np.where(letter, 100, 10) + value) % 97
    return 98 - left


def _spoil_check_digits(texts: Texts, rng: np.random.Generator) -> None:
    """Every two-hundredth account has been mistyped: suspicious, not invalid."""
    matrix = texts.view(np.uint8).reshape(len(texts), LONGEST)
    rows = np.flatnonzero(rng.random(len(texts)) < 0.005)
    matrix[rows, 3] = (matrix[rows, 3] - 47) % 10 + 48
