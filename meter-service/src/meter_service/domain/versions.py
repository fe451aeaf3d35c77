"""Which of several contents for a register and an instant is current: an order without regard to arrival."""

from __future__ import annotations

from typing import NamedTuple

LOWEST = -(2**63)


class Rank(NamedTuple):
    """The place of a version; the greatest is current. What is missing is lowest."""

    updated_at: int
    header_created_at: int
    sha256: str
    line: int


def rank(updated_at: int | None, header_created_at: int | None, sha256: str, line: int) -> Rank:
    """Later UpdateDateTime, then later header date, then greater file, then later line.

    A version that several files hold has the greatest of their ranks.
    """
    return Rank(
        LOWEST if updated_at is None else updated_at,
        LOWEST if header_created_at is None else header_created_at,
        sha256,
        line,
    )
