"""What goes wrong at the bank, as settings that can be changed while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from wattbook.errors import InvalidInput

from sandbox.bank.domain.accounts import generator
from sandbox.bank.domain.rows import Rows
from sandbox.bank.domain.sizes import SOURCES
from sandbox.changes import typed_changes

_LONGEST_REAL_S = 600.0
_CHANGE, _LATE = 201, 202  # what chance is for
_EMPTY_EVERY = 5

HTML, EMPTY, CUT_OFF, CONTENT_TYPE, REDIRECT, TOO_LONG = (
    "html", "empty", "cut off", "another content type", "redirected", "too long",
)  # fmt: skip
WRONG_DIGEST, WRONG_COUNT, TWICE = "wrong sha256", "wrong rows", "a key twice"
GARBAGE = (HTML, EMPTY, CUT_OFF, CONTENT_TYPE, REDIRECT, TOO_LONG, WRONG_DIGEST, WRONG_COUNT, TWICE)
TOO_LONG_BYTES = 65 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Faults:
    """All off by default. Rates are shares of answers, 0…1.

    crash_rate: the process ends at a random byte of the answer and starts again. break_rate: the connection
    ends there. fail_rate: answered with ``fail_status`` (429 or 5xx). slow_rate: answered ``slow_real_s``
    later. garbage_rate: status 200 with nonsense, all kinds in turn. repeat_rate: what came before comes
    again. reorder_rate: the rows come in another order, and where the bank keeps the place the next window
    before this one. late_rate: a tenth of a window's rows come only when it comes again, some answers
    later. change_rate: one of the twenty windows before comes again with other rows, or with none.
    """

    crash_rate: float = 0.0
    break_rate: float = 0.0
    repeat_rate: float = 0.0
    reorder_rate: float = 0.0
    late_rate: float = 0.0
    change_rate: float = 0.0
    slow_rate: float = 0.0
    slow_real_s: float = 5.0
    fail_rate: float = 0.0
    fail_status: int = 503
    garbage_rate: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            InvalidInput: a rate outside 0…1, another status, or a time out of range.
        """
        for name, value in asdict(self).items():
            if name.endswith("_rate") and not 0 <= value <= 1:
                raise InvalidInput(f"{name} must be between 0 and 1")
        if self.fail_status != 429 and not 500 <= self.fail_status <= 599:
            raise InvalidInput("fail_status must be 429 or 500…599")
        if not 0 <= self.slow_real_s <= _LONGEST_REAL_S:
            raise InvalidInput(f"slow_real_s must be in 0…{_LONGEST_REAL_S:g}")

    def changed(self, changes: Mapping[str, Any]) -> Faults:
        """These faults with some of them changed.

        Raises:
            InvalidInput: an unknown name, or a value that cannot be.
        """
        return replace(self, **typed_changes(Faults, changes))

    def as_dict(self) -> dict[str, Any]:
        """All of them by name."""
        return asdict(self)


def changed_rows(rows: Rows, source: str, window: int, *, version: int) -> Rows:
    """A window after ``version`` changes: rows gone, amounts changed; each fifth time none at all."""
    if not version or not len(rows):
        return rows
    if version % _EMPTY_EVERY == 0:
        return rows.taken(slice(0, 0))
    rng = generator(_CHANGE, SOURCES.index(source), window, version)
    amount = rows.amount_minor.copy()
    other = rng.random(len(rows)) < 0.05
    other[rng.integers(len(rows))] = True
    amount[other] += rng.integers(1, 10_000, int(other.sum()))
    kept = np.flatnonzero(rng.random(len(rows)) >= 0.03)
    return replace(rows, amount_minor=amount).taken(kept)


def without_late(rows: Rows, source: str, window: int) -> Rows:
    """A window without the tenth that is late."""
    rng = generator(_LATE, SOURCES.index(source), window)
    return rows.taken(np.flatnonzero(rng.random(len(rows)) >= 0.1))
