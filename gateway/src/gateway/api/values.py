"""Values of gRPC answers as they stand in JSON: 0 and empty texts of the contracts mean "not there"."""

from __future__ import annotations

import msgspec
from wattbook.clock import from_epoch_s, from_epoch_us, iso_z


def instant_us(epoch_us: int) -> str | None:
    """RFC 3339 of microseconds since 1970; None for 0."""
    return iso_z(from_epoch_us(epoch_us)) if epoch_us else None


def instant_s(epoch_s: int) -> str | None:
    """RFC 3339 of seconds since 1970; None for 0."""
    return iso_z(from_epoch_s(epoch_s)) if epoch_s else None


def number(text: str) -> msgspec.Raw | None:
    """A decimal text as a JSON number of exactly that text; None for ``""``."""
    return msgspec.Raw(text.encode()) if text else None


def amount(text: str) -> msgspec.Raw:
    """Like :func:`number`, where ``""`` means 0."""
    return msgspec.Raw(text.encode() or b"0")
