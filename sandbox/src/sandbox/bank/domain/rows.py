"""The rows of a window as they are handed out, and what can give them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from sandbox.bank.domain.accounts import Accounts, Ints, Texts, accounts_of
from sandbox.bank.domain.companies import Company, companies_of
from sandbox.bank.domain.payments import Payments, payments_of
from sandbox.bank.domain.sizes import WINDOW_S, Size


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Columns of one source and window, by time; ``payer`` and ``beneficiary`` number their texts.

    ``currency`` numbers ``rates.CURRENCIES``, ``time_s`` counts since 1970.
    """

    id: Ints
    payer: Ints
    beneficiary: Ints
    amount_minor: Ints
    currency: Ints
    time_s: Ints
    payer_texts: Texts
    beneficiary_texts: Texts

    def __len__(self) -> int:
        """How many."""
        return len(self.id)

    def taken(self, which: slice | Ints) -> Rows:
        """Some of them, in that order."""
        return Rows(
            self.id[which], self.payer[which], self.beneficiary[which], self.amount_minor[which],
            self.currency[which], self.time_s[which], self.payer_texts, self.beneficiary_texts,
        )  # fmt: skip

    def of_window(self, window: int) -> Rows:
        """Those of a window, where they are of several."""
        first, end = np.searchsorted(self.time_s, (window * WINDOW_S, (window + 1) * WINDOW_S))
        return self.taken(slice(int(first), int(end)))

    def until(self, second: float) -> Rows:
        """Those at that instant or before."""
        return self.taken(slice(0, int(np.searchsorted(self.time_s, second, side="right"))))


def rows_made(made: Payments, accounts: Accounts) -> Rows:
    """Payments without what is wrong with them."""
    texts = accounts.texts
    return Rows(
        made.id, made.payer, made.beneficiary, made.amount_minor, made.currency, made.time_s, texts, texts
    )


class DataSet(Protocol):
    """What an exposer hands out; ``last_window`` is None where there is always a next one."""

    @property
    def size_name(self) -> str:
        """Its size."""
        ...

    @property
    def first_window(self) -> int:
        """The window that a client without a place begins with."""
        ...

    @property
    def last_window(self) -> int | None:
        """The last one there is."""
        ...

    def rows(self, source: str, window: int) -> Rows:
        """All rows of a window, also those that are still to come."""
        ...

    def companies(self) -> list[Company]:
        """All companies."""
        ...

    def others(self) -> list[str]:
        """Accounts of nobody known, which may become a company's."""
        ...


class Made:
    """Data made when they are asked for: nothing is kept, and there is always a next window."""

    last_window = None

    def __init__(self, size: Size, *, seed: int, first_window: int) -> None:
        """Begin with ``first_window``; any earlier one can be had, too."""
        self._size, self._seed = size, seed
        self._accounts: Accounts = accounts_of(size, seed=seed)
        self.size_name = size.name
        self.first_window = first_window

    def rows(self, source: str, window: int) -> Rows:
        """All rows of a window."""
        made = payments_of(self._size, self._accounts, seed=self._seed, source=source, window=window)
        return rows_made(made, self._accounts)

    @cached_property
    def _companies(self) -> list[Company]:
        return companies_of(self._accounts, seed=self._seed)

    def companies(self) -> list[Company]:
        """All companies; their names are made when they are first asked for."""
        return self._companies

    def others(self) -> list[str]:
        """Accounts of nobody known."""
        return self._accounts.other_texts()
