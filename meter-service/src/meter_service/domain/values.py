"""Numbers and times as flow files write them, read exactly: ASCII digits only, no float, market time."""

from __future__ import annotations

import re
from datetime import date

MARKET_OFFSET_S = 36_000  # UTC+10 all year
MOST = 2**63 - 1
FIRST_YEAR, LAST_YEAR = 1900, 2199
_NUMBER = re.compile(r"(-?)([0-9]*)(?:\.([0-9]*))?", re.ASCII)
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
SPREADSHEET = re.compile(r"[0-9]+(\.[0-9]+)?[eE][+-]?[0-9]+", re.ASCII)


def scaled(text: str, power: int) -> tuple[int, bool]:
    """A number times 10 to the ``power`` (which is not negative), and whether it had to be rounded.

    A finer number is rounded half to even.

    Raises:
        ValueError: it is no plain decimal number, or does not fit into 64 bits.
    """
    found = _NUMBER.fullmatch(text)
    if found is None or not (found[2] or found[3]):
        raise ValueError("a plain decimal number such as 1234.5")
    if len(text) > 60:
        raise ValueError("a number of at most 15 digits before the point")
    part = found[3] or ""
    digits = int(found[2] + part)
    surplus = len(part) - power
    if surplus <= 0:
        whole, rest, half = digits * 10**-surplus, 0, 1
    else:
        whole, rest = divmod(digits, 10**surplus)
        half = 10**surplus // 2
    if rest > half or (rest == half and whole % 2):
        whole += 1
    if whole > MOST:
        raise ValueError("a number that fits into 64 bits in thousandths")
    return -whole if found[1] else whole, rest != 0


class Days(dict[str, int]):
    """``YYYYMMDD`` → the instant at which that day of market time begins, in seconds since 1970 UTC.

    Only days that exist are kept, so it never grows large.
    """

    def __missing__(self, text: str) -> int:
        """Work it out.

        Raises:
            KeyError: there is no such day.
        """
        if len(text) != 8 or not _DIGITS.fullmatch(text):
            raise KeyError(text)
        year = int(text[:4])
        try:
            day = date(year, int(text[4:6]), int(text[6:])).toordinal() - _EPOCH_DAY
        except ValueError:
            raise KeyError(text) from None
        if not FIRST_YEAR <= year <= LAST_YEAR:
            raise KeyError(text)
        self[text] = found = day * 86_400 - MARKET_OFFSET_S
        return found


DAYS = Days()
MINUTES = {f"{hour:02}{minute:02}": (hour * 60 + minute) * 60 for hour in range(24) for minute in range(60)}
SECONDS = {f"{second:02}": second for second in range(60)}


def instant(text: str) -> int:
    """``YYYYMMDDhhmmss`` of market time, in seconds since 1970 UTC.

    Raises:
        ValueError: says what would be right.
    """
    if len(text) != 14 or not _DIGITS.fullmatch(text):
        raise ValueError("14 digits, YYYYMMDDhhmmss" + hint(text))
    try:
        day = DAYS[text[:8]]
    except KeyError:
        raise ValueError(f"a day that exists, of {FIRST_YEAR} to {LAST_YEAR}") from None
    try:
        return day + MINUTES[text[8:12]] + SECONDS[text[12:]]
    except KeyError:
        raise ValueError("a time of 000000 to 235959 (midnight is 000000 of the next day)") from None


class IsoDays(dict[str, str]):
    """``YYYYMMDD`` → ``YYYY-MM-DD``, of days that exist."""

    def __missing__(self, text: str) -> str:
        """Work it out.

        Raises:
            KeyError: there is no such day.
        """
        DAYS[text]
        self[text] = found = f"{text[:4]}-{text[4:6]}-{text[6:]}"
        return found


ISO_DAYS = IsoDays()


def iso_day(text: str) -> str:
    """``YYYYMMDD`` as ``YYYY-MM-DD``.

    Raises:
        ValueError: says what would be right.
    """
    try:
        return ISO_DAYS[text]
    except KeyError:
        raise ValueError("8 digits, YYYYMMDD, of a day that exists" + hint(text)) from None


def hint(text: str) -> str:
    """Why a number looks as it does, where a spreadsheet saved it."""
    return " (saved by a spreadsheet?)" if SPREADSHEET.fullmatch(text) else ""
