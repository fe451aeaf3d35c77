"""A window's payments as rows of the tables."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cash_service.domain.cleaning import RULES_VERSION, Cleaned, Ints, Legs, Source
from cash_service.domain.periods import month_of, month_start_us

_MOST_TEXT = 2_000


class Arrival(NamedTuple):
    """A window's content as it came."""

    source: Source
    number: int
    version: int
    is_complete: bool
    is_late: bool
    changes: int
    sha256: str
    received_us: int


def leg_rows(legs: Legs, cleaned: Cleaned, span: tuple[int, int]) -> list[tuple[Any, ...]]:
    """Rows of ``leg``, in the order of its key."""
    first, last = months_of(span)[0], months_of(span)[-1]
    month = np.where(legs.time_us < month_start_us(last), first, last)
    ids, codes = cleaned.rows.ids, cleaned.currencies
    columns = [
        month.tolist(), legs.account.tolist(), legs.time_us.tolist(), legs.line.tolist(),
        legs.counterparty.tolist(), legs.minor.tolist(), legs.flow.tolist(),
        [codes[code] for code in legs.currency.tolist()],
        legs.kind.tolist(), legs.flags.tolist(), [ids[line >> 2] for line in legs.line.tolist()],
    ]  # fmt: skip
    rows = list(zip(*columns, strict=True))
    return rows if first == last else sorted(rows)


def aside_rows(arrival: Arrival, cleaned: Cleaned, numbers: Ints) -> list[tuple[Any, ...]]:
    """Rows of ``set_aside``, with the numbers of accounts that have one."""
    rows, made = cleaned.rows, []
    for place in cleaned.set_aside.tolist():
        reasons = int(cleaned.reasons[place])
        sides = [
            None if text is None or not cleaned.ibans[code[place]] else int(numbers[code[place]])
            for text, code in (
                (rows.payers[place], cleaned.payer),
                (rows.beneficiaries[place], cleaned.beneficiary),
            )
        ]
        texts = (
            rows.ids[place], rows.payers[place], rows.beneficiaries[place],
            rows.amounts[place].decode(errors="replace"), rows.currencies[place], rows.times[place],
            rows.unreadable.get(place, ""),
        )  # fmt: skip
        kept = [(text or "")[:_MOST_TEXT].replace("\0", "\ufffd") for text in texts]
        made.append((int(arrival.source), arrival.number, place, reasons, *sides, *kept))
    return made


def rounding_rows(arrival: Arrival, cleaned: Cleaned, legs: Legs) -> list[tuple[Any, ...]]:
    """Rows of ``rounding``, one an account that sees the payment."""
    if not cleaned.rounding:
        return []
    by_place = {each.row: each for each in cleaned.rounding}
    return [
        (number, int(arrival.source), arrival.number, line, found.currency, str(found.left_off))
        for number, line in zip(legs.account.tolist(), legs.line.tolist(), strict=True)
        if (found := by_place.get(line >> 2)) is not None
    ]


def window_row(arrival: Arrival, cleaned: Cleaned, *, accounts_version: int) -> dict[str, Any]:
    """The row of ``bank_window``."""
    aside = len(cleaned.set_aside)
    return {
        "source": int(arrival.source), "number": arrival.number, "version": arrival.version,
        "is_complete": arrival.is_complete, "is_late": arrival.is_late, "changes": arrival.changes,
        "rows": len(cleaned.rows), "payments": len(cleaned.rows) - aside, "set_aside": aside,
        "sha256": arrival.sha256, "received_us": arrival.received_us, "rules_version": RULES_VERSION,
        "accounts_version": accounts_version,
    }  # fmt: skip


def months_of(span: tuple[int, int]) -> list[int]:
    """The months that a window touches: one, or two."""
    first, last = month_of(span[0]), month_of(span[1] - 1)
    return [first] if first == last else [first, last]
