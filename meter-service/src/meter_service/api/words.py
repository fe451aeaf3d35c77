"""Times and figures as the pages write them. Market time is UTC+10 all year, wherever the reader is."""

from __future__ import annotations

from datetime import date, datetime

from meter_service.models import MARKET_TIME


def time_text(instant: datetime | None) -> str:
    """``2004-01-07 10:03:33`` in market time; "" where there is none."""
    return "" if instant is None else f"{instant.astimezone(MARKET_TIME):%Y-%m-%d %H:%M:%S}"


def day_text(day: date | None) -> str:
    """``2004-01-07``; "" where there is none."""
    return "" if day is None else day.isoformat()


def count_text(number: int) -> str:
    """``1,234``."""
    return f"{number:,}"


def counted(number: int, what: str) -> str:
    """``1 error``, ``1,234 errors``."""
    return f"{count_text(number)} {what}{'' if number == 1 else 's'}"


def size_text(size_bytes: int) -> str:
    """``29.2 MB``."""
    size, unit = size_bytes / 1, "B"
    for larger in ("kB", "MB", "GB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}" if unit != "B" else f"{size_bytes} B"
