"""Days as a person says them."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from wattbook.periods import NoSuchPeriod, area_of

from wattbook_cli.domain.stops import Stop

_OFFSETS = {"yesterday": -1, "today": 0, "tomorrow": 1}


def day_named(text: str, *, area: str, now: datetime) -> date:
    """The delivery day of ``2023-02-28``, ``today``, ``yesterday`` or ``tomorrow``, as the area counts days.

    Raises:
        Stop: it names no day, or there is no such area.
    """
    try:
        today = now.astimezone(area_of(area).zone).date()
    except NoSuchPeriod as error:
        raise Stop(str(error)) from None
    if text in _OFFSETS:
        return today + timedelta(days=_OFFSETS[text])
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Stop(f"{text!r} is no day; say 2023-02-28, today, yesterday or tomorrow") from None
