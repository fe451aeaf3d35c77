"""Columns into the text of a JSON array, without an object of Python's for each row.

All rows are one matrix of bytes: what is the same in each is written once, what is shorter than its column
is filled up with zero bytes, and these are taken out at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sandbox.bank.domain.accounts import LONGEST, Ints, Texts
from sandbox.bank.domain.rates import CURRENCIES
from sandbox.bank.domain.rows import Rows
from sandbox.bank.domain.sizes import DAY_S, day_of

Bytes = npt.NDArray[np.uint8]
_ZERO = 48
_FOUR = (np.arange(10_000)[:, None] // np.array([1000, 100, 10, 1]) % 10 + _ZERO).astype(np.uint8)
_TIMES = np.frombuffer(
    b"".join(b"%02d:%02d:%02d" % (s // 3600, s // 60 % 60, s % 60) for s in range(DAY_S)), np.uint8
).reshape(DAY_S, 8)
_DECIMALS = np.array([currency.decimals for currency in CURRENCIES])


def _code_text(codes: Sequence[str]) -> Bytes:
    return np.array(codes, dtype="S3").view(np.uint8).reshape(-1, 3)


_CODES = _code_text([currency.code for currency in CURRENCIES])


@dataclass(frozen=True, slots=True)
class Style:
    """How a dialect writes a row: the text before each value, and the end of a row.

    In the order id, payer, beneficiary, amount, currency, time. ``codes`` are the currencies as it calls
    them; ``bare_dates``: which share of the times is a date alone.
    """

    before: tuple[str, str, str, str, str, str]
    end: str
    codes: tuple[str, ...]
    bare_dates: float = 0.0

    def in_text(self) -> Style:
        """The same within a JSON string."""
        return Style(
            tuple(part.replace('"', '\\"') for part in self.before),  # type: ignore[arg-type]
            self.end.replace('"', '\\"'),
            self.codes,
            self.bare_dates,
        )


def array_text(rows: Rows, style: Style) -> bytes:
    """A JSON array of the rows, without blanks."""
    if not len(rows):
        return b"[]"
    date, time = _moments(rows, style.bare_dates)
    values = (
        number_text(rows.id), _account_text(rows.payer, rows.payer_texts),
        _account_text(rows.beneficiary, rows.beneficiary_texts), _amount_text(rows),
        _code_text(style.codes)[rows.currency],
        np.concatenate((date, time), axis=1),
    )  # fmt: skip
    parts: list[Bytes] = []
    for before, value in zip(style.before, values, strict=True):
        parts += [np.frombuffer(before.encode(), np.uint8), value]
    parts.append(np.frombuffer(style.end.encode() + b",", np.uint8))
    return b"[" + _joined(len(rows), parts)[:-1] + b"]"


def lines_text(rows: Rows, window: int) -> bytes:
    """Lines of tab-separated values, as PostgreSQL copies them: window, number and columns of each row."""
    if not len(rows):
        return b""
    values = (
        number_text(np.full(len(rows), window)), number_text(np.arange(len(rows))), number_text(rows.id),
        _account_text(rows.payer, rows.payer_texts), _account_text(rows.beneficiary, rows.beneficiary_texts),
        number_text(rows.amount_minor), _CODES[rows.currency], number_text(rows.time_s),
    )  # fmt: skip
    parts: list[Bytes] = []
    for value in values:
        parts += [value, np.frombuffer(b"\t", np.uint8)]
    parts[-1] = np.frombuffer(b"\n", np.uint8)
    return _joined(len(rows), parts)


def _joined(rows: int, parts: list[Bytes]) -> bytes:
    """All rows as text, from columns as wide as their widest value."""
    matrix = np.empty((rows, sum(part.shape[-1] for part in parts)), dtype=np.uint8)
    column = 0
    for part in parts:
        matrix[:, column : column + part.shape[-1]] = part
        column += part.shape[-1]
    return matrix.tobytes().translate(None, b"\0")


def number_text(values: Ints) -> Bytes:
    """Digits of numbers from 0 on, zero bytes before them."""
    digits = max(len(str(int(values.max()))), 1)
    chunks = []
    left = values
    for _ in range(0, digits, 4):
        left, chunk = np.divmod(left, 10_000)
        chunks.append(_FOUR[chunk])
    text = np.concatenate(chunks[::-1], axis=1)[:, -digits:]
    for place in range(1, digits):
        text[values < 10**place, digits - 1 - place] = 0
    return text


def _amount_text(rows: Rows) -> Bytes:
    decimals = _DECIMALS[rows.currency]
    whole, part = np.divmod(rows.amount_minor, 10**decimals)
    fraction = np.full((len(rows), 4), ord("."), dtype=np.uint8)
    fraction[:, 1:] = _FOUR[part * 10 ** (3 - decimals)][:, 1:]
    fraction[decimals == 2, 3] = 0
    fraction[decimals == 0] = 0
    return np.concatenate((number_text(whole), fraction), axis=1)


def _account_text(codes: Ints, texts: Texts) -> Bytes:
    return texts.view(np.uint8).reshape(len(texts), LONGEST)[codes]


def _moments(rows: Rows, bare_dates: float) -> tuple[Bytes, Bytes]:
    """``2018-01-01`` and ``T09:31:05Z`` or nothing."""
    day, second = np.divmod(rows.time_s, DAY_S)
    first = int(day.min())
    dates = [day_of(each).isoformat().encode() for each in range(first, int(day.max()) + 1)]
    date = np.frombuffer(b"".join(dates), np.uint8).reshape(len(dates), 10)[day - first]
    time = np.full((len(rows), 10), ord("T"), dtype=np.uint8)
    time[:, 1:9] = _TIMES[second]
    time[:, 9] = ord("Z")
    if bare_dates:
        time[rows.id % 1000 < bare_dates * 1000] = 0
    return date, time
