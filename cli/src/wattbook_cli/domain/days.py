"""Days as a person says them."""

from __future__ import annotations

from datetime import date, timedelta

from wattbook.clock import Clock
from wattbook.periods import NoSuchPeriod, area_of

from wattbook_cli.domain.stops import Stop

_OFFSETS = {"yesterday": -1, "today": 0, "tomorrow": 1}


def fixed_day(text: str, *, area: str) -> date | None:
    """The day of ``2023-02-28``; None for ``today`` and its like, which depend on when that is.

    Raises:
        Stop: it names no day, or there is no such area.
    """
    try:
        area_of(area)
    except NoSuchPeriod as error:
        raise Stop(str(error)) from None
    if text in _OFFSETS:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Stop(f"{text!r} is no day; say 2023-02-28, today, yesterday or tomorrow") from None


def day_named(text: str, *, area: str, clock: Clock) -> date:
    """The delivery day of ``2023-02-28``, ``today``, ``yesterday`` or ``tomorrow``, as the area counts days.

    ``clock`` is only asked where the day depends on it.

    Raises:
        Stop: it names no day, or there is no such area.
    """
    fixed = fixed_day(text, area=area)
    if fixed is not None:
        return fixed
    today = clock.now().astimezone(area_of(area).zone).date()
    return today + timedelta(days=_OFFSETS[text])
