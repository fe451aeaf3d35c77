"""Meter points that are read every month or so: a NEM13 file for each day, the same for the same seed.

Registers only grow, at a pace of their own, and roll over at 100,000 kWh. Some reads are estimates or
substitutes, most of which an actual read corrects five days later; some meters are exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from sandbox.chance import between

FIRST_DAY = date(2026, 1, 1)
PROVIDER, RETAILER = "MDPX", "RETAILER"
CORRECTED_AFTER_DAYS = 5
DIAL_TENTHS = 1_000_000  # a register shows 100,000.0 as 00000.0
_ESTIMATED, _SUBSTITUTED, _EXCHANGED, _EXPORTING = 8, 4, 2, 30  # of a hundred
_TIME, _QUALITY, _PACE, _START, _CORRECTED, _PHASE, _EXCHANGE, _EXPORT, _WOBBLE = range(9)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is made: reads of so many meter points on so many days."""

    meter_points: int
    days: int
    seed: int
    first_day: date = FIRST_DAY
    every_days: int = 30

    def chance(self, *parts: int) -> int:
        """A number of 0…99."""
        return between(0, 99, self.seed, *parts)


def daily_files(plan: Plan) -> Iterator[tuple[str, Iterator[str]]]:
    """Each day's file: its name, and its lines."""
    for day in range(plan.days):
        at = plan.first_day + timedelta(days=day)
        yield f"NEM13#{at:%Y%m%d}{plan.seed:06}#{PROVIDER}#{RETAILER}.csv", _file(plan, day)


def _file(plan: Plan, day: int) -> Iterator[str]:
    sent = plan.first_day + timedelta(days=day + 1)
    yield f"100,NEM13,{sent:%Y%m%d}0300,{PROVIDER},{RETAILER}"
    for point in range(plan.meter_points):
        phase = between(0, plan.every_days - 1, plan.seed, point, _PHASE)
        if (day - phase) % plan.every_days == 0:
            yield from _read(plan, point, day, sent, is_correction=False)
        elif (day - CORRECTED_AFTER_DAYS - phase) % plan.every_days == 0 and day >= CORRECTED_AFTER_DAYS:
            yield from _read(plan, point, day - CORRECTED_AFTER_DAYS, sent, is_correction=True)
    yield "900"


def _read(plan: Plan, point: int, day: int, sent: date, *, is_correction: bool) -> Iterator[str]:
    """What a meter point's registers showed on a day; on the day of an exchange, those of both meters."""
    chance = plan.chance(point, day, _QUALITY)
    is_actual = chance >= _ESTIMATED + _SUBSTITUTED
    if is_correction and (is_actual or plan.chance(point, day, _CORRECTED) >= 80):
        return
    quality, reason = ("E64", "77") if chance < _ESTIMATED else ("S62", "12")
    if is_actual or is_correction:
        quality, reason = "A", ""
    exporting = plan.chance(point, _EXPORT) < _EXPORTING
    for meter in _meters(plan, point, day):
        for register in ("11", "41") if exporting else ("11",):
            yield _record(plan, point, day, sent, (meter, register, exporting, quality, reason))
            if _is_exchanged(plan, point, day):
                yield "550,N,,R," if meter == 0 else "550,N,,O,"


def _record(plan: Plan, point: int, day: int, sent: date, what: tuple[int, str, bool, str, str]) -> str:
    meter, register, exporting, quality, reason = what
    before = day - plan.every_days
    shown, shown_before = (_shown(plan, point, meter, register, at) for at in (day, before))
    is_new = meter == 1 and _is_exchanged(plan, point, day)
    guessed_short = 0 if quality == "A" else between(0, 20, plan.seed, point, day)
    quantity = 0 if is_new else shown - shown_before - guessed_short
    if quality != "A":
        shown = shown_before + quantity
    at, at_before = _instant(plan, point, day), _instant(plan, point, day if is_new else before)
    following = plan.first_day + timedelta(days=day + plan.every_days)
    configuration, direction = "1141" if exporting else "11", "E" if register == "11" else "I"
    previous = _dial(shown if is_new else shown_before)
    return (
        f"250,{_nmi(plan, point)},{configuration},{register},{register},,"
        f"{_serial(point, meter)},{direction},"
        f"{previous},{at_before},A,,,{_dial(shown)},{at},{quality},{reason},,"
        f"{quantity // 10}.{quantity % 10},kWh,{following:%Y%m%d},{sent:%Y%m%d}020000,{sent:%Y%m%d}021500"
    )


def _nmi(plan: Plan, point: int) -> str:
    """Ten characters; every tenth with letters in it."""
    number = between(0, 99, plan.seed) * 1_000_000 + point
    return f"QB{number:08}" if point % 10 == 9 else f"41{number:08}"


def _serial(point: int, meter: int) -> str:
    return f"{point:05}" if point % 4 == 0 and not meter else f"{'AB'[meter]}{point:07}"


def _meters(plan: Plan, point: int, day: int) -> tuple[int, ...]:
    """Which meter is read: the first, the second, or on the day of an exchange both."""
    exchanged = _exchange_day(plan, point)
    if exchanged is None or day < exchanged:
        return (0,)
    return (0, 1) if day == exchanged else (1,)


def _is_exchanged(plan: Plan, point: int, day: int) -> bool:
    return _exchange_day(plan, point) == day


def _exchange_day(plan: Plan, point: int) -> int | None:
    """The first day on which the meter point is read, where its meter is exchanged then."""
    if plan.chance(point, _EXCHANGE) >= _EXCHANGED:
        return None
    return between(0, plan.every_days - 1, plan.seed, point, _PHASE)


def _shown(plan: Plan, point: int, meter: int, register: str, day: int) -> int:
    """Tenths of a kWh since the meter was made, which its dial shows a part of."""
    parts = (plan.seed, point, meter, int(register))
    start = 0 if meter else between(0, DIAL_TENTHS - 1, *parts, _START) + 400 * plan.every_days
    pace = between(20, 400, *parts, _PACE)
    day_since = day - (_exchange_day(plan, point) or 0) if meter else day
    return start + pace * day_since + between(0, pace, *parts, day & 0xFFFF, _WOBBLE) * bool(day_since)


def _dial(tenths: int) -> str:
    shown = tenths % DIAL_TENTHS
    return f"{shown // 10:05}.{shown % 10}"


def _instant(plan: Plan, point: int, day: int) -> str:
    """In market time, during the day."""
    second = between(7 * 3600, 18 * 3600, plan.seed, point, day & 0xFFFF, _TIME)
    on = plan.first_day + timedelta(days=day)
    return f"{on:%Y%m%d}{second // 3600:02}{second // 60 % 60:02}{second % 60:02}"
