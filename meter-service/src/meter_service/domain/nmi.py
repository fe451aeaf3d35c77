"""National Metering Identifiers: ten characters, and a check digit that only people write."""

from __future__ import annotations

import re

_NMI = re.compile(r"[0-9A-Z]{10}", re.ASCII)


def is_nmi(text: str) -> bool:
    """Whether ``text`` is ten characters of 0-9 and A-Z."""
    return _NMI.fullmatch(text) is not None


def check_digit(nmi: str) -> str:
    """The eleventh character of an NMI (source: AEMO, National Metering Identifier Procedure, appendix)."""
    total = 0
    for place, char in enumerate(reversed(nmi.upper())):
        code = ord(char) * (2 if place % 2 == 0 else 1)
        total += sum(int(digit) for digit in str(code))
    return str(-total % 10)
