"""Readings looked for and looked at: on indexes, in pages by key, never counted as a whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import QuerySet

from meter_service.models import FlowFile, Meter, MeterPoint, Reading, Register

MOST_REGISTERS = 500
MOST_POINTS = 200
BATCH_ROWS = 200
REGISTERS_AT_ONCE = 25
_LAST = "\U0010ffff"  # sorts after whatever follows a prefix


@dataclass(frozen=True, slots=True)
class Filters:
    """What narrows a search; ``from_at`` ≤ read at < ``to_at``."""

    from_at: datetime | None = None
    to_at: datetime | None = None
    quality: str = ""
    all_versions: bool = False
    file_id: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins or ends: a reading in its register."""

    register_id: int
    read_at: datetime
    reading_id: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a search fits: registers in their order or, where they are too many, meter points.

    ``missing`` are the words that fit nothing, ``by_prefix`` says that one was only the beginning of names.
    """

    registers: list[Register] = field(default_factory=list)
    points: list[MeterPoint] = field(default_factory=list)
    has_more_points: bool = False
    missing: tuple[str, ...] = ()
    by_prefix: bool = False


def find(words: Sequence[str]) -> Found:
    """The registers of NMIs and serial numbers: those named, else those that begin with the one word."""
    exact = {
        register.pk: register
        for condition in ({"meter__meter_point__nmi__in": words}, {"meter__serial__in": words})
        for register in _registers(**condition)[: MOST_REGISTERS * 4]
    }
    if not exact and len(words) == 1:
        return _by_prefix(words[0])
    ordered = sorted(exact.values(), key=_place)
    named = {each.meter.meter_point.nmi for each in ordered} | {each.meter.serial for each in ordered}
    return Found(ordered, missing=tuple(word for word in words if word not in named))


def _place(register: Register) -> tuple[str, str, str, str]:
    return (register.meter.meter_point.nmi, register.meter.serial, register.register_id, register.suffix)


_ORDER = ("meter__meter_point__nmi", "meter__serial", "register_id", "suffix")


def _registers(**condition: Any) -> QuerySet[Register]:
    return Register.objects.select_related("meter__meter_point").filter(**condition)


def _by_prefix(word: str) -> Found:
    """LIKE would take ``%`` and ``_`` for more than themselves, and use no index on SQLite."""
    end = word + _LAST
    ids: set[int] = set()
    for low, high in (("meter__meter_point__nmi__gte", "meter__meter_point__nmi__lt"),
                      ("meter__serial__gte", "meter__serial__lt")):  # fmt: skip
        found = Register.objects.filter(**{low: word, high: end}).values_list("id", flat=True)
        ids.update(found[: MOST_REGISTERS + 1])
    if len(ids) <= MOST_REGISTERS:
        return Found(list(_registers(id__in=ids).order_by(*_ORDER)), by_prefix=True)
    points = {
        *MeterPoint.objects.filter(nmi__gte=word, nmi__lt=end).order_by("nmi")[: MOST_POINTS + 1],
        *(
            meter.meter_point
            for meter in Meter.objects.filter(serial__gte=word, serial__lt=end)
            .select_related("meter_point")
            .order_by("serial")[: MOST_POINTS + 1]
        ),
    }
    ordered = sorted(points, key=lambda point: point.nmi)
    return Found(points=ordered[:MOST_POINTS], has_more_points=len(ordered) > MOST_POINTS, by_prefix=True)


def readings(
    registers: Sequence[Register], filters: Filters, *, after: Place | None = None, most: int | None = None
) -> Iterator[Reading]:
    """Readings register by register, newest first, those that follow ``after``; at most ``most``.

    They are fetched as they are read.
    """
    if after is not None:
        registers = registers[_at(registers, after) :]
    keys = _keys(registers, filters)
    wanted = keys if after is None else _beyond(keys, after, is_forward=True)
    return _rows(registers, islice(wanted, most))


def readings_before(
    registers: Sequence[Register], filters: Filters, *, before: Place, most: int
) -> list[Reading]:
    """The ``most`` readings that stand before a place, in the order of :func:`readings`."""
    backwards = registers[: _at(registers, before) + 1][::-1]
    keys = _beyond(_keys(backwards, filters, is_forward=False), before, is_forward=False)
    return list(_rows(backwards, islice(keys, most)))[::-1]


Key = tuple[int, datetime, int]  # register, read at, reading


def _at(registers: Sequence[Register], place: Place) -> int:
    return next((at for at, each in enumerate(registers) if each.pk == place.register_id), len(registers))


def _keys(registers: Sequence[Register], filters: Filters, *, is_forward: bool = True) -> Iterator[Key]:
    """The keys of readings in their order, or all of it backwards; of some registers at a time."""
    for first in range(0, len(registers), REGISTERS_AT_ONCE):
        order = {each.pk: at for at, each in enumerate(registers[first : first + REGISTERS_AT_ONCE])}
        found: list[Key] = [
            key
            for versions in _versions(order, filters)
            for key in versions.values_list("register_id", "read_at", "id")
        ]
        found.sort(key=lambda key: key[1:], reverse=is_forward)
        found.sort(key=lambda key: order[key[0]])
        yield from found


def _beyond(keys: Iterator[Key], place: Place, *, is_forward: bool) -> Iterator[Key]:
    at = (place.read_at, place.reading_id)
    for key in keys:
        if key[0] != place.register_id or (key[1:] < at if is_forward else key[1:] > at):
            yield key


def _rows(registers: Sequence[Register], keys: Iterator[Key]) -> Iterator[Reading]:
    known = {each.pk: each for each in registers}
    while some := [key[2] for key in islice(keys, BATCH_ROWS)]:
        found = Reading.objects.in_bulk(some)
        for pk in some:
            if row := found.get(pk):  # else it was withdrawn meanwhile
                row.register = known[row.register_id]
                yield row


def _versions(register_ids: Collection[int], filters: Filters) -> list[QuerySet[Reading]]:
    """Queries of some registers, each within one of the two partial indexes."""
    rows = Reading.objects.filter(register_id__in=list(register_ids))
    if filters.from_at is not None:
        rows = rows.filter(read_at__gte=filters.from_at)
    if filters.to_at is not None:
        rows = rows.filter(read_at__lt=filters.to_at)
    if filters.quality:
        rows = rows.filter(quality=filters.quality)
    if filters.file_id is not None:
        rows = rows.filter(flow_file_id=filters.file_id)
    current = rows.filter(is_current=True)
    return [current, rows.filter(is_current=False)] if filters.all_versions else [current]


def file_names(rows: Sequence[Reading]) -> dict[int, str]:
    """The names of the files that readings came from."""
    ids = {row.flow_file_id for row in rows}
    return {pk: str(file) for pk, file in FlowFile.objects.in_bulk(ids).items()}


def every_reading_of_file(filters: Filters, *, after_id: int = 0) -> Iterator[Reading]:
    """What a file brought, in the order in which it was stored, that of its lines; fetched as it is read."""
    rows = Reading.objects.filter(flow_file_id=filters.file_id, id__gt=after_id)
    if not filters.all_versions:
        rows = rows.filter(is_current=True)
    if filters.quality:
        rows = rows.filter(quality=filters.quality)
    if filters.from_at is not None:
        rows = rows.filter(read_at__gte=filters.from_at)
    if filters.to_at is not None:
        rows = rows.filter(read_at__lt=filters.to_at)
    while some := list(rows.select_related("register__meter__meter_point").order_by("id")[:BATCH_ROWS]):
        yield from some
        rows = rows.filter(id__gt=some[-1].pk)


def reading(reading_id: int) -> Reading | None:
    """One, with its register, meter and meter point."""
    return (
        Reading.objects.select_related("register__meter__meter_point", "flow_file")
        .filter(pk=reading_id)
        .first()
    )


def versions_of(row: Reading) -> list[Reading]:
    """All versions of a reading: the current one first, then the newer before the older."""
    found = [
        each
        for is_current in (True, False)
        for each in Reading.objects.select_related("flow_file").filter(
            register_id=row.register_id, read_at=row.read_at, is_current=is_current
        )
    ]
    return sorted(found, key=lambda each: (each.is_current, *_stamp(each)), reverse=True)


def _stamp(row: Reading) -> tuple[float, int]:
    return (row.updated_at.timestamp() if row.updated_at else float("-inf"), row.pk)


def reading_at(register_id: int, read_at: datetime) -> Reading | None:
    """The current reading of a register at an instant."""
    return Reading.objects.filter(register_id=register_id, read_at=read_at, is_current=True).first()


def has_flow_files() -> bool:
    """Whether a flow file ever came in."""
    return FlowFile.objects.exists()


def registers_of(point: MeterPoint) -> list[Register]:
    """The registers of a meter point, in their order."""
    return list(_registers(meter__meter_point=point).order_by(*_ORDER))


def newest(register: Register, *, quality: str = "") -> Reading | None:
    """The newest current reading of a register, of a quality where one is named."""
    rows = _versions([register.pk], Filters(quality=quality))[0]
    return rows.select_related("flow_file").order_by("-read_at").first()


def oldest(register: Register, *, after: datetime | None = None) -> Reading | None:
    """The first current reading of a register, later than ``after``."""
    rows = _versions([register.pk], Filters())[0]
    rows = rows.filter(read_at__gt=after) if after is not None else rows
    return rows.order_by("read_at").first()
