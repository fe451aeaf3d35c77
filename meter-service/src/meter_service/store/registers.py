"""Meter points, meters and registers by what files call them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from meter_service.domain.records import Reading
from meter_service.models import Meter, MeterPoint, Register
from meter_service.store import rows

T = TypeVar("T")
Key = tuple[str, str, str, str]  # NMI, serial, register, suffix
_REMEMBERED = 100_000


class Registers:
    """Ids of registers within one import; those that are not there yet are made."""

    def __init__(self) -> None:
        """Nothing remembered."""
        self._ids: dict[Key, int] = {}

    def ids(self, readings: list[Reading]) -> list[int]:
        """The id of each reading's register."""
        keys = [reading[:4] for reading in readings]
        if len(self._ids) > _REMEMBERED:
            self._ids.clear()
        missing = {key: each for key, each in zip(keys, readings, strict=True) if key not in self._ids}
        if missing:
            self._find({reading.nmi for reading in missing.values()})
            new = [reading for key, reading in missing.items() if key not in self._ids]
            if new:
                self._make(new)
        return [self._ids[key] for key in keys]

    def _find(self, nmis: Iterable[str]) -> None:
        names = ("meter__meter_point__nmi", "meter__serial", "register_id", "suffix", "id")
        for *key, found in Register.objects.filter(meter__meter_point__nmi__in=nmis).values_list(*names):
            self._ids[tuple(key)] = found  # type: ignore[index]  # four texts

    def _make(self, new: list[Reading]) -> None:
        points = _found_or_made(
            "meter_point", "nmi", {reading.nmi for reading in new},
            dict(MeterPoint.objects.filter(nmi__in={r.nmi for r in new}).values_list("nmi", "id")),
        )  # fmt: skip
        wanted = {(points[reading.nmi], reading.serial) for reading in new}
        there = Meter.objects.filter(meter_point__in={point for point, _ in wanted})
        meters = _found_or_made(
            "meter", "meter_point_id, serial", wanted,
            {(point, serial): found for point, serial, found in
             there.values_list("meter_point_id", "serial", "id")},
        )  # fmt: skip
        first = rows.next_id("register")
        made = [
            (first + at, meters[points[r.nmi], r.serial], r.register, r.suffix, r.unit, r.direction)
            for at, r in enumerate(new)
        ]
        rows.insert("register", "id, meter_id, register_id, suffix, unit, direction", made)
        self._ids.update({reading[:4]: first + at for at, reading in enumerate(new)})


def _found_or_made(table: str, columns: str, wanted: set[T], there: dict[T, int]) -> dict[T, int]:
    """Ids by key; rows for those that are not there."""
    missing = sorted(wanted - there.keys())  # type: ignore[type-var]
    if missing:
        first = rows.next_id(table)
        made = {key: first + at for at, key in enumerate(missing)}
        rows.insert(
            table,
            f"id, {columns}",
            [(found, *(key if isinstance(key, tuple) else (key,))) for key, found in made.items()],
        )
        there |= made
    return there
